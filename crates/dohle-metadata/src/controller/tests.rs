use super::*;
use crate::controller::configs::{KeyChange, ResourceChange};
use crate::controller::partitions::GrowingTopic;
use crate::controller::topics::NewTopic;
use crate::fixture::{CLUSTER, SESSION, World, policy};
use crate::image::features::FEATURES;
use crate::image::{Resource, ResourceKind};
use dohle_protocol::record::metadata::{BeginTransactionRecord, TopicRecord};
use dohle_replication::ledger::Ledger;

#[test]
fn a_new_cluster_begins_as_kafkas_format_command_begins_it() {
    let world = World::new(1);
    let kinds: Vec<i16> = world.log.iter().map(MetadataRecord::kind).collect();
    assert_eq!(kinds, [23, 12, 12, 12, 12, 12, 12, 4, 24]);
    for feature in FEATURES {
        assert_eq!(world.image().features.level(feature.name), feature.most, "{}", feature.name);
    }
    assert_eq!(world.image().configs.get(&Resource::all_brokers(), "min.insync.replicas"), Some("1"));
    world.check_bytes();
}

#[test]
fn a_cluster_begins_once() {
    let mut world = World::new(1);
    let before = world.log.len();
    assert!(matches!(world.ask(Command::Bootstrap), Reply::Bootstrapped(false)));
    assert_eq!(world.log.len(), before);
}

#[test]
fn a_transaction_that_the_last_leader_left_open_is_taken_back() {
    let mut world = World::new(1);
    let mut controller = world.ledger.committed().clone();
    let topic = TopicRecord { name: "half".into(), topic_id: dohle_base::Uuid([5; 16]), ..Default::default() };
    let open = [MetadataRecord::BeginTransaction(BeginTransactionRecord::default()), MetadataRecord::Topic(topic)];
    let mut end = world.ledger.end();
    for record in &open {
        controller.apply(end, record);
        end = end.next();
    }
    assert!(controller.image().in_transaction());
    world.ledger = Ledger::lead(controller, world.now, end, 8 << 20);
    assert!(matches!(world.ask(Command::Bootstrap), Reply::Bootstrapped(false)));
    assert!(!world.image().in_transaction());
    assert!(world.image().topics.is_empty());
}

#[test]
fn producer_ids_are_given_once() {
    let mut world = World::of(2);
    let mut blocks = vec![];
    for broker in [1, 2, 1] {
        let (broker, epoch) = (BrokerId(broker), world.epoch(broker));
        let Reply::ProducerIds(Ok(ids)) = world.ask(Command::AllocateProducerIds { broker, epoch }) else { panic!() };
        blocks.push((ids.first.0, ids.count));
    }
    assert_eq!(blocks, [(0, 1_000), (1_000, 1_000), (2_000, 1_000)]);
}

#[test]
fn two_leaderships_do_not_give_the_same_topic_ids() {
    let id = |wall| {
        let now = Now { wall: dohle_base::Timestamp(wall), ..Now::default() };
        let controller = Controller::new(CLUSTER, policy(1));
        dohle_base::Uuid::random(&mut controller.lead(now).rng)
    };
    assert_ne!(id(1), id(2));
    assert_eq!(id(1), id(1));
}

#[test]
fn a_weight_is_an_upper_bound() {
    let world = World::of(3);
    for record in &world.log {
        assert!(Controller::weight(record) > record.encode(version(record)).unwrap().len());
    }
}

