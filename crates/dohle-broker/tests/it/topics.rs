//! Topics: made, grown, described in pages, removed.

use dohle_base::{ErrorCode, Uuid};
use dohle_protocol::message::api_versions::ApiVersionsRequest;
use dohle_protocol::message::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
};
use dohle_protocol::message::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreatableTopicResult, CreateTopicsRequest,
};
use dohle_protocol::message::delete_topics::{DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest};
use dohle_protocol::message::describe_cluster::DescribeClusterRequest;
use dohle_protocol::message::describe_quorum::{DescribeQuorumRequest, RequestPartitionData, RequestTopicData};
use dohle_protocol::message::describe_topic_partitions::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, RequestCursor, TopicRequest,
};

use crate::broker::Broker;
use crate::client::Client;

pub(crate) fn topic(name: &str, num_partitions: i32) -> CreatableTopic {
    CreatableTopic { name: name.into(), num_partitions, replication_factor: 1, ..Default::default() }
}

pub(crate) fn with(topic: CreatableTopic, key: &str, value: &str) -> CreatableTopic {
    let config = CreatableTopicConfig { name: key.into(), value: Some(value.into()), ..Default::default() };
    CreatableTopic { configs: vec![config], ..topic }
}

pub(crate) fn create(client: &mut Client, topics: Vec<CreatableTopic>) -> Vec<CreatableTopicResult> {
    client.ask(&CreateTopicsRequest { topics, timeout_ms: 10_000, ..Default::default() }).topics
}

fn codes(results: &[CreatableTopicResult]) -> Vec<(&str, ErrorCode)> {
    results.iter().map(|result| (result.name.as_str(), ErrorCode::from_code(result.error_code))).collect()
}

pub(crate) fn delete(client: &mut Client, topics: Vec<DeleteTopicState>) -> Vec<DeletableTopicResult> {
    client.ask(&DeleteTopicsRequest { topics, timeout_ms: 10_000, ..Default::default() }).responses
}

fn by_name(name: &str) -> DeleteTopicState {
    DeleteTopicState { name: Some(name.into()), ..Default::default() }
}

fn by_id(topic_id: Uuid) -> DeleteTopicState {
    DeleteTopicState { topic_id, ..Default::default() }
}

#[test]
fn a_created_topic_is_described_as_it_was_asked_for_and_outlives_the_broker() {
    let mut broker = Broker::new();
    let mut client = broker.client();
    let assigned =
        |partition_index| CreatableReplicaAssignment { partition_index, broker_ids: vec![1], ..Default::default() };
    let by_hand = CreatableTopic {
        name: "by-hand".into(),
        num_partitions: -1,
        replication_factor: -1,
        assignments: vec![assigned(0), assigned(1)],
        ..Default::default()
    };
    let default = CreatableTopic { replication_factor: -1, ..topic("default", -1) };
    let results = create(&mut client, vec![with(topic("t", 3), "retention.ms", "1000"), by_hand, default]);
    let counts: Vec<_> = results.iter().map(|r| (r.error_code, r.num_partitions, r.replication_factor)).collect();
    assert_eq!(counts, [(0, 3, 1), (0, 2, 1), (0, 1, 1)]);
    let configs = results[0].configs.as_ref().unwrap();
    let find = |name: &str| configs.iter().find(|config| config.name == name).unwrap();
    assert_eq!((find("retention.ms").value.as_deref(), find("retention.ms").config_source), (Some("1000"), 1));
    assert_eq!((find("cleanup.policy").value.as_deref(), find("cleanup.policy").config_source), (Some("delete"), 5));
    let id = results[0].topic_id;
    broker.restart();
    let known = broker.client().topic("t");
    assert_eq!((known.error_code, known.topic_id, known.partitions.len()), (0, id, 3));
}

