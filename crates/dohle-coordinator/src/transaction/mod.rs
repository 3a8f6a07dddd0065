//! Transactional producers: the coordinator that stands behind one partition of `__transaction_state` (KIP-98, KIP-360,
//! KIP-588, KIP-890).
//!
//! Owns who a producer is, what its transaction has written to and how it ends; does not know how markers travel, and reads
//! no clock.
//!
//! A shell reads the partition's log into a [`TransactionCoordinator`] and begins a leadership as for groups. Whenever the
//! ledger has committed, it asks the committed state for what is [`TransactionCoordinator::outstanding`], writes the markers
//! with the leader epoch of the log as coordinator epoch, and says so with [`Command::MarkersWritten`]. The last one
//! completes the transaction. A producer id that a decision lacks is asked for by [`Reply::NeedsProducerId`], one that a
//! timeout lacks by [`Soft::wants_producer_id`].

mod chores;
mod command;
mod coordinator;
mod end;
mod init;
mod markers;
mod partitions;
mod record;
mod reply;
mod settings;
mod state;
mod view;

#[cfg(test)]
mod tests;

pub use command::{AddPartitions, Command, End, Init, MarkersWritten};
pub use coordinator::{Soft, TransactionCoordinator};
pub use record::{InvalidRecord, Record};
pub use reply::{ListedTransaction, Outstanding, Reply, TransactionFilter};
pub use settings::{KEYS, Settings};
pub use state::{Outcome, State, TopicPartition, Transaction, Version};