/// Commands that make sense often enough to get somewhere.
fn any_command(world: &World, rng: &mut Rng) -> Command {
    let names = ["a", "b", "c.d", "c_d", "", "e"];
    let name = |rng: &mut Rng| names[rng.below(names.len() as u64) as usize].to_owned();
    let broker = 1 + rng.below(4) as i32;
    let known = world.image().brokers.get(BrokerId(broker)).cloned();
    match rng.below(11) {
        0 | 1 => {
            let topic = NewTopic {
                partitions: rng.below(5) as i32 - 1,
                replication_factor: rng.below(4) as i16,
                ..NewTopic::named(&name(rng))
            };
            Command::CreateTopics(CreateTopics { topics: vec![topic], validate_only: rng.chance(50) })
        }
        2 => Command::DeleteTopics(vec![TopicRef::Name(name(rng))]),
        3 => {
            let topic = GrowingTopic { name: name(rng), count: rng.below(8) as i32, assignments: None };
            Command::CreatePartitions(CreatePartitions { topics: vec![topic], validate_only: false })
        }
        4 => {
            let value = Some((1 + rng.below(3)).to_string());
            let operation = rng.below(2) as i8;
            let keys = vec![KeyChange { key: "min.insync.replicas".to_owned(), operation, value }];
            let change = if rng.chance(500) {
                ResourceChange { kind: ResourceKind::Topic.code(), name: name(rng), keys }
            } else {
                ResourceChange { kind: ResourceKind::Broker.code(), name: String::new(), keys }
            };
            Command::AlterConfigs(AlterConfigs { resources: vec![change], validate_only: false })
        }
        5 => {
            let keys = vec![KeyChange {
                key: "unclean.leader.election.enable".to_owned(),
                operation: 0,
                value: Some(rng.chance(300).to_string()),
            }];
            let change = ResourceChange { kind: ResourceKind::Topic.code(), name: name(rng), keys };
            Command::AlterConfigs(AlterConfigs { resources: vec![change], validate_only: false })
        }
        6 | 7 => {
            let previous_epoch = known.filter(|_| rng.chance(500)).map(|broker| broker.epoch);
            let incarnation = 1 + rng.below(200) as u8;
            Command::RegisterBroker(RegisterBroker { previous_epoch, ..world.register(broker, incarnation) })
        }
        8 if rng.chance(100) => Command::UnregisterBroker(BrokerId(broker)),
        _ => match known {
            Some(_) => Command::Heartbeat(Heartbeat {
                wants_fence: rng.chance(100),
                wants_shutdown: rng.chance(50),
                ..world.heartbeat(broker)
            }),
            None => Command::RegisterBroker(world.register(broker, 1)),
        },
    }
}

/// With eligible leaders on and nothing left to settle: who is fenced or leaving leads nothing and is in sync
/// nowhere.
fn check_elections(world: &World) {
    let image = world.image();
    for topic in image.topics.iter() {
        for (index, assignment) in topic.partitions() {
            let name = &topic.name;
            let active = |id: &BrokerId| image.brokers.is_active(*id);
            assert!(assignment.in_sync.iter().all(active), "{name}-{index}: {assignment:?}");
            assert!(!assignment.has_leader() || active(&assignment.leader), "{name}-{index}: {assignment:?}");
            assert!(assignment.last_known_leaders.len() <= 1, "{name}-{index}: {assignment:?}");
        }
    }
}

#[test]
fn whatever_is_asked_the_laws_hold() {
    for seed in 0..150 {
        let mut world = World::new(seed);
        let rng = &mut Rng::new(seed);
        for _ in 0..120 {
            let command = any_command(&world, rng);
            world.ask(command);
            if rng.chance(100) {
                world.wait(SESSION / 3);
            }
            check_elections(&world);
        }
        world.check_bytes();
        assert!(world.ledger.committed().image().topics.iter().all(|topic| topic.partition_count() > 0));
        // The log says it all: whoever reads it from the beginning sees the same cluster.
        let mut image = Image::new(CLUSTER);
        for (offset, record) in (0..).zip(&world.log) {
            image.apply(Offset(offset), record).unwrap();
        }
        assert_eq!(image, *world.image(), "seed {seed}");
    }
}

#[test]
fn the_same_seed_writes_the_same_log() {
    let run = |seed| {
        let mut world = World::new(seed);
        let rng = &mut Rng::new(seed);
        for _ in 0..60 {
            let command = any_command(&world, rng);
            world.ask(command);
        }
        world.log
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}
