use super::*;
use crate::controller::topics::NewTopic;
use crate::controller::{Command, Reply};
use crate::fixture::World;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

fn world() -> World {
    let mut world = World::of(1);
    world.make("t", 1, 1);
    world
}

/// `key=value` sets, `key-` deletes, `key+=item` appends, `key-=item` subtracts, `key!` sets without a value.
fn change(kind: i8, name: &str, script: &str) -> ResourceChange {
    let key = |text: &str| {
        let (key, operation, value) = if let Some((key, value)) = text.split_once("+=") {
            (key, Operation::Append, Some(value))
        } else if let Some((key, value)) = text.split_once("-=") {
            (key, Operation::Subtract, Some(value))
        } else if let Some((key, value)) = text.split_once('=') {
            (key, Operation::Set, Some(value))
        } else if let Some(key) = text.strip_suffix('!') {
            (key, Operation::Set, None)
        } else {
            (text.trim_end_matches('-'), Operation::Delete, None)
        };
        KeyChange { key: key.to_owned(), operation: operation.code(), value: value.map(str::to_owned) }
    };
    ResourceChange { kind, name: name.to_owned(), keys: script.split_whitespace().map(key).collect() }
}

fn alter(world: &mut World, resources: Vec<ResourceChange>) -> Vec<i16> {
    codes(world.ask(Command::AlterConfigs(AlterConfigs { resources, validate_only: false })))
}

fn replace(world: &mut World, kind: i8, name: &str, values: &[(&str, &str)]) -> i16 {
    let values = values.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned()))).collect();
    let resources = vec![ResourceValues { kind, name: name.to_owned(), values }];
    codes(world.ask(Command::ReplaceConfigs(ReplaceConfigs { resources, validate_only: false })))[0]
}

fn codes(reply: Reply) -> Vec<i16> {
    let Reply::ConfigsAltered(results) = reply else { panic!("{reply:?}") };
    results.iter().map(|result| result.error.as_ref().map_or(0, |refusal| refusal.code.code())).collect()
}

fn values(world: &World, kind: i8, name: &str) -> Vec<String> {
    let resource = Resource::new(ResourceKind::from_code(kind).unwrap(), name);
    world.image().configs.of(&resource).map(|(key, value)| format!("{key}={value}")).collect()
}

#[test]
fn each_change_is_allowed_or_refused_as_kafka_does() {
    let cases = [
        (TOPIC, "t", "retention.ms=5", 0),
        (TOPIC, "t", "retention.ms-", 0),
        (TOPIC, "t", "no.such.key-", 0),
        (TOPIC, "t", "no.such.key=1", 40),
        (TOPIC, "t", "retention.ms=-2", 40),
        (TOPIC, "t", "retention.ms+=1", 40),
        (TOPIC, "t", "no.such.key+=1", 40),
        (TOPIC, "t", "cleanup.policy=burn", 40),
        (TOPIC, "t", "cleanup.policy+=burn", 40),
        (TOPIC, "t", "retention.ms=1 retention.ms=2", 42),
        (TOPIC, "t", "retention.ms!", 42),
        (TOPIC, "t", "min.compaction.lag.ms=9 max.compaction.lag.ms=8", 40),
        (TOPIC, "t", "min.compaction.lag.ms=9 max.compaction.lag.ms=9", 0),
        (TOPIC, "nope", "retention.ms=5", 3),
        (TOPIC, "nope", "retention.ms=x", 40),
        (TOPIC, "", "retention.ms=5", 42),
        (TOPIC, "a/b", "retention.ms=5", 17),
        (BROKER, "1", "log.retention.ms=5", 0),
        (BROKER, "", "log.retention.ms=5", 0),
        (BROKER, "1", "plugin.key=5", 0),
        (BROKER, "1", "log.retention.ms=x", 42),
        (BROKER, "1", "log.dirs=/data", 42),
        (BROKER, "", "log.dirs=/data", 42),
        (BROKER, "9", "log.retention.ms=5", 102),
        (BROKER, "one", "log.retention.ms=5", 42),
        (BROKER, "-1", "log.retention.ms=5", 42),
        (BROKER, "1", "min.insync.replicas=2", 40),
        (BROKER, "1", "min.insync.replicas-", 40),
        (BROKER, "", "min.insync.replicas-", 40),
        (BROKER, "", "min.insync.replicas=2", 0),
        (GROUP, "g", "consumer.session.timeout.ms=30000", 0),
        (GROUP, "g", "consumer.session.timeout.ms=1", 40),
        (GROUP, "g", "consumer.session.timeout.ms=5000", 40),
        (GROUP, "g", "no.such.key=1", 40),
        (GROUP, "", "consumer.session.timeout.ms=30000", 42),
        (CLIENT_METRICS, "m", "interval.ms=1000 match=client_id=a.*,client_software_name=x", 0),
        (CLIENT_METRICS, "m", "interval.ms=1", 42),
        (CLIENT_METRICS, "m", "no.such.key=1", 42),
        (CLIENT_METRICS, "m", "match=shoe_size=43", 40),
        (CLIENT_METRICS, "", "interval.ms=1000", 42),
        (8, "1", "root=DEBUG", 42),
        (0, "x", "a=b", 42),
        (99, "x", "a=b", 42),
    ];
    for (kind, name, script, expected) in cases {
        let mut world = world();
        let before = world.log.len();
        assert_eq!(alter(&mut world, vec![change(kind, name, script)]), [expected], "{kind} {name} {script}");
        assert!(expected == 0 || world.log.len() == before, "{kind} {name} {script}");
        world.check_bytes();
    }
}

