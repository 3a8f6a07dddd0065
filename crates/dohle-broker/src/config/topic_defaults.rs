//! The broker's keys from which topics inherit what nobody set for them. A topic's key says in which order (KIP-226).

use dohle_base::config::{Accepts, Key, Kind, Table, Takes};

const NO_LESS_THAN_0: Accepts = Accepts::Between(0, i64::MAX);
const NO_LESS_THAN_1: Accepts = Accepts::Between(1, i64::MAX);
const INT_MAX: i64 = i32::MAX as i64;
const FOR_EVER: &str = "9223372036854775807";

const fn key(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    accepts: Accepts,
    about: &'static str,
) -> Key {
    Key { name, kind, default, accepts, takes: Takes::Immediately, synonyms: &[], about }
}

const fn long(name: &'static str, default: &'static str, accepts: Accepts, about: &'static str) -> Key {
    key(name, Kind::Long, Some(default), accepts, about)
}

const fn int(name: &'static str, default: &'static str, least: i64, most: i64, about: &'static str) -> Key {
    key(name, Kind::Int, Some(default), Accepts::Between(least, most), about)
}

const fn flag(name: &'static str, about: &'static str) -> Key {
    key(name, Kind::Boolean, Some("false"), Accepts::Any, about)
}

const fn choice(name: &'static str, default: &'static str, known: &'static [&'static str], about: &'static str) -> Key {
    key(name, Kind::Text, Some(default), Accepts::OneOf(known), about)
}

const fn on_restart(key: Key) -> Key {
    Key { takes: Takes::OnRestart, ..key }
}

/// A key in whose place others count as long as it is not set.
const fn unless_set(synonyms: &'static [&'static str], key: Key) -> Key {
    Key { synonyms, ..key }
}

/// The keys.
pub(crate) const TOPIC_DEFAULT_KEYS: Table = Table(&[
    key(
        "log.cleanup.policy",
        Kind::List,
        Some("delete"),
        Accepts::OneOf(&["compact", "delete"]),
        "The default of cleanup.policy.",
    ),
    int("compression.gzip.level", "-1", -1, 9, "The default of the topics' key of this name."),
    int("compression.lz4.level", "9", 1, 17, "The default of the topics' key of this name."),
    choice(
        "compression.type",
        "producer",
        &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"],
        "The default of the topics' key of this name.",
    ),
    int("compression.zstd.level", "3", -131_072, 22, "The default of the topics' key of this name."),
    long("log.cleaner.delete.retention.ms", "86400000", NO_LESS_THAN_0, "The default of delete.retention.ms."),
    choice("log.durability", "fsync", &["fsync", "relaxed"], "The default of durability."),
    long("log.segment.delete.delay.ms", "60000", NO_LESS_THAN_0, "The default of file.delete.delay.ms."),
    long("log.flush.interval.messages", FOR_EVER, NO_LESS_THAN_1, "The default of flush.messages."),
    unless_set(
        &["log.flush.scheduler.interval.ms"],
        key("log.flush.interval.ms", Kind::Long, None, NO_LESS_THAN_0, "The default of flush.ms."),
    ),
    on_restart(long(
        "log.flush.scheduler.interval.ms",
        FOR_EVER,
        NO_LESS_THAN_0,
        "The default of flush.ms where log.flush.interval.ms is not set.",
    )),
    int("log.index.interval.bytes", "4096", 0, INT_MAX, "The default of index.interval.bytes."),
    long("log.local.retention.bytes", "-2", Accepts::Between(-2, i64::MAX), "The default of local.retention.bytes."),
    long("log.local.retention.ms", "-2", Accepts::Between(-2, i64::MAX), "The default of local.retention.ms."),
    long("log.cleaner.max.compaction.lag.ms", FOR_EVER, NO_LESS_THAN_1, "The default of max.compaction.lag.ms."),
    int(
        "max.decompressed.message.bytes",
        "2147483639",
        1,
        2_147_483_639,
        "The default of the topics' key of this name.",
    ),
    int("message.max.bytes", "1048588", 0, INT_MAX, "The default of max.message.bytes."),
    long(
        "log.message.timestamp.after.max.ms",
        "3600000",
        NO_LESS_THAN_0,
        "The default of message.timestamp.after.max.ms.",
    ),
    long(
        "log.message.timestamp.before.max.ms",
        FOR_EVER,
        NO_LESS_THAN_0,
        "The default of message.timestamp.before.max.ms.",
    ),
    choice(
        "log.message.timestamp.type",
        "CreateTime",
        &["CreateTime", "LogAppendTime"],
        "The default of message.timestamp.type.",
    ),
    key(
        "log.cleaner.min.cleanable.ratio",
        Kind::Double,
        Some("0.5"),
        Accepts::Fraction(0.0, 1.0),
        "The default of min.cleanable.dirty.ratio.",
    ),
    long("log.cleaner.min.compaction.lag.ms", "0", NO_LESS_THAN_0, "The default of min.compaction.lag.ms."),
    int("min.insync.replicas", "1", 1, INT_MAX, "The default of the topics' key of this name."),
    flag("log.preallocate", "The default of preallocate."),
    long("log.remote.copy.lag.bytes", "-1", Accepts::Between(-1, i64::MAX), "The default of remote.copy.lag.bytes."),
    long("log.remote.copy.lag.ms", "0", Accepts::Between(-1, i64::MAX), "The default of remote.copy.lag.ms."),
    long("log.retention.bytes", "-1", Accepts::Any, "The default of retention.bytes."),
    unless_set(
        &["log.retention.minutes", "log.retention.hours"],
        key("log.retention.ms", Kind::Long, None, Accepts::Between(-1, i64::MAX), "The default of retention.ms."),
    ),
    on_restart(key(
        "log.retention.minutes",
        Kind::Int,
        None,
        Accepts::Between(-1, INT_MAX),
        "The default of retention.ms, in minutes, where log.retention.ms is not set.",
    )),
    on_restart(int(
        "log.retention.hours",
        "168",
        -1,
        INT_MAX,
        "The default of retention.ms, in hours, where neither milliseconds nor minutes are set.",
    )),
    int("log.segment.bytes", "1073741824", 1 << 20, INT_MAX, "The default of segment.bytes."),
    int("log.index.size.max.bytes", "10485760", 4, INT_MAX, "The default of segment.index.bytes."),
    unless_set(
        &["log.roll.jitter.hours"],
        key("log.roll.jitter.ms", Kind::Long, None, NO_LESS_THAN_0, "The default of segment.jitter.ms."),
    ),
    on_restart(int(
        "log.roll.jitter.hours",
        "0",
        0,
        INT_MAX,
        "The default of segment.jitter.ms, in hours, where log.roll.jitter.ms is not set.",
    )),
    unless_set(&["log.roll.hours"], key("log.roll.ms", Kind::Long, None, NO_LESS_THAN_1, "The default of segment.ms.")),
    on_restart(int(
        "log.roll.hours",
        "168",
        1,
        INT_MAX,
        "The default of segment.ms, in hours, where log.roll.ms is not set.",
    )),
    flag("unclean.leader.election.enable", "The default of the topics' key of this name."),
]);
