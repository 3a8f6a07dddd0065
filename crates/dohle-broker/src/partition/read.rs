//! Reading: what may be seen, planned under the lock, its bytes fetched outside of it.

use std::sync::Arc;

use dohle_base::{ErrorCode, LeaderEpoch, Offset};
use dohle_log::disk::Files;
use dohle_log::epochs::EpochEnd;
use dohle_log::log::{Plan, ReadError};
use dohle_replication::partition::Leader;

use super::{Log, Partition};

/// How often a reader looks whose segment is rewritten or dropped under it, before it is told to come again.
pub(crate) const LOOKS_MAX: usize = 4;

/// Which records a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// All that are safe.
    ReadUncommitted,
    /// Of those, the ones whose transactions have ended.
    ReadCommitted,
}

/// What a reader wants of a partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    pub(crate) offset: Offset,
    pub(crate) bytes_max: u64,
    /// The first batch comes whole, whatever its size.
    pub(crate) minimum_one: bool,
    pub(crate) isolation: Isolation,
    /// The reign that the reader believes in; negative where it does not say.
    pub(crate) current_epoch: i32,
    /// The epoch of the last record that the reader has; negative where it does not say.
    pub(crate) last_fetched_epoch: i32,
}

/// What is there for a reader.
pub(crate) struct Reading {
    pub(crate) high_watermark: Offset,
    pub(crate) last_stable: Offset,
    pub(crate) log_start: Offset,
    /// The end of what this reader may see. Exclusive.
    pub(crate) visible: Offset,
    pub(crate) found: Found,
}

/// What to do with a reader.
pub(crate) enum Found {
    /// Where the bytes are, to be resolved without the lock.
    Records(Plan<Files>),
    /// The reader's log is not a prefix of this one.
    Diverging(EpochEnd),
    /// Nothing any more: somebody took what there was.
    Nothing,
}

impl Reading {
    /// The same place, told to a reader whose records could not be read.
    pub(crate) fn refused(&self, error: &ReadError) -> Refused {
        Refused { code: error.code(), high_watermark: self.high_watermark, log_start: self.log_start }
    }
}

impl Partition {
    /// Refuses a reader or a client that believes in another reign (KIP-320).
    pub(crate) fn check_epoch(leader: &Leader, claimed: i32) -> Result<(), ErrorCode> {
        let claimed = LeaderEpoch(claimed);
        if claimed < LeaderEpoch(0) || claimed == leader.epoch() {
            return Ok(());
        }
        Err(if claimed < leader.epoch() { ErrorCode::FencedLeaderEpoch } else { ErrorCode::UnknownLeaderEpoch })
    }

    /// Plans a read.
    pub(crate) fn read(self: &Arc<Self>, want: &Want) -> Result<Reading, Refused> {
        let planned = self.look_mut(|log, leader| -> Result<Reading, Refused> {
            Self::check_epoch(leader, want.current_epoch)?;
            let high_watermark = leader.high_watermark();
            let last_stable = log.last_stable(high_watermark);
            let visible = match want.isolation {
                Isolation::ReadUncommitted => high_watermark,
                Isolation::ReadCommitted => last_stable,
            };
            let at = Refused { high_watermark, log_start: log.start(), code: ErrorCode::None };
            let found = find(log, want, visible).map_err(|code| Refused { code, ..at })?;
            Ok(Reading { high_watermark, last_stable, log_start: log.start(), visible, found })
        });
        planned.map_err(Refused::from)?
    }
}

/// Why a reader gets nothing, and where the partition stands if that is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) code: ErrorCode,
    pub(crate) high_watermark: Offset,
    pub(crate) log_start: Offset,
}

impl From<ErrorCode> for Refused {
    fn from(code: ErrorCode) -> Self {
        Self { code, high_watermark: Offset::NONE, log_start: Offset::NONE }
    }
}

fn find(log: &Log, want: &Want, visible: Offset) -> Result<Found, ErrorCode> {
    if want.last_fetched_epoch >= 0 {
        let last = LeaderEpoch(want.last_fetched_epoch);
        if let Some(end) = log.epochs().divergence(last, want.offset, log.end()) {
            return Ok(Found::Diverging(end));
        }
    }
    let planned = log.plan(want.offset, visible, want.bytes_max, want.minimum_one);
    planned.map(Found::Records).map_err(|error| error.code())
}
