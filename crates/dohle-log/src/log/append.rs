//! Appending: the leader's way, where offsets are given out, and the follower's, where they are taken over.
//!
//! One batch is one write. Its records are not looked at, but for the one record of a transaction's marker.

use std::io;

use dohle_base::{ErrorCode, LeaderEpoch, Offset, Timestamp};
use dohle_records::batch::Budget;
use dohle_records::batch::stamp::{Stamp, Stamped, Time};
use dohle_records::control::{ControlRecord, EndTransaction};
use dohle_records::{Batch, Header, TimestampType};
use thiserror::Error;

use super::Log;
use crate::disk::{Disk, File};
use crate::failure::Failure;
use crate::producers::{self, Origin, Remembered, Verdict};
use crate::segment::Aborted;

/// A control record is small; what claims to unpack to more is none.
const MARKER_BUDGET: Budget = Budget { batch_bytes_max: 64 << 10, record_bytes_max: 64 << 10 };

/// How a leader appends a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Append {
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// Who wants it written.
    pub origin: Origin,
    /// The largest timestamp of the records, when somebody has looked: the header is corrected to it.
    pub largest: Option<Timestamp>,
}

/// Where a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The offset of its last record. Inclusive.
    pub last_offset: Offset,
    /// The time that its records got, or none when they keep their own.
    pub append_time: Timestamp,
    /// The first offset of the log.
    pub log_start: Offset,
    /// Whether it was there already: a producer's retry.
    pub duplicate: bool,
}

/// A batch that was not appended.
#[derive(Debug, Error)]
pub enum AppendError {
    /// The producer may not write it.
    #[error(transparent)]
    Producer(#[from] producers::Refusal),
    /// Its time is too far from now.
    #[error("timestamp {found} is not within {earliest} and {latest}")]
    Timestamp {
        /// What the header says.
        found: Timestamp,
        /// The first moment allowed.
        earliest: Timestamp,
        /// The last moment allowed.
        latest: Timestamp,
    },
    /// Not a batch that can stand there: bytes that are not what their checksum was made of, or a control batch without its record.
    #[error("damaged batch at {0}")]
    Damaged(Offset),
    /// The leader sent what does not follow.
    #[error("batch {found} to {last} does not follow {end}")]
    OutOfOrder {
        /// The first offset of the batch.
        found: Offset,
        /// Its last.
        last: Offset,
        /// The end of the log.
        end: Offset,
    },
    /// A leader that was replaced.
    #[error("leader epoch {found} after {latest}")]
    StaleEpoch {
        /// The batch's.
        found: LeaderEpoch,
        /// The newest in the log.
        latest: LeaderEpoch,
    },
    /// An earlier write or sync has failed.
    #[error("the log is offline after a failed write")]
    Offline,
    /// The disk failed now.
    #[error(transparent)]
    Storage(#[from] Failure),
}

impl AppendError {
    /// What the client is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Producer(refusal) => refusal.code(),
            Self::Timestamp { .. } => ErrorCode::InvalidTimestamp,
            Self::Damaged(_) => ErrorCode::CorruptMessage,
            Self::StaleEpoch { .. } => ErrorCode::NotLeaderOrFollower,
            Self::OutOfOrder { .. } => ErrorCode::UnknownServerError,
            Self::Offline | Self::Storage(_) => ErrorCode::KafkaStorageError,
        }
    }
}

impl<D: Disk> Log<D> {
    /// Appends a batch as its leader: gives it the next offsets, the epoch, and the time where the topic wants its own. The batch has been
    /// checked ([`dohle_records::batch::check`]). A batch that its producer repeats is not written, and is answered as it was.
    pub fn append(&mut self, batch: &Batch, append: &Append, now: Timestamp) -> Result<Appended, AppendError> {
        if self.durable.failed {
            return Err(AppendError::Offline);
        }
        self.check_epoch(append.leader_epoch)?;
        if let Origin::Client(_) = append.origin {
            self.check_time(batch.header(), now)?;
        }
        let marker = marker_of(batch)?;
        if batch.header().has_producer()
            && let Verdict::Duplicate(written) = self.judge(batch.header(), marker, append.origin)?
        {
            return Ok(self.answer_again(&written));
        }
        let time = self.time_for(append, now);
        let base_offset = self.end();
        let stamped = batch.stamp(&Stamp { base_offset, leader_epoch: append.leader_epoch, time });
        self.write(&stamped, marker, now)?;
        let append_time = if let Time::Append(time) = time { time } else { Timestamp::NONE };
        Ok(self.answer(&stamped.header, append_time))
    }

