//! Offsets that a client asks a partition for: the ends, by time, by epoch, and where its log should begin.

use std::sync::Arc;

use dohle_base::{ErrorCode, LeaderEpoch, Offset, Timestamp};
use dohle_log::log::{Moment, ReadError, TruncateError};

use super::{Isolation, LOOKS_MAX, Partition};

/// An offset that a client looks for (`ListOffsetsRequest`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sought {
    /// The end of what the client may see.
    Latest(Isolation),
    /// The first offset that may be read.
    Earliest,
    /// The first record that has the largest time.
    LargestTime,
    /// The first record that is not before this time.
    NotBefore(Timestamp),
}

impl Partition {
    /// Finds an offset for a client that believes in `current_epoch`; none where no record is there yet. May wait for the disk where it
    /// looks for a time.
    pub(crate) fn seek(self: &Arc<Self>, sought: Sought, current_epoch: i32) -> Result<Option<Moment>, ErrorCode> {
        let mut looks = 0;
        loop {
            looks += 1;
            let (end, found) = self.plan_seek(sought, current_epoch)?;
            match found {
                Found::Here(moment) => return Ok(Some(moment)),
                // Without the lock: it may take a while.
                Found::Look(search) => match search.find() {
                    Ok(moment) => return Ok(moment.filter(|moment| moment.offset < end)),
                    Err(ReadError::Moved) if looks < LOOKS_MAX => {}
                    Err(error) => return Err(error.code()),
                },
            }
        }
    }

    /// Where to look, and the end of what is safe.
    fn plan_seek(&self, sought: Sought, current_epoch: i32) -> Result<(Offset, Found), ErrorCode> {
        self.look_mut(|log, leader| {
            Self::check_epoch(leader, current_epoch)?;
            let high_watermark = leader.high_watermark();
            let at = |offset, epoch| Found::Here(Moment { time: Timestamp::NONE, offset, epoch });
            let found = match sought {
                Sought::Latest(Isolation::ReadUncommitted) => at(high_watermark, leader.epoch()),
                Sought::Latest(Isolation::ReadCommitted) => at(log.last_stable(high_watermark), leader.epoch()),
                Sought::Earliest => {
                    let start = log.start();
                    at(start, log.epochs().at(start).unwrap_or(LeaderEpoch::NONE))
                }
                Sought::LargestTime => Found::Look(log.by_largest_time()),
                Sought::NotBefore(time) => Found::Look(log.by_time(time)),
            };
            Ok((high_watermark, found))
        })?
    }

    /// Where an epoch ends, for a client that wants to know whether it has to go back (KIP-320): the highest known epoch that is not
    /// above, and its end. None for an epoch that is not known.
    pub(crate) fn end_of_epoch(
        &self,
        epoch: LeaderEpoch,
        current_epoch: i32,
    ) -> Result<Option<(LeaderEpoch, Offset)>, ErrorCode> {
        self.look(|log, leader| {
            Self::check_epoch(leader, current_epoch)?;
            // A client may not be told of more than it may see.
            let end = log.epochs().end_of(epoch, leader.high_watermark());
            Ok(end.map(|end| (end.epoch, end.end)))
        })?
    }

    /// Lets the log begin at `offset`, or at the high watermark where none is given (KIP-107); says where it begins now.
    pub(crate) fn delete_records(&self, offset: Option<Offset>) -> Result<Offset, ErrorCode> {
        let start = self.look_mut(|log, leader| {
            let cleanup = &log.options().cleanup;
            if cleanup.compact && !cleanup.delete {
                return Err(ErrorCode::PolicyViolation);
            }
            let high_watermark = leader.high_watermark();
            let offset = offset.unwrap_or(high_watermark);
            if offset < Offset::ZERO || offset > high_watermark {
                return Err(ErrorCode::OffsetOutOfRange);
            }
            log.advance_start(offset).map_err(|error| match error {
                TruncateError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
                TruncateError::Storage(_) | TruncateError::Damaged(_) => ErrorCode::KafkaStorageError,
            })
        })??;
        self.watchers.tell();
        Ok(start)
    }
}

enum Found {
    Here(Moment),
    Look(dohle_log::log::ByTime<dohle_log::disk::Files>),
}
