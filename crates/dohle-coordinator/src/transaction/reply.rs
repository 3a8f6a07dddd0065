//! What callers of a transaction coordinator are told, freed from the wire and its versions.

use dohle_base::{ErrorCode, Offset, ProducerId};

use super::{Outcome, TopicPartition, Transaction, Version};
use crate::{Producer, TransactionalId};

/// An answer; each kind belongs to the command of the same name.
///
/// [`ErrorCode::ProducerFenced`] is [`ErrorCode::InvalidProducerEpoch`] below version 4 of InitProducerId and below
/// version 2 of AddPartitionsToTxn, AddOffsetsToTxn and EndTxn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// InitProducerId: who the producer is from now on.
    Init(Result<Producer, ErrorCode>),
    /// AddPartitionsToTxn, AddOffsetsToTxn: all partitions belong to the transaction, or none was added.
    AddPartitions(Result<(), ErrorCode>),
    /// EndTxn: the outcome is safe. Since version 5 the producer goes on as this one.
    End(Result<Producer, ErrorCode>),
    /// The markers are noted; if they were the last ones, the transaction is complete.
    MarkersWritten,
    /// The id is kept or used.
    Spare,
    /// Nothing was done, and nothing is wrong: ask again with a fresh producer id.
    NeedsProducerId,
}

/// A transaction whose outcome is safe and whose markers are not yet written everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outstanding<'a> {
    /// Where the log has the outcome; names the transaction.
    pub prepared_at: Offset,
    /// The producer's name.
    pub transactional_id: &'a TransactionalId,
    /// What the markers carry: under [`Version::Two`] the epoch is above that of every record of the transaction.
    pub producer: Producer,
    /// Whether what was written counts.
    pub outcome: Outcome,
    /// What the markers carry (KIP-1228).
    pub version: Version,
    /// Where markers are still missing.
    pub partitions: Vec<TopicPartition>,
}

/// Which transactions are listed; what is empty or none lets all pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionFilter {
    /// Names of states, exactly.
    pub states: Vec<String>,
    /// Producer ids.
    pub producers: Vec<ProducerId>,
    /// Only transactions that began longer ago than this, in milliseconds; none where the client wrote a negative number.
    pub duration_ms: Option<i64>,
}

/// A transaction, as ListTransactions shows it. DescribeTransactions shows more of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTransaction<'a> {
    /// The producer's name.
    pub transactional_id: &'a TransactionalId,
    /// Its transaction, current or last.
    pub transaction: &'a Transaction,
}
