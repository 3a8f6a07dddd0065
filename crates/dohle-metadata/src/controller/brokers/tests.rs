use std::time::Duration;

use super::*;
use crate::controller::{Command, Reply};
use crate::fixture::{CLUSTER, SESSION, World, brokers, directory};

fn register(world: &mut World, command: RegisterBroker) -> Result<BrokerEpoch, i16> {
    let Reply::Registered(outcome) = world.ask(Command::RegisterBroker(command)) else { panic!() };
    outcome.map_err(|refusal| refusal.code.code())
}

#[test]
fn a_broker_serves_after_it_has_read_its_own_registration() {
    let mut world = World::new(1);
    let command = world.register(1, 1);
    let end = world.ledger.end();
    assert_eq!(register(&mut world, command), Ok(BrokerEpoch(end.0)));
    let early = Heartbeat { metadata_offset: end - 1, ..world.heartbeat(1) };
    let standing = world.tell(early);
    assert!(standing.is_fenced && !standing.is_caught_up);
    let standing = world.beat(1);
    assert!(!standing.is_fenced && standing.is_caught_up);
    world.check_bytes();
}

#[test]
fn a_registration_is_checked() {
    let mut world = World::of(1);
    let fine = || World::of(1).register(2, 1);
    let cases = [
        (RegisterBroker { cluster_id: "another".to_owned(), ..fine() }, Err(104)),
        (RegisterBroker { directories: vec![], ..fine() }, Err(119)),
        (RegisterBroker { directories: vec![directory::LOST], ..fine() }, Err(119)),
        (RegisterBroker { directories: vec![Uuid([7; 16]); 2], ..fine() }, Err(119)),
        (RegisterBroker { directories: vec![directory(1)], ..fine() }, Err(119)),
        (RegisterBroker { features: vec![], ..fine() }, Err(119)),
        (RegisterBroker { features: fine().features[..1].to_vec(), ..fine() }, Err(35)),
        (RegisterBroker { cluster_id: CLUSTER.to_owned(), ..fine() }, Ok(())),
    ];
    for (command, expected) in cases {
        assert_eq!(register(&mut world, command.clone()).map(drop), expected, "{command:?}");
    }
}

#[test]
fn a_second_process_waits_until_the_first_is_silent_but_for_the_node_that_leads() {
    let mut world = World::of(2);
    let (two, one) = (world.register(2, 9), world.register(1, 9));
    assert_eq!(register(&mut world, two.clone()), Err(101));
    // Who leads is broker 1: the other process cannot be alive.
    let mut next = World::of(1);
    let log = std::mem::take(&mut next.log);
    let mut controller = Controller::new(CLUSTER, crate::fixture::policy(1));
    for (offset, record) in (0..).zip(&log) {
        dohle_replication::ledger::Folded::apply(&mut controller, Offset(offset), record);
    }
    next.ledger = dohle_replication::ledger::Ledger::lead(controller, next.now, Offset(log.len() as i64), 8 << 20);
    let log_end = next.ledger.end();
    assert_eq!(register(&mut next, RegisterBroker { log_end, ..one }), Ok(BrokerEpoch(log_end.0)));
    world.wait(SESSION);
    let log_end = world.ledger.end();
    assert!(register(&mut world, RegisterBroker { log_end, ..two }).is_ok());
}

#[test]
fn the_same_process_may_say_more_and_keeps_its_epoch() {
    let mut world = World::of(1);
    let epoch = world.epoch(1);
    let more = RegisterBroker { rack: Some("r".to_owned()), ..world.register(1, 1) };
    assert_eq!(register(&mut world, more), Ok(epoch));
    let broker = world.image().brokers.get(BrokerId(1)).unwrap();
    assert!(!broker.fenced);
    assert_eq!(broker.rack.as_deref(), Some("r"));
}

#[test]
fn who_speaks_for_an_ended_life_is_refused() {
    let mut world = World::of(1);
    let old = world.epoch(1);
    let stale = Heartbeat { epoch: BrokerEpoch(old.0 - 1), ..world.heartbeat(1) };
    let Reply::Heartbeat(Err(refusal)) = world.ask(Command::Heartbeat(stale)) else { panic!() };
    assert_eq!(refusal.code, ErrorCode::StaleBrokerEpoch);
    let ids = Command::AllocateProducerIds { broker: BrokerId(1), epoch: BrokerEpoch(-1) };
    let Reply::ProducerIds(Err(refusal)) = world.ask(ids) else { panic!() };
    assert_eq!(refusal.code, ErrorCode::StaleBrokerEpoch);
}

