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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::Outcome;

    /// What Kafka 4.4 writes (`TransactionLog`).
    const KEY: &str = "00000003617070";
    const PREPARED: &str = "000100000000000000077fff0000ea600202027402000000030000000000000007d000000000000003e803000800000000\
                            000000060108000000000000000802020002";
    const EMPTY: &str = "0001000000000000000700000000ea60000000000000000007d0ffffffffffffffff0100080000000000000007";
    /// In the version of clusters that know no version of transactions.
    const ONGOING_OLD: &str =
        "0000000000000000000700000000ea600100000001000174000000010000000300000000000007d000000000000003e8";

    fn bytes(hex: &str) -> Bytes {
        let digit = |place: usize| u8::from_str_radix(&hex[place..place + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digit).collect()
    }

    fn read(value: &str) -> Record {
        Record::decode(&bytes(KEY), Some(&bytes(value))).unwrap().unwrap()
    }

    fn prepared() -> Transaction {
        Transaction {
            producer: Producer { id: ProducerId(7), epoch: ProducerEpoch(32_767) },
            previous_id: ProducerId(6),
            next_id: Some(ProducerId(8)),
            timeout_ms: 60_000,
            state: State::Prepared(Outcome::Commit),
            partitions: OrdSet::unit(TopicPartition { topic: TopicName::parse("t").unwrap(), partition: Partition(3) }),
            started_at: Some(Timestamp(1_000)),
            updated_at: Timestamp(2_000),
            version: Version::Two,
        }
    }

    #[test]
    fn records_are_read_and_written_as_kafka_writes_them() {
        assert_eq!(read(PREPARED).value.as_deref(), Some(&prepared()));
        for value in [PREPARED, EMPTY] {
            let encoded = read(value).encode();
            assert_eq!((encoded.key, encoded.value), (bytes(KEY), Some(bytes(value))));
        }
        let empty = read(EMPTY).value.unwrap();
        assert_eq!((empty.state, empty.next_id, empty.started_at), (State::Empty, None, None));
        assert_eq!(Record::decode(&bytes(KEY), None).unwrap().unwrap().value, None);
    }

    #[test]
    fn records_of_older_clusters_are_read() {
        let ongoing = read(ONGOING_OLD).value.unwrap();
        assert_eq!((ongoing.state, ongoing.version, ongoing.partitions.len()), (State::Ongoing, Version::Zero, 1));
        assert_eq!((ongoing.previous_id, ongoing.next_id), (ProducerId::NONE, None));
    }

    #[test]
    fn what_is_unknown_is_passed_over_and_what_is_broken_is_an_error() {
        assert!(Record::decode(&bytes("0001"), None).unwrap().is_none());
        let broken = |from: &str, to: &str| {
            let value = bytes(&PREPARED.replacen(from, to, 1));
            Record::decode(&bytes(KEY), Some(&value)).unwrap_err()
        };
        assert!(matches!(broken("7fff", "ffff"), InvalidRecord::Producer(_)));
        assert!(matches!(broken("ea6002", "ea6006"), InvalidRecord::State(6)));
        assert!(matches!(broken("02020002", "02020003"), InvalidRecord::Version(3)));
        assert!(matches!(broken("0274", "022f"), InvalidRecord::Topic(_)));
        assert!(matches!(broken("0001", "0009"), InvalidRecord::Malformed(_)));
    }

    #[test]
    fn the_weight_is_an_upper_bound() {
        let record = Record { transactional_id: "app".into(), value: Some(Arc::new(prepared())) };
        let encoded = record.encode();
        assert!(encoded.key.len() + encoded.value.unwrap().len() <= record.weight());
    }
}
