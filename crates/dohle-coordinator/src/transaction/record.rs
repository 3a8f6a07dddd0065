//! What the log of a transaction coordinator remembers, and Kafka's form of it in `__transaction_state`
//! (`TransactionLog`).
//!
//! Does not know batches, timestamps of records, or who appends.

use std::sync::Arc;

use bytes::Bytes;
use dohle_base::{InvalidTopicName, Partition, ProducerEpoch, ProducerId, Timestamp, TopicName};
use dohle_protocol::record::transaction::transaction_log::PartitionsSchema;
use dohle_protocol::record::transaction::{TransactionLogKey, TransactionLogValue};
use dohle_protocol::record::{RecordError, TransactionRecord};
use imbl::OrdSet;

use super::state::{State, TopicPartition, Transaction, Version};
use crate::{Encoded, Producer, TransactionalId};

/// The version in which transactions are written: the first one that can say which id comes before and after.
const VALUE_VERSION: i16 = 1;

/// The most bytes that a record needs beside its texts: the fields of fixed size, the lengths, and the record's own head in
/// the batch.
const RECORD_BYTES_FIXED: usize = 128;
/// The most bytes that a partition needs beside its topic's name, and a topic beside its partitions.
const PARTITION_BYTES: usize = 8;

/// One fact of the log: where a producer stands, or that it is forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The producer's name.
    pub transactional_id: TransactionalId,
    /// Where it stands; none to forget it.
    pub value: Option<Arc<Transaction>>,
}

/// Bytes that are no record of this log.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRecord {
    /// The bytes do not follow their schema.
    #[error("transaction record")]
    Malformed(#[source] RecordError),
    /// A state that no log keeps.
    #[error("transaction in the unknown state {0}")]
    State(i8),
    /// A version of the protocol that this release does not know.
    #[error("transaction of the unknown version {0}")]
    Version(i16),
    /// Nobody can be this producer.
    #[error("transaction of producer {id} with epoch {epoch}", id = .0.id, epoch = .0.epoch)]
    Producer(Producer),
    /// A topic that cannot exist.
    #[error("transaction over a topic that cannot exist")]
    Topic(#[source] InvalidTopicName),
}

impl Record {
    /// Reads a record of the log. None for a record of a type that this room does not know: Kafka passes over those, too.
    pub fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<Option<Self>, InvalidRecord> {
        let (key, value) = match TransactionRecord::decode(key, value) {
            Ok(TransactionRecord::TransactionLog { key, value }) => (key, value),
            Err(RecordError::UnknownType(_)) => return Ok(None),
            Err(error) => return Err(InvalidRecord::Malformed(error)),
        };
        let value = value.as_ref().map(transaction).transpose()?.map(Arc::new);
        Ok(Some(Self { transactional_id: TransactionalId::from(&*key.transactional_id), value }))
    }

    /// The record as the log keeps it.
    pub fn encode(&self) -> Encoded {
        let key = TransactionLogKey { transactional_id: self.transactional_id.as_str().into() };
        let value = self.value.as_deref().map(log_value);
        let record = TransactionRecord::TransactionLog { key, value };
        let (key, value) = record.encode(VALUE_VERSION).expect("no text is longer than the wire on which it came");
        Encoded { key, value }
    }

    /// An upper bound of the record's size in a batch, in bytes.
    pub fn weight(&self) -> usize {
        let partitions = self.value.iter().flat_map(|transaction| &transaction.partitions);
        let partitions: usize = partitions.map(|place| PARTITION_BYTES + place.topic.len()).sum();
        RECORD_BYTES_FIXED + self.transactional_id.as_str().len() + partitions
    }
}

fn transaction(value: &TransactionLogValue) -> Result<Transaction, InvalidRecord> {
    let producer = Producer { id: ProducerId(value.producer_id), epoch: ProducerEpoch(value.producer_epoch) };
    if producer.id < ProducerId(0) || producer.epoch < ProducerEpoch(0) {
        return Err(InvalidRecord::Producer(producer));
    }
    let status = value.transaction_status;
    let state = State::from_status(status).ok_or(InvalidRecord::State(status))?;
    let level = value.client_transaction_version;
    let known = |id: i64| (id != ProducerId::NONE.0).then_some(ProducerId(id));
    let started_at = Timestamp(value.transaction_start_timestamp_ms);
    Ok(Transaction {
        producer,
        previous_id: ProducerId(value.previous_producer_id),
        next_id: known(value.next_producer_id),
        timeout_ms: value.transaction_timeout_ms,
        state,
        partitions: partitions(state, value)?,
        started_at: (started_at != Timestamp::NONE).then_some(started_at),
        updated_at: Timestamp(value.transaction_last_update_timestamp_ms),
        version: Version::from_level(level).ok_or(InvalidRecord::Version(level))?,
    })
}

fn partitions(state: State, value: &TransactionLogValue) -> Result<OrdSet<TopicPartition>, InvalidRecord> {
    let mut partitions = OrdSet::new();
    match state {
        State::Ongoing | State::Prepared(_) => {}
        State::Empty | State::Complete(_) => return Ok(partitions),
    }
    for listed in value.transaction_partitions.iter().flatten() {
        let topic = TopicName::parse(&listed.topic).map_err(InvalidRecord::Topic)?;
        let places =
            listed.partition_ids.iter().map(|id| TopicPartition { topic: topic.clone(), partition: Partition(*id) });
        partitions.extend(places);
    }
    Ok(partitions)
}

fn log_value(transaction: &Transaction) -> TransactionLogValue {
    TransactionLogValue {
        producer_id: transaction.producer.id.0,
        previous_producer_id: transaction.previous_id.0,
        next_producer_id: transaction.next_id.unwrap_or(ProducerId::NONE).0,
        producer_epoch: transaction.producer.epoch.0,
        transaction_timeout_ms: transaction.timeout_ms,
        transaction_status: transaction.state.status(),
        // Kafka writes no list at all for a producer that has begun nothing.
        transaction_partitions: (transaction.state != State::Empty).then(|| by_topic(&transaction.partitions)),
        transaction_last_update_timestamp_ms: transaction.updated_at.0,
        transaction_start_timestamp_ms: transaction.started_at.unwrap_or(Timestamp::NONE).0,
        client_transaction_version: transaction.version.level(),
        ..TransactionLogValue::default()
    }
}

fn by_topic(partitions: &OrdSet<TopicPartition>) -> Vec<PartitionsSchema> {
    let mut topics: Vec<PartitionsSchema> = vec![];
    for TopicPartition { topic, partition } in partitions {
        match topics.last_mut().filter(|last| *last.topic == **topic) {
            Some(last) => last.partition_ids.push(partition.0),
            None => topics.push(PartitionsSchema {
                topic: topic.as_str().into(),
                partition_ids: vec![partition.0],
                ..PartitionsSchema::default()
            }),
        }
    }
    topics
}
