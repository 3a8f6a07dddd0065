//! What a broker does by itself: retention, deletion, and what it tells of itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use dohle_base::{ErrorCode, Timestamp};
use dohle_protocol::message::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use dohle_protocol::message::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use dohle_protocol::message::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use dohle_records::batch::encode::{Builder, Entry, Settings};
use dohle_records::{Batch, Batches, Budget};

use crate::broker::Broker;
use crate::client::{Client, PATIENCE, batch};

const EARLIEST: i64 = -2;

fn create(client: &mut Client, name: &str, configs: &[(&str, &str)]) {
    let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
        name: (*name).into(),
        value: Some((*value).into()),
        ..Default::default()
    };
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: 1,
        replication_factor: 1,
        configs: configs.iter().map(config).collect(),
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    assert_eq!(client.ask(&request).topics[0].error_code, 0);
}

fn earliest(client: &mut Client, topic: &str) -> i64 {
    let partition = ListOffsetsPartition { timestamp: EARLIEST, ..Default::default() };
    let topic = ListOffsetsTopic { name: topic.into(), partitions: vec![partition], ..Default::default() };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    client.ask(&request).topics[0].partitions[0].offset
}

#[test]
fn what_retention_does_not_keep_is_dropped() {
    let broker = Broker::with(&[("log.retention.check.interval.ms", "100")]);
    let mut client = broker.client();
    create(&mut client, "t", &[("segment.bytes", "1048576"), ("retention.bytes", "1048576"), ("retention.ms", "-1")]);
    let large = "x".repeat(600_000);
    for _ in 0..5 {
        assert_eq!(client.produce_bytes("t", batch(&[&large]).bytes().clone()).error_code, 0);
    }
    let begun = Instant::now();
    // Each batch is a segment: the newest two are more than the limit, and with either gone they would be less.
    while earliest(&mut client, "t") < 3 {
        assert!(begun.elapsed() < PATIENCE, "too little was dropped");
    }
    let below = client.fetch("t", 0);
    assert_eq!(below.responses[0].partitions[0].error_code, ErrorCode::OffsetOutOfRange.code());
    assert_eq!(earliest(&mut client, "t"), 3);
    assert_eq!(client.values("t", 3)[0], large);
}

#[test]
fn a_topic_made_anew_under_an_old_name_has_none_of_the_old_records() {
    let mut broker = Broker::new();
    let mut client = broker.client();
    create(&mut client, "t", &[]);
    let old = client.created("t");
    client.produce("t", &["old"]);
    let state = DeleteTopicState { name: Some("t".into()), ..Default::default() };
    let request = DeleteTopicsRequest { topics: vec![state], timeout_ms: 10_000, ..Default::default() };
    assert_eq!(client.ask(&request).responses[0].error_code, 0);
    create(&mut client, "t", &[]);
    assert_ne!(client.created("t"), old);
    assert!(client.values("t", 0).is_empty());
    assert_eq!(client.produce("t", &["new"]).base_offset, 0);
    broker.restart();
    let mut client = broker.client();
    client.created("t");
    assert_eq!(client.values("t", 0), ["new"]);
}

