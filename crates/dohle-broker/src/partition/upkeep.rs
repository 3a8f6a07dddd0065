//! What a partition needs now and then.

use std::time::Duration;

use dohle_base::{ErrorCode, LeaderEpoch, Timestamp};
use dohle_log::Failure;
use dohle_log::disk::Files;
use dohle_log::log::Removal;

use super::Partition;

impl Partition {
    /// The reign.
    pub(crate) fn epoch(&self) -> Result<LeaderEpoch, ErrorCode> {
        self.look(|_, leader| leader.epoch())
    }

    /// Drops what retention does not keep; the files are to be removed after the delay that comes with them.
    pub(crate) fn retain(&self, now: Timestamp) -> Result<Option<(Removal<Files>, Duration)>, Failure> {
        let dropped = self.look_mut(|log, leader| {
            let delay = log.options().file_delete_delay;
            Ok(log.retain(now, leader.high_watermark())?.map(|removal| (removal, delay)))
        });
        // A partition that has stopped keeps what it has.
        dropped.unwrap_or(Ok(None))
    }

    /// Forgets producers that were silent for too long.
    pub(crate) fn expire_producers(&self, now: Timestamp) {
        let _ = self.look_leading(|leading| {
            leading.log.expire_producers(now);
            leading.guards.expire(now, leading.log.options().producer_expiration);
        });
    }
}
