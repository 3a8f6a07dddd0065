//! What a partition needs now and then.

use std::sync::atomic::Ordering;
use std::time::Duration;

use dohle_base::{ErrorCode, LeaderEpoch, Offset, Timestamp};
use dohle_log::Failure;
use dohle_log::compact::{Rewritten, Survey};
use dohle_log::directory::PartitionName;
use dohle_log::disk::Files;
use dohle_log::log::Swap;
use dohle_log::removal::Removal;
use dohle_log::scrub::Damages;

use super::{Partition, State};
use crate::lock::hold;

impl Partition {
    /// The reign.
    pub(crate) fn epoch(&self) -> Result<LeaderEpoch, ErrorCode> {
        self.look(|_, leader| leader.epoch())
    }

    /// Whether `flush.ms` or `flush.messages` ask for a flush. A log that has not moved since the last look gives its open file back. One of
    /// which nobody has asked anything for a while wants nothing, and its memory is not touched.
    pub(crate) fn wants_flush(&self, now: Timestamp) -> bool {
        if self.stirred.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let state = hold(&self.state);
        let (log, stirred) = match &*state {
            State::Stopped(_) => return false,
            State::Leading(leading) => (&leading.log, self.stirred.load(Ordering::Relaxed)),
        };
        let (wants, end) = (log.wants_flush(now), log.end().0);
        if self.end_seen.swap(end, Ordering::Relaxed) == end && !wants {
            log.rest();
            // What waits to be synced may want it later, although nobody asks.
            if log.synced() == log.end() {
                self.stirred.store(stirred.saturating_sub(1), Ordering::Relaxed);
            }
        }
        wants
    }

    /// Drops what retention does not keep; the files are to be removed after the delay that comes with them.
    pub(crate) fn retain(&self, now: Timestamp) -> Result<Option<(Removal<Files>, Duration)>, Failure> {
        let dropped = self.look_mut(|log, leader| {
            let delay = log.options().file_delete_delay;
            log.retain(now, leader.high_watermark()).map(|removal| removal.map(|removal| (removal, delay)))
        });
        // A partition that has stopped keeps what it has.
        let dropped = dropped.unwrap_or(Ok(None))?;
        if dropped.is_some() {
            self.watchers.tell();
        }
        Ok(dropped)
    }

    /// The high watermark, where its disk does not remember it yet.
    pub(crate) fn unmarked(&self) -> Option<Offset> {
        let high_watermark = self.high_watermark();
        (high_watermark.0 != self.marked.load(Ordering::Relaxed)).then_some(high_watermark)
    }

    /// Notes what its disk remembers now; none after a move to another.
    pub(crate) fn note_marked(&self, high_watermark: Option<Offset>) {
        self.marked.store(high_watermark.map_or(-1, |offset| offset.0), Ordering::Relaxed);
    }

    /// What compaction has to know of the log, and its `min.cleanable.dirty.ratio`; none where it is not to be compacted.
    pub(crate) fn survey(&self) -> Option<(Survey<Files>, f64)> {
        self.glance(|log| log.options().cleanup.compact).ok().filter(|compact| *compact)?;
        let surveyed = self.look_mut(|log, leader| {
            let (compact, ratio_min) = (log.options().cleanup.compact, log.options().dirty_ratio_min);
            compact.then(|| (log.survey(leader.high_watermark()), ratio_min))
        });
        surveyed.ok().flatten()
    }

    /// Puts a rewritten segment in its place; what it replaces is to be removed after the delay that comes with it. None when the partition
    /// has stopped.
    pub(crate) fn swap(&self, rewritten: Rewritten<Files>) -> Result<Option<(Swap<Files>, Duration)>, Failure> {
        let swapped = self.look_mut(|log, _| {
            let delay = log.options().file_delete_delay;
            log.swap(rewritten).map(|swap| (swap, delay))
        });
        swapped.ok().transpose()
    }

    /// Serves damaged places no more; false when they are gone.
    pub(crate) fn note_damage(&self, damages: &Damages) -> bool {
        self.look_mut(|log, _| log.note_damage(damages)).unwrap_or(false)
    }

    /// What its directory is called after.
    pub(crate) fn name(&self) -> PartitionName {
        PartitionName { topic: self.topic.clone(), partition: self.index }
    }

    /// Forgets producers that were silent for too long.
    pub(crate) fn expire_producers(&self, now: Timestamp) {
        let _ = self.look_leading(|leading| {
            leading.log.expire_producers(now);
            leading.guards.expire(now, leading.log.options().producer_expiration);
        });
    }
}
