//! Copying a partition's log while it is written to: batches as they are, with their offsets, epochs and times.
//!
//! Owns what is read next; where the copy lies and what becomes of it, whoever moves the partition knows.

use std::path::Path;

use dohle_base::{ErrorCode, Offset, Timestamp};
use dohle_log::Failure;
use dohle_log::disk::Files;
use dohle_log::log::{AppendError, LoadError, Opening, Plan, ReadError, TruncateError};
use dohle_records::Batches;
use dohle_records::batch::header::Unreadable;

use super::{LOOKS_MAX, Log, Partition};

/// Why a copy is not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    #[error("the partition is not served any more: {0}")]
    Stopped(ErrorCode),
    #[error("its log cannot be read: {0}")]
    Read(#[from] ReadError),
    #[error("its log cannot be read: {0}")]
    Unreadable(#[from] Unreadable),
    #[error("its disk has failed")]
    SourceLost,
    #[error("the copy cannot be written: {0}")]
    Append(#[from] AppendError),
    #[error("the copy cannot be finished: {0}")]
    Finish(#[from] TruncateError),
    #[error("the copy cannot be opened: {0}")]
    Open(#[from] LoadError),
    #[error(transparent)]
    Storage(#[from] Failure),
    #[error("the other disk is full")]
    NoRoom,
}

impl CopyError {
    /// What the other disk did, if it was that.
    pub(crate) fn failure_of_target(&self) -> Option<&Failure> {
        match self {
            Self::Append(AppendError::Storage(failure))
            | Self::Finish(TruncateError::Storage(failure))
            | Self::Open(LoadError::Storage(failure))
            | Self::Storage(failure) => Some(failure),
            Self::Append(_) | Self::Finish(_) | Self::Open(_) | Self::NoRoom => None,
            Self::Stopped(_) | Self::Read(_) | Self::Unreadable(_) | Self::SourceLost => None,
        }
    }
}

impl Partition {
    /// Begins a copy in an empty directory, where the log's first batch begins.
    pub(crate) fn begin_copy(&self, path: &Path, now: Timestamp) -> Result<Log, CopyError> {
        let (options, start) = self.look(|log, _| (log.options().clone(), log.start())).map_err(CopyError::Stopped)?;
        // The start may lie within a batch, and batches are copied whole.
        let first = self.find(start, 1)?.resolve()?.map(|slice| slice.base_offset);
        let start = first.map_or(start, |first| first.min(start));
        let opening = Opening { clean: true, recovery_point: start, start };
        let (log, _) = Log::open(Files, path, options, &opening, now)?;
        Ok(log)
    }

    /// Copies what follows, but no more than `bytes_max` bytes unless one batch has more; says how many. None when there is nothing.
    pub(crate) fn pull(&self, copy: &mut Log, bytes_max: u64, now: Timestamp) -> Result<u64, CopyError> {
        for _ in 1..LOOKS_MAX {
            match take(self.find(copy.end(), bytes_max)?, copy, now) {
                // A segment was dropped under the reader.
                Err(CopyError::Read(ReadError::Moved)) => {}
                taken => return taken,
            }
        }
        take(self.find(copy.end(), bytes_max)?, copy, now)
    }

    fn find(&self, from: Offset, bytes_max: u64) -> Result<Plan<Files>, CopyError> {
        Ok(self.look(|log, _| next(log, from, bytes_max)).map_err(CopyError::Stopped)??)
    }
}

/// Copies what follows in a log that nobody else writes to, up to `bytes_max` bytes; false when that was not all.
pub(super) fn pull_rest(log: &Log, copy: &mut Log, bytes_max: u64, now: Timestamp) -> Result<bool, CopyError> {
    let mut left = bytes_max;
    while copy.end() < log.end() {
        if left == 0 {
            return Ok(false);
        }
        match take(next(log, copy.end(), left)?, copy, now)? {
            // Compaction has left nothing of the last offsets.
            0 => break,
            taken => left = left.saturating_sub(taken),
        }
    }
    Ok(true)
}

/// Makes a copy durable. Waits for the disk.
pub(crate) fn flush_copy(copy: &mut Log, now: Timestamp) -> Result<(), CopyError> {
    let Some(flush) = copy.begin_flush() else { return Ok(()) };
    copy.flushed(flush.run(), now)?;
    // On a full disk what belongs to the batches may still be missing.
    let is_whole = copy.synced() == copy.end() && !copy.wants_flush(now);
    if is_whole { Ok(()) } else { Err(CopyError::NoRoom) }
}

/// Where the batches lie from `from` on. What lies below the start by now is left out.
fn next(log: &Log, from: Offset, bytes_max: u64) -> Result<Plan<Files>, ReadError> {
    log.plan(from.max(log.start()), log.end(), bytes_max, true)
}

fn take(plan: Plan<Files>, copy: &mut Log, now: Timestamp) -> Result<u64, CopyError> {
    let Some(slice) = plan.resolve()? else { return Ok(0) };
    let mut taken = 0;
    for batch in Batches::over(slice.read()?) {
        let batch = batch?;
        copy.append_as_follower(&batch, now)?;
        taken += batch.bytes().len() as u64;
    }
    Ok(taken)
}
