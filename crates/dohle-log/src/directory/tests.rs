use std::path::Path;

use dohle_base::{BrokerId, Offset, Partition, Rng, TopicId, TopicName, Uuid};

use super::{Checkpoint, CleanStop, Directory, DirectoryError, Found, Identity, Offsets, PartitionName};
use crate::disk::{Disk, File, Memory, read_whole};
use crate::failure::Failure;

const ROOT: &str = "/data/logs";

fn open(disk: &Memory) -> Directory<Memory> {
    Directory::open(disk.clone(), Path::new(ROOT)).unwrap()
}

fn name(topic: &str, partition: i32) -> PartitionName {
    PartitionName { topic: TopicName::parse(topic).unwrap(), partition: Partition(partition) }
}

fn topic_id_of(directory: &Directory<Memory>, name: &PartitionName) -> Result<Option<TopicId>, Failure> {
    directory.topic_id_in(name, &directory.look_into(name)?.unwrap())
}

fn successor_of(directory: &Directory<Memory>, name: &PartitionName) -> Result<Option<Uuid>, Failure> {
    directory.successor_in(name, &directory.look_into(name)?.unwrap())
}

fn write(disk: &Memory, path: &str, text: &str) {
    disk.create(Path::new(path)).unwrap().write_at(0, text.as_bytes(), &[]).unwrap();
}

#[test]
fn a_directory_is_made_claimed_once_and_kept_from_others() {
    let disk = Memory::new();
    let mut directory = open(&disk);
    assert!(matches!(Directory::open(disk.clone(), Path::new(ROOT)), Err(DirectoryError::Locked(_))));
    assert_eq!(directory.identity(), None);
    let identity = Identity {
        cluster_id: "a=b\\c".to_owned(),
        node_id: BrokerId(7),
        directory_id: Uuid::random(&mut Rng::new(1)),
    };
    directory.claim(identity.clone()).unwrap();
    drop(directory);
    assert_eq!(open(&disk.crash(&mut Rng::new(1))).identity(), Some(&identity), "it is durable");
}

#[test]
fn the_identity_is_read_as_kafka_writes_it_and_no_other_is_taken() {
    let kafkas = "#\n#Wed Nov 25 09:43:11 UTC 2026\nnode.id=1\ndirectory.id=lEsH0SjfRym_aVJlLePTwA\nversion=1\ncluster.id=ejPKQJkfTkiwdC6egms4ng\n";
    let identity = Identity::parse(kafkas.as_bytes()).unwrap();
    assert_eq!((identity.node_id, identity.cluster_id.as_str()), (BrokerId(1), "ejPKQJkfTkiwdC6egms4ng"));
    for damaged in [
        "",
        "version=0\nbroker.id=1\n",
        "version=1\nnode.id=1\n",
        "version=1\ncluster.id=x\nnode.id=-1\ndirectory.id=lEsH0SjfRym_aVJlLePTwA",
    ] {
        assert!(Identity::parse(damaged.as_bytes()).is_err(), "{damaged}");
        let disk = Memory::new();
        drop(open(&disk));
        write(&disk, "/data/logs/meta.properties", damaged);
        assert!(matches!(Directory::open(disk, Path::new(ROOT)), Err(DirectoryError::Identity { .. })));
    }
}