#[test]
fn each_topic_of_a_request_is_refused_for_its_own_reason() {
    let broker = Broker::new();
    let mut client = broker.client();
    create(&mut client, vec![topic("known", 1), topic("a.b", 1)]);
    let elsewhere = CreatableReplicaAssignment { partition_index: 0, broker_ids: vec![7], ..Default::default() };
    let topics = vec![
        topic("good", 1),
        topic("known", 1),
        topic("", 1),
        topic("a/b", 1),
        topic("a_b", 1),
        topic("none", 0),
        CreatableTopic { replication_factor: 2, ..topic("many", 1) },
        CreatableTopic { assignments: vec![elsewhere], num_partitions: -1, replication_factor: -1, ..topic("far", 1) },
        with(topic("wrong", 1), "retention.ms", "soon"),
        with(topic("stray", 1), "no.such.key", "1"),
        topic("__cluster_metadata", 1),
    ];
    let results = create(&mut client, topics);
    let expected = [
        ("good", ErrorCode::None),
        ("known", ErrorCode::TopicAlreadyExists),
        ("", ErrorCode::InvalidTopic),
        ("a/b", ErrorCode::InvalidTopic),
        ("a_b", ErrorCode::InvalidTopic),
        ("none", ErrorCode::InvalidPartitions),
        ("many", ErrorCode::InvalidReplicationFactor),
        ("far", ErrorCode::InvalidReplicaAssignment),
        ("wrong", ErrorCode::InvalidConfig),
        ("stray", ErrorCode::InvalidConfig),
        ("__cluster_metadata", ErrorCode::InvalidRequest),
    ];
    assert_eq!(codes(&results), expected);
    assert!(results.iter().skip(1).all(|result| result.error_message.is_some() && result.num_partitions == -1));
    let twice = create(&mut client, vec![topic("x", 1), topic("x", 2), topic("y", 1)]);
    assert_eq!(codes(&twice), [("y", ErrorCode::None), ("x", ErrorCode::InvalidRequest)]);
}

#[test]
fn what_is_only_validated_is_not_made() {
    let broker = Broker::with(&[("auto.create.topics.enable", "false")]);
    let mut client = broker.client();
    let request = CreateTopicsRequest {
        topics: vec![topic("t", 2)],
        timeout_ms: 10_000,
        validate_only: true,
        ..Default::default()
    };
    let made = client.ask(&request).topics.remove(0);
    assert_eq!((made.error_code, made.num_partitions), (0, 2));
    assert_eq!(client.topic("t").error_code, ErrorCode::UnknownTopicOrPartition.code());
}

#[test]
fn topics_are_deleted_by_name_or_by_id_and_what_is_made_anew_is_empty() {
    let broker = Broker::new();
    let mut client = broker.client();
    let made = create(&mut client, vec![topic("a", 1), topic("b", 1), topic("c", 1)]);
    client.produce("a", &["old"]);
    let stranger = Uuid([7; 16]);
    let both = DeleteTopicState { name: Some("c".into()), topic_id: made[2].topic_id, ..Default::default() };
    let asked = vec![
        by_name("a"),
        by_id(made[1].topic_id),
        by_name("nowhere"),
        by_id(stranger),
        both,
        DeleteTopicState::default(),
    ];
    let deleted = delete(&mut client, asked);
    let find = |name: Option<&str>, id: Uuid| {
        let is = |deleted: &&DeletableTopicResult| deleted.name.as_deref() == name && deleted.topic_id == id;
        let found = deleted.iter().find(is);
        ErrorCode::from_code(found.unwrap_or_else(|| panic!("{name:?} {id} in {deleted:?}")).error_code)
    };
    assert_eq!(find(Some("a"), made[0].topic_id), ErrorCode::None);
    assert_eq!(find(Some("b"), made[1].topic_id), ErrorCode::None);
    assert_eq!(find(Some("nowhere"), Uuid::ZERO), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(find(None, stranger), ErrorCode::UnknownTopicId);
    assert_eq!(find(Some("c"), made[2].topic_id), ErrorCode::InvalidRequest);
    assert_eq!(find(None, Uuid::ZERO), ErrorCode::InvalidRequest);
    let both_ways = delete(&mut client, vec![by_id(made[2].topic_id), by_name("c")]);
    assert_eq!(both_ways.len(), 1);
    assert_eq!(both_ways[0].error_code, ErrorCode::InvalidRequest.code());
    assert_eq!(client.topic("c").error_code, 0);
    let code = client.fetch("a", 0).responses[0].partitions[0].error_code;
    assert_eq!(code, ErrorCode::UnknownTopicOrPartition.code());
    let again = create(&mut client, vec![topic("a", 1)]).remove(0);
    assert_ne!(again.topic_id, made[0].topic_id);
    assert_eq!(client.values("a", 0), [""; 0]);
    assert_eq!(client.produce("a", &["new"]).base_offset, 0);
}

#[test]
fn a_cluster_that_deletes_nothing_says_so_in_the_words_of_the_version() {
    let broker = Broker::with(&[("delete.topic.enable", "false")]);
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 1)]);
    let request = DeleteTopicsRequest { topic_names: vec!["t".into()], timeout_ms: 10_000, ..Default::default() };
    for (version, code) in [(2, ErrorCode::InvalidRequest), (3, ErrorCode::TopicDeletionDisabled)] {
        assert_eq!(client.ask_in(&request, version).responses[0].error_code, code.code());
    }
    assert_eq!(client.topic("t").error_code, 0);
}