    /// Appends a batch as a follower: its offsets, epoch and times are the leader's. Offsets may leave gaps, which compaction makes.
    pub fn append_as_follower(&mut self, batch: &Batch, now: Timestamp) -> Result<Appended, AppendError> {
        if self.durable.failed {
            return Err(AppendError::Offline);
        }
        let header = *batch.header();
        let (found, last, end) = (header.base_offset, header.last_offset(), self.end());
        if found < end || last < found {
            return Err(AppendError::OutOfOrder { found, last, end });
        }
        self.check_epoch(header.leader_epoch)?;
        if !batch.is_intact() {
            return Err(AppendError::Damaged(found));
        }
        let marker = marker_of(batch)?;
        self.write(&Stamped { head: header.to_bytes(), tail: batch.body(), header }, marker, now)?;
        Ok(self.answer(&header, Timestamp::NONE))
    }

    fn check_epoch(&self, found: LeaderEpoch) -> Result<(), AppendError> {
        match self.epochs.latest() {
            Some(latest) if found >= LeaderEpoch(0) && found < latest => Err(AppendError::StaleEpoch { found, latest }),
            Some(_) | None => Ok(()),
        }
    }

    /// Holds the header's times to what the topic allows; the records are [`dohle_records::batch::validate`]'s, where they matter.
    fn check_time(&self, header: &Header, now: Timestamp) -> Result<(), AppendError> {
        if self.options.timestamp_type == TimestampType::LogAppend {
            return Ok(());
        }
        let earliest = Timestamp(now.0.saturating_sub(self.options.timestamp_before_max_ms));
        let latest = Timestamp(now.0.saturating_add(self.options.timestamp_after_max_ms));
        let (base, max) = (header.base_timestamp, header.max_timestamp);
        for found in [base, max].into_iter().filter(|found| *found != Timestamp::NONE) {
            if found < earliest || found > latest {
                return Err(AppendError::Timestamp { found, earliest, latest });
            }
        }
        Ok(())
    }

    fn judge(
        &self,
        header: &Header,
        marker: Option<EndTransaction>,
        origin: Origin,
    ) -> Result<Verdict, producers::Refusal> {
        match (marker, origin) {
            (Some(marker), Origin::Coordinator { transaction_version }) => {
                self.producers.check_marker(header, marker, transaction_version)?;
                Ok(Verdict::Fresh)
            }
            (Some(_), Origin::Client(_)) | (None, _) => self.producers.check(header, origin),
        }
    }

    fn time_for(&self, append: &Append, now: Timestamp) -> Time {
        match (self.options.timestamp_type, append.largest) {
            (TimestampType::LogAppend, _) => Time::Append(now),
            (TimestampType::Create, Some(largest)) => Time::Largest(largest),
            (TimestampType::Create, None) => Time::Kept,
        }
    }

    fn write(&mut self, batch: &Stamped, marker: Option<EndTransaction>, now: Timestamp) -> Result<(), AppendError> {
        self.roll_if_full(&batch.header, now)?;
        if let Err(source) = self.active.write(batch) {
            return Err(self.write_failed(source).into());
        }
        self.durable.gathered += batch.header.size_in_bytes() as u64;
        if batch.header.leader_epoch >= LeaderEpoch(0) {
            self.epochs.assign(batch.header.leader_epoch, batch.header.base_offset);
        }
        if let Some(ended) = self.producers.apply(&batch.header, marker, now)
            && ended.aborted
        {
            self.active.aborted.push(Aborted::from(ended));
        }
        Ok(())
    }

    /// A full disk may be emptied: when what was half written can be cut off, the log goes on as it was. After anything else nothing can be
    /// relied on.
    fn write_failed(&mut self, source: io::Error) -> Failure {
        let whole = source.kind() == io::ErrorKind::StorageFull && self.active.file.truncate(self.active.size).is_ok();
        self.durable.failed = !whole;
        Failure { action: "append to", path: self.active_path(), source }
    }

    fn answer(&self, header: &Header, append_time: Timestamp) -> Appended {
        Appended {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            append_time,
            log_start: self.start,
            duplicate: false,
        }
    }

    fn answer_again(&self, written: &Remembered) -> Appended {
        let append_time = match self.options.timestamp_type {
            TimestampType::Create => Timestamp::NONE,
            TimestampType::LogAppend => written.timestamp,
        };
        Appended {
            base_offset: written.base_offset(),
            last_offset: written.last_offset,
            append_time,
            log_start: self.start,
            duplicate: true,
        }
    }
}

/// The marker in a batch that ends a transaction; none in any other batch, and in one whose marker compaction has removed.
pub(crate) fn marker_of(batch: &Batch) -> Result<Option<EndTransaction>, AppendError> {
    let header = batch.header();
    if !header.attributes.is_control() || !header.has_producer() || header.record_count == 0 {
        return Ok(None);
    }
    let damaged = |_| AppendError::Damaged(header.base_offset);
    let first = batch.records(MARKER_BUDGET).map_err(damaged)?.next();
    let Some(record) = first else { return Ok(None) };
    let record = ControlRecord::of(&record.map_err(damaged)?).map_err(damaged)?;
    EndTransaction::of(&record).map_err(damaged)
}
