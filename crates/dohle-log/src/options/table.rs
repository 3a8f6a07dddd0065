//! Every key that a topic of Kafka 4.4 has, with Kafka's defaults and ranges (`LogConfig`, `TopicConfig`), and what is ours.

use dohle_base::config::{Accepts, Key, Kind, Table, Takes};

const NO_LESS_THAN_0: Accepts = Accepts::Between(0, i64::MAX);
const NO_LESS_THAN_1: Accepts = Accepts::Between(1, i64::MAX);
const FOR_EVER: &str = "9223372036854775807";

/// A whole number that is obeyed for the next request.
const fn long(
    name: &'static str,
    default: &'static str,
    accepts: Accepts,
    synonyms: &'static [&'static str],
    about: &'static str,
) -> Key {
    Key { name, kind: Kind::Long, default: Some(default), accepts, takes: Takes::Immediately, synonyms, about }
}

const fn int(
    name: &'static str,
    default: &'static str,
    accepts: Accepts,
    synonyms: &'static [&'static str],
    about: &'static str,
) -> Key {
    Key { kind: Kind::Int, ..long(name, default, accepts, synonyms, about) }
}

const fn flag(
    name: &'static str,
    default: &'static str,
    synonyms: &'static [&'static str],
    about: &'static str,
) -> Key {
    Key { kind: Kind::Boolean, ..long(name, default, Accepts::Any, synonyms, about) }
}

const fn choice(
    name: &'static str,
    default: &'static str,
    known: &'static [&'static str],
    synonyms: &'static [&'static str],
    about: &'static str,
) -> Key {
    Key { kind: Kind::Text, ..long(name, default, Accepts::OneOf(known), synonyms, about) }
}

const fn list(
    name: &'static str,
    default: &'static str,
    accepts: Accepts,
    synonyms: &'static [&'static str],
    about: &'static str,
) -> Key {
    Key { kind: Kind::List, ..long(name, default, accepts, synonyms, about) }
}

const fn on_roll(key: Key) -> Key {
    Key { takes: Takes::OnRoll, ..key }
}

