//! The group coordinators of this broker: one for each partition of `__consumer_offsets` that it leads.
//!
//! Owns the way to them; what a group is, the machine knows.

use std::sync::Arc;

use dohle_base::Partition as Index;
use dohle_coordinator::{Command, DeletedTopic, GroupCoordinator, Settings, partition_of};

use super::coordinators::Coordinators;
use super::host::Host;
use crate::clock::Clock;
use crate::cores::Cores;
use crate::partition::Partition;

/// The topic in which groups and their offsets are kept.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// A coordinator over its partition.
pub(crate) type Group = Host<GroupCoordinator>;

/// The coordinators.
pub(crate) struct Groups {
    pub(crate) settings: Arc<Settings>,
    cores: Arc<Cores>,
    coordinators: Coordinators<GroupCoordinator>,
}

impl Groups {
    /// None yet.
    pub(crate) fn new(settings: Settings, clock: Clock, cores: Arc<Cores>) -> Self {
        let coordinators = Coordinators::new("groups", clock, Arc::clone(&cores));
        Self { settings: Arc::new(settings), cores, coordinators }
    }

    /// Begins to coordinate the groups of a partition; until its log is read, they are told to try again.
    pub(crate) fn lead(&self, partition: &Arc<Partition>) {
        self.coordinators.lead(partition, GroupCoordinator::new(Arc::clone(&self.settings)));
    }

    /// Stops coordinating the groups of a partition.
    pub(crate) fn resign(&self, partition: Index) {
        self.coordinators.resign(partition);
    }

    /// The coordinator of a group, where the offsets topic has this many partitions.
    pub(crate) fn of(&self, group: &str, partitions: i32) -> Option<Arc<Group>> {
        self.over(partition_of(group, partitions))
    }

    /// The coordinator of the groups of a partition.
    pub(crate) fn over(&self, partition: Index) -> Option<Arc<Group>> {
        self.coordinators.over(partition)
    }

    /// All coordinators.
    pub(crate) fn all(&self) -> Vec<Arc<Group>> {
        self.coordinators.all()
    }

    /// Lets every coordinator forget how far topics were read that are gone.
    pub(crate) fn forget(&self, topics: &[DeletedTopic]) {
        if topics.is_empty() {
            return;
        }
        for host in self.all() {
            let command = Command::TopicsDeleted(topics.to_vec());
            // Whoever is not leading any more need not forget.
            self.cores.deal(Box::new(move || Box::pin(async move { drop(host.ask(command).await) })));
        }
    }
}
