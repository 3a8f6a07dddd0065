use dohle_protocol::record::metadata::{
    AbortTransactionRecord, AccessControlEntryRecord, BeginTransactionRecord, ClientQuotaRecord, DelegationTokenRecord,
    EndTransactionRecord, FenceBrokerRecord, NoOpRecord, PartitionChangeRecord, PartitionRecord,
    RegisterControllerRecord, RemoveAccessControlEntryRecord, RemoveTopicRecord, TopicRecord, UnfenceBrokerRecord,
    UnregisterBrokerRecord, UserScramCredentialRecord, ZkMigrationStateRecord, client_quota::EntityData,
};

use super::*;
use crate::fixture::{World, brokers, directory};
use crate::snapshot;
use crate::snapshot::config_record;

fn id(number: u8) -> Uuid {
    Uuid([number; 16])
}

fn topic(name: &str, number: u8) -> MetadataRecord {
    MetadataRecord::Topic(TopicRecord { name: name.into(), topic_id: id(number), ..Default::default() })
}

fn partition(number: u8, index: i32) -> MetadataRecord {
    MetadataRecord::Partition(PartitionRecord {
        topic_id: id(number),
        partition_id: index,
        replicas: vec![1, 2],
        isr: vec![1, 2],
        leader: 1,
        leader_epoch: 0,
        partition_epoch: 0,
        directories: vec![directory(1), directory(2)],
        ..Default::default()
    })
}

fn change(number: u8, index: i32) -> PartitionChangeRecord {
    PartitionChangeRecord { topic_id: id(number), partition_id: index, ..Default::default() }
}

fn fold(records: &[MetadataRecord]) -> Result<Image, Contradiction> {
    let mut image = Image::new("c");
    for (offset, record) in (0..).zip(records) {
        image.apply(Offset(offset), record).map_err(|unfoldable| unfoldable.why)?;
    }
    image.check();
    Ok(image)
}

/// A cluster with something of everything.
fn everything() -> Image {
    let mut world = World::of(3);
    world.make("a", 3, 2);
    world.make("b.c", 1, 3);
    world.ask(crate::controller::Command::AllocateProducerIds { broker: BrokerId(1), epoch: world.epoch(1) });
    let mut fence = world.heartbeat(3);
    fence.wants_fence = true;
    world.tell(fence);
    let user = EntityData { entity_type: "user".into(), entity_name: Some("u".into()), ..Default::default() };
    let all = EntityData { entity_type: "client-id".into(), entity_name: None, ..Default::default() };
    let quota = ClientQuotaRecord { entity: vec![user, all], key: "rate".into(), value: 1.5, ..Default::default() };
    let others = [
        config_record(&Resource::new(ResourceKind::Topic, "a"), "retention.ms", Some("5")),
        config_record(&Resource::new(ResourceKind::Group, "g"), "k", Some("")),
        MetadataRecord::RegisterController(RegisterControllerRecord { controller_id: 9, ..Default::default() }),
        MetadataRecord::ClientQuota(quota),
        MetadataRecord::AccessControlEntry(AccessControlEntryRecord { id: id(1), ..Default::default() }),
        MetadataRecord::UserScramCredential(UserScramCredentialRecord { name: "u".into(), ..Default::default() }),
        MetadataRecord::DelegationToken(DelegationTokenRecord { token_id: "t".into(), ..Default::default() }),
    ];
    let mut image = world.image().clone();
    for record in &others {
        image.apply(image.offset.next(), record).unwrap();
    }
    image
}

#[test]
fn a_snapshot_folds_into_the_same_image() {
    let image = everything();
    let mut copy = Image::new(&image.cluster_id);
    for record in snapshot::records(&image) {
        let bytes = record.encode(crate::controller::version(&record)).unwrap();
        copy.apply(image.offset, &MetadataRecord::decode(&bytes).unwrap()).unwrap();
    }
    copy.check();
    assert_eq!(copy, image);
    assert_eq!(snapshot::records(&Image::new("c")).count(), 0);
}

#[test]
fn a_topic_is_found_by_name_and_by_id() {
    let image = fold(&[topic("b", 1), partition(1, 0), partition(1, 1), topic("a", 2)]).unwrap();
    let found = image.topics.named("b").unwrap();
    assert_eq!((found.id, found.partition_count(), found.replication_factor()), (id(1), 2, 2));
    assert_eq!(image.topics.get(id(2)).unwrap().name.as_str(), "a");
    assert!(image.topics.partition(id(1), Partition(2)).is_none());
    let names: Vec<_> = image.topics.iter().map(|topic| topic.name.to_string()).collect();
    assert_eq!(names, ["a", "b"]);
    let from: Vec<_> = image.topics.from("aa").map(|topic| topic.name.to_string()).collect();
    assert_eq!(from, ["b"]);
}

