//! The broker's keys of compaction and scrubbing (`CleanerConfig`).

use dohle_base::config::{Accepts, Kind, Table};

use super::tables::on_restart as key;

/// The keys.
pub(crate) const CLEANER_KEYS: Table = Table(&[
    key("log.cleaner.enable", Kind::Boolean, "true", Accepts::Any, "Whether compacted topics are compacted at all."),
    key(
        "log.cleaner.threads",
        Kind::Int,
        "1",
        Accepts::Between(0, i32::MAX as i64),
        "How many logs are compacted at a time.",
    ),
    key(
        "log.cleaner.dedupe.buffer.size",
        Kind::Long,
        "134217728",
        Accepts::Between(1 << 20, i64::MAX),
        "Memory for the keys of the logs that are being compacted, for all threads together; taken only while it is needed.",
    ),
    key(
        "log.cleaner.io.buffer.load.factor",
        Kind::Double,
        "0.9",
        Accepts::Fraction(0.01, 0.99),
        "How full the memory for keys may be.",
    ),
    key(
        "log.cleaner.io.buffer.size",
        Kind::Int,
        "524288",
        Accepts::Between(0, i32::MAX as i64),
        "Accepted as Kafka writes it: buffers follow the batches.",
    ),
    key(
        "log.cleaner.io.max.bytes.per.second",
        Kind::Double,
        "1.7976931348623157E308",
        Accepts::Fraction(0.0, f64::MAX),
        "The most bytes that compaction reads and writes in a second, all threads together.",
    ),
    key(
        "log.cleaner.backoff.ms",
        Kind::Long,
        "15000",
        Accepts::Between(0, i64::MAX),
        "How long a thread rests that found nothing to compact.",
    ),
    key(
        "log.scrub.max.bytes.per.second",
        Kind::Long,
        "8388608",
        Accepts::Between(0, i64::MAX),
        "The most bytes of closed segments that are read in a second to see whether they are still sound; 0 for none.",
    ),
    key(
        "log.scrub.interval.ms",
        Kind::Long,
        "604800000",
        Accepts::Between(1, i64::MAX),
        "How often every closed segment is read to see whether it is still sound.",
    ),
]);
