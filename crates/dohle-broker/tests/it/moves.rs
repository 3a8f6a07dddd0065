//! Partitions that go from one log directory to another.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use dohle_base::ErrorCode;
use dohle_broker::Running;
use dohle_protocol::message::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};
use dohle_protocol::message::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use dohle_protocol::message::delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use dohle_protocol::message::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use dohle_protocol::message::describe_log_dirs::DescribeLogDirsRequest;
use dohle_protocol::message::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use tempfile::TempDir;

use crate::client::{Client, PATIENCE, batch};
use crate::disks::{call, create, run};

/// A broker over two directories.
struct Pair {
    _home: TempDir,
    dirs: [PathBuf; 2],
    running: Option<Running>,
}

impl Pair {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let dirs = [home.path().join("one"), home.path().join("two")];
        let mut pair = Self { _home: home, dirs, running: None };
        pair.start();
        pair
    }

    fn start(&mut self) {
        self.running = Some(run(&[&self.dirs[0], &self.dirs[1]], &[("log.cleaner.backoff.ms", "1")]));
    }

    fn stop(&mut self) {
        self.running.take().unwrap().stop();
    }

    fn client(&self) -> Client {
        call(self.running.as_ref().unwrap())
    }

    /// Where `t-0` lies, and where it does not.
    fn places(&self) -> (PathBuf, PathBuf) {
        let [one, two] = self.dirs.clone();
        if one.join("t-0").is_dir() { (one, two) } else { (two, one) }
    }

    /// Lets `t-0` lie in `dir` and waits until it does.
    fn move_to(&self, client: &mut Client, dir: &Path) {
        assert_eq!(alter(client, "t", 0, dir), ErrorCode::None);
        let begun = Instant::now();
        while lies_in(client, dir) != [false] {
            assert!(begun.elapsed() < PATIENCE, "it never came");
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

fn alter(client: &mut Client, topic: &str, index: i32, dir: &Path) -> ErrorCode {
    let topics = vec![AlterReplicaLogDirTopic { name: topic.into(), partitions: vec![index], ..Default::default() }];
    let dir = AlterReplicaLogDir { path: dir.to_str().unwrap().into(), topics, ..Default::default() };
    let answer = client.ask(&AlterReplicaLogDirsRequest { dirs: vec![dir], ..Default::default() });
    assert_eq!((answer.results.len(), answer.results[0].topic_name.as_str()), (1, topic));
    ErrorCode::from_code(answer.results[0].partitions[0].error_code)
}

/// Of each copy of `t-0` in the directory whether it is on its way.
fn lies_in(client: &mut Client, dir: &Path) -> Vec<bool> {
    let described = client.ask(&DescribeLogDirsRequest { topics: None, ..Default::default() });
    let result = described.results.iter().find(|result| result.log_dir.as_str() == dir.to_str().unwrap()).unwrap();
    let topics = result.topics.iter().filter(|topic| topic.name == "t");
    topics.flat_map(|topic| topic.partitions.iter().map(|partition| partition.is_future_key)).collect()
}

fn make(client: &mut Client, configs: &[(&str, &str)]) {
    let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
        name: (*name).into(),
        value: Some((*value).into()),
        ..Default::default()
    };
    let configs = configs.iter().map(config).collect();
    let topic =
        CreatableTopic { name: "t".into(), num_partitions: 1, replication_factor: 1, configs, ..Default::default() };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    assert_eq!(client.ask(&request).topics[0].error_code, 0);
}

/// Somebody who writes numbers without a pause until he is told to end; gives how many were acknowledged.
fn writer(mut client: Client, padding: usize) -> (Arc<AtomicBool>, JoinHandle<usize>) {
    let enough = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&enough);
    let thread = thread::spawn(move || {
        let mut written = 0;
        while !told.load(Ordering::Relaxed) {
            let answer = client.produce("t", &[&format!("{written:0padding$}")]);
            assert_eq!((answer.error_code, answer.base_offset), (0, written as i64));
            written += 1;
        }
        written
    });
    (enough, thread)
}

