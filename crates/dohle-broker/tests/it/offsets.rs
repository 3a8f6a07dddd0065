//! Offsets of partitions: found by word and by time, by epoch, and deleted up to.

use dohle_base::{ErrorCode, ProducerEpoch, ProducerId, Timestamp};
use dohle_protocol::message::delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use dohle_protocol::message::delete_topics::DeleteTopicState;
use dohle_protocol::message::describe_log_dirs::{DescribableLogDirTopic, DescribeLogDirsRequest};
use dohle_protocol::message::describe_producers::{DescribeProducersRequest, TopicRequest};
use dohle_protocol::message::init_producer_id::InitProducerIdRequest;
use dohle_protocol::message::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsTopic,
};
use dohle_protocol::message::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use dohle_records::Batch;
use dohle_records::batch::encode::{Builder, Entry, Producer, Settings};

use crate::broker::Broker;
use crate::client::Client;
use crate::topics::{self, create, topic, with};

fn list(client: &mut Client, asked: &[(i32, i64)], version: i16) -> Vec<ListOffsetsPartitionResponse> {
    let partition = |(partition_index, timestamp): &(i32, i64)| ListOffsetsPartition {
        partition_index: *partition_index,
        timestamp: *timestamp,
        ..Default::default()
    };
    let partitions = asked.iter().map(partition).collect();
    let topics = vec![ListOffsetsTopic { name: "t".into(), partitions, ..Default::default() }];
    let request = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
    client.ask_in(&request, version).topics.remove(0).partitions
}

fn at_times(times: &[i64]) -> Batch {
    let mut builder = Builder::new(Settings::default());
    for time in times {
        builder.append(&Entry { timestamp: Timestamp(*time), value: Some(b"x"), ..Default::default() }).unwrap();
    }
    builder.finish()
}

#[test]
fn offsets_are_found_by_word_and_by_time() {
    let broker = Broker::new();
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    assert_eq!(list(&mut client, &[(0, -3)], 11)[0].offset, -1);
    client.produce_bytes("t", at_times(&[100, 300, 200]).bytes().clone());
    client.produce_bytes("t", at_times(&[250, 400]).bytes().clone());
    let cases = [
        (-2, 0, -1),
        (-1, 5, -1),
        (-3, 4, 400),
        (-4, 0, -1),
        (-5, -1, -1),
        (-6, -1, -1),
        (0, 0, 100),
        (101, 1, 300),
        (301, 4, 400),
        (401, -1, -1),
    ];
    for (time, offset, timestamp) in cases {
        let found = list(&mut client, &[(0, time)], 11).remove(0);
        assert_eq!((found.error_code, found.offset, found.timestamp), (0, offset, timestamp), "{time}");
    }
    assert_eq!(list(&mut client, &[(0, -1)], 3)[0].leader_epoch, -1);
    assert_eq!(list(&mut client, &[(0, -1)], 4)[0].leader_epoch, 0);
    assert_eq!(list(&mut client, &[(0, -3)], 6)[0].error_code, ErrorCode::UnsupportedVersion.code());
    assert_eq!(list(&mut client, &[(9, -1)], 11)[0].error_code, ErrorCode::UnknownTopicOrPartition.code());
    let twice = list(&mut client, &[(0, -1), (0, -2)], 11);
    assert!(twice.iter().all(|found| found.error_code == ErrorCode::InvalidRequest.code()));
}

pub(crate) fn delete(client: &mut Client, name: &str, index: i32, offset: i64) -> (ErrorCode, i64) {
    let partition = DeleteRecordsPartition { partition_index: index, offset, ..Default::default() };
    let topics = vec![DeleteRecordsTopic { name: name.into(), partitions: vec![partition], ..Default::default() }];
    let request = DeleteRecordsRequest { topics, timeout_ms: 1_000, ..Default::default() };
    let result = client.ask(&request).topics.remove(0).partitions.remove(0);
    (ErrorCode::from_code(result.error_code), result.low_watermark)
}

