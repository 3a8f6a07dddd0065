//! The coordinators of one kind on this broker: one for each partition of their topic that it leads.
//!
//! Owns who coordinates what, and how a coordinator comes to life and rests; what it coordinates, its machine knows.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use dohle_base::{ErrorCode, Partition as Index};

use super::host::{Host, Journal, Unanswered};
use super::load::load;
use crate::clock::Clock;
use crate::cores::Cores;
use crate::lock::{read, write};
use crate::partition::Partition;

/// The coordinators of one kind, by the number of their partition.
pub(crate) struct Coordinators<M: Journal> {
    /// What they coordinate, for the log.
    what: &'static str,
    clock: Clock,
    cores: Arc<Cores>,
    hosts: RwLock<BTreeMap<i32, Arc<Host<M>>>>,
}

impl<M: Journal> Coordinators<M> {
    /// None yet.
    pub(crate) fn new(what: &'static str, clock: Clock, cores: Arc<Cores>) -> Self {
        Self { what, clock, cores, hosts: RwLock::default() }
    }

    /// Begins to coordinate what belongs to a partition, from the fold of its log over `empty`; until the log is read, callers are
    /// told to try again.
    pub(crate) fn lead(&self, partition: &Arc<Partition>, empty: M) -> Arc<Host<M>> {
        let host = Host::new(Arc::clone(partition), self.clock, Box::new(|_| {}));
        let before = write(&self.hosts).insert(partition.index.0, Arc::clone(&host));
        if let Some(before) = before {
            before.resign();
        }
        let (what, loading) = (self.what, Arc::clone(&host));
        let named = std::thread::Builder::new().name(format!("load-{}", partition.index));
        let spawned = named.spawn(move || match load(loading.partition(), empty) {
            Ok((state, end)) => loading.begin(state, end),
            Err(error) => {
                tracing::error!(partition = ?loading.partition(), "{what} are not served: {error}");
                loading.resign();
            }
        });
        match spawned {
            Ok(_) => {
                let keeper = Arc::clone(&host);
                self.cores.keep(Box::new(move || Box::pin(keeper.keep_time())));
            }
            Err(error) => {
                tracing::error!(?partition, "{what} are not served, there is no thread to load them: {error}");
                host.resign();
            }
        }
        host
    }

    /// Stops coordinating what belongs to a partition.
    pub(crate) fn resign(&self, partition: Index) {
        if let Some(host) = write(&self.hosts).remove(&partition.0) {
            host.resign();
        }
    }

    /// The coordinator over that partition.
    pub(crate) fn over(&self, partition: Index) -> Option<Arc<Host<M>>> {
        read(&self.hosts).get(&partition.0).cloned()
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<Host<M>>> {
        read(&self.hosts).values().cloned().collect()
    }
}

/// The code for a caller whom no coordinator answered.
pub(crate) fn unanswered_code(unanswered: Unanswered) -> ErrorCode {
    match unanswered {
        Unanswered::Loading => ErrorCode::CoordinatorLoadInProgress,
        Unanswered::Lost => ErrorCode::NotCoordinator,
        Unanswered::TooLarge => ErrorCode::UnknownServerError,
        // Clients of coordinators know no other code that tells them to come again.
        Unanswered::TimedOut | Unanswered::NoRoom => ErrorCode::CoordinatorNotAvailable,
    }
}
