//! In which log directory a replica lies: its broker says so (KIP-858, `ReplicationControlManager.handleAssignReplicasToDirs`).
//!
//! Owns the check that the broker has the directory and the replica; what follows from a directory that is lost, [`super::elect`] knows.

use dohle_base::{BrokerId, ErrorCode, Partition, TopicId, Uuid};
use dohle_protocol::record::MetadataRecord;
use dohle_protocol::record::metadata::PartitionChangeRecord;

use super::{Controller, Decided, RECORDS_MAX, too_large};
use crate::Refusal;
use crate::image::{Assignment, BrokerEpoch};

/// Replicas of one broker and the directory in which they lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceReplicas {
    /// Whose.
    pub broker: BrokerId,
    /// In which life.
    pub epoch: BrokerEpoch,
    /// Where they lie: one of its directories that work.
    pub directory: Uuid,
    /// Which. One that the cluster does not know, or that is not the broker's, is left out: the broker will learn of that.
    pub replicas: Vec<(TopicId, Partition)>,
}

impl Controller {
    pub(super) fn place_replicas(&self, command: &PlaceReplicas) -> Result<Decided<()>, Refusal> {
        let broker = self.living(command.broker, command.epoch)?;
        if !broker.directories.contains(&command.directory) {
            let message = format!("broker {} has no directory {} that works", command.broker, command.directory);
            return Err(Refusal::new(ErrorCode::LogDirNotFound, message));
        }
        if command.replicas.len() > RECORDS_MAX {
            return Err(too_large());
        }
        let change = |(topic_id, index): &(TopicId, Partition)| {
            let assignment = self.image.topics.get(*topic_id)?.partition(*index)?;
            let directories = Some(placed(assignment, command.broker, command.directory)?);
            let record =
                PartitionChangeRecord { topic_id: *topic_id, partition_id: index.0, directories, ..Default::default() };
            Some(MetadataRecord::PartitionChange(record))
        };
        Ok((command.replicas.iter().filter_map(change).collect(), ()))
    }
}

/// The directories of a partition's replicas with that of the broker's in its place; none where nothing changes.
fn placed(assignment: &Assignment, broker: BrokerId, directory: Uuid) -> Option<Vec<Uuid>> {
    let place = assignment.replicas.iter().position(|replica| *replica == broker)?;
    let mut directories = assignment.directories.clone();
    let now = std::mem::replace(&mut directories[place], directory);
    (now != directory).then_some(directories)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::{Command, Reply};
    use crate::fixture::{World, directory};

    fn place(world: &mut World, command: PlaceReplicas) -> i16 {
        match world.ask(Command::PlaceReplicas(command)) {
            Reply::ReplicasPlaced(placed) => placed.err().map_or(0, |refusal| refusal.code.code()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_broker_says_where_its_replica_lies_and_nothing_else_changes() {
        let mut world = World::of(2);
        world.make("t", 1, 2);
        let (topic, before) = (world.image().topics.named("t").unwrap().id, world.partition("t", 0));
        let beside = directory(9);
        let mut again = world.register(1, 1);
        again.directories = vec![directory(1), beside];
        assert!(matches!(world.ask(Command::RegisterBroker(again)), Reply::Registered(Ok(_))));
        let (broker, epoch) = (BrokerId(1), world.epoch(1));
        let replicas = vec![(topic, Partition(0)), (topic, Partition(7)), (Uuid([9; 16]), Partition(0))];
        let command = PlaceReplicas { broker, epoch, directory: beside, replicas };
        assert_eq!(place(&mut world, PlaceReplicas { directory: directory(2), ..command.clone() }), 57);
        assert_eq!(place(&mut world, PlaceReplicas { epoch: BrokerEpoch(epoch.0 + 1), ..command.clone() }), 77);
        let written = world.log.len();
        assert_eq!(place(&mut world, command.clone()), 0);
        assert_eq!(place(&mut world, command), 0);
        assert_eq!(world.log.len(), written + 1, "what is known is not written again");
        let after = world.partition("t", 0);
        assert_eq!((after.directory(BrokerId(1)), after.directory(BrokerId(2))), (Some(beside), Some(directory(2))));
        assert_eq!((after.leader, after.leader_epoch), (before.leader, before.leader_epoch));
        world.check_bytes();
    }
}
