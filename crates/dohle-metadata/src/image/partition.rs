//! One partition as the controller decided it: who holds it, who is in sync, who leads.
//!
//! Follows Kafka's `PartitionRegistration`. Knows nothing of what the replicas hold.
//! Laws: replicas are not empty and each is named once; the in-sync set and the eligible leaders are replicas and
//! have nobody in common; a leader is in sync.

use std::collections::BTreeSet;

use dohle_base::{BrokerId, LeaderEpoch, Partition, TopicId, Uuid};
use dohle_protocol::record::metadata::{PartitionChangeRecord, PartitionRecord};

use super::Contradiction;
use crate::directory;

/// The leader of a change record that leaves the leader, and so the leader epoch, as it is.
pub(crate) const LEADER_UNCHANGED: i32 = -2;
/// The recovery state of a change record that leaves it as it is.
const RECOVERY_UNCHANGED: i8 = -1;
/// The leader was elected from outside the in-sync set and has not finished its recovery.
pub(crate) const RECOVERING: i8 = 1;

/// Who holds a partition and who leads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// The log directory of each replica, in the order of `replicas`; see [`crate::directory`].
    pub directories: Vec<Uuid>,
    /// The in-sync set.
    pub in_sync: Vec<BrokerId>,
    /// Replicas that a reassignment will remove.
    pub removing: Vec<BrokerId>,
    /// Replicas that a reassignment has added.
    pub adding: Vec<BrokerId>,
    /// Out of the in-sync set, but known to hold everything up to the high watermark (KIP-966).
    pub eligible_leaders: Vec<BrokerId>,
    /// The last leader, once nobody is in sync or eligible any more.
    pub last_known_leaders: Vec<BrokerId>,
    /// The leader, or [`BrokerId::NONE`].
    pub leader: BrokerId,
    /// Raised by each election.
    pub leader_epoch: LeaderEpoch,
    /// Raised by each change of anything here.
    pub partition_epoch: i32,
    /// The leader was elected from outside the in-sync set and has not finished its recovery.
    pub recovering: bool,
}

impl Assignment {
    /// A new partition, led by the first of `in_sync`.
    pub(crate) fn new(replicas: Vec<BrokerId>, directories: Vec<Uuid>, in_sync: Vec<BrokerId>) -> Self {
        let leader = in_sync.first().copied().unwrap_or(BrokerId::NONE);
        Self {
            replicas,
            directories,
            in_sync,
            removing: vec![],
            adding: vec![],
            eligible_leaders: vec![],
            last_known_leaders: vec![],
            leader,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: 0,
            recovering: false,
        }
    }

    /// Reads the record that makes or replaces a partition.
    pub(crate) fn read(record: &PartitionRecord) -> Result<Self, Contradiction> {
        let assignment = Self {
            replicas: brokers(&record.replicas),
            directories: known_directories(record.directories.clone(), record.replicas.len()),
            in_sync: brokers(&record.isr),
            removing: brokers(&record.removing_replicas),
            adding: brokers(&record.adding_replicas),
            eligible_leaders: record.eligible_leader_replicas.as_deref().map(brokers).unwrap_or_default(),
            last_known_leaders: record.last_known_elr.as_deref().map(brokers).unwrap_or_default(),
            leader: BrokerId(record.leader),
            leader_epoch: LeaderEpoch(record.leader_epoch),
            partition_epoch: record.partition_epoch,
            recovering: record.leader_recovery_state == RECOVERING,
        };
        assignment.matched()
    }

    /// This partition after a change. Naming a leader, even the same one, begins a new leader epoch.
    pub(crate) fn changed(&self, record: &PartitionChangeRecord) -> Result<Self, Contradiction> {
        let mut new = self.clone();
        new.partition_epoch += 1;
        replace(&mut new.replicas, &record.replicas);
        replace(&mut new.in_sync, &record.isr);
        replace(&mut new.removing, &record.removing_replicas);
        replace(&mut new.adding, &record.adding_replicas);
        replace(&mut new.eligible_leaders, &record.eligible_leader_replicas);
        replace(&mut new.last_known_leaders, &record.last_known_elr);
        let directories = record.directories.clone().unwrap_or_else(|| self.directories.clone());
        new.directories = known_directories(directories, new.replicas.len());
        if record.leader != LEADER_UNCHANGED {
            new.leader = BrokerId(record.leader);
            new.leader_epoch = self.leader_epoch.next();
        }
        if record.leader_recovery_state != RECOVERY_UNCHANGED {
            new.recovering = record.leader_recovery_state == RECOVERING;
        }
        new.matched()
    }

