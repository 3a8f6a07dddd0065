//! From text to values: which text counts, in which unit it is, and whether the values go together.

use std::time::Duration;

use dohle_base::config::{InvalidValue, Key};
use dohle_records::batch::Budget;
use dohle_records::{Codec, Compression, TimestampType};

use super::{Cleanup, Durability, Options, TOPIC_KEYS};

/// How long a producer is remembered, where the broker's `producer.id.expiration.ms` is not set.
const PRODUCER_EXPIRATION_DEFAULT: Duration = Duration::from_hours(24);
const PRODUCER_EXPIRATION_KEY: &str = "producer.id.expiration.ms";

/// Keys of what is not there: they keep their default.
const NOT_OBEYED: &[&str] = &[
    "errors.deadletterqueue.group.enable",
    "remote.log.copy.disable",
    "remote.log.delete.on.disable",
    "remote.storage.enable",
];

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It was set for the topic.
    Topic,
    /// The broker's key of this name is set.
    Broker(&'static str),
    /// Nobody set it.
    Default,
}

/// The value of one key for one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// As text, in the unit of the topic's key.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
}

type Values<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// The value of `key`: the topic's, or that of the first of the broker's keys that is set, or the default.
pub fn resolve(key: &'static Key, topic: &Values<'_>, broker: &Values<'_>) -> Resolved {
    if let Some(value) = topic(key.name) {
        return Resolved { value, source: Source::Topic };
    }
    let set = key.synonyms.iter().find_map(|synonym| Some((*synonym, broker(synonym)?)));
    match set {
        Some((synonym, value)) => Resolved { value: in_unit_of_topic(synonym, value), source: Source::Broker(synonym) },
        None => Resolved { value: key.default.unwrap_or_default().to_owned(), source: Source::Default },
    }
}

/// The broker's keys count hours and minutes too; -1 is no time in any unit.
fn in_unit_of_topic(synonym: &str, value: String) -> String {
    let unit_ms = match synonym.rsplit('.').next() {
        Some("hours") => 3_600_000,
        Some("minutes") => 60_000,
        Some(_) | None => return value,
    };
    match value.trim().parse::<i64>() {
        Ok(number) if number < 0 => "-1".to_owned(),
        Ok(number) => number.saturating_mul(unit_ms).to_string(),
        Err(_) => value,
    }
}

/// Whether a topic may have these values, given what the broker has: each by itself, and together.
pub fn check(topic: &Values<'_>, broker: &Values<'_>) -> Result<(), InvalidValue> {
    for key in TOPIC_KEYS.iter() {
        if let Some(value) = topic(key.name) {
            check_one(key, &value)?;
        }
    }
    let options = Options::resolve(topic, broker)?;
    if options.compaction_lag_min_ms > options.compaction_lag_max_ms {
        let expected = "must not be above max.compaction.lag.ms".to_owned();
        return Err(invalid("min.compaction.lag.ms", options.compaction_lag_min_ms.to_string(), expected));
    }
    Ok(())
}

fn check_one(key: &'static Key, value: &str) -> Result<(), InvalidValue> {
    key.check(value)?;
    let refuse = |expected: &str| Err(invalid(key.name, value.to_owned(), expected.to_owned()));
    if NOT_OBEYED.contains(&key.name) && !key.default.is_some_and(|default| default.eq_ignore_ascii_case(value.trim()))
    {
        return refuse("not served by this broker");
    }
    if key.name == "compression.gzip.level" && value.trim() == "0" {
        return refuse("must be from 1 to 9, or -1");
    }
    if key.name.ends_with("replication.throttled.replicas") && !is_replica_list(value) {
        return refuse("must be partition:broker pairs, or *");
    }
    Ok(())
}

fn is_replica_list(value: &str) -> bool {
    let is_number = |text: &str| text.trim().parse::<u32>().is_ok();
    let is_pair =
        |item: &str| item.split_once(':').is_some_and(|(partition, broker)| is_number(partition) && is_number(broker));
    let value = value.trim();
    value.is_empty() || value == "*" || value.split(',').all(is_pair)
}

fn invalid(key: &'static str, value: String, expected: String) -> InvalidValue {
    InvalidValue { key, value, expected }
}