#[test]
fn topics_grow_and_never_shrink() {
    let broker = Broker::new();
    let mut client = broker.client();
    create(&mut client, vec![topic("t", 2)]);
    let mut grow = |name: &str, count, assigned: Option<Vec<i32>>| {
        let assignment = |broker| CreatePartitionsAssignment { broker_ids: vec![broker], ..Default::default() };
        let assignments = assigned.map(|brokers| brokers.into_iter().map(assignment).collect());
        let topic = CreatePartitionsTopic { name: name.into(), count, assignments, ..Default::default() };
        let request = CreatePartitionsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
        ErrorCode::from_code(client.ask(&request).results[0].error_code)
    };
    assert_eq!(grow("t", 1, None), ErrorCode::InvalidPartitions);
    assert_eq!(grow("t", 2, None), ErrorCode::InvalidPartitions);
    assert_eq!(grow("t", -1, None), ErrorCode::InvalidPartitions);
    assert_eq!(grow("u", 3, None), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(grow("t", 4, Some(vec![1])), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(grow("t", 3, Some(vec![9])), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(grow("t", 3, Some(vec![1])), ErrorCode::None);
    assert_eq!(grow("t", 5, None), ErrorCode::None);
    assert_eq!(client.topic("t").partitions.len(), 5);
}

fn page(client: &mut Client, names: &[&str], limit: i32, from: Option<(&str, i32)>) -> DescribeTopicPartitionsResponse {
    let cursor = |(topic, partition_index): (&str, i32)| RequestCursor {
        topic_name: topic.into(),
        partition_index,
        ..Default::default()
    };
    client.ask(&DescribeTopicPartitionsRequest {
        topics: names.iter().map(|name| TopicRequest { name: (*name).into(), ..Default::default() }).collect(),
        response_partition_limit: limit,
        cursor: from.map(cursor),
        ..Default::default()
    })
}

/// A topic of a page: its name, its error, and its partitions.
type Shown = (String, i16, Vec<i32>);

fn shown(page: &DescribeTopicPartitionsResponse) -> (Vec<Shown>, Option<(String, i32)>) {
    let topics = page.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| partition.partition_index).collect();
        (topic.name.as_ref().unwrap().to_string(), topic.error_code, partitions)
    });
    let next = page.next_cursor.as_ref().map(|cursor| (cursor.topic_name.to_string(), cursor.partition_index));
    (topics.collect(), next)
}

