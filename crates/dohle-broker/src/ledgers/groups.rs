//! The group coordinators of this broker: one for each partition of `__consumer_offsets` that it leads.
//!
//! Owns who coordinates which group; what a group is, the machine knows.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use dohle_base::ErrorCode;
use dohle_coordinator::{Command, DeletedTopic, GroupCoordinator, Settings, partition_of};

use super::host::{Host, Unanswered};
use super::load::load;
use crate::clock::Clock;
use crate::cores::Cores;
use crate::lock::{read, write};
use crate::partition::Partition;

/// The topic in which groups and their offsets are kept.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// A coordinator over its partition.
pub(crate) type Group = Host<GroupCoordinator>;

/// The coordinators, by the number of their partition.
pub(crate) struct Groups {
    pub(crate) settings: Arc<Settings>,
    clock: Clock,
    cores: Arc<Cores>,
    hosts: RwLock<BTreeMap<i32, Arc<Group>>>,
}

impl Groups {
    /// None yet.
    pub(crate) fn new(settings: Settings, clock: Clock, cores: Arc<Cores>) -> Self {
        Self { settings: Arc::new(settings), clock, cores, hosts: RwLock::default() }
    }

    /// Begins to coordinate the groups of a partition; until its log is read, they are told to try again.
    pub(crate) fn lead(&self, partition: &Arc<Partition>) {
        let host = Host::new(Arc::clone(partition), self.clock, Box::new(|_| {}));
        let before = write(&self.hosts).insert(partition.index.0, Arc::clone(&host));
        if let Some(before) = before {
            before.resign();
        }
        let state = GroupCoordinator::new(Arc::clone(&self.settings));
        let loading = Arc::clone(&host);
        let named = std::thread::Builder::new().name(format!("load-{}", partition.index));
        let spawned = named.spawn(move || match load(loading.partition(), state) {
            Ok((state, end)) => loading.begin(state, end),
            Err(error) => {
                tracing::error!(partition = ?loading.partition(), "groups are not served: {error}");
                loading.resign();
            }
        });
        if let Err(error) = spawned {
            tracing::error!(?partition, "groups are not served, there is no thread to load them: {error}");
            return host.resign();
        }
        self.cores.keep(Box::new(move || Box::pin(host.keep_time())));
    }

    /// Stops coordinating the groups of a partition.
    pub(crate) fn resign(&self, partition: i32) {
        if let Some(host) = write(&self.hosts).remove(&partition) {
            host.resign();
        }
    }

    /// The coordinator of a group, where the offsets topic has this many partitions.
    pub(crate) fn of(&self, group: &str, partitions: i32) -> Option<Arc<Group>> {
        read(&self.hosts).get(&partition_of(group, partitions).0).cloned()
    }

    /// All coordinators.
    pub(crate) fn all(&self) -> Vec<Arc<Group>> {
        read(&self.hosts).values().cloned().collect()
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

/// The code for a caller whom no coordinator answered.
pub(crate) fn unanswered_code(unanswered: Unanswered) -> ErrorCode {
    match unanswered {
        Unanswered::Loading => ErrorCode::CoordinatorLoadInProgress,
        Unanswered::Lost => ErrorCode::NotCoordinator,
        Unanswered::TooLarge => ErrorCode::UnknownServerError,
        // Clients of groups know no other code that tells them to come again.
        Unanswered::TimedOut | Unanswered::NoRoom => ErrorCode::CoordinatorNotAvailable,
    }
}
