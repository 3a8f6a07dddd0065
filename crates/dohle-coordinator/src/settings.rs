//! What an operator decides about groups: the broker's keys that this room obeys, with Kafka's names, defaults and ranges.

use std::time::Duration;

use dohle_base::config::{Accepts, InvalidValue, Key, Kind, Table, Takes};

const INT_MAX: i64 = i32::MAX as i64;

const SESSION_TIMEOUT_MIN: Key = whole(
    "group.min.session.timeout.ms",
    "6000",
    (i32::MIN as i64, INT_MAX),
    "The shortest session that a member may ask for, in milliseconds.",
);
const SESSION_TIMEOUT_MAX: Key = whole(
    "group.max.session.timeout.ms",
    "1800000",
    (i32::MIN as i64, INT_MAX),
    "The longest session that a member may ask for, in milliseconds.",
);
const INITIAL_REBALANCE_DELAY: Key = whole(
    "group.initial.rebalance.delay.ms",
    "3000",
    (i32::MIN as i64, INT_MAX),
    "How long the first rebalance of an empty group waits for more members, in milliseconds.",
);
const GROUP_SIZE_MAX: Key =
    whole("group.max.size", "2147483647", (1, INT_MAX), "The most members that one classic group may have.");
const OFFSET_METADATA_MAX: Key = whole(
    "offset.metadata.max.bytes",
    "4096",
    (i32::MIN as i64, INT_MAX),
    "The longest text that a client may leave beside a committed offset.",
);
const OFFSETS_RETENTION: Key = whole(
    "offsets.retention.minutes",
    "10080",
    (1, INT_MAX),
    "How long offsets outlive the last member of their group, or their commit where a group has no members, in minutes.",
);
const OFFSETS_RETENTION_CHECK: Key = Key {
    kind: Kind::Long,
    ..whole(
        "offsets.retention.check.interval.ms",
        "600000",
        (1, i64::MAX),
        "How often a coordinator looks for offsets that have outlived their retention, in milliseconds.",
    )
};
const COMMIT_TIMEOUT: Key = whole(
    "offsets.commit.timeout.ms",
    "5000",
    (1, INT_MAX),
    "How long a change of a group may take to be safe in the log before the client is told to try again, in milliseconds.",
);
const OFFSETS_TOPIC_PARTITIONS: Key = Key {
    takes: Takes::OnRestart,
    ..whole(
        "offsets.topic.num.partitions",
        "50",
        (1, INT_MAX),
        "How many partitions the offsets topic is created with; must not change once offsets were committed.",
    )
};
const OFFSETS_TOPIC_REPLICATION_FACTOR: Key = Key {
    kind: Kind::Short,
    takes: Takes::OnRestart,
    ..whole(
        "offsets.topic.replication.factor",
        "3",
        (1, i16::MAX as i64),
        "How many replicas the offsets topic is created with.",
    )
};
const OFFSETS_TOPIC_SEGMENT_BYTES: Key = Key {
    takes: Takes::OnRestart,
    ..whole(
        "offsets.topic.segment.bytes",
        "104857600",
        (1, INT_MAX),
        "The segment size that the offsets topic is created with, in bytes; small segments are compacted and loaded sooner.",
    )
};

/// The broker's keys that this room obeys.
pub const KEYS: Table = Table(&[
    SESSION_TIMEOUT_MIN,
    SESSION_TIMEOUT_MAX,
    INITIAL_REBALANCE_DELAY,
    GROUP_SIZE_MAX,
    OFFSET_METADATA_MAX,
    OFFSETS_RETENTION,
    OFFSETS_RETENTION_CHECK,
    COMMIT_TIMEOUT,
    OFFSETS_TOPIC_PARTITIONS,
    OFFSETS_TOPIC_REPLICATION_FACTOR,
    OFFSETS_TOPIC_SEGMENT_BYTES,
]);