#[test]
fn a_silent_broker_is_fenced_and_its_partitions_find_other_leaders() {
    let mut world = World::of(3);
    world.make("t", 6, 3);
    world.wait(SESSION / 2);
    world.beat(1);
    world.beat(2);
    world.wait(SESSION / 2);
    assert!(world.image().brokers.get(BrokerId(3)).unwrap().fenced);
    for index in 0..6 {
        let partition = world.partition("t", index);
        assert!(!partition.in_sync.contains(&BrokerId(3)));
        assert!(partition.leader == BrokerId(1) || partition.leader == BrokerId(2));
    }
    assert!(!world.beat(3).is_fenced, "it may come back");
    world.check_bytes();
}

#[test]
fn the_only_replica_leads_again_when_it_comes_back() {
    // The clean end of a life after which a directory is missing, and an unclean one.
    for (keeps, recovering) in [(true, false), (false, true)] {
        let mut world = World::new(1);
        let directories = if keeps { vec![directory(1), directory(9)] } else { vec![directory(1)] };
        let command = RegisterBroker { directories, ..world.register(1, 1) };
        register(&mut world, command).unwrap();
        world.beat(1);
        world.make("t", 1, 1);
        let previous_epoch = keeps.then(|| world.epoch(1));
        world.now.instant += SESSION;
        let command = RegisterBroker { previous_epoch, ..world.register(1, 2) };
        register(&mut world, command).unwrap();
        let down = world.partition("t", 0);
        assert_eq!(down.leader, BrokerId::NONE);
        assert_eq!(down.eligible_leaders, if keeps { brokers(&[1]) } else { vec![] });
        world.beat(1);
        let up = world.partition("t", 0);
        assert_eq!((up.leader, up.in_sync, up.recovering), (BrokerId(1), brokers(&[1]), recovering));
        assert!(up.eligible_leaders.is_empty() && up.last_known_leaders.is_empty());
        assert_eq!(up.leader_epoch.0, 2);
        world.check_bytes();
    }
}

#[test]
fn a_broker_that_resumes_goes_on_leading_what_it_alone_holds() {
    let mut world = World::of(2);
    world.make("alone", 4, 1);
    world.make("shared", 2, 2);
    let before: Vec<_> = (0..4).map(|index| world.partition("alone", index)).collect();
    world.ledger = dohle_replication::ledger::Ledger::lead(
        world.ledger.committed().clone(),
        world.now,
        world.ledger.end(),
        8 << 20,
    );
    let command = RegisterBroker { previous_epoch: Some(world.epoch(1)), ..world.register(1, 2) };
    register(&mut world, command).unwrap();
    assert!(world.image().brokers.get(BrokerId(1)).unwrap().fenced);
    assert!((0..2).all(|index| world.partition("shared", index).in_sync == brokers(&[2])));
    assert!(!world.beat(1).is_fenced);
    assert_eq!((0..4).map(|index| world.partition("alone", index)).collect::<Vec<_>>(), before);
    world.check_bytes();
}

#[test]
fn a_broker_leaves_in_order() {
    let mut world = World::of(2);
    world.make("t", 4, 2);
    let leave = |world: &World| Heartbeat { wants_shutdown: true, ..world.heartbeat(1) };
    let command = leave(&world);
    let standing = world.tell(command);
    assert!(standing.is_leaving && !standing.should_shut_down);
    assert!((0..4).all(|index| world.partition("t", index).leader == BrokerId(2)));
    let command = leave(&world);
    assert!(!world.tell(command).should_shut_down, "broker 2 has not read that it leads");
    world.beat(2);
    let command = leave(&world);
    let standing = world.tell(command);
    assert!(standing.should_shut_down && standing.is_fenced);
    assert!(world.image().brokers.get(BrokerId(1)).unwrap().fenced);
    world.make("u", 4, 1);
    assert!((0..4).all(|index| world.partition("u", index).leader == BrokerId(2)));
}

#[test]
fn a_broker_that_holds_nothing_may_leave_at_once() {
    let mut world = World::of(2);
    let command = Heartbeat { wants_shutdown: true, ..world.heartbeat(1) };
    assert!(world.tell(command).should_shut_down);
}

