//! What a topic asks of its partitions.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dohle_base::{ErrorCode, Instant};
use dohle_log::options::Options;
use dohle_replication::partition::{Durability, Event};

use super::Partition;

/// The log's word for it, in the machine's.
pub(super) fn durability(options: &Options) -> Durability {
    match options.durability {
        dohle_log::options::Durability::Synced => Durability::Synced,
        dohle_log::options::Durability::Relaxed => Durability::Relaxed,
    }
}

impl Partition {
    /// What the topic asks for now.
    pub(crate) fn options(&self) -> Result<Options, ErrorCode> {
        self.look(|log, _| log.options().clone())
    }

    /// Obeys altered options from now on.
    pub(crate) fn alter(self: &Arc<Self>, options: Arc<Options>) {
        let durability = durability(&options);
        // A partition that has stopped obeys nobody.
        let _ = self.step(|leading, effects| {
            leading.log.set_options(options);
            leading.leader.step(Instant::ZERO, Event::Altered { durability }, effects);
        });
        if durability == Durability::Synced {
            // What was written under the older rule is confirmed by nobody yet.
            self.ask_flush();
        }
    }

    /// The in-sync set has this many members.
    pub(crate) fn set_in_sync(&self, count: usize) {
        self.cells.in_sync.store(count, Ordering::Relaxed);
    }
}
