//! Going over to a new segment, when the one that is written to is full or old.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dohle_base::{Offset, Rng, Timestamp};
use dohle_records::Header;

use super::Log;
use crate::disk::{Disk, File};
use crate::failure::Failure;
use crate::options::Options;
use crate::producers::snapshot;
use crate::segment::name::Content;
use crate::segment::{self, Active, Room, Sealed};

impl<D: Disk> Log<D> {
    /// Rolls when the batch that comes does not fit.
    pub(super) fn roll_if_full(&mut self, coming: &Header, now: Timestamp) -> Result<(), Failure> {
        let room = room(&self.options, &self.dir, self.active.base);
        let bytes = coming.size_in_bytes() as u64;
        if self.active.is_full(&room, bytes, coming.last_offset(), coming.max_timestamp, now) {
            // A segment begins where the last one ends, though the batch may lie further on: so that after a crash a gap between two
            // segments tells of a lost tail.
            let reached = coming.last_offset().since(self.end()) <= i32::MAX as u64;
            self.roll(if reached { self.end() } else { coming.base_offset }, now)?;
        }
        Ok(())
    }

    /// Closes the segment that is written to and begins one at `base`, which is not below the end. When that fails, all is as it
    /// was.
    pub(super) fn roll(&mut self, base: Offset, now: Timestamp) -> Result<(), Failure> {
        assert!(base >= self.end(), "a segment begins behind the last");
        assert!(base > self.active.base, "two segments cannot have one name");
        self.producers.advance_end(base);
        self.take_snapshot(base)?;
        let path = segment::path(&self.dir, base, Content::Log);
        let mut next = Active::create(&self.disk, &self.dir, base, self.options.index_interval_bytes, now)
            .map_err(Failure::of("create", &path))?;
        if self.options.preallocate {
            next.reserve_all(self.options.segment_bytes);
        }
        self.change_names();
        let mut full = std::mem::replace(&mut self.active, next);
        if full.size == 0 {
            // Nothing was ever written there that the new one could follow.
            return self.doom_segment(full.base)?.remove();
        }
        if let Err(error) = full.trim() {
            // It costs the space and nothing else.
            tracing::warn!(dir = %self.dir.display(), segment = full.base.0, "reserved space is not given back: {error}");
        }
        self.durable.unsynced.push((full.base, full.file.clone()));
        let mut sealed = Sealed::from_active(full, base, self.dir.clone(), now);
        sealed.revision = self.revision;
        self.sealed.push_back(Arc::new(sealed));
        Ok(())
    }

    /// Writes the producers as they are at `at`, the log's end. Durable with the next flush.
    pub(super) fn take_snapshot(&mut self, at: Offset) -> Result<(), Failure> {
        if self.snapshots.last().is_some_and(|last| *last >= at) || at == Offset::ZERO {
            return Ok(());
        }
        self.write_snapshot(at)
    }

    /// The same, in the place of a snapshot that is there already.
    pub(super) fn write_snapshot(&mut self, at: Offset) -> Result<(), Failure> {
        let path = segment::path(&self.dir, at, Content::Producers);
        let bytes = snapshot::to_bytes(&self.producers);
        let written = self.disk.create(&path).and_then(|file| file.write_at(0, &bytes, &[]).map(|()| file));
        self.durable.snapshots.push(written.map_err(Failure::of("write", &path))?);
        self.change_names();
        if let Err(place) = self.snapshots.binary_search(&at) {
            self.snapshots.insert(place, at);
        }
        Ok(())
    }

    /// Removes the snapshots that `doomed` picks.
    pub(super) fn remove_snapshots(&mut self, doomed: impl Fn(Offset) -> bool) -> Result<(), Failure> {
        let gone: Vec<Offset> = self.snapshots.iter().copied().filter(|at| doomed(*at)).collect();
        for at in gone {
            let path = segment::path(&self.dir, at, Content::Producers);
            crate::disk::remove_if_there(&self.disk, &path).map_err(Failure::of("remove", &path))?;
            self.snapshots.retain(|other| *other != at);
        }
        Ok(())
    }

    pub(super) fn active_path(&self) -> PathBuf {
        segment::path(&self.dir, self.active.base, Content::Log)
    }
}

/// How much a segment takes. Its age is shortened by chance, so that not all partitions roll at once; the chance is the same
/// whenever it is asked.
fn room(options: &Options, dir: &Path, base: Offset) -> Room {
    // What is written to is not compacted: a segment may not last longer than a record may wait for that.
    let lag_max = if options.cleanup.compact { options.compaction_lag_max_ms } else { i64::MAX };
    let age_ms = options.segment_ms.min(lag_max);
    let jitter_max = options.segment_jitter_ms.min(age_ms);
    let jitter = if jitter_max > 0 { chance(dir, base).below(jitter_max as u64) as i64 } else { 0 };
    Room { bytes: options.segment_bytes, index_bytes: options.index_bytes_max, age_ms: age_ms - jitter }
}

fn chance(dir: &Path, base: Offset) -> Rng {
    let place = dir.as_os_str().as_encoded_bytes();
    Rng::new(place.iter().fold(base.0 as u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(*byte))))
}
