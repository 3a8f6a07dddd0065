//! A partition's directory as it lies there, for tools: listed, walked, judged and mended while no broker has it.
//!
//! Owns what a reader needs who knows nothing yet, and may not trust anything: an index, a snapshot, a checkpoint is compared with the
//! batches, which alone count. Only [`mend`] changes a file, and what it takes away it keeps aside. Knows Kafka's formats and not who
//! wrote them.

mod checkpoints;
mod compare;
mod finding;
mod mend;
mod verify;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::Path;

use dohle_base::Offset;

use crate::disk::{Disk, Kind};
use crate::failure::Failure;
use crate::segment::name::{Content, Name, Stage};

pub use checkpoints::{lower_checkpoints, verify_checkpoints};
pub use finding::{Finding, Flaw};
pub use mend::{Action, MendError, mend, plan, put_aside};
pub use verify::{Report, Tear, verify};
pub use walk::{Broken, Placed, Walk};

/// What a partition's directory holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Oldest first.
    pub segments: Vec<SegmentFile>,
    pub(crate) snapshots: Vec<Offset>,
    /// Files that an interrupted compaction has left.
    pub(crate) leftovers: Vec<Name>,
    /// Indexes without a segment.
    pub(crate) orphans: Vec<Name>,
}

/// A segment's file of batches, and which files are beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// Its first offset.
    pub base: Offset,
    /// Its bytes.
    pub size: u64,
    pub(crate) beside: BTreeSet<Content>,
}

impl SegmentFile {
    /// The name of its file.
    pub fn name(&self) -> String {
        Name::live(self.base, Content::Log).to_string()
    }
}

/// Looks what is in a directory. Changes nothing.
pub fn contents<D: Disk>(disk: &D, dir: &Path) -> Result<Contents, Failure> {
    let entries = disk.list(dir).map_err(Failure::of("list", dir))?;
    let mut files: Vec<(Name, u64)> = entries
        .into_iter()
        .filter_map(|entry| match entry.kind {
            Kind::File(size) => Some((Name::parse(&entry.name)?, size)),
            Kind::Directory => None,
        })
        .collect();
    files.sort_unstable_by_key(|(name, _)| *name);
    let mut contents = Contents::default();
    let is_live = |name: Name, content: Content| name.stage == Stage::Live && name.content == content;
    for (name, size) in files.iter().filter(|(name, _)| is_live(*name, Content::Log)) {
        let beside = files.iter().filter(|(other, _)| other.base == name.base && other.stage == Stage::Live);
        let beside = beside.map(|(other, _)| other.content).collect();
        contents.segments.push(SegmentFile { base: name.base, size: *size, beside });
    }
    for (name, _) in files {
        let has_segment = contents.segments.iter().any(|segment| segment.base == name.base);
        match (name.stage, name.content) {
            // It waits to be removed, after a clean stop too: readers have a while to let go of it.
            (Stage::Deleted(_), _) => {}
            (Stage::Cleaned | Stage::Swap, _) => contents.leftovers.push(name),
            (Stage::Live, Content::Producers) => contents.snapshots.push(name.base),
            (Stage::Live, Content::Log) => {}
            (Stage::Live, Content::Offsets | Content::Times | Content::Aborted) if has_segment => {}
            (Stage::Live, Content::Offsets | Content::Times | Content::Aborted) => contents.orphans.push(name),
        }
    }
    Ok(contents)
}
