//! What callers ask a transaction coordinator for, freed from the wire and its versions.

use dohle_base::{Offset, ProducerId};

use super::{Outcome, TopicPartition, Version};
use crate::{Producer, TransactionalId};

/// A request. What only looks is asked of the committed state: [`TransactionCoordinator::verify`],
/// [`TransactionCoordinator::describe`], [`TransactionCoordinator::list`], [`TransactionCoordinator::outstanding`].
///
/// [`TransactionCoordinator::verify`]: super::TransactionCoordinator::verify
/// [`TransactionCoordinator::describe`]: super::TransactionCoordinator::describe
/// [`TransactionCoordinator::list`]: super::TransactionCoordinator::list
/// [`TransactionCoordinator::outstanding`]: super::TransactionCoordinator::outstanding
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// InitProducerId with a transactional id.
    Init(Init),
    /// AddPartitionsToTxn, AddOffsetsToTxn, and a Produce that adds what it writes to (KIP-890).
    AddPartitions(AddPartitions),
    /// EndTxn.
    End(End),
    /// Markers stand in the logs of these partitions.
    MarkersWritten(MarkersWritten),
    /// A fresh producer id for a timeout that waits for one: see [`Soft::wants_producer_id`](super::Soft::wants_producer_id).
    Spare(ProducerId),
}

/// A producer that begins a life, or goes on after an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Init {
    /// Its name.
    pub transactional_id: TransactionalId,
    /// How long one of its transactions may take, in milliseconds, as the client wrote it.
    pub timeout_ms: i32,
    /// Who it was so far: since version 3 (KIP-360), none where the client wrote no id.
    pub expected: Option<Producer>,
    /// Another coordinator decides about its transactions: since version 6 (KIP-939).
    pub two_phase: bool,
    /// A prepared transaction is to be kept: since version 6 (KIP-939).
    pub keep_prepared: bool,
    /// A producer id that nobody has, where the caller has one at hand.
    pub fresh: Option<ProducerId>,
}

/// Partitions that become part of a producer's transaction; the first ones begin it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddPartitions {
    /// The producer's name.
    pub transactional_id: TransactionalId,
    /// Who it says it is.
    pub producer: Producer,
    /// The partitions.
    pub partitions: Vec<TopicPartition>,
    /// [`Version::Two`] since version 4 of AddPartitionsToTxn and of AddOffsetsToTxn, [`Version::Zero`] before.
    pub version: Version,
}

/// The end of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The producer's name.
    pub transactional_id: TransactionalId,
    /// Who it says it is.
    pub producer: Producer,
    /// Whether what it wrote counts.
    pub outcome: Outcome,
    /// [`Version::Two`] since version 5 of EndTxn, [`Version::Zero`] before.
    pub version: Version,
    /// A producer id that nobody has, where the caller has one at hand.
    pub fresh: Option<ProducerId>,
}

/// Markers of one transaction that are safe: replicated, or their partitions are no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkersWritten {
    /// Which transaction: [`Outstanding::prepared_at`](super::Outstanding::prepared_at).
    pub prepared_at: Offset,
    /// Where.
    pub partitions: Vec<TopicPartition>,
}
