//! What a partition needs now and then.

use dohle_base::{ErrorCode, LeaderEpoch};

use super::Partition;

impl Partition {
    /// The reign.
    pub(crate) fn epoch(&self) -> Result<LeaderEpoch, ErrorCode> {
        self.look(|_, leader| leader.epoch())
    }
}
