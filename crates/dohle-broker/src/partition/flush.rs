//! Making a partition durable, outside its lock.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dohle_base::{ErrorCode, Now};
use dohle_log::Failure;
use dohle_log::disk::Files;
use dohle_log::log::{Flush, Flushed};
use dohle_replication::partition::Event;

use super::Partition;
use crate::volume::Volume;

/// The partition was moved since it asked: the flusher of its other disk is to make it durable.
struct Elsewhere;

impl Partition {
    /// Puts the partition into its volume's next flush, once.
    pub(crate) fn ask_flush(self: &Arc<Self>) {
        if !self.flush_asked.swap(true, Ordering::AcqRel) {
            self.on_volume(|volume| volume.flusher.ask(Arc::clone(self)));
        }
    }

    /// Waits for the disk to confirm all that is written now, and tells those who wait for it. Called when the volume's flusher has
    /// ended.
    pub(crate) fn flush(self: &Arc<Self>, now: impl Fn() -> Now) {
        if let Some(flush) = self.begin_flush(&self.volume()) {
            self.end_flush(flush.run(), now());
        }
    }

    /// What the disk is to confirm now; none if there is nothing. Called by the volume's flusher.
    pub(crate) fn begin_flush(self: &Arc<Self>, volume: &Volume) -> Option<Flush<Files>> {
        // Whoever writes from here on asks for the next flush.
        self.flush_asked.store(false, Ordering::Release);
        if self.volume().is_offline() {
            drop(self.stop(ErrorCode::KafkaStorageError));
            return None;
        }
        let begun = self.look_leading(|leading| self.is_on(volume).then(|| leading.log.begin_flush()).ok_or(Elsewhere));
        match begun {
            Ok(Ok(flush)) => flush,
            Ok(Err(Elsewhere)) => {
                self.ask_flush();
                None
            }
            Err(_) => None,
        }
    }

    /// Notes what the disk has confirmed, and tells those who wait for it.
    pub(crate) fn end_flush(self: &Arc<Self>, flushed: Flushed, now: Now) {
        let noted = self.step(|leading, effects| {
            let synced = leading.log.flushed(flushed, now.wall)?;
            leading.leader.step(now.instant, Event::Synced { upto: synced }, effects);
            Ok::<(), Failure>(())
        });
        if let Ok(Err(failure)) = noted {
            self.volume().fail(&failure);
            drop(self.stop(ErrorCode::KafkaStorageError));
        }
    }
}
