//! Makes a directory whole again that was found wanting.
//!
//! A pure choice and a list of steps. What has to go is put aside as `.quarantine`, which no broker reads; everything else is what a broker
//! does when it opens a log after an unclean stop.

use std::collections::BTreeSet;
use std::path::Path;

use dohle_base::{Offset, Timestamp};
use thiserror::Error;

use super::finding::{Finding, Flaw};
use super::verify::{Report, Tear};
use crate::disk::{Disk, File, beside, write_synced};
use crate::failure::Failure;
use crate::log::{LoadError, Log, Opening};
use crate::options::Options;
use crate::recover::{self, QUARANTINE_SUFFIX};
use crate::segment;
use crate::segment::name::{Content, Name};

/// One step, in the order in which they are done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Cut a segment off, and keep what is cut.
    Cut(Tear),
    /// Put a segment aside that lies behind the cut.
    SetAside {
        /// Its first offset.
        segment: Offset,
        /// Its bytes.
        bytes: u64,
    },
    /// Make a file anew from the batches; the one that is there is put aside.
    Rebuild {
        /// Its name.
        file: String,
    },
    /// Finish or undo what was under way.
    Settle {
        /// The name of the file that was left.
        file: String,
    },
}

/// A directory that could not be mended. What was done is done, and can be tried again.
#[derive(Debug, Error)]
pub enum MendError {
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] Failure),
    /// The log cannot be opened.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The log would end before it starts, and a broker would give up all of it.
    #[error("it would end at {end}, before the start of the log, {start}")]
    EndsBeforeStart {
        /// Where it would end.
        end: Offset,
        /// What the checkpoint of starts says.
        start: Offset,
    },
}

/// What there is to do; nothing when nothing can be mended.
pub fn plan(report: &Report) -> Vec<Action> {
    let mut actions = Vec::new();
    if let Some(tear) = report.tear {
        actions.push(Action::Cut(tear));
        let behind = report.segments.iter().filter(|segment| segment.base > tear.segment);
        actions.extend(behind.map(|segment| Action::SetAside { segment: segment.base, bytes: segment.size }));
    }
    let mut rebuilt = BTreeSet::new();
    // What goes aside with its segment needs no mending.
    let stays = |finding: &&Finding| {
        let segment = Name::parse(&finding.file).filter(|name| name.content != Content::Producers);
        report.tear.is_none_or(|tear| segment.is_none_or(|name| name.base <= tear.segment))
    };
    for finding in report.findings.iter().filter(stays) {
        match &finding.flaw {
            Flaw::Leftover | Flaw::Orphan => actions.push(Action::Settle { file: finding.file.clone() }),
            // Sound by their checksum: nobody knows what they should have been.
            Flaw::Records { .. } | Flaw::RecordOffset(_) => {}
            Flaw::Batch(_) | Flaw::CheckpointAhead { .. } => {}
            Flaw::Missing
            | Flaw::IndexMalformed
            | Flaw::IndexEntry { .. }
            | Flaw::TimeEntry { .. }
            | Flaw::TimesEnd { .. }
            | Flaw::AbortMissing { .. }
            | Flaw::AbortUnknown { .. }
            | Flaw::Snapshot(_)
            | Flaw::SnapshotProducer(_)
            | Flaw::Ahead { .. }
            | Flaw::Checkpoint(_)
            | Flaw::Epoch { .. } => rebuilt.extend(files_to_rebuild(report, finding)),
        }
    }
    actions.extend(rebuilt.into_iter().map(|file| Action::Rebuild { file }));
    actions
}

/// The files that are made anew together with the one of a finding.
fn files_to_rebuild(report: &Report, finding: &Finding) -> Vec<String> {
    let Some(name) = Name::parse(&finding.file) else { return vec![finding.file.clone()] };
    let file = |content| Name::live(name.base, content).to_string();
    match name.content {
        // A closed segment's indexes are made in one go.
        Content::Offsets | Content::Times => vec![file(Content::Offsets), file(Content::Times)],
        // Who has aborted what is known only by telling the producers everything.
        Content::Aborted => {
            let own = [Content::Offsets, Content::Times, Content::Aborted].map(file);
            let snapshots = report.snapshots.iter().map(|at| Name::live(*at, Content::Producers).to_string());
            own.into_iter().chain(snapshots).collect()
        }
        Content::Producers | Content::Log => vec![finding.file.clone()],
    }
}

