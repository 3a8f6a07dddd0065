use super::*;
use crate::controller::{Command, Reply};
use crate::effective::Source;
use crate::fixture::{World, brokers};

fn topic(name: &str, partitions: i32, replication_factor: i16) -> NewTopic {
    NewTopic { partitions, replication_factor, ..NewTopic::named(name) }
}

fn assigned(name: &str, assignments: &[(i32, &[i32])]) -> NewTopic {
    let assignments = assignments.iter().map(|(number, replicas)| (*number, brokers(replicas))).collect();
    NewTopic { assignments, ..NewTopic::named(name) }
}

fn configured(name: &str, key: &str, value: Option<&str>) -> NewTopic {
    NewTopic { configs: vec![(key.to_owned(), value.map(str::to_owned))], ..NewTopic::named(name) }
}

fn code(outcome: &Result<Created, Refusal>) -> ErrorCode {
    outcome.as_ref().err().map_or(ErrorCode::None, |refusal| refusal.code)
}

#[test]
fn each_new_topic_gets_its_own_answer() {
    let long = "x".repeat(250);
    let bad_factor = NewTopic { replication_factor: 1, ..assigned("a", &[(0, &[1])]) };
    let bad_count = NewTopic { partitions: 1, ..assigned("a", &[(0, &[1])]) };
    let cases = [
        (topic("fine", 3, 2), ErrorCode::None),
        (topic("fine", -1, -1), ErrorCode::None),
        (topic("", 1, 1), ErrorCode::InvalidTopic),
        (topic(".", 1, 1), ErrorCode::InvalidTopic),
        (topic("..", 1, 1), ErrorCode::InvalidTopic),
        (topic("a/../../x", 1, 1), ErrorCode::InvalidTopic),
        (topic("a\0", 1, 1), ErrorCode::InvalidTopic),
        (topic(&long, 1, 1), ErrorCode::InvalidTopic),
        (topic("foo_bar", 1, 1), ErrorCode::InvalidTopic),
        (topic("foo.bar", 1, 1), ErrorCode::TopicAlreadyExists),
        (topic("__cluster_metadata", 1, 1), ErrorCode::InvalidRequest),
        (topic("a", 0, 1), ErrorCode::InvalidPartitions),
        (topic("a", -2, 1), ErrorCode::InvalidPartitions),
        (topic("a", 1, 0), ErrorCode::InvalidReplicationFactor),
        (topic("a", 1, -2), ErrorCode::InvalidReplicationFactor),
        (topic("a", 1, 4), ErrorCode::InvalidReplicationFactor),
        (topic("a", 10_001, 1), ErrorCode::PolicyViolation),
        // The partitions alone would fit; the topic itself is one record more.
        (topic("a", 10_000, 1), ErrorCode::PolicyViolation),
        (topic("a", 9_999, 1), ErrorCode::None),
        (assigned("a", &[(0, &[1, 2]), (1, &[2, 3])]), ErrorCode::None),
        (assigned("a", &[(1, &[1]), (0, &[2])]), ErrorCode::None),
        (bad_factor, ErrorCode::InvalidRequest),
        (bad_count, ErrorCode::InvalidRequest),
        (assigned("a", &[(0, &[])]), ErrorCode::InvalidReplicaAssignment),
        (assigned("a", &[(0, &[9])]), ErrorCode::InvalidReplicaAssignment),
        (assigned("a", &[(0, &[1, 1])]), ErrorCode::InvalidReplicaAssignment),
        (assigned("a", &[(0, &[1]), (0, &[2])]), ErrorCode::InvalidReplicaAssignment),
        (assigned("a", &[(0, &[1]), (2, &[2])]), ErrorCode::InvalidReplicaAssignment),
        (assigned("a", &[(-1, &[1])]), ErrorCode::InvalidReplicaAssignment),
        (assigned("a", &[(0, &[1]), (1, &[2, 3])]), ErrorCode::InvalidReplicaAssignment),
        (configured("a", "retention.ms", Some("1000")), ErrorCode::None),
        (configured("a", "retention.ms", Some("soon")), ErrorCode::InvalidConfig),
        (configured("a", "retention.ms", None), ErrorCode::InvalidConfig),
        (configured("a", "no.such.key", Some("1")), ErrorCode::InvalidConfig),
        (configured("a", "max.compaction.lag.ms", Some("0")), ErrorCode::InvalidConfig),
    ];
    for (topic, expected) in cases {
        let mut world = World::of(3);
        world.make("foo.bar", 1, 1);
        let before = world.log.len();
        let results = world.create(vec![topic.clone()]);
        assert_eq!(results.len(), 1);
        assert_eq!(code(&results[0].outcome), expected, "{topic:?}: {:?}", results[0].outcome);
        assert_eq!(world.log.len() > before, expected.is_none(), "{topic:?}");
        world.check_bytes();
    }
}

#[test]
fn a_topic_named_twice_is_refused_once_and_the_others_are_made() {
    let mut world = World::of(1);
    let results = world.create(vec![topic("a", 1, 1), topic("b", 1, 1), topic("a", 1, 1), topic("a", 1, 1)]);
    let codes: Vec<_> = results.iter().map(|result| (result.name.as_str(), code(&result.outcome))).collect();
    assert_eq!(codes, [("b", ErrorCode::None), ("a", ErrorCode::InvalidRequest)]);
}

