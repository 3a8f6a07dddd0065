//! Groups, their members, and their offsets: the coordinator that stands behind one partition of `__consumer_offsets`.
//! Beside it, in [`transaction`], the one that stands behind a partition of `__transaction_state`.
//!
//! Owns what a group is, who may belong to it and how far it has read; does not know how requests and records travel, and
//! reads no clock. Randomness is handed in with the commands that need it.
//!
//! A shell reads the partition's log into a [`GroupCoordinator`] record by record ([`Record::decode`], then
//! [`Folded::apply`]), begins a leadership with [`Ledger::lead`], proposes [`Command`]s and hands each [`Reply`] to the
//! caller behind its token. Records that the ledger wants appended are written with [`Record::encode`]. A tick is due
//! whenever [`Ledger::deadline`] has come, again and again until it lies in the future.
//!
//! [`Folded::apply`]: dohle_replication::ledger::Folded::apply
//! [`Ledger::lead`]: dohle_replication::ledger::Ledger::lead
//! [`Ledger::deadline`]: dohle_replication::ledger::Ledger::deadline

mod command;
mod coordinator;
mod group;
mod id;
mod locate;
mod offsets;
mod record;
mod reply;
mod settings;
pub mod transaction;
mod turn;

#[cfg(test)]
mod story;
#[cfg(test)]
mod tests;

pub use command::{
    Command, CommitOffsets, CommitOffsetsInTransaction, DeleteOffsets, DeletedTopic, EndTransaction, FetchOffsets,
    GroupFilter, Heartbeat, Join, Leave, Leaving, OffsetToCommit, Protocol, Sync, Wanted, Wish,
};
pub use coordinator::{GroupCoordinator, Soft};
pub use group::{GroupMetadata, StoredMember};
pub use id::{Generation, GroupId, InstanceId, MemberId, Producer, TransactionalId};
pub use locate::partition_of;
pub use offsets::OffsetKey;
pub use record::{Encoded, InvalidRecord, OffsetValue, Record};
pub use reply::{
    DeletedGroup, FetchedOffset, GroupView, JoinRefusal, Joined, JoinedMember, Left, ListedGroup, MemberView, Reply,
    Synced, refusal_code,
};
pub use settings::{KEYS, Settings};
pub use transaction::TransactionCoordinator;
