//! Appending as the leader.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dohle_base::{ErrorCode, Now, Timestamp};
use dohle_log::log::{Append, AppendError, Appended};
use dohle_log::producers::Origin;
use dohle_records::Batch;
use dohle_replication::partition::Event;

use super::Partition;

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendRefusal {
    #[error("the partition is not led here")]
    Stopped(ErrorCode),
    #[error("the in-sync set has {found} members, min.insync.replicas asks for {wanted}")]
    NotEnoughReplicas { found: usize, wanted: usize },
    #[error(transparent)]
    Log(#[from] AppendError),
}

impl AppendRefusal {
    /// Whether a full disk is all that is wrong: the log is whole, and takes the same batch when there is room.
    pub(crate) fn is_for_room(&self) -> bool {
        let Self::Log(AppendError::Storage(failure)) = self else { return false };
        failure.source.kind() == std::io::ErrorKind::StorageFull
    }

    /// What the client is told.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Stopped(code) => *code,
            Self::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
            Self::Log(error) => error.code(),
        }
    }
}

impl Partition {
    /// Appends a batch that was checked. It is in the log when this returns, and safe when the high watermark has passed it.
    /// `largest` is the largest timestamp of its records where somebody has looked.
    pub(crate) fn append(
        self: &Arc<Self>,
        batch: &Batch,
        origin: Origin,
        largest: Option<Timestamp>,
        now: Now,
    ) -> Result<Appended, AppendRefusal> {
        if self.volume.is_offline() {
            return Err(AppendRefusal::Stopped(ErrorCode::KafkaStorageError));
        }
        let appended = self.step(|leading, effects| {
            let append = Append { leader_epoch: leading.leader.epoch(), origin, largest };
            let appended = leading.log.append(batch, &append, now.wall)?;
            if !appended.duplicate {
                leading.leader.step(now.instant, Event::Written { end: leading.log.end() }, effects);
            }
            Ok(appended)
        });
        let appended: Appended = match appended {
            Ok(appended) => appended.inspect_err(|error| self.note_failure(error))?,
            Err(stopped) => return Err(AppendRefusal::Stopped(stopped)),
        };
        if !appended.duplicate {
            self.cells.bytes_in.add(batch.bytes().len() as u64);
            self.cells.messages_in.add(batch.header().record_count.max(0) as u64);
        }
        Ok(appended)
    }

    /// Refuses what acks=all cannot promise, before anything is written.
    pub(crate) fn check_in_sync(&self, wanted: usize) -> Result<(), AppendRefusal> {
        let found = self.cells.in_sync.load(Ordering::Relaxed);
        if found < wanted { Err(AppendRefusal::NotEnoughReplicas { found, wanted }) } else { Ok(()) }
    }

    /// A log that could undo a half-written batch, on a disk that is full, goes on. After any other failure the disk is lost.
    fn note_failure(&self, error: &AppendError) {
        let AppendError::Storage(failure) = error else { return };
        if self.look(|log, _| log.is_offline()) == Ok(true) {
            self.volume.fail(failure);
        } else {
            self.volume.fail_unless_full(failure);
        }
    }
}
