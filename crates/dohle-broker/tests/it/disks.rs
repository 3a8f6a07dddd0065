//! Disks that are nearly full, and directories that cannot be used.

use std::path::Path;

use dohle_base::ErrorCode;
use dohle_broker::{Properties, Running, Settings, start};
use dohle_protocol::message::create_topics::{CreatableTopic, CreateTopicsRequest};
use dohle_protocol::message::delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use dohle_protocol::message::describe_log_dirs::DescribeLogDirsRequest;
use dohle_protocol::message::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use dohle_protocol::message::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use dohle_protocol::message::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};

use crate::broker::Broker;
use crate::client::{Client, batch, fetch};

pub(crate) fn run(dirs: &[&Path], extra: &[(&str, &str)]) -> Running {
    let mut properties = Properties::new();
    properties.extend(extra.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    let dirs: Vec<&str> = dirs.iter().map(|dir| dir.to_str().unwrap()).collect();
    properties.insert("log.dirs".to_owned(), dirs.join(","));
    properties.insert("listeners".to_owned(), "PLAINTEXT://127.0.0.1:0".to_owned());
    start(Settings::resolve(properties).unwrap()).unwrap()
}

pub(crate) fn call(running: &Running) -> Client {
    Client::connect(running.listeners()[0].advertised.address().unwrap())
}

pub(crate) fn create(client: &mut Client, name: &str, num_partitions: i32) {
    let topic = CreatableTopic { name: name.into(), num_partitions, replication_factor: 1, ..Default::default() };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    assert_eq!(client.ask(&request).topics[0].error_code, 0);
}

/// Writes a record to a partition; says where it went.
pub(crate) fn produce(client: &mut Client, topic: &str, index: i32) -> Result<i64, ErrorCode> {
    let records = Some(batch(&["x"]).bytes().clone());
    let partition = PartitionProduceData { index, records: records.map(Into::into), ..Default::default() };
    let topic = TopicProduceData { name: topic.into(), partition_data: vec![partition], ..Default::default() };
    let request = ProduceRequest { acks: -1, timeout_ms: 10_000, topic_data: vec![topic], ..Default::default() };
    let answer = client.ask_in(&request, 12).responses.remove(0).partition_responses.remove(0);
    match ErrorCode::from_code(answer.error_code) {
        ErrorCode::None => Ok(answer.base_offset),
        code => Err(code),
    }
}

/// What Fetch, ListOffsets, OffsetForLeaderEpoch and DeleteRecords say of a partition.
fn others(client: &mut Client, topic: &str, index: i32) -> [ErrorCode; 4] {
    let mut fetch = fetch(topic, 0, 0);
    fetch.topics[0].partitions[0].partition = index;
    let fetched = client.ask_in(&fetch, 12).responses[0].partitions[0].error_code;
    let asked = ListOffsetsPartition { partition_index: index, timestamp: -1, ..Default::default() };
    let asked = ListOffsetsTopic { name: topic.into(), partitions: vec![asked], ..Default::default() };
    let listed = client.ask(&ListOffsetsRequest { replica_id: -1, topics: vec![asked], ..Default::default() });
    let asked = OffsetForLeaderPartition { partition: index, current_leader_epoch: -1, ..Default::default() };
    let asked = OffsetForLeaderTopic { topic: topic.into(), partitions: vec![asked], ..Default::default() };
    let ended = client.ask(&OffsetForLeaderEpochRequest { replica_id: -1, topics: vec![asked], ..Default::default() });
    let asked = DeleteRecordsPartition { partition_index: index, offset: 0, ..Default::default() };
    let asked = DeleteRecordsTopic { name: topic.into(), partitions: vec![asked], ..Default::default() };
    let deleted = client.ask(&DeleteRecordsRequest { topics: vec![asked], timeout_ms: 10_000, ..Default::default() });
    let codes = [
        fetched,
        listed.topics[0].partitions[0].error_code,
        ended.topics[0].partitions[0].error_code,
        deleted.topics[0].partitions[0].error_code,
    ];
    codes.map(ErrorCode::from_code)
}

#[test]
fn below_the_low_water_mark_batches_are_refused_and_all_else_goes_on() {
    let broker = Broker::with(&[("log.dirs.free.bytes.min", "9223372036854775807")]);
    let mut client = broker.client();
    client.created("t");
    let refused = client.produce("t", &["x"]);
    assert_eq!(refused.error_code, ErrorCode::KafkaStorageError.code());
    assert!(refused.error_message.unwrap().contains("nearly full"));
    assert!(client.values("t", 0).is_empty(), "readers are served");
    create(&mut client, "u", 1);
    let roomy = Broker::with(&[("log.dirs.free.bytes.min", "0")]);
    let mut client = roomy.client();
    client.created("t");
    assert_eq!(client.produce("t", &["x"]).error_code, 0, "without a mark batches are taken");
}

#[test]
fn a_directory_that_cannot_be_used_is_offline_alone_and_nothing_takes_its_place() {
    let home = tempfile::tempdir().unwrap();
    let (one, two, away) = (home.path().join("one"), home.path().join("two"), home.path().join("away"));
    let running = run(&[&one, &two], &[]);
    let mut client = call(&running);
    create(&mut client, "t", 6);
    (0..6).for_each(|index| assert_eq!(produce(&mut client, "t", index), Ok(0)));
    drop(client);
    running.stop();
    let in_two: Vec<i32> = (0..6).filter(|index| two.join(format!("t-{index}")).is_dir()).collect();
    assert_eq!(in_two.len(), 3, "partitions are spread over the directories");

    std::fs::rename(&two, &away).unwrap();
    std::fs::write(&two, "not a directory").unwrap();
    let running = run(&[&one, &two], &[]);
    let mut client = call(&running);
    for index in 0..6 {
        let expected = if in_two.contains(&index) { ErrorCode::KafkaStorageError } else { ErrorCode::None };
        assert_eq!(produce(&mut client, "t", index).err().unwrap_or(ErrorCode::None), expected, "partition {index}");
        assert_eq!(others(&mut client, "t", index), [expected; 4], "partition {index}");
        assert_eq!(one.join(format!("t-{index}")).is_dir(), !in_two.contains(&index), "none is begun anew");
    }
    create(&mut client, "new", 2);
    assert_eq!((produce(&mut client, "new", 0), produce(&mut client, "new", 1)), (Ok(0), Ok(0)));
    let described = client.ask(&DescribeLogDirsRequest { topics: None, ..Default::default() });
    let codes: Vec<i16> = described.results.iter().map(|result| result.error_code).collect();
    assert_eq!(codes, [0, ErrorCode::KafkaStorageError.code()]);
    drop(client);
    running.stop();

    std::fs::remove_file(&two).unwrap();
    std::fs::rename(&away, &two).unwrap();
    let running = run(&[&one, &two], &[]);
    let mut client = call(&running);
    for index in 0..6 {
        let expected = if in_two.contains(&index) { 1 } else { 2 };
        assert_eq!(produce(&mut client, "t", index), Ok(expected), "partition {index}");
    }
    drop(client);
    running.stop();
}

#[test]
fn a_broker_does_not_start_without_its_metadata() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    std::fs::write(&dir, "not a directory").unwrap();
    let mut properties = Properties::new();
    properties.insert("log.dirs".to_owned(), dir.to_str().unwrap().to_owned());
    properties.insert("listeners".to_owned(), "PLAINTEXT://127.0.0.1:0".to_owned());
    assert!(start(Settings::resolve(properties).unwrap()).is_err());
}
