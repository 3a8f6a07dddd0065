//! Order, limits and manners on a connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dohle_base::ErrorCode;
use dohle_protocol::ApiKey;
use dohle_protocol::message::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use dohle_protocol::message::fetch::FetchRequest;
use dohle_protocol::message::metadata::MetadataRequest;
use dohle_protocol::message::produce::ProduceRequest;
use dohle_protocol::{Message, Reader};

use crate::broker::Broker;
use crate::client::{Client, PATIENCE, batch, fetch, produce};
use crate::producer::wait;
use crate::upkeep::get;

#[test]
fn requests_sent_at_once_are_answered_in_their_order() {
    let broker = Broker::new();
    let mut client = broker.client();
    client.created("t");
    for value in 0..200 {
        client.send(&produce("t", batch(&[&value.to_string()]).bytes().clone(), -1), 9);
        if value % 50 == 0 {
            client.send(&MetadataRequest::default(), 9);
        }
    }
    for value in 0..200 {
        let response = client.receive::<ProduceRequest>(9);
        assert_eq!(response.responses[0].partition_responses[0].base_offset, value);
        if value % 50 == 0 {
            client.receive::<MetadataRequest>(9);
        }
    }
}

#[test]
fn connections_that_go_to_another_core_lose_nothing_on_the_way() {
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1) {
        return eprintln!("skipped: there is one core");
    }
    let broker = Broker::with(&[("http.listener", "127.0.0.1:0"), ("log.durability", "relaxed")]);
    let moved = || {
        let page = get(broker.http(), "/metrics");
        let value = page.lines().find_map(|line| line.strip_prefix("dohle_connections_moved_total "));
        value.unwrap().parse::<u64>().unwrap()
    };
    let (begun, is_over) = (Instant::now(), AtomicBool::new(false));
    let work = |name: &str| {
        let mut client = broker.client();
        client.created(name);
        let records = batch(&["a", "b"]).bytes().clone();
        let mut offset = 0;
        while !is_over.load(Ordering::Relaxed) && begun.elapsed() < PATIENCE {
            // More than is answered at once, so that some are on their way whenever the connection is to go.
            (0..40).for_each(|_| client.send(&produce(name, records.clone(), 1), 9));
            for _ in 0..40 {
                let response = client.receive::<ProduceRequest>(9);
                assert_eq!(response.responses[0].partition_responses[0].base_offset, offset);
                offset += 2;
            }
            if name == "t0" && offset % 1_600 == 0 {
                is_over.store(moved() > 0, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for name in ["t0", "t1", "t2", "t3"] {
            scope.spawn(move || work(name));
        }
    });
    assert!(moved() > 0);
}

#[test]
fn a_version_from_the_future_is_told_what_there_is() {
    let broker = Broker::new();
    let mut client = broker.client();
    client.send_raw(&[0, 0, 0, 10, 0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff]);
    let mut reader = Reader::new(client.receive_raw().unwrap());
    assert_eq!(reader.i32(), 7);
    let response = ApiVersionsResponse::decode(&mut reader, 0).unwrap();
    assert_eq!(response.error_code, ErrorCode::UnsupportedVersion.code());
    let produce = response.api_keys.iter().find(|api| api.api_key == ApiKey::Produce.code()).unwrap();
    assert_eq!((produce.min_version, produce.max_version), (0, 13));
    let request = ApiVersionsRequest {
        client_software_name: "a test".into(),
        client_software_version: "1".into(),
        ..Default::default()
    };
    assert_eq!(client.ask(&request).error_code, ErrorCode::InvalidRequest.code());
}

#[test]
fn without_acknowledgement_there_is_no_answer_and_a_failure_ends_the_connection() {
    let broker = Broker::new();
    let mut client = broker.client();
    client.created("t");
    client.send(&produce("t", batch(&["a"]).bytes().clone(), 0), 9);
    // The next answer is that of the next request.
    assert_eq!(client.produce("t", &["b"]).base_offset, 1);
    client.send(&produce("nowhere", batch(&["a"]).bytes().clone(), 0), 9);
    assert!(client.is_closed());
}

#[test]
fn one_address_may_not_take_all_connections() {
    let broker = Broker::with(&[("max.connections.per.ip", "2")]);
    let (mut first, _second) = (broker.client(), broker.client());
    first.topic("t");
    let mut third = broker.client();
    assert!(third.is_closed());
    drop(first);
    // The place is free as soon as the broker has noticed that it is.
    let admitted = (0..1_000).any(|_| {
        let mut client = broker.client();
        client.send_raw(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff]);
        client.receive_raw().is_some()
    });
    assert!(admitted);
}