#[test]
fn two_topics_of_one_request_must_not_collide_in_metrics() {
    let mut world = World::of(1);
    let results = world.create(vec![topic("x.y", 1, 1), topic("x_y", 1, 1)]);
    let codes: Vec<_> = results.iter().map(|result| code(&result.outcome)).collect();
    assert_eq!(codes, [ErrorCode::None, ErrorCode::InvalidTopic]);
}

#[test]
fn a_collision_ends_with_the_topic() {
    let mut world = World::of(1);
    world.make("x.y", 1, 1);
    world.ask(Command::DeleteTopics(vec![TopicRef::Name("x.y".to_owned())]));
    world.make("x_y", 1, 1);
}

#[test]
fn a_topic_is_written_as_kafka_writes_it() {
    let mut world = World::of(1);
    let before = world.log.len();
    let results = world.create(vec![configured("t", "retention.ms", Some("5"))]);
    let kinds: Vec<i16> = world.log[before..].iter().map(MetadataRecord::kind).collect();
    assert_eq!(kinds, [2, 4, 3, 3], "topic, config, partitions");
    let created = results[0].outcome.as_ref().unwrap();
    assert_eq!((created.partitions, created.replication_factor), (2, 1));
    let made = world.partition("t", 1);
    assert_eq!((made.leader, made.leader_epoch.0, made.partition_epoch), (BrokerId(1), 0, 0));
    assert_eq!(made.directories, [crate::fixture::directory(1)]);
    let retention = created.configs.iter().find(|entry| entry.key.name == "retention.ms").unwrap();
    assert_eq!((retention.value.as_deref(), retention.source), (Some("5"), Source::DynamicTopic));
    let min = created.configs.iter().find(|entry| entry.key.name == "min.insync.replicas").unwrap();
    assert_eq!((min.value.as_deref(), min.source), (Some("1"), Source::DynamicDefaultBroker));
}

#[test]
fn a_dry_run_answers_and_writes_nothing() {
    let mut world = World::of(1);
    let before = world.log.len();
    let command = CreateTopics { topics: vec![topic("t", 1, 1), topic("u", 0, 1)], validate_only: true };
    let Reply::TopicsCreated(results) = world.ask(Command::CreateTopics(command)) else { panic!() };
    let codes: Vec<_> = results.iter().map(|result| code(&result.outcome)).collect();
    assert_eq!(codes, [ErrorCode::None, ErrorCode::InvalidPartitions]);
    assert_eq!(world.log.len(), before);
}

#[test]
fn without_a_broker_that_serves_no_topic_is_made() {
    let mut world = World::new(1);
    assert_eq!(code(&world.create(vec![topic("t", 1, 1)])[0].outcome), ErrorCode::InvalidReplicationFactor);
    let command = world.register(1, 1);
    world.ask(Command::RegisterBroker(command));
    assert_eq!(code(&world.create(vec![topic("t", 1, 1)])[0].outcome), ErrorCode::InvalidReplicationFactor);
    assert_eq!(code(&world.create(vec![assigned("t", &[(0, &[1])])])[0].outcome), ErrorCode::InvalidReplicaAssignment);
}

#[test]
fn topics_are_removed_by_name_or_by_id() {
    let mut world = World::of(1);
    for name in ["a", "b", "c", "d"] {
        world.make(name, 1, 1);
    }
    let id = |world: &World, name| world.image().topics.named(name).unwrap().id;
    let (b, c, stranger) = (id(&world, "b"), id(&world, "c"), Uuid([9; 16]));
    let name = |name: &str| TopicRef::Name(name.to_owned());
    let topics = vec![
        name("a"),
        TopicRef::Id(b),
        TopicRef::Id(c),
        name("c"),
        name("d"),
        name("d"),
        name("nope"),
        TopicRef::Id(stranger),
    ];
    let Reply::TopicsDeleted(deletions) = world.ask(Command::DeleteTopics(topics)) else { panic!() };
    let told: Vec<_> = deletions
        .iter()
        .map(|deletion| (deletion.name.as_deref(), deletion.error.as_ref().map_or(0, |refusal| refusal.code.code())))
        .collect();
    let expected = [(Some("a"), 0), (Some("b"), 0), (Some("c"), 42), (Some("nope"), 3), (None, 100), (Some("d"), 42)];
    assert_eq!(told, expected);
    let left: Vec<_> = world.image().topics.iter().map(|topic| topic.name.to_string()).collect();
    assert_eq!(left, ["c", "d"]);
}

#[test]
fn a_removed_topic_takes_its_configuration_along_and_its_name_gets_another_id() {
    let mut world = World::of(1);
    world.create(vec![configured("t", "retention.ms", Some("5"))]);
    let id = world.image().topics.named("t").unwrap().id;
    world.ask(Command::DeleteTopics(vec![TopicRef::Id(id)]));
    world.make("t", 1, 1);
    assert_ne!(world.image().topics.named("t").unwrap().id, id);
    let resource = Resource::new(ResourceKind::Topic, "t");
    assert_eq!(world.image().configs.get(&resource, "retention.ms"), None);
}

#[test]
fn a_request_names_a_topic_in_one_way() {
    let id = Uuid([9; 16]);
    assert_eq!(TopicRef::parse(Some("t"), Uuid::ZERO), Ok(TopicRef::Name("t".to_owned())));
    assert_eq!(TopicRef::parse(None, id), Ok(TopicRef::Id(id)));
    assert_eq!(TopicRef::parse(None, Uuid::ZERO).unwrap_err().code, ErrorCode::InvalidRequest);
    assert_eq!(TopicRef::parse(Some("t"), id).unwrap_err().code, ErrorCode::InvalidRequest);
}