#[test]
fn a_clean_stop_is_told_once() {
    let disk = Memory::new();
    let directory = open(&disk);
    assert_eq!(directory.take_clean_stop().unwrap(), None);
    directory.mark_clean_stop(42).unwrap();
    let path = Path::new(ROOT).join(".kafka_cleanshutdown");
    assert_eq!(read_whole(&disk, &path).unwrap().unwrap(), br#"{"version":0,"brokerEpoch":42}"#);
    assert_eq!(directory.take_clean_stop().unwrap(), Some(CleanStop { broker_epoch: Some(42) }));
    assert_eq!(directory.take_clean_stop().unwrap(), None);
    for seed in 0..8 {
        assert_eq!(
            open(&disk.crash(&mut Rng::new(seed))).take_clean_stop().unwrap(),
            None,
            "not even a power cut brings it back"
        );
    }
    write(&disk.kill(), "/data/logs/.kafka_cleanshutdown", "");
}

#[test]
fn checkpoints_are_kafkas_and_garbage_counts_as_nothing() {
    let disk = Memory::new();
    let directory = open(&disk);
    let offsets = Offsets::from([(name("a.b-c", 1), Offset(12)), (name("a", 0), Offset(0))]);
    for checkpoint in [Checkpoint::RecoveryPoint, Checkpoint::HighWatermark, Checkpoint::LogStart, Checkpoint::Cleaner]
    {
        directory.write_offsets(checkpoint, &offsets).unwrap();
        assert_eq!(directory.read_offsets(checkpoint).unwrap(), offsets);
    }
    let path = "/data/logs/recovery-point-offset-checkpoint";
    assert_eq!(read_whole(&disk, Path::new(path)).unwrap().unwrap(), b"0\n2\na 0 0\na.b-c 1 12\n");
    for garbage in
        ["", "0\n1\na 0\n", "0\n1\na 0 -5\n", "0\n1\n.. 0 5\n", "0\n1\na 0 5 6\n", "0\n1\na +1 5\n", "7\n0\n"]
    {
        write(&disk, path, garbage);
        assert_eq!(directory.read_offsets(Checkpoint::RecoveryPoint).unwrap(), Offsets::new(), "{garbage:?}");
    }
}

#[test]
fn a_partition_is_made_found_and_deleted_for_good() {
    let disk = Memory::new();
    let directory = open(&disk);
    let topic_id = Uuid::random(&mut Rng::new(3));
    let long = "x".repeat(249);
    for partition in [name("a-1", 0), name(&long, 10)] {
        let path = directory.create_partition(&partition, topic_id).unwrap();
        write(&disk, path.join("00000000000000000000.log").to_str().unwrap(), "");
        assert_eq!(topic_id_of(&directory, &partition).unwrap(), Some(topic_id));
    }
    let strangers = ["a-delete", "no", "a-01", "b.0123-future"];
    for stranger in strangers {
        disk.create_dir(&Path::new(ROOT).join(stranger)).unwrap();
    }
    let found = directory.partitions().unwrap();
    assert_eq!(found.iter().filter(|found| matches!(found, Found::Partition(_))).count(), 2);
    assert_eq!(found.iter().filter(|found| matches!(found, Found::Other(_))).count(), strangers.len());
    let deleted = directory.delete_partition(&name(&long, 10), &mut Rng::new(4)).unwrap();
    let deleted_name = deleted.file_name().unwrap().to_str().unwrap();
    assert!(deleted_name.len() == 255 && deleted_name.ends_with("-delete"), "{deleted_name}");
    assert!(directory.partitions().unwrap().contains(&Found::Deleted(deleted.clone())));
    directory.removal(&deleted).unwrap().remove().unwrap();
    directory.removal(&deleted).unwrap().remove().unwrap();
    assert!(!directory.partitions().unwrap().contains(&Found::Deleted(deleted)));
}

#[test]
fn a_damaged_topic_id_is_no_topic_id() {
    let disk = Memory::new();
    let directory = open(&disk);
    let partition = name("a", 0);
    let path =
        directory.create_partition(&partition, Uuid::random(&mut Rng::new(3))).unwrap().join("partition.metadata");
    for damaged in [
        "",
        "version: 1\ntopic_id: mnSr0HHIQdGmXcIC9_T46Q",
        "version: 0\n",
        "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA",
    ] {
        write(&disk, path.to_str().unwrap(), damaged);
        assert_eq!(topic_id_of(&directory, &partition).unwrap(), None, "{damaged:?}");
    }
    write(&disk, path.to_str().unwrap(), "version: 0\ntopic_id: mnSr0HHIQdGmXcIC9_T46Q");
    assert!(topic_id_of(&directory, &partition).unwrap().is_some());
}

#[test]
fn a_partition_is_put_together_under_another_name_and_its_predecessor_says_who_follows() {
    let disk = Memory::new();
    let directory = open(&disk);
    let (partition, topic_id) = (name("a.b-1", 2), Uuid::random(&mut Rng::new(3)));
    let future = directory.create_future(&partition, topic_id, &mut Rng::new(4)).unwrap();
    assert!(future.file_name().unwrap().to_str().unwrap().starts_with("a.b-1-2."));
    assert_eq!(directory.partitions().unwrap(), [Found::Future(partition.clone(), future.clone())]);
    assert_eq!(directory.topic_id_at(&future).unwrap(), Some(topic_id));
    let live = directory.promote(&future, &partition).unwrap();
    assert_eq!(live, directory.path_of(&partition));
    assert_eq!(directory.partitions().unwrap(), [Found::Partition(partition.clone())]);
    assert_eq!(successor_of(&directory, &partition).unwrap(), None);
    let successor = Uuid::random(&mut Rng::new(5));
    directory.note_successor(&partition, successor).unwrap();
    assert_eq!(successor_of(&directory, &partition).unwrap(), Some(successor));
    write(&disk, live.join("successor").to_str().unwrap(), "version: 0\n");
    assert!(successor_of(&directory, &partition).is_err(), "nobody may guess");
    directory.forget_successor(&partition).unwrap();
    directory.forget_successor(&partition).unwrap();
    assert_eq!(successor_of(&directory, &partition).unwrap(), None);
    let long = "x".repeat(249 - 34);
    assert!(name(&long[..212], 0).can_be_moved() && !name(&long, 0).can_be_moved());
}