/// The keys of a topic, in the order of their names.
pub const TOPIC_KEYS: Table = Table(&[
    list(
        "cleanup.policy",
        "delete",
        Accepts::OneOf(&["compact", "delete"]),
        &["log.cleanup.policy"],
        "Whether old segments are deleted, of each key the last record is kept, or both; an empty list keeps everything.",
    ),
    int(
        "compression.gzip.level",
        "-1",
        Accepts::Between(-1, 9),
        &["compression.gzip.level"],
        "The level of gzip where the broker compresses; -1 is the codec's own choice, 0 is not a level.",
    ),
    int(
        "compression.lz4.level",
        "9",
        Accepts::Between(1, 17),
        &["compression.lz4.level"],
        "The level of lz4 where the broker compresses.",
    ),
    choice(
        "compression.type",
        "producer",
        &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"],
        &["compression.type"],
        "How batches are kept: as the producer sent them, or compressed anew by the broker.",
    ),
    int(
        "compression.zstd.level",
        "3",
        Accepts::Between(-131_072, 22),
        &["compression.zstd.level"],
        "The level of zstd where the broker compresses.",
    ),
    long(
        "delete.retention.ms",
        "86400000",
        NO_LESS_THAN_0,
        &["log.cleaner.delete.retention.ms"],
        "How long a compacted topic keeps the mark that a key was deleted.",
    ),
    choice(
        "durability",
        "fsync",
        &["fsync", "relaxed"],
        &["log.durability"],
        "Whether an acknowledgement of a single replica waits until the batch is on the disk, or leaves when the operating system has it.",
    ),
    flag(
        "errors.deadletterqueue.group.enable",
        "false",
        &[],
        "Whether share groups may write records that nobody could process to this topic.",
    ),
    long(
        "file.delete.delay.ms",
        "60000",
        NO_LESS_THAN_0,
        &["log.segment.delete.delay.ms"],
        "How long the files of a dropped segment stay for those who are reading them.",
    ),
    long(
        "flush.messages",
        FOR_EVER,
        NO_LESS_THAN_1,
        &["log.flush.interval.messages"],
        "After how many records the log is synced, where acknowledgements do not wait for the disk anyway.",
    ),
    long(
        "flush.ms",
        FOR_EVER,
        NO_LESS_THAN_0,
        &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
        "After what time the log is synced, where acknowledgements do not wait for the disk anyway.",
    ),
    list(
        "follower.replication.throttled.replicas",
        "",
        Accepts::Any,
        &[],
        "Replicas whose followers are throttled, as partition:broker pairs, or * for all.",
    ),
    on_roll(int(
        "index.interval.bytes",
        "4096",
        Accepts::Between(0, i32::MAX as i64),
        &["log.index.interval.bytes"],
        "After how many bytes of batches an index gets an entry.",
    )),
    list(
        "leader.replication.throttled.replicas",
        "",
        Accepts::Any,
        &[],
        "Replicas whose leaders are throttled, as partition:broker pairs, or * for all.",
    ),
    long(
        "local.retention.bytes",
        "-2",
        Accepts::Between(-2, i64::MAX),
        &["log.local.retention.bytes"],
        "The bytes that stay on the broker of what remote storage has; -2 is retention.bytes.",
    ),
    long(
        "local.retention.ms",
        "-2",
        Accepts::Between(-2, i64::MAX),
        &["log.local.retention.ms"],
        "How long the broker keeps what remote storage has; -2 is retention.ms.",
    ),
    long(
        "max.compaction.lag.ms",
        FOR_EVER,
        NO_LESS_THAN_1,
        &["log.cleaner.max.compaction.lag.ms"],
        "After what time a record of a compacted topic is compacted at the latest.",
    ),
    int(
        "max.decompressed.message.bytes",
        "2147483639",
        Accepts::Between(1, 2_147_483_639),
        &["max.decompressed.message.bytes"],
        "The most bytes that a batch may unpack to, where the broker unpacks it.",
    ),
    int(
        "max.message.bytes",
        "1048588",
        Accepts::Between(0, i32::MAX as i64),
        &["message.max.bytes"],
        "The largest batch that is accepted, as it is sent.",
    ),
    long(
        "message.timestamp.after.max.ms",
        "3600000",
        NO_LESS_THAN_0,
        &["log.message.timestamp.after.max.ms"],
        "How far a record's time may lie ahead of the broker's.",
    ),
    long(
        "message.timestamp.before.max.ms",
        FOR_EVER,
        NO_LESS_THAN_0,
        &["log.message.timestamp.before.max.ms"],
        "How far a record's time may lie behind the broker's.",
    ),
    choice(
        "message.timestamp.type",
        "CreateTime",
        &["CreateTime", "LogAppendTime"],
        &["log.message.timestamp.type"],
        "Whether records keep the producer's time or get that of the append.",
    ),
    Key {
        name: "min.cleanable.dirty.ratio",
        kind: Kind::Double,
        default: Some("0.5"),
        accepts: Accepts::Fraction(0.0, 1.0),
        takes: Takes::Immediately,
        synonyms: &["log.cleaner.min.cleanable.ratio"],
        about: "What part of a compacted log has to be uncompacted before it is compacted again.",
    },
    long(
        "min.compaction.lag.ms",
        "0",
        NO_LESS_THAN_0,
        &["log.cleaner.min.compaction.lag.ms"],
        "How long a record of a compacted topic is left alone.",
    ),
    int(
        "min.insync.replicas",
        "1",
        Accepts::Between(1, i32::MAX as i64),
        &["min.insync.replicas"],
        "How many replicas have to be in sync for a write that waits for all of them.",
    ),
    on_roll(flag(
        "preallocate",
        "false",
        &["log.preallocate"],
        "Whether the space of a segment is taken when it begins.",
    )),
    long(
        "remote.copy.lag.bytes",
        "-1",
        Accepts::Between(-1, i64::MAX),
        &["log.remote.copy.lag.bytes"],
        "How many bytes may lie behind before they are copied to remote storage.",
    ),
    long(
        "remote.copy.lag.ms",
        "0",
        Accepts::Between(-1, i64::MAX),
        &["log.remote.copy.lag.ms"],
        "How long records may lie before they are copied to remote storage.",
    ),
    flag("remote.log.copy.disable", "false", &[], "Whether nothing more is copied to remote storage."),
    flag("remote.log.delete.on.disable", "false", &[], "Whether remote data go when remote storage is turned off."),
    flag("remote.storage.enable", "false", &[], "Whether closed segments are copied to remote storage."),
    long(
        "retention.bytes",
        "-1",
        Accepts::Any,
        &["log.retention.bytes"],
        "The bytes that a partition keeps; -1 for no bound.",
    ),
    long(
        "retention.ms",
        "604800000",
        Accepts::Between(-1, i64::MAX),
        &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
        "How long records are kept; -1 for ever.",
    ),
    on_roll(int(
        "segment.bytes",
        "1073741824",
        Accepts::Between(1 << 20, i32::MAX as i64),
        &["log.segment.bytes"],
        "A segment is closed when it would grow past this.",
    )),
    on_roll(int(
        "segment.index.bytes",
        "10485760",
        Accepts::Between(4, i32::MAX as i64),
        &["log.index.size.max.bytes"],
        "A segment is closed when one of its indexes would grow past this.",
    )),
    on_roll(long(
        "segment.jitter.ms",
        "0",
        NO_LESS_THAN_0,
        &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        "By how much chance may shorten segment.ms, so that not all partitions close a segment at once.",
    )),
    on_roll(long(
        "segment.ms",
        "604800000",
        NO_LESS_THAN_1,
        &["log.roll.ms", "log.roll.hours"],
        "A segment is closed when it was begun this long ago.",
    )),
    flag(
        "unclean.leader.election.enable",
        "false",
        &["unclean.leader.election.enable"],
        "Whether a replica may lead that was not in sync, at the price of records.",
    ),
]);