#[test]
fn records_are_deleted_up_to_an_offset_and_stay_deleted() {
    let mut broker = Broker::new();
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1), with(topic("compacted", 1), "cleanup.policy", "compact")]);
    client.produce("t", &["a", "b", "c"]);
    assert_eq!(delete(&mut client, "t", 0, 4), (ErrorCode::OffsetOutOfRange, -1));
    assert_eq!(delete(&mut client, "t", 0, -2), (ErrorCode::OffsetOutOfRange, -1));
    assert_eq!(delete(&mut client, "t", 1, 1), (ErrorCode::UnknownTopicOrPartition, -1));
    assert_eq!(delete(&mut client, "compacted", 0, 0), (ErrorCode::PolicyViolation, -1));
    assert_eq!(delete(&mut client, "t", 0, 2), (ErrorCode::None, 2));
    assert_eq!(delete(&mut client, "t", 0, 1), (ErrorCode::None, 2));
    let below = client.fetch("t", 1).responses.remove(0).partitions.remove(0);
    let place = (below.error_code, below.high_watermark, below.log_start_offset);
    assert_eq!(place, (ErrorCode::OffsetOutOfRange.code(), 3, 2));
    assert_eq!(list(&mut client, &[(0, -2)], 11)[0].offset, 2);
    let killed = broker.survivor();
    assert_eq!(list(&mut killed.client(), &[(0, -2)], 11)[0].offset, 2, "what was acknowledged is kept over a crash");
    broker.restart();
    let mut client = broker.client();
    assert_eq!(list(&mut client, &[(0, -2)], 11)[0].offset, 2);
    assert_eq!(delete(&mut client, "t", 0, -1), (ErrorCode::None, 3));
    assert_eq!(list(&mut client, &[(0, -2)], 11)[0].offset, 3);
}

#[test]
fn what_was_written_down_of_a_deleted_log_does_not_meet_the_next_of_its_name() {
    for restarts in [false, true] {
        let mut broker = Broker::new();
        let mut client = broker.client();
        create(&mut client, vec![topic("t", 1)]);
        client.produce("t", &["a", "b", "c", "d", "e"]);
        assert_eq!(delete(&mut client, "t", 0, 4), (ErrorCode::None, 4));
        if restarts {
            broker.restart();
            client = broker.client();
        }
        let gone = DeleteTopicState { name: Some("t".into()), ..Default::default() };
        assert_eq!(topics::delete(&mut client, vec![gone])[0].error_code, 0);
        create(&mut client, vec![topic("t", 1)]);
        assert_eq!(client.produce("t", &["x", "y"]).base_offset, 0);
        let killed = broker.survivor();
        assert_eq!(killed.client().values("t", 0), ["x", "y"], "restarted: {restarts}");
        assert_eq!(list(&mut killed.client(), &[(0, -2)], 11)[0].offset, 0);
    }
}

fn end_of(client: &mut Client, index: i32, epoch: i32, current: i32) -> EpochEndOffset {
    let partition = OffsetForLeaderPartition {
        partition: index,
        leader_epoch: epoch,
        current_leader_epoch: current,
        ..Default::default()
    };
    let topics = vec![OffsetForLeaderTopic { topic: "t".into(), partitions: vec![partition], ..Default::default() }];
    let request = OffsetForLeaderEpochRequest { replica_id: -1, topics, ..Default::default() };
    client.ask(&request).topics.remove(0).partitions.remove(0)
}

#[test]
fn a_reader_learns_where_an_epoch_ends() {
    let broker = Broker::new();
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    client.produce("t", &["a", "b"]);
    let found = end_of(&mut client, 0, 0, 0);
    assert_eq!((found.error_code, found.leader_epoch, found.end_offset), (0, 0, 2));
    let newer = end_of(&mut client, 0, 5, -1);
    assert_eq!((newer.error_code, newer.leader_epoch, newer.end_offset), (0, -1, -1));
    assert_eq!(end_of(&mut client, 0, 0, 5).error_code, ErrorCode::UnknownLeaderEpoch.code());
    assert_eq!(end_of(&mut client, 3, 0, -1).error_code, ErrorCode::UnknownTopicOrPartition.code());
}

