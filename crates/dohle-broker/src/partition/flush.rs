//! Making a partition durable, outside its lock.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dohle_base::{ErrorCode, Now};
use dohle_log::Failure;
use dohle_log::disk::Files;
use dohle_log::log::Flush;
use dohle_replication::partition::Event;

use super::{Partition, State};
use crate::lock::hold;

impl Partition {
    /// Puts the partition into its volume's next flush, once.
    pub(crate) fn ask_flush(self: &Arc<Self>) {
        if !self.flush_asked.swap(true, Ordering::AcqRel) {
            self.volume.flusher.ask(Arc::clone(self));
        }
    }

    /// Waits for the disk to confirm all that is written now, and tells those who wait for it. Called by the volume's flusher only.
    pub(crate) fn flush(self: &Arc<Self>, now: impl Fn() -> Now) {
        // Whoever writes from here on asks for the next flush.
        self.flush_asked.store(false, Ordering::Release);
        if self.volume.is_offline() {
            drop(self.stop(ErrorCode::KafkaStorageError));
            return;
        }
        let Some(flush) = self.begin_flush() else { return };
        let flushed = flush.run();
        let noted = self.step(|leading, effects| {
            let now = now();
            let synced = leading.log.flushed(flushed, now.wall)?;
            leading.leader.step(now.instant, Event::Synced { upto: synced }, effects);
            Ok::<(), Failure>(())
        });
        if let Ok(Err(failure)) = noted {
            self.volume.fail(&failure);
            drop(self.stop(ErrorCode::KafkaStorageError));
        }
    }

    fn begin_flush(&self) -> Option<Flush<Files>> {
        match &mut *hold(&self.state) {
            State::Leading(leading) => leading.log.begin_flush(),
            State::Stopped(_) => None,
        }
    }
}