#[test]
fn topics_are_described_page_by_page() {
    let broker = Broker::new();
    let mut client = broker.client();
    create(&mut client, vec![topic("b", 3), topic("a", 2), topic("c", 1)]);
    let entry = |name: &str, partitions: &[i32]| (name.to_owned(), 0, partitions.to_vec());
    let first = page(&mut client, &[], 3, None);
    assert_eq!(shown(&first), (vec![entry("a", &[0, 1]), entry("b", &[0])], Some(("b".to_owned(), 1))));
    assert_eq!(first.topics[0].topic_authorized_operations, 3576);
    let one = &first.topics[0].partitions[0];
    assert_eq!((one.leader_id, &one.replica_nodes[..], &one.isr_nodes[..]), (1, &[1][..], &[1][..]));
    let second = page(&mut client, &[], 2, Some(("b", 1)));
    assert_eq!(shown(&second), (vec![entry("b", &[1, 2])], Some(("c".to_owned(), 0))));
    let last = page(&mut client, &[], 2, Some(("c", 0)));
    assert_eq!(shown(&last), (vec![entry("c", &[0])], None));
    let named = page(&mut client, &["c", "a", "x", "/"], 100, None);
    let unknown = ("x".to_owned(), ErrorCode::UnknownTopicOrPartition.code(), vec![]);
    let invalid = ("/".to_owned(), ErrorCode::InvalidTopic.code(), vec![]);
    assert_eq!(shown(&named).0, [invalid, entry("a", &[0, 1]), entry("c", &[0]), unknown]);
    for from in [("z", 0), ("a", -1)] {
        let refused = page(&mut client, &["a"], 100, Some(from));
        assert_eq!(refused.topics[0].error_code, ErrorCode::InvalidRequest.code());
    }
}

#[test]
fn the_cluster_is_described_to_those_who_ask_for_brokers() {
    let broker = Broker::new();
    let mut client = broker.client();
    let ask = |endpoint_type| DescribeClusterRequest { endpoint_type, ..Default::default() };
    let cluster = client.ask(&ask(1));
    assert_eq!((cluster.error_code, cluster.controller_id, cluster.brokers.len()), (0, 1, 1));
    assert_eq!(cluster.brokers[0].port, i32::from(broker.address().port()));
    assert_eq!(cluster.cluster_authorized_operations, i32::MIN);
    assert_eq!(client.ask(&ask(2)).error_code, ErrorCode::MismatchedEndpointType.code());
    assert_eq!(client.ask(&ask(3)).error_code, ErrorCode::UnsupportedEndpointType.code());
    let operations = DescribeClusterRequest { include_cluster_authorized_operations: true, ..ask(1) };
    assert_eq!(client.ask(&operations).cluster_authorized_operations, 8096);
}

#[test]
fn the_quorum_is_described_as_the_one_voter_that_it_is() {
    let broker = Broker::new();
    let mut client = broker.client();
    let mut ask = |topic_name: &str, partition_index, version| {
        let partitions = vec![RequestPartitionData { partition_index, ..Default::default() }];
        let topics = vec![RequestTopicData { topic_name: topic_name.into(), partitions, ..Default::default() }];
        client.ask_in(&DescribeQuorumRequest { topics, ..Default::default() }, version)
    };
    let quorum = ask("__cluster_metadata", 0, 2);
    let log = &quorum.topics[0].partitions[0];
    assert_eq!((quorum.error_code, log.error_code, log.leader_id, log.observers.len()), (0, 0, 1, 0));
    let voter = &log.current_voters[0];
    assert_eq!((log.current_voters.len(), voter.replica_id, voter.log_end_offset), (1, 1, log.high_watermark));
    assert!(!voter.replica_directory_id.is_zero() && log.high_watermark > 0);
    assert_eq!((quorum.nodes.len(), quorum.nodes[0].listeners.len()), (1, 1));
    assert_eq!(ask("__cluster_metadata", 0, 0).topics[0].partitions[0].leader_id, 1);
    for (topic, index) in [("t", 0), ("__cluster_metadata", 1)] {
        let code = ask(topic, index, 2).topics[0].partitions[0].error_code;
        assert_eq!(code, ErrorCode::UnknownTopicOrPartition.code());
    }
}

#[test]
fn the_features_that_the_cluster_agreed_on_are_told() {
    let broker = Broker::new();
    let mut client = broker.client();
    let request = ApiVersionsRequest {
        client_software_name: "test".into(),
        client_software_version: "1".into(),
        ..Default::default()
    };
    let newer = client.ask_in(&request, 4);
    let level = |name: &str| newer.finalized_features.iter().find(|level| level.name == name).unwrap();
    assert_eq!(level("metadata.version").max_version_level, 33);
    assert!(newer.finalized_features_epoch > 0 && newer.supported_features.iter().any(|f| f.min_version == 0));
    let older = client.ask_in(&request, 3);
    assert!(older.supported_features.iter().all(|feature| feature.min_version > 0));
}
