//! What a broker does by itself: retention, deletion, and what it tells of itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use dohle_base::ErrorCode;
use dohle_protocol::message::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use dohle_protocol::message::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use dohle_protocol::message::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};

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

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}