#[test]
fn memory_follows_what_arrives_and_not_what_is_claimed() {
    const CLIENTS: usize = 300;
    let broker = Broker::new();
    broker.client().topic("t");
    let before = reserved_bytes();
    let claims: Vec<Client> = (0..CLIENTS)
        .map(|_| {
            let mut client = broker.client();
            client.send_raw(&(100_i32 << 20).to_be_bytes());
            client.send_raw(&[0; 100]);
            client
        })
        .collect();
    // Others do not notice, and by then the claims have been read.
    let mut good = broker.client();
    good.created("t");
    assert_eq!(good.produce("t", &["a"]).error_code, 0);
    // Thirty gibibytes were claimed; the tests beside this one reserve some memory of their own.
    assert!(reserved_bytes().saturating_sub(before) < 8 << 30);
    drop(claims);
}

/// What the process has reserved, touched or not: a buffer made for a claim shows here before a byte of it has come.
fn reserved_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').next().unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn an_idle_connection_is_closed() {
    let broker = Broker::with(&[("connections.max.idle.ms", "200")]);
    assert!(broker.client().is_closed());
}

#[test]
fn a_request_that_waits_is_answered_before_the_broker_stops() {
    let mut broker = Broker::new();
    let mut client = broker.client();
    client.created("t");
    client.created("other");
    client.send(&fetch("t", 0, 1_000), 12);
    // A request may start beside one that waits: when this one was, the broker has the one before.
    client.send(&produce("other", batch(&["a"]).bytes().clone(), -1), 12);
    let mut witness = broker.client();
    while witness.values("other", 0).is_empty() {}
    broker.restart();
    let response = client.receive::<FetchRequest>(12);
    assert_eq!(response.responses[0].partitions[0].error_code, 0);
    client.receive::<ProduceRequest>(12);
    assert!(client.is_closed());
}

#[test]
fn a_client_that_means_another_cluster_or_node_is_told_to_look_anew() {
    let broker = Broker::new();
    let mut client = broker.client();
    let cluster = client.ask(&MetadataRequest::default()).cluster_id.unwrap();
    let ask = |client: &mut Client, cluster: Option<&str>, node_id: i32| {
        let request = ApiVersionsRequest {
            client_software_name: "test".into(),
            client_software_version: "1".into(),
            cluster_id: cluster.map(Into::into),
            node_id,
            ..Default::default()
        };
        client.ask_in(&request, 5).error_code
    };
    let elsewhere = ErrorCode::RebootstrapRequired.code();
    assert_eq!(ask(&mut client, Some(&cluster), 1), 0);
    assert_eq!(ask(&mut client, None, 7), 0, "without a cluster nothing is meant");
    assert_eq!(ask(&mut client, Some(&cluster), 2), elsewhere);
    assert_eq!(ask(&mut client, Some("another"), 1), elsewhere);
}

#[test]
fn a_broker_that_stops_does_not_wait_for_a_reader_that_does() {
    let mut broker = Broker::new();
    let mut client = broker.client();
    client.created("t");
    client.created("u");
    client.send(&fetch("t", 0, 600_000), 11);
    client.send(&produce("u", batch(&["a"]).bytes().clone(), -1), 9);
    // Requests start in their order: once the second has done its work, the first is waiting.
    let mut witness = broker.client();
    wait("the second request has done its work", || !witness.values("u", 0).is_empty());
    let begun = Instant::now();
    broker.restart();
    assert!(begun.elapsed() < Duration::from_secs(60), "ten minutes were not waited for");
    assert!(client.receive_raw().is_some() && client.receive_raw().is_some(), "who waits is answered before the end");
}