#[test]
fn a_producer_gets_a_number_of_its_own_and_is_described_where_it_wrote() {
    let broker = Broker::new();
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    let plain = InitProducerIdRequest { transactional_id: None, ..Default::default() };
    let first = client.ask(&plain);
    let second = client.ask(&plain);
    assert_eq!((first.error_code, first.producer_epoch, second.error_code), (0, 0, 0));
    assert_ne!(first.producer_id, second.producer_id);
    let producer = Producer { id: ProducerId(first.producer_id), epoch: ProducerEpoch(0), base_sequence: 0 };
    let mut builder = Builder::new(Settings { producer: Some(producer), ..Settings::default() });
    for _ in 0..2 {
        builder.append(&Entry { timestamp: Timestamp(5), value: Some(b"x"), ..Default::default() }).unwrap();
    }
    let batch = builder.finish();
    assert_eq!(client.produce_bytes("t", batch.bytes().clone()).base_offset, 0);
    assert_eq!(client.produce_bytes("t", batch.bytes().clone()).base_offset, 0, "what is sent twice is kept once");
    let asked = TopicRequest { name: "t".into(), partition_indexes: vec![0, 7], ..Default::default() };
    let request = DescribeProducersRequest { topics: vec![asked], ..Default::default() };
    let described = client.ask(&request).topics.remove(0).partitions;
    let known = &described[0].active_producers[0];
    assert_eq!((known.producer_id, known.producer_epoch, known.last_sequence), (first.producer_id, 0, 1));
    assert_eq!((known.last_timestamp, known.current_txn_start_offset), (5, -1));
    assert_eq!(described[1].error_code, ErrorCode::UnknownTopicOrPartition.code());
}

#[test]
fn a_producer_says_who_it_was_in_full_or_not_at_all() {
    let broker = Broker::new();
    let mut client = broker.client();
    let mut ask = |transactional_id: Option<&str>, producer_epoch| {
        let transactional_id = transactional_id.map(Into::into);
        let request = InitProducerIdRequest { transactional_id, producer_id: -1, producer_epoch, ..Default::default() };
        ErrorCode::from_code(client.ask(&request).error_code)
    };
    assert_eq!(ask(Some("tx"), 0), ErrorCode::InvalidRequest);
    assert_eq!(ask(None, 0), ErrorCode::InvalidRequest);
}

#[test]
fn the_disks_tell_what_lies_on_them() {
    let broker = Broker::new();
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 2), topic("u", 1)]);
    client.produce("t", &["a"]);
    let all = client.ask(&DescribeLogDirsRequest { topics: None, ..Default::default() });
    assert_eq!((all.error_code, all.results.len()), (0, 1));
    let disk = &all.results[0];
    assert!(disk.log_dir.starts_with('/') && disk.total_bytes > disk.usable_bytes && disk.usable_bytes > 0);
    let sizes = |name: &str| {
        let topic = disk.topics.iter().find(|topic| topic.name == name).unwrap();
        topic.partitions.iter().map(|partition| (partition.partition_index, partition.partition_size > 0)).collect()
    };
    let (t, u): (Vec<_>, Vec<_>) = (sizes("t"), sizes("u"));
    assert_eq!((&t[..], &u[..]), (&[(0, true), (1, false)][..], &[(0, false)][..]));
    let one = DescribableLogDirTopic { topic: "t".into(), partitions: vec![1], ..Default::default() };
    let some = client.ask(&DescribeLogDirsRequest { topics: Some(vec![one]), ..Default::default() });
    assert_eq!(some.results[0].topics.len(), 1);
    assert_eq!(some.results[0].topics[0].partitions[0].partition_index, 1);
}
