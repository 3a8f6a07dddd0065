//! Producing and fetching over a socket.

use bytes::Bytes;
use dohle_base::ErrorCode;
use dohle_protocol::header::Head;
use dohle_protocol::message::fetch::{FetchPartition, FetchRequest};
use dohle_protocol::message::find_coordinator::FindCoordinatorRequest;
use dohle_protocol::message::produce::ProduceRequest;
use dohle_protocol::{ApiKey, Records};

use crate::broker::Broker;
use crate::client::{Client, batch, fetch, produce, values};

#[test]
fn what_was_produced_is_fetched_and_survives_a_restart() {
    let mut broker = Broker::new();
    let mut client = broker.client();
    assert_eq!(client.topic("t").error_code, ErrorCode::UnknownTopicOrPartition.code());
    client.created("t");
    let first = client.produce("t", &["a", "b"]);
    assert_eq!((first.error_code, first.base_offset), (0, 0));
    assert_eq!(client.produce("t", &["c"]).base_offset, 2);
    assert_eq!(client.values("t", 0), ["a", "b", "c"]);
    broker.restart();
    let mut client = broker.client();
    client.created("t");
    assert_eq!(client.values("t", 2), ["c"]);
    assert_eq!(client.produce("t", &["d"]).base_offset, 3);
    assert_eq!(client.values("t", 2), ["c", "d"]);
}

#[test]
fn a_fetch_waits_for_records_and_gets_them_when_they_come() {
    let broker = Broker::new();
    let mut reader = broker.client();
    reader.created("t");
    reader.send(&fetch("t", 0, 15_000), 12);
    let mut writer = broker.client();
    assert_eq!(writer.produce("t", &["late"]).error_code, 0);
    assert_eq!(values(reader.receive::<FetchRequest>(12)), ["late"]);
    let empty = reader.fetch("t", 1);
    assert_eq!(empty.responses[0].partitions[0].records, Some(Records::default()));
    let beyond = reader.fetch("t", 9);
    assert_eq!(beyond.responses[0].partitions[0].error_code, ErrorCode::OffsetOutOfRange.code());
}

#[test]
fn a_connection_that_speaks_nonsense_is_closed_and_others_do_not_notice() {
    let broker = Broker::new();
    let mut good = broker.client();
    good.created("t");
    let cases: &[&[u8]] = &[
        &(-1_i32).to_be_bytes(),
        &i32::MAX.to_be_bytes(),
        &0_i32.to_be_bytes(),
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x16, 3, 1, 2, 0, 1, 0],
        // An API that nobody knows.
        &[0, 0, 0, 10, 0x27, 0x0f, 0, 0, 0, 0, 0, 1, 0xff, 0xff],
        // A version that nobody knows.
        &[0, 0, 0, 10, 0, 3, 0, 99, 0, 0, 0, 1, 0xff, 0xff],
    ];
    for bytes in cases {
        let mut bad = Client::connect(broker.address());
        bad.send_raw(bytes);
        assert!(bad.is_closed(), "{bytes:?}");
        assert_eq!(good.produce("t", &["x"]).error_code, 0);
    }
}

#[test]
fn a_batch_that_breaks_a_rule_is_refused_with_kafkas_own_code() {
    let broker = Broker::new();
    let mut client = broker.client();
    client.created("t");
    let good = batch(&["a"]).bytes().clone();
    let flipped = |at: usize| {
        let mut bytes = good.to_vec();
        bytes[at] ^= 0x55;
        Bytes::from(bytes)
    };
    let twice = Bytes::from([good.clone(), good.clone()].concat());
    let cases = [
        (Bytes::new(), ErrorCode::InvalidRecord),
        (twice, ErrorCode::InvalidRecord),
        (good.slice(..good.len() - 1), ErrorCode::InvalidRecord),
        (flipped(good.len() - 1), ErrorCode::CorruptMessage),
        (flipped(16), ErrorCode::CorruptMessage),
        (flipped(0), ErrorCode::InvalidRecord),
    ];
    for (bytes, code) in cases {
        assert_eq!(client.produce_bytes("t", bytes).error_code, code.code(), "{code}");
    }
    let unknown = client.produce_bytes("nowhere", good.clone());
    assert_eq!(unknown.error_code, ErrorCode::UnknownTopicOrPartition.code());
    let acks = client.ask_in(&produce("t", good.clone(), 2), 9);
    let code = acks.responses[0].partition_responses[0].error_code;
    assert_eq!(code, ErrorCode::InvalidRequiredAcks.code());
    assert_eq!(client.produce_bytes("t", good).base_offset, 0, "nothing was appended");
}

#[test]
fn a_partition_that_is_named_twice_is_waited_for_once() {
    let broker = Broker::new();
    let (mut reader, mut writer) = (broker.client(), broker.client());
    writer.created("t");
    let mut request = fetch("t", 0, 30_000);
    let again = request.topics[0].partitions[0].clone();
    request.topics[0].partitions.push(again);
    reader.send(&request, 4);
    assert_eq!(writer.produce("t", &["a"]).error_code, 0);
    assert_eq!(values(reader.receive::<FetchRequest>(4)), ["a"]);
}

#[test]
fn nobody_writes_to_an_internal_topic_whatever_he_calls_himself() {
    let broker = Broker::with(&[("offsets.topic.num.partitions", "1")]);
    let mut client = broker.client();
    let find = FindCoordinatorRequest { key: "g".into(), ..Default::default() };
    client.ask_in(&find, 2);
    client.created("__consumer_offsets");
    let head = Head { api: ApiKey::Produce, version: 9, correlation_id: 1, client_id: Some("__admin_client".into()) };
    let request = produce("__consumer_offsets", batch(&["a"]).bytes().clone(), -1);
    client.send_raw(&head.frame(&request).unwrap().into_bytes());
    let response = client.receive::<ProduceRequest>(9);
    let code = response.responses[0].partition_responses[0].error_code;
    assert_eq!(code, ErrorCode::InvalidTopic.code());
}

#[test]
fn large_records_of_several_partitions_arrive_as_they_were_written() {
    let broker = Broker::with(&[("num.partitions", "3")]);
    let mut client = broker.client();
    client.created("t");
    // Some are sent from the log unread, some are copied into the answer; a slow reader gets them in pieces.
    let value = |size: usize, seed: u8| (0..size).map(|at| (b'a' + (at as u8 ^ seed) % 26) as char).collect::<String>();
    let sizes = [100, 40_000, 900_000];
    for round in 0..4 {
        for (index, size) in sizes.iter().enumerate() {
            let mut request = produce("t", batch(&[&value(*size, round)]).bytes().clone(), -1);
            request.topic_data[0].partition_data[0].index = index as i32;
            let response = client.ask_in(&request, 9);
            assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
        }
    }
    let mut request = fetch("t", 0, 0);
    request.topics[0].partitions = (0..3)
        .map(|partition| FetchPartition { partition, partition_max_bytes: 8 << 20, ..Default::default() })
        .collect();
    for _ in 0..5 {
        client.send(&request, 11);
    }
    let expected: Vec<String> = sizes.iter().flat_map(|size| (0..4).map(|round| value(*size, round))).collect();
    for _ in 0..5 {
        assert!(values(client.receive::<FetchRequest>(11)) == expected);
    }
}
