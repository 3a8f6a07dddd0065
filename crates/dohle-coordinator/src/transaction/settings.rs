//! What an operator decides about transactions: the broker's keys that this room obeys, with Kafka's names, defaults and
//! ranges (`TransactionStateManagerConfig`, `TransactionLogConfig`).

use std::time::Duration;

use dohle_base::config::{Accepts, InvalidValue, Key, Kind, Table, Takes};

use super::Version;

const INT_MAX: i64 = i32::MAX as i64;

const TIMEOUT_MAX: Key = whole(
    "transaction.max.timeout.ms",
    "900000",
    "The longest time that a producer may ask for one transaction to take, in milliseconds.",
);
const ID_EXPIRATION: Key = whole(
    "transactional.id.expiration.ms",
    "604800000",
    "How long a transactional id without an open transaction is remembered after its last change, in milliseconds.",
);
const ABORT_INTERVAL: Key = whole(
    "transaction.abort.timed.out.transaction.cleanup.interval.ms",
    "10000",
    "How often a coordinator looks for transactions that have timed out and aborts them, in milliseconds.",
);
const EXPIRY_INTERVAL: Key = whole(
    "transaction.remove.expired.transaction.cleanup.interval.ms",
    "3600000",
    "How often a coordinator looks for transactional ids that have outlived their expiration, in milliseconds.",
);
const TWO_PHASE: Key = flag(
    "transaction.two.phase.commit.enable",
    "false",
    "Whether producers may let another coordinator decide about their transactions, which then never time out.",
);
const PARTITION_VERIFICATION: Key = Key {
    takes: Takes::Immediately,
    ..flag(
        "transaction.partition.verification.enable",
        "true",
        "Whether a partition asks the coordinator if it belongs to a transaction before it takes the first of its records.",
    )
};
const TOPIC_PARTITIONS: Key = whole(
    "transaction.state.log.num.partitions",
    "50",
    "How many partitions the transactions topic is created with; must not change once there were transactions.",
);
const TOPIC_REPLICATION_FACTOR: Key = Key {
    kind: Kind::Short,
    accepts: Accepts::Between(1, i16::MAX as i64),
    ..whole(
        "transaction.state.log.replication.factor",
        "3",
        "How many replicas the transactions topic is created with.",
    )
};
const TOPIC_IN_SYNC_MIN: Key = whole(
    "transaction.state.log.min.isr",
    "2",
    "How many replicas of the transactions topic must have a record before it counts as safe, where the topic is created.",
);
const TOPIC_SEGMENT_BYTES: Key = whole(
    "transaction.state.log.segment.bytes",
    "104857600",
    "The segment size that the transactions topic is created with, in bytes; small segments are compacted and loaded sooner.",
);

/// The broker's keys that this room obeys.
pub const KEYS: Table = Table(&[
    TIMEOUT_MAX,
    ID_EXPIRATION,
    ABORT_INTERVAL,
    EXPIRY_INTERVAL,
    TWO_PHASE,
    PARTITION_VERIFICATION,
    TOPIC_PARTITIONS,
    TOPIC_REPLICATION_FACTOR,
    TOPIC_IN_SYNC_MIN,
    TOPIC_SEGMENT_BYTES,
]);

const fn whole(name: &'static str, default: &'static str, about: &'static str) -> Key {
    Key {
        name,
        kind: Kind::Int,
        default: Some(default),
        accepts: Accepts::Between(1, INT_MAX),
        takes: Takes::OnRestart,
        synonyms: &[],
        about,
    }
}

const fn flag(name: &'static str, default: &'static str, about: &'static str) -> Key {
    Key { kind: Kind::Boolean, accepts: Accepts::Any, ..whole(name, default, about) }
}

/// The decisions, read and in range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The longest time that a producer may ask for one transaction.
    pub timeout_max: Duration,
    /// How long a transactional id is remembered after its last change.
    pub id_expiration: Duration,
    /// How often overdue transactions are looked for.
    pub abort_interval: Duration,
    /// How often expired transactional ids are looked for.
    pub expiry_interval: Duration,
    /// Whether another coordinator may decide about transactions (KIP-939).
    pub two_phase: bool,
    /// Whether partitions verify that they belong to a transaction (KIP-890).
    pub partition_verification: bool,
    /// Partitions of the transactions topic when it is created.
    pub topic_partitions: i32,
    /// Replicas of the transactions topic when it is created.
    pub topic_replication_factor: i16,
    /// `min.insync.replicas` of the transactions topic when it is created.
    pub topic_in_sync_min: i32,
    /// Segment size of the transactions topic when it is created, in bytes.
    pub topic_segment_bytes: i32,
    /// The finalised level of `transaction.version`: how the coordinator ends transactions that nobody ends.
    pub version: Version,
    /// The most bytes that the records of one decision may weigh: what a batch of the transactions topic holds.
    pub batch_bytes_max: usize,
}

impl Settings {
    /// Reads what the operator wrote: `written` answers with the text of a key, or nothing where the default holds.
    ///
    /// `batch_bytes_max` is the same bound that the ledger is given; it comes from the topic, and `version` from the
    /// cluster's features, not from a key of this room.
    pub fn resolve<'a>(
        batch_bytes_max: usize,
        version: Version,
        written: impl Fn(&'static str) -> Option<&'a str>,
    ) -> Result<Self, InvalidValue> {
        let text = |key: &Key| written(key.name).or(key.default).expect("every key of this room has a default");
        let read = |key: &Key| key.whole(text(key));
        let millis = |key: &Key| Ok(Duration::from_millis(read(key)?.max(0) as u64));
        Ok(Self {
            timeout_max: millis(&TIMEOUT_MAX)?,
            id_expiration: millis(&ID_EXPIRATION)?,
            abort_interval: millis(&ABORT_INTERVAL)?,
            expiry_interval: millis(&EXPIRY_INTERVAL)?,
            two_phase: TWO_PHASE.boolean(text(&TWO_PHASE))?,
            partition_verification: PARTITION_VERIFICATION.boolean(text(&PARTITION_VERIFICATION))?,
            topic_partitions: read(&TOPIC_PARTITIONS)? as i32,
            topic_replication_factor: read(&TOPIC_REPLICATION_FACTOR)? as i16,
            topic_in_sync_min: read(&TOPIC_IN_SYNC_MIN)? as i32,
            topic_segment_bytes: read(&TOPIC_SEGMENT_BYTES)? as i32,
            version,
            batch_bytes_max,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        KEYS.check().unwrap();
    }

    #[test]
    fn what_is_not_written_is_as_in_kafka() {
        let settings = Settings::resolve(1_000_000, Version::Two, |_| None).unwrap();
        assert_eq!(settings.timeout_max, Duration::from_secs(15 * 60));
        assert_eq!(settings.id_expiration, Duration::from_secs(7 * 24 * 3_600));
        assert_eq!(settings.abort_interval, Duration::from_secs(10));
        assert_eq!((settings.two_phase, settings.partition_verification), (false, true));
        assert_eq!((settings.topic_partitions, settings.topic_in_sync_min), (50, 2));
    }

    #[test]
    fn what_is_written_is_obeyed_or_refused() {
        let written = |key| (key == "transaction.two.phase.commit.enable").then_some("true");
        assert!(Settings::resolve(1, Version::Two, written).unwrap().two_phase);
        let refused = Settings::resolve(1, Version::Two, |key| (key == "transaction.max.timeout.ms").then_some("0"));
        assert_eq!(refused.unwrap_err().key, "transaction.max.timeout.ms");
    }
}