const fn whole(name: &'static str, default: &'static str, range: (i64, i64), about: &'static str) -> Key {
    Key {
        name,
        kind: Kind::Int,
        default: Some(default),
        accepts: Accepts::Between(range.0, range.1),
        takes: Takes::OnRestart,
        synonyms: &[],
        about,
    }
}

/// The decisions, read and in range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The shortest session that a member may ask for.
    pub session_timeout_min: Duration,
    /// The longest session that a member may ask for.
    pub session_timeout_max: Duration,
    /// How long the first rebalance of an empty group waits for more members.
    pub initial_rebalance_delay: Duration,
    /// The most members of one group.
    pub group_size_max: usize,
    /// The longest text beside a committed offset, in UTF-16 units as Kafka counts it.
    pub offset_metadata_max: usize,
    /// How long offsets outlive the last member of their group.
    pub offsets_retention: Duration,
    /// How often expired offsets are looked for.
    pub offsets_retention_check: Duration,
    /// How long a change may take to be safe before the client is told to try again.
    pub commit_timeout: Duration,
    /// Partitions of the offsets topic when it is created.
    pub offsets_topic_partitions: i32,
    /// Replicas of the offsets topic when it is created.
    pub offsets_topic_replication_factor: i16,
    /// Segment size of the offsets topic when it is created, in bytes.
    pub offsets_topic_segment_bytes: i32,
    /// The most bytes that the records of one decision may weigh: what a batch of the offsets topic holds.
    pub batch_bytes_max: usize,
}

impl Settings {
    /// Reads what the operator wrote: `written` answers with the text of a key, or nothing where the default holds.
    ///
    /// `batch_bytes_max` is the same bound that the ledger is given; it comes from the topic, not from a key of this room.
    pub fn resolve<'a>(
        batch_bytes_max: usize,
        written: impl Fn(&'static str) -> Option<&'a str>,
    ) -> Result<Self, InvalidValue> {
        let read = |key: &Key| match written(key.name).or(key.default) {
            Some(text) => key.whole(text),
            None => unreachable!("every key of this room has a default"),
        };
        let millis = |key: &Key| Ok(Duration::from_millis(read(key)?.max(0) as u64));
        Ok(Self {
            session_timeout_min: millis(&SESSION_TIMEOUT_MIN)?,
            session_timeout_max: millis(&SESSION_TIMEOUT_MAX)?,
            initial_rebalance_delay: millis(&INITIAL_REBALANCE_DELAY)?,
            group_size_max: read(&GROUP_SIZE_MAX)? as usize,
            offset_metadata_max: read(&OFFSET_METADATA_MAX)?.max(0) as usize,
            offsets_retention: Duration::from_secs(60 * read(&OFFSETS_RETENTION)? as u64),
            offsets_retention_check: millis(&OFFSETS_RETENTION_CHECK)?,
            commit_timeout: millis(&COMMIT_TIMEOUT)?,
            offsets_topic_partitions: read(&OFFSETS_TOPIC_PARTITIONS)? as i32,
            offsets_topic_replication_factor: read(&OFFSETS_TOPIC_REPLICATION_FACTOR)? as i16,
            offsets_topic_segment_bytes: read(&OFFSETS_TOPIC_SEGMENT_BYTES)? as i32,
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
        let settings = Settings::resolve(1_000_000, |_| None).unwrap();
        assert_eq!(settings.session_timeout_min, Duration::from_secs(6));
        assert_eq!(settings.session_timeout_max, Duration::from_secs(1_800));
        assert_eq!(settings.initial_rebalance_delay, Duration::from_secs(3));
        assert_eq!(settings.offsets_retention, Duration::from_secs(7 * 24 * 3_600));
        assert_eq!(settings.offsets_topic_partitions, 50);
    }

    #[test]
    fn what_is_written_is_obeyed_or_refused() {
        let settings = Settings::resolve(1, |key| (key == "group.max.size").then_some("3")).unwrap();
        assert_eq!(settings.group_size_max, 3);
        let refused = Settings::resolve(1, |key| (key == "group.max.size").then_some("0"));
        assert_eq!(refused.unwrap_err().key, "group.max.size");
    }
}
