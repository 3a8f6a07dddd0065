//! Incremental fetch sessions over a socket: what is new is told, whatever partition it is in, and nothing else.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dohle_base::{ErrorCode, TopicId};
use dohle_protocol::message::delete_topics::DeleteTopicState;
use dohle_protocol::message::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData};
use dohle_records::Batches;

use crate::broker::Broker;
use crate::client::{Client, batch, fetch, produce, values};
use crate::offsets;
use crate::producer::{self, Life, settled};
use crate::topics::{create, delete, topic};

const VERSION: i16 = 17;
/// Longer than any test takes: whoever waits so long was forgotten.
const LONG_MS: i32 = 25_000;

/// Long enough to wait, and to be given up.
const SHORT_MS: i32 = 20;

/// A consumer with a session.
struct Session {
    client: Client,
    topic: TopicId,
    id: i32,
    epoch: i32,
    request: FetchRequest,
}

impl Session {
    /// Opens a session that reads all partitions of a topic from their starts.
    fn open(broker: &Broker, name: &str, partitions: i32) -> Self {
        let mut client = broker.client();
        let request = FetchRequest { min_bytes: 1, max_bytes: 1 << 20, ..Default::default() };
        let mut session = Self { topic: client.created(name), client, id: 0, epoch: 0, request };
        let all: Vec<_> = (0..partitions).map(|partition| (partition, 0)).collect();
        let opened = session.ask(&all, SHORT_MS);
        assert!(opened.session_id > 0);
        let indexes: Vec<i32> = told(&opened).iter().map(|partition| partition.partition_index).collect();
        assert_eq!(indexes, Vec::from_iter(0..partitions), "the first answer is whole, and tells of each once");
        session.id = opened.session_id;
        session
    }

    fn ask(&mut self, positions: &[(i32, i64)], max_wait_ms: i32) -> FetchResponse {
        self.send(positions, max_wait_ms);
        self.receive()
    }

    fn send(&mut self, positions: &[(i32, i64)], max_wait_ms: i32) {
        let partition = |(partition, fetch_offset): &(i32, i64)| FetchPartition {
            partition: *partition,
            fetch_offset: *fetch_offset,
            partition_max_bytes: 1 << 20,
            ..Default::default()
        };
        let partitions: Vec<_> = positions.iter().map(partition).collect();
        let topic = FetchTopic { topic_id: self.topic, partitions, ..Default::default() };
        let request = FetchRequest {
            max_wait_ms,
            session_id: self.id,
            session_epoch: self.epoch,
            topics: if positions.is_empty() { vec![] } else { vec![topic] },
            ..self.request.clone()
        };
        self.client.send(&request, VERSION);
        self.epoch += 1;
    }

    fn receive(&mut self) -> FetchResponse {
        self.client.receive::<FetchRequest>(VERSION)
    }
}

/// The partitions of an answer.
fn told(response: &FetchResponse) -> Vec<&PartitionData> {
    response.responses.iter().flat_map(|topic| &topic.partitions).collect()
}

/// The offset behind the records of a partition; none where it has none.
fn end(partition: &PartitionData) -> Option<i64> {
    let records = partition.records.clone().expect("never none").into_held();
    Batches::over(records).last().map(|batch| {
        let batch = batch.unwrap();
        batch.header().base_offset.0 + i64::from(batch.header().record_count)
    })
}

fn write(client: &mut Client, partition: i32, value: &str) {
    let mut request = produce("t", batch(&[value]).bytes().clone(), -1);
    request.topic_data[0].partition_data[0].index = partition;
    let response = client.ask_in(&request, 9);
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
}

#[test]
fn a_session_tells_what_changed_and_nothing_else() {
    let broker = Broker::new();
    broker.client().created("t");
    let mut session = Session::open(&broker, "t", 1);
    assert!(session.ask(&[], 0).responses.is_empty());
    write(&mut broker.client(), 0, "a");
    assert_eq!(values(session.ask(&[], 0)), ["a"]);
    assert!(session.ask(&[(0, 1)], 0).responses.is_empty());
    session.epoch -= 1;
    assert_eq!(session.ask(&[], 0).error_code, ErrorCode::InvalidFetchSessionEpoch.code());
    session.id ^= 1;
    assert_eq!(session.ask(&[], 0).error_code, ErrorCode::FetchSessionIdNotFound.code());
}

#[test]
fn all_that_is_written_to_any_of_many_partitions_arrives_in_order_and_in_fair_turns() {
    const PARTITIONS: i32 = 40;
    const EACH: i64 = 25;
    let broker = Broker::new();
    create(&mut broker.client(), vec![topic("t", PARTITIONS)]);
    let mut session = Session::open(&broker, "t", PARTITIONS);
    // An answer holds a batch or two.
    session.request.max_bytes = 150;
    let mut writer = broker.client();
    let writing = std::thread::spawn(move || {
        for number in 0..i64::from(PARTITIONS) * EACH {
            write(&mut writer, (number * 7 % i64::from(PARTITIONS)) as i32, "v");
        }
    });
    let mut read: BTreeMap<i32, i64> = BTreeMap::new();
    let mut news: Vec<(i32, i64)> = vec![];
    while read.values().sum::<i64>() < i64::from(PARTITIONS) * EACH {
        let response = session.ask(&news, LONG_MS);
        assert_eq!(response.error_code, 0);
        news.clear();
        for partition in told(&response) {
            let Some(end) = end(partition) else { continue };
            let before = read.insert(partition.partition_index, end).unwrap_or(0);
            assert!(end > before, "records come once");
            news.push((partition.partition_index, end));
        }
        assert!(!news.is_empty(), "whoever is answered before the deadline gets something");
    }
    writing.join().unwrap();
    assert!(read.values().all(|end| *end == EACH));
    assert!(session.ask(&news, 0).responses.is_empty());
}

