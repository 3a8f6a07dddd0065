//! Making a partition durable, outside its lock.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dohle_base::{ErrorCode, Now};
use dohle_log::Failure;
use dohle_log::disk::Files;
use dohle_log::log::{Flush, Flushed, Unsynced};
use dohle_replication::partition::{Effect, Event};

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

    /// Takes it out of its volume's next flush: whoever writes from here on asks for another.
    pub(crate) fn hear(&self) {
        self.flush_asked.store(false, Ordering::Release);
    }

    /// What a journal is to have now, so that it is durable; none where it cannot be by a journal. Called by the volume's flusher alone.
    pub(crate) fn unsynced(&self, volume: &Volume) -> Option<Unsynced<Files>> {
        let unsynced = self.look(|log, _| if self.is_on(volume) { log.unsynced() } else { None });
        unsynced.ok().flatten().filter(|_| !volume.is_offline())
    }

    /// Notes what a journal has, and tells those who wait for it.
    pub(crate) fn note_journaled(self: &Arc<Self>, unsynced: &Unsynced<Files>, now: Now) {
        // A partition that has stopped tells nobody.
        let _ = self.step(|leading, effects| {
            let upto = leading.log.note_journaled(unsynced);
            leading.leader.step(now.instant, Event::Synced { upto }, effects);
        });
    }

    /// What the disk is to confirm now; none if there is nothing, or one is under way. Called by the volume's flusher and by what writes back.
    pub(crate) fn begin_flush(self: &Arc<Self>, volume: &Volume) -> Option<Flush<Files>> {
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
            let before = leading.log.durable();
            let upto = leading.log.flushed(flushed, now.wall)?;
            leading.leader.step(now.instant, Event::Synced { upto }, effects);
            // On a full disk upkeep asks again.
            if upto > before && leading.log.awaits_disk() {
                // Who asked while this flush was under way may have found that nothing else could be done.
                effects.push(Effect::Sync);
            }
            Ok::<(), Failure>(())
        });
        if let Ok(Err(failure)) = noted {
            self.fail(&failure);
        }
    }

    /// Whether nothing more can be made durable of what was written to its log.
    pub(crate) fn has_failed(&self) -> bool {
        self.look(|log, _| log.is_offline()).unwrap_or(false)
    }

    /// Takes the partition and its whole disk out of service.
    pub(crate) fn fail(self: &Arc<Self>, failure: &Failure) {
        self.volume().fail(failure);
        drop(self.stop(ErrorCode::KafkaStorageError));
    }
}
