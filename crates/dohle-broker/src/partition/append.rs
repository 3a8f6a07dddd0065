//! Appending as the leader.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dohle_base::{ErrorCode, Instant, Now, Timestamp};
use dohle_log::log::{Append, AppendError, Appended};
use dohle_log::producers::{self, Origin};
use dohle_records::Batch;
use dohle_records::control::EndTransaction;
use dohle_replication::partition::{Effect, Event};

use super::Partition;
use super::guards::{Author, Leave, Unverified};
use crate::volume::Volume;

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendRefusal {
    #[error("the partition is not led here")]
    Stopped(ErrorCode),
    #[error("the in-sync set has {found} members, min.insync.replicas asks for {wanted}")]
    NotEnoughReplicas { found: usize, wanted: usize },
    #[error(transparent)]
    Unverified(#[from] Unverified),
    #[error(transparent)]
    Log(#[from] AppendError),
}

impl AppendRefusal {
    /// Whether a full disk is all that is wrong: the log is whole, and takes the same batch when there is room.
    pub(crate) fn is_for_room(&self) -> bool {
        let Self::Log(AppendError::Storage(failure)) = self else { return false };
        failure.is_for_room()
    }

    /// What the client is told.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Stopped(code) => *code,
            Self::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
            Self::Unverified(_) => ErrorCode::InvalidTxnState,
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
        author: Author,
        largest: Option<Timestamp>,
        now: Now,
    ) -> Result<Appended, AppendRefusal> {
        if self.on_volume(Volume::is_offline) {
            return Err(AppendRefusal::Stopped(ErrorCode::KafkaStorageError));
        }
        let appended = self.step(|leading, effects| -> Result<Appended, AppendRefusal> {
            let origin = leading.guards.admit(&leading.log, batch.header(), author)?;
            let append = Append { leader_epoch: leading.leader.epoch(), origin, largest };
            let appended = leading.log.append(batch, &append, now.wall)?;
            if !appended.duplicate {
                leading.leader.step(now.instant, Event::Written { end: leading.log.end() }, effects);
                if leading.log.has_gathered() {
                    effects.push(Effect::Sync);
                }
                if batch.header().attributes.is_transactional() {
                    leading.guards.close(batch.header().producer_id);
                }
            }
            Ok(appended)
        });
        let appended = match appended {
            Ok(appended) => appended.inspect_err(|refusal| self.note_failure(refusal, now.instant))?,
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

    /// Whether this marker would be taken now, from a coordinator that follows this version of transactions. It stays so as long as
    /// nobody else writes.
    pub(crate) fn check_marker(
        &self,
        batch: &Batch,
        marker: EndTransaction,
        version: i16,
    ) -> Result<(), AppendRefusal> {
        let checked = self.look(|log, _| log.producers().check_marker(batch.header(), marker, version));
        Ok(checked.map_err(AppendRefusal::Stopped)?.map_err(AppendError::from)?)
    }

    /// The same for a batch of a transaction that a coordinator would write.
    pub(crate) fn check_transactional(&self, batch: &Batch, leave: Leave) -> Result<(), AppendRefusal> {
        let origin = Origin::Coordinator { transaction_version: 0 };
        self.look_leading(|leading| {
            leading.guards.check(&leading.log, batch.header(), leave)?;
            let judged: Result<_, producers::Refusal> = leading.log.producers().check(batch.header(), origin);
            Ok(judged.map(drop).map_err(AppendError::from)?)
        })
        .map_err(AppendRefusal::Stopped)?
    }

    /// A log that could undo a half-written batch, on a disk that is full, goes on. After any other failure the disk is lost.
    fn note_failure(&self, refusal: &AppendRefusal, now: Instant) {
        let AppendRefusal::Log(AppendError::Storage(failure)) = refusal else { return };
        if self.look(|log, _| log.is_offline()) == Ok(true) {
            self.volume().fail(failure);
        } else {
            self.volume().fail_unless_full(failure, now);
        }
    }
}