#[test]
fn a_broker_tells_how_it_is_over_http() {
    let broker = Broker::with(&[("http.listener", "127.0.0.1:0")]);
    let mut client = broker.client();
    client.created("t");
    client.produce("t", &["a", "b"]);
    let http = broker.http();
    assert!(get(http, "/health").ends_with("ok\n"));
    let metrics = get(http, "/metrics");
    for line in [
        "dohle_topic_messages_in_total{topic=\"t\"} 2\n",
        "kafka_topic_partition_current_offset{topic=\"t\",partition=\"0\"} 2\n",
        "dohle_request_outcomes_total{api=\"Produce\",error=\"NONE\"} 1\n",
        "dohle_connections 1\n",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

/// How many files of a partition this process holds open.
#[cfg(target_os = "linux")]
fn held(broker: &Broker, partition: &str) -> usize {
    let dir = std::fs::canonicalize(broker.file(partition)).unwrap();
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    open.filter(|entry| std::fs::read_link(entry.as_ref().unwrap().path()).is_ok_and(|to| to.starts_with(&dir))).count()
}

#[test]
#[cfg(target_os = "linux")]
fn a_partition_that_is_quiet_holds_no_open_file_however_it_was_woken() {
    let broker = Broker::new();
    let mut client = broker.client();
    client.created("t");
    client.produce("t", &["a"]);
    let rests = || {
        let begun = Instant::now();
        while held(&broker, "t-0") > 0 {
            assert!(begun.elapsed() < PATIENCE, "it is still open");
            std::thread::yield_now();
        }
    };
    rests();
    assert_eq!(client.values("t", 0), ["a"]);
    rests();
    assert_eq!(client.produce("t", &["b"]).base_offset, 1);
    rests();
    assert_eq!(client.values("t", 0), ["a", "b"]);
}

pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

/// A batch with one keyed record.
fn keyed(key: &str, value: Option<&[u8]>) -> bytes::Bytes {
    let mut builder = Builder::new(Settings::default());
    let timestamp = Timestamp(1_700_000_000_000);
    builder.append(&Entry { timestamp, key: Some(key.as_bytes()), value, headers: &[] }).unwrap();
    builder.finish().bytes().clone()
}

/// The offsets of all records that are left.
fn offsets(client: &mut Client) -> Vec<i64> {
    let (mut found, mut next) = (vec![], 0);
    loop {
        let records = client.fetch("t", next).responses.remove(0).partitions.remove(0).records;
        let batches: Vec<Batch> = Batches::over(records.unwrap().into_held()).map(Result::unwrap).collect();
        let Some(last) = batches.last() else { return found };
        next = last.header().next_offset().0;
        for batch in &batches {
            found.extend(batch.records(Budget::default()).unwrap().map(|record| record.unwrap().offset.0));
        }
    }
}

#[test]
fn a_compacted_topic_keeps_the_last_value_of_each_key_and_says_so() {
    let mut broker = Broker::with(&[
        ("log.cleaner.backoff.ms", "50"),
        ("log.flush.offset.checkpoint.interval.ms", "100"),
        ("http.listener", "127.0.0.1:0"),
    ]);
    let mut client = broker.client();
    let configs = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "1048576"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("file.delete.delay.ms", "0"),
    ];
    create(&mut client, "t", &configs);
    let large = vec![b'x'; 300_000];
    for n in 0..12 {
        let key = ["a", "b", "c"][n % 3];
        assert_eq!(client.produce_bytes("t", keyed(key, Some(&large))).error_code, 0);
    }
    let http = broker.http();
    let begun = Instant::now();
    while !get(http, "/metrics").contains("dohle_cleaner_records_removed_total 6\n") {
        assert!(begun.elapsed() < PATIENCE, "{}", get(http, "/metrics"));
    }
    // The newest three are in the segment that is written to.
    assert_eq!(offsets(&mut client), [6, 7, 8, 9, 10, 11]);
    assert_eq!(earliest(&mut client, "t"), 0, "the start is where it was");
    broker.restart();
    assert_eq!(offsets(&mut broker.client()), [6, 7, 8, 9, 10, 11]);
}

#[test]
fn a_flipped_bit_is_found_and_its_records_are_served_no_more() {
    let broker = Broker::with(&[
        ("log.scrub.interval.ms", "300"),
        ("log.scrub.max.bytes.per.second", "1073741824"),
        ("http.listener", "127.0.0.1:0"),
    ]);
    let mut client = broker.client();
    create(&mut client, "t", &[("segment.bytes", "1048576")]);
    let large = "x".repeat(600_000);
    for _ in 0..4 {
        assert_eq!(client.produce_bytes("t", batch(&[&large]).bytes().clone()).error_code, 0);
    }
    let path = broker.file("t-0/00000000000000000001.log");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[300_000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let begun = Instant::now();
    while !get(broker.http(), "/metrics").contains("dohle_damaged_places 1\n") {
        assert!(begun.elapsed() < PATIENCE, "{}", get(broker.http(), "/metrics"));
    }
    let error = |client: &mut Client, offset| client.fetch("t", offset).responses[0].partitions[0].error_code;
    assert_eq!(error(&mut client, 1), ErrorCode::KafkaStorageError.code());
    assert_eq!(error(&mut client, 0), 0);
    assert_eq!(client.values("t", 2)[0], large);
}
