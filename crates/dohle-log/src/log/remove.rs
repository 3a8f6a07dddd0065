//! Dropping old segments: what retention picks is renamed at once and removed when nobody reads it any more.

use dohle_base::{Offset, Timestamp};

use super::Log;
use crate::disk::Disk;
use crate::failure::Failure;
use crate::removal::Removal;
use crate::retain::{self, Choice, Limits, View};

impl<D: Disk> Log<D> {
    /// Drops the segments that the topic's limits do not keep, and moves the start behind them; none when all are kept. Only what
    /// lies below the high watermark goes.
    pub fn retain(&mut self, now: Timestamp, high_watermark: Offset) -> Result<Option<Removal<D>>, Failure> {
        // The producers are rebuilt from the snapshot behind what goes: it has to be durable first.
        if !self.durable.snapshots.is_empty() || self.names_changed() || self.durable.flushing {
            return Ok(None);
        }
        let views = self.views(now)?;
        let limits = Limits {
            bytes: self.options.retention_bytes,
            age_ms: self.options.retention_ms,
            deletes: self.options.cleanup.delete,
            start: self.start,
            high_watermark,
        };
        match retain::choose(&views, now, &limits) {
            Choice::Keep => Ok(None),
            Choice::Drop(count) => self.drop_oldest(count, now).map(Some),
        }
    }

    fn views(&self, now: Timestamp) -> Result<Vec<View>, Failure> {
        let mut views = Vec::with_capacity(self.sealed.len() + 1);
        for segment in &self.sealed {
            let largest = segment.largest(&self.disk).map_err(Failure::of("read the time index of", &self.dir))?;
            let newest = largest.map_or(segment.modified, |largest| largest.time);
            views.push(View { base: segment.base, end: segment.end, size: segment.size, newest });
        }
        let active = &self.active;
        let newest = active.largest.map_or(now, |largest| largest.time);
        views.push(View { base: active.base, end: active.next, size: active.size, newest });
        Ok(views)
    }

    /// Drops the `count` oldest segments. When that is all of them, a new one begins first.
    fn drop_oldest(&mut self, count: usize, now: Timestamp) -> Result<Removal<D>, Failure> {
        if count > self.sealed.len() {
            let end = self.end();
            self.roll(end, now)?;
        }
        let mut files = Vec::new();
        for _ in 0..count {
            let Some(base) = self.sealed.front().map(|segment| segment.base) else { break };
            files.extend_from_slice(self.doom_segment(base)?.files());
            self.sealed.pop_front();
            self.durable.unsynced.retain(|(unsynced, _)| *unsynced != base);
        }
        self.change_names();
        let first = self.first_base();
        if first > self.start {
            self.start = first;
            self.epochs.truncate_from_start(first);
            self.producers.forget_below(first);
        }
        // The newest snapshot at or below the first segment is what the producers are rebuilt from.
        let needed = self.snapshots.iter().rev().copied().find(|at| *at <= first);
        self.remove_snapshots(|at| needed.is_some_and(|needed| at < needed))?;
        Ok(Removal::of_files(self.disk.clone(), files))
    }
}
