use super::*;
use crate::controller::{Command, Reply};
use crate::fixture::{World, brokers};

fn grow(name: &str, count: i32, assignments: Option<&[&[i32]]>) -> GrowingTopic {
    let assignments = assignments.map(|list| list.iter().map(|replicas| brokers(replicas)).collect());
    GrowingTopic { name: name.to_owned(), count, assignments }
}

fn ask(world: &mut World, topics: Vec<GrowingTopic>, validate_only: bool) -> Vec<(String, i16)> {
    let Reply::PartitionsCreated(growths) =
        world.ask(Command::CreatePartitions(CreatePartitions { topics, validate_only }))
    else {
        panic!()
    };
    let code = |growth: &Growth| growth.error.as_ref().map_or(0, |refusal| refusal.code.code());
    growths.iter().map(|growth| (growth.name.clone(), code(growth))).collect()
}

#[test]
fn each_growth_gets_its_own_answer() {
    let cases = [
        (grow("t", 3, None), 0),
        (grow("t", 4, Some(&[&[1, 2], &[2, 3]])), 0),
        (grow("nope", 3, None), 3),
        (grow("t", 2, None), 37),
        (grow("t", 1, None), 37),
        (grow("t", 0, None), 37),
        (grow("t", -1, None), 37),
        (grow("t", 4, Some(&[&[1, 2]])), 39),
        (grow("t", 3, Some(&[&[1]])), 39),
        (grow("t", 3, Some(&[&[1, 9]])), 39),
        (grow("t", 3, Some(&[&[1, 1]])), 39),
        (grow("t", 3, Some(&[&[]])), 39),
        (grow("t", 10_003, None), 44),
        (grow("t", i32::MAX, None), 44),
    ];
    for (topic, expected) in cases {
        let mut world = World::of(3);
        world.make("t", 2, 2);
        assert_eq!(ask(&mut world, vec![topic.clone()], false), [(topic.name.clone(), expected)], "{topic:?}");
        let count = if expected == 0 { topic.count as usize } else { 2 };
        assert_eq!(world.image().topics.named("t").unwrap().partition_count(), count, "{topic:?}");
        world.check_bytes();
    }
}

#[test]
fn a_topic_named_twice_does_not_grow() {
    let mut world = World::of(1);
    world.make("t", 1, 1);
    world.make("u", 1, 1);
    let topics = vec![grow("t", 2, None), grow("u", 2, None), grow("t", 3, None)];
    assert_eq!(ask(&mut world, topics, false), [("u".to_owned(), 0), ("t".to_owned(), 42)]);
}

#[test]
fn a_dry_run_changes_nothing() {
    let mut world = World::of(1);
    world.make("t", 1, 1);
    assert_eq!(ask(&mut world, vec![grow("t", 5, None)], true), [("t".to_owned(), 0)]);
    assert_eq!(world.image().topics.named("t").unwrap().partition_count(), 1);
}

#[test]
fn a_broker_that_takes_no_partitions_gets_none() {
    let mut world = World::of(2);
    let mut heartbeat = world.heartbeat(1);
    heartbeat.cordoned_directories = Some(vec![crate::fixture::directory(1)]);
    world.tell(heartbeat);
    world.make("t", 4, 1);
    assert!((0..4).all(|index| world.partition("t", index).replicas == brokers(&[2])));
}