impl Options {
    /// The values of a topic, each looked up with the topic first and then under the broker's keys.
    pub fn resolve(topic: &Values<'_>, broker: &Values<'_>) -> Result<Self, InvalidValue> {
        let read = Reader { topic, broker };
        Ok(Self {
            segment_bytes: read.unsigned("segment.bytes")?,
            segment_ms: read.whole("segment.ms")?,
            segment_jitter_ms: read.whole("segment.jitter.ms")?,
            index_bytes_max: read.unsigned("segment.index.bytes")?,
            index_interval_bytes: read.unsigned("index.interval.bytes")?,
            preallocate: read.boolean("preallocate")?,
            flush_messages: read.unsigned("flush.messages")?,
            flush_ms: read.whole("flush.ms")?,
            durability: if read.text("durability")?.as_str() == "relaxed" {
                Durability::Relaxed
            } else {
                Durability::Synced
            },
            cleanup: read.cleanup()?,
            retention_bytes: u64::try_from(read.whole("retention.bytes")?).ok(),
            retention_ms: Some(read.whole("retention.ms")?).filter(|age_ms| *age_ms >= 0),
            file_delete_delay: Duration::from_millis(read.unsigned("file.delete.delay.ms")?),
            delete_retention_ms: read.whole("delete.retention.ms")?,
            compaction_lag_min_ms: read.whole("min.compaction.lag.ms")?,
            compaction_lag_max_ms: read.whole("max.compaction.lag.ms")?,
            dirty_ratio_min: read.fraction("min.cleanable.dirty.ratio")?,
            batch_bytes_max: read.unsigned("max.message.bytes")? as usize,
            budget: Budget {
                record_bytes_max: read.unsigned("max.decompressed.message.bytes")? as usize,
                ..Budget::default()
            },
            compression: read.compression()?,
            timestamp_type: match read.text("message.timestamp.type")?.as_str() {
                "LogAppendTime" => TimestampType::LogAppend,
                _ => TimestampType::Create,
            },
            timestamp_before_max_ms: read.whole("message.timestamp.before.max.ms")?,
            timestamp_after_max_ms: read.whole("message.timestamp.after.max.ms")?,
            in_sync_min: read.unsigned("min.insync.replicas")? as usize,
            unclean_election: read.boolean("unclean.leader.election.enable")?,
            producer_expiration: read.producer_expiration()?,
        })
    }
}

/// Reads values by the kinds of their keys.
struct Reader<'a> {
    topic: &'a Values<'a>,
    broker: &'a Values<'a>,
}

impl Reader<'_> {
    fn find(&self, name: &'static str) -> (&'static Key, Resolved) {
        let key = TOPIC_KEYS.find(name).expect("every option has its key in the table");
        (key, resolve(key, self.topic, self.broker))
    }

    fn whole(&self, name: &'static str) -> Result<i64, InvalidValue> {
        let (key, resolved) = self.find(name);
        key.whole(&resolved.value)
    }

    fn unsigned(&self, name: &'static str) -> Result<u64, InvalidValue> {
        let (key, resolved) = self.find(name);
        let number = key.whole(&resolved.value)?;
        u64::try_from(number).map_err(|_| invalid(name, resolved.value, "must not be negative".to_owned()))
    }

    fn boolean(&self, name: &'static str) -> Result<bool, InvalidValue> {
        let (key, resolved) = self.find(name);
        key.boolean(&resolved.value)
    }

    fn fraction(&self, name: &'static str) -> Result<f64, InvalidValue> {
        let (key, resolved) = self.find(name);
        key.fraction(&resolved.value)
    }

    fn text(&self, name: &'static str) -> Result<String, InvalidValue> {
        let (key, resolved) = self.find(name);
        key.check(&resolved.value)?;
        Ok(resolved.value.trim().to_owned())
    }

    fn cleanup(&self) -> Result<Cleanup, InvalidValue> {
        let policies = self.text("cleanup.policy")?;
        let has = |policy: &str| policies.split(',').any(|item| item.trim() == policy);
        Ok(Cleanup { delete: has("delete"), compact: has("compact") })
    }

    fn compression(&self) -> Result<Option<Compression>, InvalidValue> {
        let name = self.text("compression.type")?;
        let at_level = |codec, level: &'static str| {
            let level = self.whole(level)? as i32;
            // -1 of gzip is no level but the wish for none.
            let compression = if codec == Codec::Gzip && level == -1 {
                Ok(Compression::of(codec))
            } else {
                Compression::at_level(codec, level)
            };
            compression.map(Some).map_err(|error| invalid("compression.type", name.clone(), error.to_string()))
        };
        match name.as_str() {
            "gzip" => at_level(Codec::Gzip, "compression.gzip.level"),
            "lz4" => at_level(Codec::Lz4, "compression.lz4.level"),
            "zstd" => at_level(Codec::Zstd, "compression.zstd.level"),
            "snappy" => Ok(Some(Compression::of(Codec::Snappy))),
            "uncompressed" => Ok(Some(Compression::NONE)),
            _ => Ok(None),
        }
    }

    /// The broker's own key: no topic sets it.
    fn producer_expiration(&self) -> Result<Duration, InvalidValue> {
        let Some(value) = (self.broker)(PRODUCER_EXPIRATION_KEY) else { return Ok(PRODUCER_EXPIRATION_DEFAULT) };
        match value.trim().parse::<u64>() {
            Ok(ms) if ms > 0 => Ok(Duration::from_millis(ms)),
            Ok(_) | Err(_) => Err(invalid(PRODUCER_EXPIRATION_KEY, value, "must be a whole number above 0".to_owned())),
        }
    }
}
