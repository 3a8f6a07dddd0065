//! Reading a ledger's state back from its partition, batch after batch.

use std::sync::Arc;

use dohle_base::{ErrorCode, Offset};
use dohle_log::log::ReadError;
use dohle_records::batch::decode::Malformed;
use dohle_records::batch::header::Unreadable;
use dohle_records::{Batch, Batches, Budget};

use super::host::Journal;
use crate::partition::Partition;

/// How much of a log is in memory at once, but for a batch that is larger.
const CHUNK_BYTES: u64 = 1 << 20;

/// How often is looked for bytes that are rewritten meanwhile: no pass comes that soon after another.
const LOOKS_MAX: usize = 10;

/// Why a log cannot be read back: whoever was to lead it must not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("the partition stopped while it was read: {0}")]
    Stopped(ErrorCode),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Batch(#[from] Unreadable),
    #[error(transparent)]
    Records(#[from] Malformed),
    #[error("record at offset {offset}: {reason}")]
    Record { offset: Offset, reason: String },
    #[error("the log ends in the middle of a batch at {0}")]
    Cut(Offset),
}

/// Folds the whole log of `partition` into `state` and says where it ends. Takes as long as the log is long: not for a core's thread.
pub(crate) fn load<M: Journal>(partition: &Arc<Partition>, mut state: M) -> Result<(M, Offset), LoadError> {
    let (start, end) = partition.look(|log, _| (log.start(), log.end())).map_err(LoadError::Stopped)?;
    let mut next = start;
    while next < end {
        let before = next;
        for batch in chunk(partition, next, end)? {
            let batch = batch?;
            for (offset, record) in M::read(&batch)? {
                if offset >= start {
                    state.apply(offset, &record);
                }
            }
            next = batch.header().next_offset();
        }
        if next == before {
            return Err(LoadError::Cut(before));
        }
    }
    Ok((state, end))
}

fn chunk(partition: &Arc<Partition>, from: Offset, end: Offset) -> Result<Batches, LoadError> {
    let mut looks = 0;
    loop {
        looks += 1;
        let plan = partition.look(|log, _| log.plan(from, end, CHUNK_BYTES, true)).map_err(LoadError::Stopped)??;
        match plan.resolve().and_then(|slice| slice.map(|slice| slice.read()).transpose()) {
            Ok(bytes) => return Ok(Batches::over(bytes.unwrap_or_default())),
            // Compaction has rewritten the segment meanwhile.
            Err(ReadError::Moved) if looks < LOOKS_MAX => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The records of a batch, its control records left out.
pub(super) fn records<R>(
    batch: &Batch,
    mut read: impl FnMut(&dohle_records::Record) -> Result<Option<R>, String>,
) -> Result<Vec<(Offset, R)>, LoadError> {
    if batch.header().attributes.is_control() {
        return Ok(vec![]);
    }
    let mut found = vec![];
    for record in batch.records(Budget::default())? {
        let record = record?;
        let offset = record.offset;
        if let Some(known) = read(&record).map_err(|reason| LoadError::Record { offset, reason })? {
            found.push((offset, known));
        }
    }
    Ok(found)
}
