//! Places up to which groups have read: committed, fetched, deleted, by name and by id.

use dohle_base::{ErrorCode, TopicId, Uuid};
use dohle_protocol::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use dohle_protocol::message::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use dohle_protocol::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponseGroup,
};

use crate::broker::Broker;
use crate::client::Client;
use crate::groups::{alone, broker, coordinated};
use crate::topics::{create, topic};

fn place(partition_index: i32, committed_offset: i64) -> OffsetCommitRequestPartition {
    OffsetCommitRequestPartition {
        partition_index,
        committed_offset,
        committed_leader_epoch: 0,
        committed_metadata: Some("here".into()),
        ..Default::default()
    }
}

fn by_name(name: &str, partitions: Vec<OffsetCommitRequestPartition>) -> OffsetCommitRequestTopic {
    OffsetCommitRequestTopic { name: name.into(), partitions, ..Default::default() }
}

fn by_id(topic_id: TopicId, partitions: Vec<OffsetCommitRequestPartition>) -> OffsetCommitRequestTopic {
    OffsetCommitRequestTopic { topic_id, partitions, ..Default::default() }
}

fn commit(group: &str, topics: Vec<OffsetCommitRequestTopic>) -> OffsetCommitRequest {
    OffsetCommitRequest { group_id: group.into(), generation_id_or_member_epoch: -1, topics, ..Default::default() }
}

fn codes(response: &OffsetCommitResponse) -> Vec<ErrorCode> {
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| ErrorCode::from_code(partition.error_code)).collect()
}

fn wish(name: &str, topic_id: TopicId, partitions: &[i32]) -> OffsetFetchRequestTopics {
    let partition_indexes = partitions.to_vec();
    OffsetFetchRequestTopics { name: name.into(), topic_id, partition_indexes, ..Default::default() }
}

fn fetch(
    client: &mut Client,
    group: &str,
    topics: Option<Vec<OffsetFetchRequestTopics>>,
    version: i16,
) -> OffsetFetchResponseGroup {
    let group = OffsetFetchRequestGroup { group_id: group.into(), topics, ..Default::default() };
    let request = OffsetFetchRequest { groups: vec![group], require_stable: true, ..Default::default() };
    client.ask_in(&request, version).groups.remove(0)
}

fn offsets(group: &OffsetFetchResponseGroup) -> Vec<(String, i32, i64, ErrorCode)> {
    let each = group.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |place| (topic, place)));
    let shown = each.map(|(topic, place)| {
        (topic.name.to_string(), place.partition_index, place.committed_offset, ErrorCode::from_code(place.error_code))
    });
    shown.collect()
}

fn entry(name: &str, index: i32, offset: i64) -> (String, i32, i64, ErrorCode) {
    (name.to_owned(), index, offset, ErrorCode::None)
}

#[test]
fn what_was_committed_is_fetched_in_every_way_of_asking_and_outlives_the_broker() {
    let mut broker = broker();
    let mut client = broker.client();
    let id = create(&mut client, vec![topic("t", 2), topic("u", 1)])[0].topic_id;
    let topics = vec![
        by_name("t", vec![place(0, 5), place(1, 6), place(2, 7)]),
        by_name("nowhere", vec![place(0, 1)]),
        by_name("u", vec![place(0, 8)]),
    ];
    let committed = client.ask_in(&commit("g", topics), 9);
    let unknown = ErrorCode::UnknownTopicOrPartition;
    assert_eq!(codes(&committed), [ErrorCode::None, ErrorCode::None, unknown, unknown, ErrorCode::None]);
    broker.restart();
    let mut client = broker.client();
    coordinated(&mut client);
    let all = fetch(&mut client, "g", None, 9);
    assert_eq!(offsets(&all), [entry("t", 0, 5), entry("t", 1, 6), entry("u", 0, 8)]);
    let kept = &all.topics[0].partitions[0];
    assert_eq!((kept.committed_leader_epoch, kept.metadata.as_deref()), (0, Some("here")));
    let listed = vec![wish("u", Uuid::ZERO, &[0, 1]), wish("/", Uuid::ZERO, &[0]), wish("t", Uuid::ZERO, &[1])];
    let listed = fetch(&mut client, "g", Some(listed), 8);
    assert_eq!(offsets(&listed), [entry("u", 0, 8), entry("u", 1, -1), entry("/", 0, -1), entry("t", 1, 6)]);
    assert_eq!(listed.topics[1].partitions[0].metadata.as_deref(), Some(""));
    let by_id = fetch(&mut client, "g", Some(vec![wish("", id, &[0]), wish("", Uuid([9; 16]), &[0])]), 10);
    assert_eq!((by_id.topics[0].topic_id, by_id.topics[0].partitions[0].committed_offset), (id, 5));
    assert_eq!(by_id.topics[1].partitions[0].error_code, ErrorCode::UnknownTopicId.code());
    assert_eq!(fetch(&mut client, "g", None, 10).topics[0].topic_id, id);
    assert_eq!(offsets(&fetch(&mut client, "stranger", None, 10)), []);
    let older = OffsetFetchRequestTopic { name: "t".into(), partition_indexes: vec![1], ..Default::default() };
    let older = OffsetFetchRequest { group_id: "g".into(), topics: Some(vec![older]), ..Default::default() };
    for version in 1..=7 {
        let found = client.ask_in(&older, version).topics.remove(0).partitions.remove(0);
        assert_eq!((found.error_code, found.committed_offset), (0, 6), "{version}");
    }
}