#[test]
fn a_change_of_a_partition_raises_its_epochs() {
    let shrink = PartitionChangeRecord { isr: Some(vec![1]), eligible_leader_replicas: Some(vec![2]), ..change(1, 0) };
    let elect = PartitionChangeRecord { leader: 2, isr: Some(vec![2]), leader_recovery_state: 1, ..change(1, 0) };
    let grow = PartitionChangeRecord {
        replicas: Some(vec![1, 2, 3]),
        adding_replicas: Some(vec![3]),
        directories: Some(vec![directory(1), directory(2), directory(3)]),
        ..change(1, 0)
    };
    let mut records = vec![topic("t", 1), partition(1, 0)];
    let mut seen = vec![];
    for record in [shrink, elect, grow] {
        records.push(MetadataRecord::PartitionChange(record));
        let image = fold(&records[..]);
        let image = match image {
            Ok(image) => image,
            Err(why) => panic!("{why}"),
        };
        let now = image.topics.partition(id(1), Partition(0)).unwrap().clone();
        seen.push((now.leader.0, now.leader_epoch.0, now.partition_epoch, now.in_sync.clone(), now.recovering));
        if now.leader.0 == 1 {
            // The law forbids a replica that is eligible and in sync at once: forget it before the election.
            let none = PartitionChangeRecord { eligible_leader_replicas: Some(vec![]), ..change(1, 0) };
            records.push(MetadataRecord::PartitionChange(none));
        }
    }
    let expected = [(1, 0, 1, brokers(&[1]), false), (2, 1, 3, brokers(&[2]), true), (2, 1, 4, brokers(&[2]), true)];
    assert_eq!(seen, expected);
}

#[test]
fn what_contradicts_the_log_is_not_skipped() {
    let gone = MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id: id(1), ..Default::default() });
    let unknown_rule =
        MetadataRecord::RemoveAccessControlEntry(RemoveAccessControlEntryRecord { id: id(1), ..Default::default() });
    let no_directories = MetadataRecord::Partition(PartitionRecord {
        topic_id: id(1),
        partition_id: 0,
        replicas: vec![1, 2],
        directories: vec![directory(1)],
        ..Default::default()
    });
    let unknown_kind = MetadataRecord::Config(dohle_protocol::record::metadata::ConfigRecord {
        resource_type: 3,
        ..Default::default()
    });
    let cases = [
        (vec![topic("a/b", 1)], Contradiction::TopicName("a/b".to_owned())),
        (vec![topic("t", 1), topic("t", 2)], Contradiction::SecondTopic(TopicName::parse("t").unwrap())),
        (vec![topic("t", 1), topic("u", 1)], Contradiction::SecondTopic(TopicName::parse("u").unwrap())),
        (vec![gone], Contradiction::NoTopic(id(1))),
        (vec![partition(1, 0)], Contradiction::NoTopic(id(1))),
        (vec![topic("t", 1), no_directories], Contradiction::Directories { replicas: 2, directories: 1 }),
        (
            vec![topic("t", 1), MetadataRecord::PartitionChange(change(1, 0))],
            Contradiction::NoPartition(id(1), Partition(0)),
        ),
        (
            vec![MetadataRecord::UnregisterBroker(UnregisterBrokerRecord { broker_id: 1, ..Default::default() })],
            Contradiction::NoBroker(BrokerId(1)),
        ),
        (vec![unknown_kind], Contradiction::ResourceKind(3)),
        (vec![unknown_rule], Contradiction::NoAccessRule(id(1))),
        (vec![MetadataRecord::EndTransaction(EndTransactionRecord::default())], Contradiction::Transaction),
        (vec![MetadataRecord::BeginTransaction(BeginTransactionRecord::default()); 2], Contradiction::Transaction),
    ];
    for (records, expected) in cases {
        assert_eq!(fold(&records), Err(expected));
    }
}

#[test]
fn an_aborted_transaction_leaves_no_trace() {
    let begin = MetadataRecord::BeginTransaction(BeginTransactionRecord::default());
    let end = MetadataRecord::EndTransaction(EndTransactionRecord::default());
    let abort = MetadataRecord::AbortTransaction(AbortTransactionRecord::default());
    let kept = fold(&[begin.clone(), topic("a", 1), end.clone()]).unwrap();
    assert_eq!((kept.topics.len(), kept.in_transaction(), kept.offset), (1, false, Offset(2)));
    let open = fold(&[topic("a", 1), begin.clone(), topic("b", 2)]).unwrap();
    assert!(open.in_transaction());
    let dropped = fold(&[topic("a", 1), begin, topic("b", 2), abort, topic("c", 3)]).unwrap();
    let names: Vec<_> = dropped.topics.iter().map(|topic| topic.name.to_string()).collect();
    assert_eq!((names.join(" "), dropped.offset), ("a c".to_owned(), Offset(4)));
}

#[test]
fn records_of_older_releases_are_understood() {
    let mut world = World::of(1);
    let (id, epoch) = (1, world.epoch(1).0);
    let mut image = world.image().clone();
    let fence = MetadataRecord::FenceBroker(FenceBrokerRecord { id, epoch, ..Default::default() });
    let unfence = MetadataRecord::UnfenceBroker(UnfenceBrokerRecord { id, epoch, ..Default::default() });
    image.apply(Offset(90), &fence).unwrap();
    assert_eq!(image.brokers.live().count(), 0);
    image.apply(Offset(91), &unfence).unwrap();
    assert_eq!(image.brokers.live().count(), 1);
    let before = image.clone();
    image.apply(Offset(92), &MetadataRecord::NoOp(NoOpRecord::default())).unwrap();
    image.apply(Offset(93), &MetadataRecord::ZkMigrationState(ZkMigrationStateRecord::default())).unwrap();
    assert_eq!(Image { offset: before.offset, ..image }, before);
    world.beat(1);
}

#[test]
fn a_clone_is_not_touched_by_later_records() {
    let mut world = World::of(1);
    world.make("t", 2, 1);
    let old = world.image().clone();
    world.make("u", 2, 1);
    let mut fence = world.heartbeat(1);
    fence.wants_fence = true;
    world.tell(fence);
    assert_eq!(old.topics.len(), 1);
    assert!(old.topics.named("t").unwrap().partition(Partition(0)).unwrap().has_leader());
    assert!(!world.partition("t", 0).has_leader());
}
