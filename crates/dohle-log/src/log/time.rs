//! Looking up by time, as ListOffsets asks: the first record that is not older, and the newest of all.
//!
//! Like a read: what to look at is said under the lock, and looked at outside of it. Two look-ups in indexes, a walk over headers behind them, and
//! the records of one batch.

use std::path::Path;
use std::sync::Arc;

use dohle_base::{LeaderEpoch, Offset, Timestamp};
use dohle_records::batch::Budget;
use dohle_records::{Batch, TimestampType};

use super::Log;
use super::read::{ReadError, Segment};
use crate::disk::Disk;
use crate::segment::scan::{CHUNK_SMALL, Damage, Found, Scan, Stopped};
use crate::segment::{Largest, Sealed};

/// A record found by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Its time.
    pub time: Timestamp,
    /// Its offset.
    pub offset: Offset,
    /// The epoch of the leader that wrote it.
    pub epoch: LeaderEpoch,
}

/// A look-up by time, not yet made.
#[derive(Debug)]
pub struct ByTime<D: Disk> {
    disk: D,
    dir: Arc<Path>,
    start: Offset,
    budget: Budget,
    wanted: Wanted,
    sealed: Vec<Arc<Sealed>>,
    tail: Tail<D::File>,
}

#[derive(Clone, Copy, Debug)]
enum Wanted {
    NotBefore(Timestamp),
    Largest,
}

#[derive(Debug)]
struct Tail<F> {
    file: F,
    base: Offset,
    size: u64,
    largest: Option<Largest>,
    hint: u64,
}

impl<D: Disk> Log<D> {
    /// The first record whose time is not before `time`. Whether it may be shown (the high watermark) is the caller's to say.
    pub fn by_time(&self, time: Timestamp) -> ByTime<D> {
        self.look_up(Wanted::NotBefore(time), self.active.hint_by_time(time))
    }

    /// The first record of the largest time.
    pub fn by_largest_time(&self) -> ByTime<D> {
        let hint = self.active.largest.map_or(0, |largest| self.active.hint(largest.offset));
        self.look_up(Wanted::Largest, hint)
    }

    fn look_up(&self, wanted: Wanted, hint: u64) -> ByTime<D> {
        let active = &self.active;
        ByTime {
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            start: self.start,
            budget: self.options.budget,
            wanted,
            sealed: self.sealed.iter().filter(|segment| segment.end > self.start).cloned().collect(),
            tail: Tail {
                file: active.file.clone(),
                base: active.base,
                size: active.size,
                largest: active.largest,
                hint,
            },
        }
    }
}

impl<D: Disk> ByTime<D> {
    /// Looks. None when no record has such a time.
    pub fn find(&self) -> Result<Option<Moment>, ReadError> {
        match self.wanted {
            Wanted::NotBefore(time) => self.find_not_before(time),
            Wanted::Largest => self.find_largest(),
        }
    }

    fn find_not_before(&self, time: Timestamp) -> Result<Option<Moment>, ReadError> {
        for segment in &self.sealed {
            if self.largest(segment)?.is_some_and(|largest| largest.time >= time)
                && let Some(found) = self.find_in_sealed(segment, time)?
            {
                return Ok(Some(found));
            }
        }
        if self.tail.largest.is_none_or(|largest| largest.time < time) {
            return Ok(None);
        }
        self.walk(self.tail_scan(), time, self.tail.base)
    }

    fn find_largest(&self) -> Result<Option<Moment>, ReadError> {
        let mut best: Option<(Largest, Option<&Sealed>)> = None;
        for segment in &self.sealed {
            if let Some(largest) = self.largest(segment)?
                && best.is_none_or(|(known, _)| largest.time > known.time)
            {
                best = Some((largest, Some(segment)));
            }
        }
        if let Some(largest) = self.tail.largest
            && best.is_none_or(|(known, _)| largest.time > known.time)
        {
            best = Some((largest, None));
        }
        match best {
            None => Ok(None),
            Some((largest, Some(segment))) => self.find_in_sealed(segment, largest.time),
            Some((largest, None)) => self.walk(self.tail_scan(), largest.time, self.tail.base),
        }
    }

    fn largest(&self, segment: &Sealed) -> Result<Option<Largest>, ReadError> {
        segment.largest(&self.disk).map_err(|error| ReadError::io(&self.at(segment.base), error))
    }

    fn find_in_sealed(&self, segment: &Sealed, time: Timestamp) -> Result<Option<Moment>, ReadError> {
        let io = |error| ReadError::io(&self.at(segment.base), error);
        let file = segment.open(&self.disk).map_err(io)?;
        let hint = segment.hint_by_time(&self.disk, &file, time).map_err(io)?;
        self.walk(Scan::new(file, hint, segment.size, CHUNK_SMALL), time, segment.base)
    }

    fn tail_scan(&self) -> Scan<D::File> {
        Scan::new(self.tail.file.clone(), self.tail.hint, self.tail.size, CHUNK_SMALL)
    }

    fn walk(&self, mut scan: Scan<D::File>, time: Timestamp, base: Offset) -> Result<Option<Moment>, ReadError> {
        let stopped = |stopped| ReadError::stopped(&self.at(base), stopped);
        while let Some(found) = scan.next().map_err(stopped)? {
            let header = &found.header;
            // What compaction has left without records keeps its time.
            if header.max_timestamp < time || header.last_offset() < self.start || header.record_count == 0 {
                continue;
            }
            let batch = scan.batch(&found).map_err(|error| ReadError::io(&self.at(base), error))?;
            if !batch.is_intact() {
                let (position, damage) = (found.position, Damage::Checksum);
                return Err(stopped(Stopped::Damaged { position, damage }));
            }
            if let Some(moment) = self.look_into(&batch, &found, time, base)? {
                return Ok(Some(moment));
            }
        }
        Ok(None)
    }

    fn look_into(
        &self,
        batch: &Batch,
        found: &Found,
        time: Timestamp,
        base: Offset,
    ) -> Result<Option<Moment>, ReadError> {
        let header = batch.header();
        let moment = |time, offset| Moment { time, offset, epoch: header.leader_epoch };
        if header.attributes.timestamp_type() == TimestampType::LogAppend && header.base_offset >= self.start {
            return Ok(Some(moment(header.max_timestamp, header.base_offset)));
        }
        let damaged = |_| {
            let damage = Damage::Checksum;
            ReadError::stopped(&self.at(base), Stopped::Damaged { position: found.position, damage })
        };
        for record in batch.records(self.budget).map_err(damaged)? {
            let record = record.map_err(damaged)?;
            if record.timestamp >= time && record.offset >= self.start {
                return Ok(Some(moment(record.timestamp, record.offset)));
            }
        }
        Ok(None)
    }

    fn at(&self, base: Offset) -> Segment<'_> {
        Segment { dir: &self.dir, base }
    }
}