#[test]
fn topics_are_committed_by_id_where_the_version_has_ids() {
    let broker = broker();
    let mut client = broker.client();
    let id = create(&mut client, vec![topic("t", 1)])[0].topic_id;
    let topics = vec![by_id(id, vec![place(0, 5), place(1, 5)]), by_id(Uuid([9; 16]), vec![place(0, 5)])];
    let committed = client.ask_in(&commit("g", topics), 10);
    let expected = [ErrorCode::None, ErrorCode::UnknownTopicOrPartition, ErrorCode::UnknownTopicId];
    assert_eq!(codes(&committed), expected);
    assert_eq!(committed.topics[0].topic_id, id);
    assert_eq!(offsets(&fetch(&mut client, "g", None, 9)), [entry("t", 0, 5)]);
}

#[test]
fn only_those_may_commit_whom_the_group_knows() {
    let broker = broker();
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    let member = alone(&mut client, "g");
    let mut ask = |group: &str, member: &str, generation, version| {
        let request = OffsetCommitRequest {
            generation_id_or_member_epoch: generation,
            member_id: member.into(),
            ..commit(group, vec![by_name("t", vec![place(0, 1)])])
        };
        codes(&client.ask_in(&request, version)).remove(0)
    };
    assert_eq!(ask("g", &member.member_id, member.generation_id, 9), ErrorCode::None);
    assert_eq!(ask("g", &member.member_id, 7, 9), ErrorCode::IllegalGeneration);
    assert_eq!(ask("g", "stranger", member.generation_id, 9), ErrorCode::UnknownMemberId);
    assert_eq!(ask("g", "", -1, 9), ErrorCode::UnknownMemberId);
    assert_eq!(ask("nobody", "m", 1, 9), ErrorCode::GroupIdNotFound);
    assert_eq!(ask("nobody", "m", 1, 8), ErrorCode::IllegalGeneration);
    let long = OffsetCommitRequestPartition { committed_metadata: Some("x".repeat(5_000).into()), ..place(0, 1) };
    let too_long = client.ask_in(&commit("h", vec![by_name("t", vec![long])]), 9);
    assert_eq!(codes(&too_long), [ErrorCode::OffsetMetadataTooLarge]);
}

#[test]
fn a_group_forgets_what_it_is_told_to_forget_and_topics_that_are_gone() {
    let broker = broker();
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 2)]);
    client.ask_in(&commit("g", vec![by_name("t", vec![place(0, 5), place(1, 6)])]), 9);
    let mut delete = |group: &str, name: &str, partitions: &[i32]| {
        let index = |partition_index: &i32| OffsetDeleteRequestPartition { partition_index: *partition_index };
        let partitions = partitions.iter().map(index).collect();
        let topics = vec![OffsetDeleteRequestTopic { name: name.into(), partitions }];
        client.ask(&OffsetDeleteRequest { group_id: group.into(), topics })
    };
    assert_eq!(delete("nobody", "t", &[0]).error_code, ErrorCode::GroupIdNotFound.code());
    assert_eq!(delete("", "t", &[0]).error_code, ErrorCode::InvalidGroupId.code());
    let deleted = delete("g", "t", &[0, 7]);
    let codes: Vec<_> = deleted.topics[0].partitions.iter().map(|p| ErrorCode::from_code(p.error_code)).collect();
    assert_eq!((deleted.error_code, &codes[..]), (0, &[ErrorCode::None, ErrorCode::UnknownTopicOrPartition][..]));
    assert_eq!(offsets(&fetch(&mut client, "g", None, 9)), [entry("t", 1, 6)]);
    let gone = dohle_protocol::message::delete_topics::DeleteTopicsRequest {
        topic_names: vec!["t".into()],
        timeout_ms: 10_000,
        ..Default::default()
    };
    assert_eq!(client.ask_in(&gone, 5).responses[0].error_code, 0);
    while !offsets(&fetch(&mut client, "g", None, 9)).is_empty() {
        std::thread::yield_now();
    }
}

#[test]
fn before_there_is_a_coordinator_nobody_is_answered() {
    let broker = Broker::new();
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    let committed = client.ask_in(&commit("g", vec![by_name("t", vec![place(0, 5)])]), 9);
    assert_eq!(codes(&committed), [ErrorCode::NotCoordinator]);
    assert_eq!(fetch(&mut client, "g", None, 9).error_code, ErrorCode::NotCoordinator.code());
    let older = OffsetFetchRequestTopic { name: "t".into(), partition_indexes: vec![0], ..Default::default() };
    let older = OffsetFetchRequest { group_id: "g".into(), topics: Some(vec![older]), ..Default::default() };
    assert_eq!(client.ask_in(&older, 2).error_code, ErrorCode::NotCoordinator.code());
    assert_eq!(client.ask_in(&older, 1).topics[0].partitions[0].error_code, ErrorCode::NotCoordinator.code());
}