/// Every record from `offset` on, by its number.
fn numbers(client: &mut Client, mut offset: usize) -> Vec<usize> {
    let mut all = vec![];
    loop {
        let some = client.values("t", offset as i64);
        if some.is_empty() {
            return all;
        }
        all.extend(some.iter().map(|value| value.parse::<usize>().unwrap()));
        offset = all.last().unwrap() + 1;
    }
}

fn earliest(client: &mut Client) -> i64 {
    let partition = ListOffsetsPartition { timestamp: -2, ..Default::default() };
    let topic = ListOffsetsTopic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    client.ask(&request).topics[0].partitions[0].offset
}

#[test]
fn a_partition_moves_there_and_back_while_it_is_written_to() {
    let mut pair = Pair::new();
    let mut client = pair.client();
    make(&mut client, &[("segment.bytes", "1048576")]);
    let (home, other) = pair.places();
    let (enough, thread) = writer(pair.client(), 4_000);
    while client.fetch("t", 0).responses[0].partitions[0].high_watermark < 400 {
        assert!(!thread.is_finished(), "nobody writes");
    }
    for dir in [&other, &home, &other] {
        pair.move_to(&mut client, dir);
        assert!(dir.join("t-0").is_dir());
    }
    enough.store(true, Ordering::Relaxed);
    let written = thread.join().unwrap();
    let expected: Vec<usize> = (0..written).collect();
    assert_eq!(numbers(&mut client, 0), expected);
    assert!(lies_in(&mut client, &home).is_empty());
    drop(client);
    for _ in 0..2 {
        pair.stop();
        assert!(!home.join("t-0").exists() && other.join("t-0").is_dir());
        pair.start();
        assert_eq!(numbers(&mut pair.client(), 0), expected);
    }
}

