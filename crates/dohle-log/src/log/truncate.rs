//! Shortening a log at either end.
//!
//! At its end a follower gives up what its leader does not have. That is rare, and done in full before anything else is appended: when
//! a call comes back, what was cut off is gone from the disk for good. At its start nothing is removed here: the start moves, and retention
//! takes the segments.

use std::path::PathBuf;

use dohle_base::{Offset, Timestamp};
use thiserror::Error;

use super::LoadError;
use super::Log;
use crate::disk::{Disk, File};
use crate::failure::Failure;
use crate::producers::Producers;
use crate::removal::Removal;
use crate::segment::index::Entries;
use crate::segment::name::{Content, Name, Stage};
use crate::segment::scan::{CHUNK_LARGE, Scan, Stopped};
use crate::segment::{self, Active};

/// Why a log could not be shortened.
#[derive(Debug, Error)]
pub enum TruncateError {
    /// The log does not have that offset.
    #[error("offset {offset} is not within {start} and {end}")]
    OutOfRange {
        /// The one asked for.
        offset: Offset,
        /// The start of the log.
        start: Offset,
        /// The end of the log.
        end: Offset,
    },
    /// The disk failed: the log is offline.
    #[error(transparent)]
    Storage(#[from] Failure),
    /// What is left cannot be read: the log is offline.
    #[error(transparent)]
    Damaged(#[from] LoadError),
}

impl<D: Disk> Log<D> {
    /// Cuts off all records from `offset` on, and the whole batch where it holds the offset. Returns the new end. Epochs that begin there
    /// are forgotten even when no record is (KAFKA-10706).
    ///
    /// What is durable may end lower than before: the caller writes the recovery point down before it acknowledges anything
    /// more.
    pub fn truncate_to(&mut self, offset: Offset, now: Timestamp) -> Result<Offset, TruncateError> {
        self.epochs.truncate_from_end(offset);
        if offset >= self.end() {
            return Ok(self.end());
        }
        if offset < self.first_base() || offset < self.start {
            self.truncate_fully(offset, now)?;
            return Ok(offset);
        }
        self.durable.generation += 1;
        self.durable.reached = None;
        // Offline until all is done: a half shortened log is no log.
        self.durable.failed = true;
        self.drop_segments_above(offset)?;
        let position = self.position_of(offset)?;
        self.cut_active(position)?;
        self.reload_active(position, now)?;
        self.durable.synced = self.durable.synced.min(self.end());
        self.epochs.truncate_from_end(self.end());
        self.reload_producers(now)?;
        self.durable.failed = false;
        Ok(self.end())
    }

    /// Throws everything away and begins anew at `offset`, as a follower does whose leader has nothing that it has.
    pub fn truncate_fully(&mut self, offset: Offset, now: Timestamp) -> Result<(), Failure> {
        self.durable.generation += 1;
        self.durable.reached = None;
        self.durable.failed = true;
        let bases: Vec<Offset> = self.segments().map(|segment| segment.base).collect();
        for base in bases.into_iter().rev() {
            self.doom_segment(base)?.remove()?;
        }
        self.sync_names()?;
        self.sealed.clear();
        self.remove_snapshots(|_| true)?;
        let path = segment::path(&self.dir, offset, Content::Log);
        self.active = Active::create(&self.disk, &self.dir, offset, self.options.index_interval_bytes, now)
            .map_err(Failure::of("create", &path))?;
        self.sync_names()?;
        self.start = offset;
        self.epochs.clear();
        self.producers = Producers::starting_at(offset);
        self.durable.unsynced.clear();
        self.durable.synced = offset;
        self.durable.failed = false;
        Ok(())
    }

    /// Moves the start up to `offset`: records below it are not read any more, and go with their segments. The caller holds it to the
    /// high watermark and writes it down. A start that is higher already stays.
    pub fn advance_start(&mut self, offset: Offset) -> Result<Offset, TruncateError> {
        let (start, end) = (self.start, self.end());
        if offset > end {
            return Err(TruncateError::OutOfRange { offset, start, end });
        }
        if offset > start {
            self.start = offset;
            self.epochs.truncate_from_start(offset);
            self.producers.forget_below(offset);
        }
        Ok(self.start)
    }

    pub(super) fn first_base(&self) -> Offset {
        self.sealed.front().map_or(self.active.base, |segment| segment.base)
    }

    fn sync_names(&self) -> Result<(), Failure> {
        self.disk.sync_dir(&self.dir).map_err(Failure::of("sync", &self.dir))
    }

    /// Removes the segments that begin above `offset`, the last first and for good, so that a crash leaves no gap: a segment that
    /// came back would follow one that has been cut.
    fn drop_segments_above(&mut self, offset: Offset) -> Result<(), TruncateError> {
        let any = self.active.base > offset;
        while self.active.base > offset {
            let doomed = self.active.base;
            let before = self.sealed.pop_back().expect("the first segment does not begin above the offset");
            let path = segment::path(&self.dir, before.base, Content::Log);
            let file = before.open(&self.disk).map_err(Failure::of("open", &path))?;
            let offsets = before.indexes.offsets.all(&self.disk).map_err(Failure::of("read the index of", &path))?;
            let times = before.indexes.times.all(&self.disk).map_err(Failure::of("read the index of", &path))?;
            self.doom_segment(doomed)?.remove()?;
            let mut active = Active::empty(file, before.base, self.options.index_interval_bytes, before.modified);
            active.size = before.size;
            active.next = before.end;
            active.offsets = offsets.unwrap_or_default();
            active.times = times.unwrap_or_default();
            active.aborted = before.aborted(&self.disk).map_err(Failure::of("read the index of", &path))?.to_vec();
            self.active = active;
            self.durable.unsynced.retain(|(base, _)| *base != before.base);
        }
        if any {
            self.sync_names()?;
        }
        Ok(())
    }

    /// Where the batch begins that holds `offset` in the segment that is written to, or the first behind it.
    fn position_of(&self, offset: Offset) -> Result<u64, TruncateError> {
        let active = &self.active;
        let mut scan = Scan::new(active.file.clone(), active.hint(offset), active.size, CHUNK_LARGE);
        loop {
            match scan.next() {
                Ok(Some(found)) if found.header.last_offset() < offset => {}
                Ok(Some(found)) => return Ok(found.position),
                Ok(None) => return Ok(active.size),
                // What is damaged behind the offset goes as well.
                Err(Stopped::Damaged { position, .. }) => return Ok(position),
                Err(Stopped::Io(error)) => return Err(Failure::of("read", &self.active_path())(error).into()),
            }
        }
    }

    fn cut_active(&mut self, position: u64) -> Result<(), Failure> {
        let path = self.active_path();
        let file = &self.active.file;
        file.truncate(position).and_then(|()| file.sync()).map_err(Failure::of("truncate", &path))?;
        segment::remove_indexes(&self.disk, &self.dir, self.active.base)
    }

    /// Takes up the segment that is written to again, as it is now on the disk.
    fn reload_active(&mut self, size: u64, now: Timestamp) -> Result<(), TruncateError> {
        let fresh = Active::empty(self.active.file.clone(), self.active.base, self.options.index_interval_bytes, now);
        let old = std::mem::replace(&mut self.active, fresh);
        let mut entries = Entries { offsets: old.offsets, times: old.times };
        entries.offsets.retain(|entry| u64::from(entry.position) < size);
        // Times that were noted behind the last indexed batch are found again there.
        let reached = entries.offsets.last().map(|entry| entry.offset);
        entries.times.retain(|entry| reached.is_some_and(|reached| entry.offset <= reached));
        self.active.resume(size, entries).map_err(|stopped| LoadError::of(&self.active_path(), stopped))?;
        self.active.aborted = old.aborted;
        let next = self.active.next;
        self.active.aborted.retain(|entry| entry.last < next);
        Ok(())
    }

    fn reload_producers(&mut self, now: Timestamp) -> Result<(), TruncateError> {
        let end = self.end();
        self.remove_snapshots(|at| at > end)?;
        self.sync_names()?;
        self.restore_producers(end, now)?;
        self.replay(now)?;
        Ok(())
    }

    /// Renames the files of a segment away; they are to be removed. Nothing else is ever called as they are then: another segment that begins at the
    /// same offset may be dropped before they are gone.
    pub(super) fn doom_segment(&mut self, base: Offset) -> Result<Removal<D>, Failure> {
        let stage = Stage::Deleted(self.dropped);
        self.dropped += 1;
        let mut doomed: Vec<PathBuf> = Vec::new();
        for content in Content::OF_SEGMENT {
            let from = segment::path(&self.dir, base, content);
            let to = self.dir.join(Name::live(base, content).at(stage).to_string());
            match self.disk.rename(&from, &to) {
                Ok(()) => doomed.push(to),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Failure::of("rename", &from)(error)),
            }
        }
        Ok(Removal::of_files(self.disk.clone(), doomed))
    }
}