#[test]
fn a_directory_that_fails_costs_what_lies_in_it() {
    let mut world = World::new(1);
    let two = vec![directory(1), directory(9)];
    let command = RegisterBroker { directories: two, ..world.register(1, 1) };
    register(&mut world, command).unwrap();
    world.beat(1);
    world.start(2);
    world.make("t", 2, 2);
    // With two directories the broker has not chosen one yet: those partitions are believed to be served.
    let offline = Heartbeat { offline_directories: vec![directory(1)], ..world.heartbeat(1) };
    world.tell(offline);
    assert_eq!(world.image().brokers.get(BrokerId(1)).unwrap().directories, [directory(9)]);
    world.make("u", 2, 2);
    let offline = Heartbeat { offline_directories: vec![directory(9)], ..world.heartbeat(1) };
    world.tell(offline);
    for index in 0..2 {
        assert_eq!(world.partition("u", index).in_sync, brokers(&[2]));
        assert_eq!(world.partition("u", index).leader, BrokerId(2));
    }
    world.check_bytes();
}

#[test]
fn a_removed_broker_is_gone_and_eligible_nowhere() {
    let mut world = World::of(2);
    world.make("t", 2, 2);
    let Reply::Unregistered(Ok(())) = world.ask(Command::UnregisterBroker(BrokerId(2))) else { panic!() };
    assert!(world.image().brokers.get(BrokerId(2)).is_none());
    assert!((0..2).all(|index| world.partition("t", index).in_sync == brokers(&[1])));
    let Reply::Unregistered(Err(refusal)) = world.ask(Command::UnregisterBroker(BrokerId(2))) else { panic!() };
    assert_eq!(refusal.code, ErrorCode::BrokerIdNotRegistered);
}

/// Broker 1 restarts while it holds more partitions than one decision can change.
fn restarted_with_many_partitions() -> World {
    let mut world = World::of(1);
    for name in ["a", "b", "c"] {
        world.make(name, 6_000, 1);
    }
    world.now.instant += SESSION;
    let command = world.register(1, 2);
    register(&mut world, command).unwrap();
    world
}

fn leaderless(world: &World) -> usize {
    let partitions = world.image().topics.iter().flat_map(|topic| topic.partitions());
    partitions.filter(|(_, assignment)| !assignment.has_leader()).count()
}

#[test]
fn more_elections_than_a_decision_holds_are_settled_one_after_the_other() {
    let mut world = restarted_with_many_partitions();
    assert!(world.beat(1).is_fenced, "not before all its partitions know that it was away");
    world.wait(Duration::ZERO);
    assert_eq!(leaderless(&world), 18_000);
    assert!(!world.beat(1).is_fenced);
    world.wait(Duration::ZERO);
    assert_eq!(leaderless(&world), 0);
}

#[test]
fn elections_that_are_left_do_not_outlive_their_cause() {
    let mut world = restarted_with_many_partitions();
    world.wait(Duration::ZERO);
    world.beat(1);
    let first = crate::controller::topics::TopicRef::Name("a".to_owned());
    world.ask(Command::DeleteTopics(vec![first]));
    let fence = Heartbeat { wants_fence: true, ..world.heartbeat(1) };
    world.tell(fence);
    world.wait(Duration::ZERO);
    assert_eq!(leaderless(&world), 12_000);
}

#[test]
fn without_eligible_leaders_the_last_replica_stays_in_sync() {
    let mut world = World::of(1);
    let off = dohle_protocol::record::metadata::FeatureLevelRecord {
        name: crate::image::features::ELIGIBLE_LEADERS.into(),
        feature_level: 0,
        ..Default::default()
    };
    let mut controller = world.ledger.committed().clone();
    let end = world.ledger.end();
    dohle_replication::ledger::Folded::apply(&mut controller, end, &MetadataRecord::FeatureLevel(off));
    world.ledger = dohle_replication::ledger::Ledger::lead(controller, world.now, end.next(), 8 << 20);
    world.make("t", 1, 1);
    let fence = Heartbeat { wants_fence: true, ..world.heartbeat(1) };
    world.tell(fence);
    let down = world.partition("t", 0);
    assert_eq!((down.leader, down.in_sync), (BrokerId::NONE, brokers(&[1])));
    world.beat(1);
    assert_eq!(world.partition("t", 0).leader, BrokerId(1));
}