#[test]
fn a_round_waits_for_as_much_as_it_was_asked_for_and_tells_what_there_is_at_the_deadline() {
    let broker = Broker::new();
    create(&mut broker.client(), vec![topic("t", 3)]);
    let mut session = Session::open(&broker, "t", 3);
    let mut writer = broker.client();
    session.request.min_bytes = 150;
    session.send(&[], LONG_MS);
    for partition in 0..3 {
        write(&mut writer, partition, "v");
    }
    assert_eq!(values(session.receive()).len(), 3, "one batch has some seventy bytes");
    session.send(&[(0, 1), (1, 1), (2, 1)], 300);
    write(&mut writer, 1, "late");
    assert_eq!(values(session.receive()), ["late"]);
}

#[test]
fn a_start_that_has_moved_is_told_with_the_next_answer() {
    let broker = Broker::new();
    create(&mut broker.client(), vec![topic("t", 2)]);
    let mut writer = broker.client();
    write(&mut writer, 1, "a");
    let mut session = Session::open(&broker, "t", 2);
    assert!(session.ask(&[(1, 1)], 20).responses.is_empty());
    session.send(&[], 300);
    assert_eq!(offsets::delete(&mut writer, "t", 1, 1), (ErrorCode::None, 1));
    let response = session.receive();
    let starts: Vec<_> = told(&response).iter().map(|told| (told.partition_index, told.log_start_offset)).collect();
    assert_eq!(starts, [(1, 1)]);
    assert!(session.ask(&[], 0).responses.is_empty());
}

#[test]
fn who_waits_hears_at_once_of_a_topic_that_is_gone_and_is_told_until_he_forgets_it() {
    let broker = Broker::new();
    create(&mut broker.client(), vec![topic("t", 2)]);
    let mut session = Session::open(&broker, "t", 2);
    assert!(session.ask(&[], 20).responses.is_empty());
    session.send(&[], LONG_MS);
    let mut other = broker.client();
    let gone = DeleteTopicState { name: Some("t".into()), ..Default::default() };
    assert_eq!(delete(&mut other, vec![gone])[0].error_code, 0);
    let begun = Instant::now();
    let first = session.receive();
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(told(&first).iter().all(|told| told.error_code != 0));
    create(&mut other, vec![topic("t", 2)]);
    other.created("t");
    let codes = |response: &FetchResponse| told(response).iter().map(|told| told.error_code).collect::<Vec<_>>();
    producer::wait("the id is known to be nobody's", || {
        codes(&session.ask(&[], LONG_MS)) == [ErrorCode::UnknownTopicId.code(); 2]
    });
    assert_eq!(codes(&session.ask(&[], LONG_MS)), [ErrorCode::UnknownTopicId.code(); 2]);
    // Under its name it is found again.
    let mut by_name = broker.client();
    let request = FetchRequest { session_epoch: 0, ..fetch("t", 0, 0) };
    let opened = by_name.ask_in(&request, 12);
    let gone = DeleteTopicState { name: Some("t".into()), ..Default::default() };
    assert_eq!(delete(&mut other, vec![gone])[0].error_code, 0);
    let mut again = FetchRequest { session_id: opened.session_id, session_epoch: 1, topics: vec![], ..request };
    let refused = by_name.ask_in(&again, 12);
    assert_eq!(told(&refused)[0].error_code, ErrorCode::UnknownTopicOrPartition.code());
    create(&mut other, vec![topic("t", 2)]);
    other.created("t");
    write(&mut other, 0, "anew");
    again.session_epoch = 2;
    assert_eq!(values(by_name.ask_in(&again, 12)), ["anew"]);
}

#[test]
fn a_request_that_is_overtaken_by_the_next_one_of_its_session_ends() {
    let broker = Broker::new();
    broker.client().created("t");
    let mut session = Session::open(&broker, "t", 1);
    session.send(&[], LONG_MS);
    session.send(&[], 0);
    assert_eq!(session.receive().error_code, ErrorCode::InvalidFetchSessionEpoch.code());
    assert_eq!(session.receive().error_code, 0);
}

#[test]
fn a_reader_of_what_is_committed_is_woken_by_the_marker() {
    let broker = producer::broker(&[]);
    let mut writer = broker.client();
    create(&mut writer, vec![topic("t", 1)]);
    let mut session = Session::open(&broker, "t", 1);
    session.request.isolation_level = 1;
    let mut life = Life::begin(&mut writer, "tx");
    session.send(&[], LONG_MS);
    life.write(&mut writer, "t", &["a"]);
    life.write(&mut writer, "t", &["b"]);
    life.end(&mut writer, true);
    settled(&mut writer, "t");
    assert_eq!(values(session.receive()).first().map(String::as_str), Some("a"));
    life.write(&mut writer, "t", &["c"]);
    let open = session.ask(&[(0, 3)], 50);
    let told: Vec<_> = told(&open).iter().map(|told| (told.high_watermark, told.last_stable_offset)).collect();
    assert_eq!(told, [(4, 3)], "what may not be read yet is told of");
    session.send(&[], LONG_MS);
    life.end(&mut writer, false);
    settled(&mut writer, "t");
    let aborted = session.receive();
    let told = aborted.responses[0].partitions[0].clone();
    assert_eq!((told.last_stable_offset, told.aborted_transactions.unwrap().len()), (5, 1));
}
