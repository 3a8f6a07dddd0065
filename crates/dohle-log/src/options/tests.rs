use std::collections::BTreeMap;
use std::time::Duration;

use dohle_records::{Codec, TimestampType};

use super::{Durability, Options, Source, TOPIC_KEYS, check, resolve};

type Set = &'static [(&'static str, &'static str)];

fn values(set: Set) -> impl Fn(&str) -> Option<String> {
    let map: BTreeMap<&str, &str> = set.iter().copied().collect();
    move |key| map.get(key).map(|value| (*value).to_owned())
}

#[test]
fn every_default_is_a_value_of_its_key() {
    TOPIC_KEYS.check().unwrap();
    let names: Vec<&str> = TOPIC_KEYS.iter().map(|key| key.name).collect();
    assert!(names.is_sorted());
    // Those of the release that is matched, and `durability`.
    assert_eq!(names.len(), 38);
}

#[test]
fn defaults_are_kafkas() {
    let options = Options::default();
    assert_eq!(
        (options.segment_bytes, options.index_bytes_max, options.index_interval_bytes),
        (1 << 30, 10 << 20, 4_096)
    );
    assert_eq!((options.retention_ms, options.retention_bytes), (Some(604_800_000), None));
    assert_eq!((options.batch_bytes_max, options.timestamp_after_max_ms), (1_048_588, 3_600_000));
    assert_eq!((options.durability, options.compression), (Durability::Synced, None));
    assert_eq!((options.timestamp_type, options.in_sync_min), (TimestampType::Create, 1));
    assert_eq!(options.producer_expiration, Duration::from_hours(24));
}

#[test]
fn the_topic_wins_then_the_first_of_the_brokers_keys_in_its_unit() {
    let cases: &[(Set, Set, &str, Source)] = &[
        (&[], &[], "604800000", Source::Default),
        (&[], &[("log.retention.hours", "2")], "7200000", Source::Broker("log.retention.hours")),
        (
            &[],
            &[("log.retention.hours", "2"), ("log.retention.minutes", "3")],
            "180000",
            Source::Broker("log.retention.minutes"),
        ),
        (&[], &[("log.retention.ms", "5"), ("log.retention.minutes", "3")], "5", Source::Broker("log.retention.ms")),
        (&[], &[("log.retention.hours", "-1")], "-1", Source::Broker("log.retention.hours")),
        (&[("retention.ms", "9")], &[("log.retention.ms", "5")], "9", Source::Topic),
    ];
    let key = TOPIC_KEYS.find("retention.ms").unwrap();
    for (topic, broker, value, source) in cases {
        let resolved = resolve(key, &values(topic), &values(broker));
        assert_eq!((resolved.value.as_str(), resolved.source), (*value, *source), "{topic:?} {broker:?}");
    }
}

#[test]
fn values_are_obeyed_as_they_are_written() {
    let topic: Set = &[
        ("cleanup.policy", " compact , delete "),
        ("retention.ms", "-1"),
        ("retention.bytes", "10"),
        ("compression.type", "zstd"),
        ("compression.zstd.level", "-5"),
        ("message.timestamp.type", "LogAppendTime"),
        ("durability", "relaxed"),
    ];
    let options = Options::resolve(&values(topic), &values(&[("producer.id.expiration.ms", "60000")])).unwrap();
    assert!(options.cleanup.compact && options.cleanup.delete);
    assert_eq!((options.retention_ms, options.retention_bytes), (None, Some(10)));
    assert_eq!(
        options.compression.map(|compression| (compression.codec(), compression.level())),
        Some((Codec::Zstd, -5))
    );
    assert_eq!((options.timestamp_type, options.durability), (TimestampType::LogAppend, Durability::Relaxed));
    assert_eq!(options.producer_expiration, Duration::from_mins(1));
    let nothing = Options::resolve(&values(&[("cleanup.policy", "")]), &values(&[])).unwrap();
    assert!(!nothing.cleanup.compact && !nothing.cleanup.delete, "an empty policy keeps all");
}

#[test]
fn what_cannot_be_obeyed_is_refused() {
    let cases: &[(Set, bool)] = &[
        (&[("segment.bytes", "1048576")], true),
        (&[("segment.bytes", "1048575")], false),
        (&[("retention.ms", "-2")], false),
        (&[("cleanup.policy", "compact,burn")], false),
        (&[("compression.gzip.level", "0")], false),
        (&[("compression.gzip.level", "9")], true),
        (&[("compression.lz4.level", "18")], false),
        (&[("remote.storage.enable", "true")], false),
        (&[("remote.storage.enable", "False")], true),
        (&[("local.retention.ms", "5")], true),
        (&[("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "9")], false),
        (&[("leader.replication.throttled.replicas", "0:1,1:2")], true),
        (&[("leader.replication.throttled.replicas", "*")], true),
        (&[("leader.replication.throttled.replicas", "0-1")], false),
        (&[("min.cleanable.dirty.ratio", "1.1")], false),
    ];
    for (topic, accepted) in cases {
        assert_eq!(check(&values(topic), &values(&[])).is_ok(), *accepted, "{topic:?}");
    }
}