#[test]
fn an_operation_works_on_what_was_there() {
    let cases = [
        ("", "cleanup.policy+=compact", "cleanup.policy=delete,compact"),
        ("cleanup.policy=compact", "cleanup.policy+=compact,delete", "cleanup.policy=compact,delete"),
        ("cleanup.policy=compact,delete", "cleanup.policy-=compact", "cleanup.policy=delete"),
        ("cleanup.policy=compact", "cleanup.policy-=compact", "cleanup.policy="),
        ("retention.ms=5 cleanup.policy=compact", "retention.ms-", "cleanup.policy=compact"),
        ("retention.ms=5", "retention.ms=6", "retention.ms=6"),
        ("retention.ms=5", "retention.ms-", ""),
    ];
    for (before, script, after) in cases {
        let mut world = world();
        assert_eq!(alter(&mut world, vec![change(TOPIC, "t", before)]), [0]);
        assert_eq!(alter(&mut world, vec![change(TOPIC, "t", script)]), [0]);
        assert_eq!(values(&world, TOPIC, "t").join(" "), after, "{before} | {script}");
    }
}

#[test]
fn a_resource_changes_as_a_whole_and_the_others_do_not_suffer() {
    let mut world = world();
    let good = change(GROUP, "g", "consumer.session.timeout.ms=30000");
    let bad = change(TOPIC, "t", "retention.ms=5 cleanup.policy=burn");
    assert_eq!(alter(&mut world, vec![bad, good]), [40, 0]);
    assert!(values(&world, TOPIC, "t").is_empty());
    assert_eq!(values(&world, GROUP, "g"), ["consumer.session.timeout.ms=30000"]);
}

#[test]
fn a_resource_named_twice_does_not_change() {
    let mut world = world();
    let once = change(GROUP, "t", "consumer.session.timeout.ms=30000");
    let twice = change(TOPIC, "t", "retention.ms=5");
    assert_eq!(alter(&mut world, vec![twice.clone(), once, twice]), [42, 0, 42]);
    assert!(values(&world, TOPIC, "t").is_empty());
}

#[test]
fn an_unknown_operation_is_refused() {
    let mut world = world();
    let keys = vec![KeyChange { key: "retention.ms".to_owned(), operation: 9, value: Some("1".to_owned()) }];
    assert_eq!(alter(&mut world, vec![ResourceChange { kind: TOPIC, name: "t".to_owned(), keys }]), [42]);
}

#[test]
fn a_replacement_takes_away_what_it_does_not_name() {
    let mut world = world();
    alter(&mut world, vec![change(TOPIC, "t", "retention.ms=5 cleanup.policy=compact")]);
    assert_eq!(replace(&mut world, TOPIC, "t", &[("cleanup.policy", "delete")]), 0);
    assert_eq!(values(&world, TOPIC, "t"), ["cleanup.policy=delete"]);
    assert_eq!(replace(&mut world, TOPIC, "t", &[("no.such.key", "1")]), 40);
    assert_eq!(replace(&mut world, BROKER, "1", &[("log.retention.ms", "5")]), 0);
    assert_eq!(replace(&mut world, BROKER, "1", &[]), 0);
    assert!(values(&world, BROKER, "1").is_empty());
    // Taking the rest away would take what eligible leaders depend on.
    assert_eq!(replace(&mut world, BROKER, "", &[("log.retention.ms", "5")]), 40);
}

#[test]
fn a_dry_run_writes_nothing() {
    let mut world = world();
    let before = world.log.len();
    let resources = vec![change(TOPIC, "t", "retention.ms=5")];
    assert_eq!(codes(world.ask(Command::AlterConfigs(AlterConfigs { resources, validate_only: true }))), [0]);
    assert_eq!(world.log.len(), before);
}

#[test]
fn only_a_broker_is_told_again_what_it_knows() {
    let mut world = world();
    for (kind, name, script, written) in [(TOPIC, "t", "retention.ms=5", 0), (BROKER, "1", "log.retention.ms=5", 1)] {
        alter(&mut world, vec![change(kind, name, script)]);
        let before = world.log.len();
        alter(&mut world, vec![change(kind, name, script)]);
        assert_eq!(world.log.len() - before, written);
    }
}

#[test]
fn a_value_has_a_longest_length() {
    let mut world = world();
    let long = |length| change(BROKER, "1", &format!("plugin.key={}", "x".repeat(length)));
    assert_eq!(alter(&mut world, vec![long(VALUE_BYTES_MAX)]), [0]);
    assert_eq!(alter(&mut world, vec![long(VALUE_BYTES_MAX + 1)]), [40]);
}

#[test]
fn another_number_of_replicas_in_sync_makes_nobody_eligible() {
    let mut world = World::of(2);
    world.create(vec![NewTopic { partitions: 1, replication_factor: 2, ..NewTopic::named("t") }]);
    alter(&mut world, vec![change(TOPIC, "t", "min.insync.replicas=2")]);
    let mut leave = world.heartbeat(2);
    leave.wants_fence = true;
    world.tell(leave);
    assert_eq!(world.partition("t", 0).eligible_leaders, [BrokerId(2)]);
    alter(&mut world, vec![change(TOPIC, "t", "min.insync.replicas=1")]);
    assert!(world.partition("t", 0).eligible_leaders.is_empty());
}

#[test]
fn more_changes_than_a_decision_holds_are_refused_as_a_whole() {
    let mut world = World::of(1);
    let script: String = (0..RECORDS_MAX).map(|number| format!("plugin.{number}=1 ")).collect();
    let results = alter(&mut world, vec![change(BROKER, "1", &script), change(BROKER, "", "log.retention.ms=5")]);
    assert_eq!(results, [44, 44]);
    assert_eq!(alter(&mut world, vec![change(BROKER, "1", &script)]), [0]);
}