#[test]
fn what_cannot_be_moved_is_told_as_kafka_tells_it() {
    let mut pair = Pair::new();
    let mut client = pair.client();
    make(&mut client, &[]);
    let (home, other) = pair.places();
    assert_eq!(alter(&mut client, "t", 0, Path::new("/nowhere")), ErrorCode::LogDirNotFound);
    assert_eq!(alter(&mut client, "t", 1, &other), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(alter(&mut client, "u", 0, &other), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(alter(&mut client, "__cluster_metadata", 0, &other), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(alter(&mut client, "t", 0, &home), ErrorCode::None, "it is there");
    assert_eq!(lies_in(&mut client, &home), [false]);
    let long = "x".repeat(249);
    create(&mut client, &long, 1);
    assert_eq!(alter(&mut client, &long, 0, &other), ErrorCode::InvalidTopic);
    drop(client);
    pair.stop();
    std::fs::rename(&pair.dirs[1], pair.dirs[1].with_extension("away")).unwrap();
    std::fs::write(&pair.dirs[1], "not a directory").unwrap();
    pair.start();
    let mut client = pair.client();
    assert_eq!(alter(&mut client, "t", 0, &pair.dirs[1]), ErrorCode::KafkaStorageError);
}

#[test]
fn what_was_deleted_stays_deleted_where_the_partition_goes() {
    let pair = Pair::new();
    let mut client = pair.client();
    make(&mut client, &[]);
    for number in 0..10 {
        client.produce("t", &[&(2 * number).to_string(), &(2 * number + 1).to_string()]);
    }
    let partition = DeleteRecordsPartition { partition_index: 0, offset: 7, ..Default::default() };
    let topic = DeleteRecordsTopic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    assert_eq!(client.ask(&request).topics[0].partitions[0].low_watermark, 7);
    let (_, other) = pair.places();
    pair.move_to(&mut client, &other);
    assert_eq!((earliest(&mut client), client.fetch("t", 6).responses[0].partitions[0].error_code), (7, 1));
    let marks = std::fs::read_to_string(other.join("log-start-offset-checkpoint")).unwrap();
    assert!(marks.lines().any(|line| line == "t 0 7"), "{marks}");
    assert_eq!(numbers(&mut client, 7), (6..20).collect::<Vec<_>>(), "the batch that holds it is whole");
}

#[test]
fn a_topic_that_is_deleted_on_its_way_leaves_nothing() {
    let pair = Pair::new();
    let mut client = pair.client();
    make(&mut client, &[("file.delete.delay.ms", "0")]);
    let (_, other) = pair.places();
    for _ in 0..12 {
        assert_eq!(client.produce_bytes("t", batch(&[&"x".repeat(900_000)]).bytes().clone()).error_code, 0);
    }
    assert_eq!(alter(&mut client, "t", 0, &other), ErrorCode::None);
    let state = DeleteTopicState { name: Some("t".into()), ..Default::default() };
    let request = DeleteTopicsRequest { topics: vec![state], timeout_ms: 10_000, ..Default::default() };
    assert_eq!(client.ask(&request).responses[0].error_code, 0);
    let begun = Instant::now();
    let named =
        |dir: &PathBuf| std::fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    while pair.dirs.iter().flat_map(named).any(|name| name.starts_with("t-0")) {
        assert!(begun.elapsed() < PATIENCE, "{:?}", pair.dirs.iter().flat_map(named).collect::<Vec<_>>());
    }
}

#[test]
fn a_move_that_a_stop_has_ended_begins_again() {
    let mut pair = Pair::new();
    let mut client = pair.client();
    make(&mut client, &[]);
    for number in 0..10 {
        client.produce("t", &[&number.to_string()]);
    }
    drop(client);
    let (home, other) = pair.places();
    pair.stop();
    let future = other.join("t-0.00000000000000000000000000000000-future");
    std::fs::create_dir(&future).unwrap();
    std::fs::copy(home.join("t-0/partition.metadata"), future.join("partition.metadata")).unwrap();
    std::fs::write(future.join("00000000000000000000.log"), "half of it").unwrap();
    pair.start();
    let mut client = pair.client();
    let begun = Instant::now();
    while lies_in(&mut client, &other) != [false] {
        assert!(begun.elapsed() < PATIENCE, "it never came");
    }
    assert_eq!(numbers(&mut client, 0), (0..10).collect::<Vec<_>>());
    assert!(!future.exists());
}

#[test]
fn of_two_directories_of_a_partition_the_one_counts_to_which_it_was_moved() {
    let mut pair = Pair::new();
    let mut client = pair.client();
    make(&mut client, &[]);
    client.produce("t", &["0"]);
    let (home, other) = pair.places();
    drop(client);
    pair.stop();
    // As a stop in the last step leaves them; then the one that was moved to was written to.
    std::fs::create_dir(home.join("kept")).unwrap();
    for file in std::fs::read_dir(home.join("t-0")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), home.join("kept").join(file.file_name())).unwrap();
    }
    let id_of = |dir: &Path| {
        let properties = std::fs::read_to_string(dir.join("meta.properties")).unwrap();
        properties.lines().find_map(|line| line.strip_prefix("directory.id=").map(str::to_owned)).unwrap()
    };
    let successor = format!("version: 0\ndirectory.id: {}\n", id_of(&other));
    std::fs::write(home.join("kept/successor"), successor).unwrap();
    pair.start();
    let mut client = pair.client();
    pair.move_to(&mut client, &other);
    client.produce("t", &["1"]);
    drop(client);
    pair.stop();
    std::fs::rename(home.join("kept"), home.join("t-0")).unwrap();
    // The directory that it was moved to is away: whatever is in the older one is not served in its place.
    let away = other.with_extension("away");
    if other != pair.dirs[0] {
        std::fs::rename(&other, &away).unwrap();
        std::fs::write(&other, "not a directory").unwrap();
        pair.start();
        let answer = pair.client().produce("t", &["2"]);
        assert_eq!(ErrorCode::from_code(answer.error_code), ErrorCode::KafkaStorageError);
        pair.stop();
        std::fs::remove_file(&other).unwrap();
        std::fs::rename(&away, &other).unwrap();
    }
    pair.start();
    assert_eq!(numbers(&mut pair.client(), 0), [0, 1]);
    assert!(!home.join("t-0").exists());
}