    /// This partition without eligible and last known leaders; none when it has neither.
    pub(crate) fn without_eligible_leaders(&self) -> Option<Self> {
        if self.eligible_leaders.is_empty() && self.last_known_leaders.is_empty() {
            return None;
        }
        let partition_epoch = self.partition_epoch + 1;
        Some(Self { eligible_leaders: vec![], last_known_leaders: vec![], partition_epoch, ..self.clone() })
    }

    /// The record that makes this partition.
    pub(crate) fn record(&self, topic_id: TopicId, partition: Partition) -> PartitionRecord {
        let listed = |brokers: &[BrokerId]| (!brokers.is_empty()).then(|| numbers(brokers));
        PartitionRecord {
            partition_id: partition.0,
            topic_id,
            replicas: numbers(&self.replicas),
            isr: numbers(&self.in_sync),
            removing_replicas: numbers(&self.removing),
            adding_replicas: numbers(&self.adding),
            leader: self.leader.0,
            leader_recovery_state: if self.recovering { RECOVERING } else { 0 },
            leader_epoch: self.leader_epoch.0,
            partition_epoch: self.partition_epoch,
            directories: self.directories.clone(),
            eligible_leader_replicas: listed(&self.eligible_leaders),
            last_known_elr: listed(&self.last_known_leaders),
            ..Default::default()
        }
    }

    /// The log directory in which `broker` holds this partition; none when it is no replica.
    pub fn directory(&self, broker: BrokerId) -> Option<Uuid> {
        let place = self.replicas.iter().position(|replica| *replica == broker)?;
        self.directories.get(place).copied()
    }

    /// The replica that leads when all are in sync.
    pub fn preferred_leader(&self) -> BrokerId {
        self.replicas.first().copied().unwrap_or(BrokerId::NONE)
    }

    /// Whether somebody leads.
    pub fn has_leader(&self) -> bool {
        self.leader != BrokerId::NONE
    }

    /// The laws.
    pub fn check(&self) {
        let replicas: BTreeSet<BrokerId> = self.replicas.iter().copied().collect();
        assert!(!self.replicas.is_empty());
        assert!(replicas.len() == self.replicas.len());
        assert!(self.directories.len() == self.replicas.len());
        assert!(self.in_sync.iter().all(|broker| replicas.contains(broker)));
        assert!(self.eligible_leaders.iter().all(|broker| replicas.contains(broker)));
        assert!(self.eligible_leaders.iter().all(|broker| !self.in_sync.contains(broker)));
        assert!(!self.has_leader() || self.in_sync.contains(&self.leader));
    }

    fn matched(self) -> Result<Self, Contradiction> {
        if self.directories.len() == self.replicas.len() {
            return Ok(self);
        }
        Err(Contradiction::Directories { replicas: self.replicas.len(), directories: self.directories.len() })
    }
}

/// The brokers of these numbers.
pub(crate) fn brokers(numbers: &[i32]) -> Vec<BrokerId> {
    numbers.iter().map(|number| BrokerId(*number)).collect()
}

/// The numbers of these brokers.
pub(crate) fn numbers(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|broker| broker.0).collect()
}

fn replace(brokers_now: &mut Vec<BrokerId>, changed: &Option<Vec<i32>>) {
    if let Some(changed) = changed {
        *brokers_now = brokers(changed);
    }
}

/// Records older than directory ids have none: then every replica lies where nobody has said yet.
fn known_directories(directories: Vec<Uuid>, replicas: usize) -> Vec<Uuid> {
    if directories.iter().all(|id| *id == directory::MIGRATING) {
        vec![directory::MIGRATING; replicas]
    } else {
        directories
    }
}