/// Does it. The log starts at `start`, as the checkpoint says. Nobody else has the directory.
pub fn mend<D: Disk>(disk: &D, dir: &Path, actions: &[Action], start: Offset, now: Timestamp) -> Result<(), MendError> {
    let segments = super::contents(disk, dir)?.segments;
    let mut last = segments.last().map_or(Offset::ZERO, |segment| segment.base);
    for action in actions {
        match action {
            Action::Cut(tear) if tear.end < start => return Err(MendError::EndsBeforeStart { end: tear.end, start }),
            Action::Cut(tear) => {
                cut(disk, dir, tear)?;
                last = tear.segment;
            }
            Action::SetAside { segment, .. } => {
                recover::set_aside(disk, dir, &[*segment])?;
            }
            Action::Rebuild { file } => put_aside(disk, &dir.join(file))?,
            // Opening the log does it.
            Action::Settle { .. } => {}
        }
    }
    // Segments below the last one are taken as they are, gaps of compaction included; the last one is read and cut.
    let opening = Opening { clean: false, recovery_point: last, start };
    let (mut log, _) = Log::open(disk.clone(), dir, Options::default(), &opening, now)?;
    Ok(log.close(now)?)
}

/// Cuts a segment off, once what is cut off is safe in a file of its own.
fn cut<D: Disk>(disk: &D, dir: &Path, tear: &Tear) -> Result<(), Failure> {
    const COPIED_AT_ONCE: usize = 1 << 20;
    let path = segment::path(dir, tear.segment, Content::Log);
    let aside = beside(&path, &format!(".{}{QUARANTINE_SUFFIX}", tear.position));
    let file = disk.open(&path).map_err(Failure::of("open", &path))?;
    write_synced(disk, &aside, &[]).map_err(Failure::of("create", &aside))?;
    let kept = disk.open(&aside).map_err(Failure::of("open", &aside))?;
    let mut buffer = vec![0; COPIED_AT_ONCE];
    let mut copied = 0;
    loop {
        let read = file.read_at(tear.position + copied, &mut buffer).map_err(Failure::of("read", &path))?;
        if read == 0 {
            break;
        }
        kept.write_at(copied, &buffer[..read], &[]).map_err(Failure::of("write", &aside))?;
        copied += read as u64;
    }
    kept.sync().map_err(Failure::of("sync", &aside))?;
    disk.sync_dir(dir).map_err(Failure::of("sync", dir))?;
    file.truncate(tear.position).and_then(|()| file.sync()).map_err(Failure::of("truncate", &path))?;
    segment::remove_indexes(disk, dir, tear.segment)
}

/// Gives a file a name under which no broker looks for it; none that is not there.
pub fn put_aside<D: Disk>(disk: &D, path: &Path) -> Result<(), Failure> {
    match disk.rename(path, &beside(path, QUARANTINE_SUFFIX)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::of("rename", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

impl Action {
    /// Whether records go with it that are sound.
    pub fn loses_records(&self) -> bool {
        match self {
            Self::Cut(tear) => tear.records_behind > 0,
            Self::SetAside { bytes, .. } => *bytes > 0,
            Self::Rebuild { .. } | Self::Settle { .. } => false,
        }
    }

    /// The name of the file that it is about.
    pub fn file(&self) -> String {
        match self {
            Self::Cut(tear) => Name::live(tear.segment, Content::Log).to_string(),
            Self::SetAside { segment, .. } => Name::live(*segment, Content::Log).to_string(),
            Self::Rebuild { file } | Self::Settle { file } => file.clone(),
        }
    }
}
