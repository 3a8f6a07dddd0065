//! The transaction coordinators of this broker: one for each partition of `__transaction_state` that it leads.
//!
//! Owns the way to them; what a transaction is, the machine knows.

use std::sync::Arc;

use dohle_base::Partition as Index;
use dohle_coordinator::partition_of;
use dohle_coordinator::transaction::{Settings, TransactionCoordinator, Version};

use super::coordinators::Coordinators;
use super::host::Host;
use super::markers::{MarkerWriter, Markers};
use crate::clock::Clock;
use crate::cores::Cores;
use crate::partition::Partition;
use crate::quorum::Quorum;

/// The topic in which transactions are kept.
pub(crate) const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// A coordinator over its partition.
pub(crate) type Transactor = Host<TransactionCoordinator>;

/// The coordinators.
pub(crate) struct Transactions {
    pub(crate) settings: Arc<Settings>,
    pub(crate) markers: Arc<Markers>,
    cores: Arc<Cores>,
    quorum: Arc<Quorum>,
    coordinators: Coordinators<TransactionCoordinator>,
}

impl Transactions {
    /// None yet.
    pub(crate) fn new(
        settings: Settings,
        clock: Clock,
        cores: Arc<Cores>,
        quorum: Arc<Quorum>,
        markers: Markers,
    ) -> Self {
        let coordinators = Coordinators::new("transactions", clock, Arc::clone(&cores));
        Self { settings: Arc::new(settings), markers: Arc::new(markers), cores, quorum, coordinators }
    }

    /// Begins to coordinate the transactions of a partition; until its log is read, their producers are told to try again.
    /// `version` is the one that the cluster has agreed on.
    pub(crate) fn lead(&self, partition: &Arc<Partition>, version: Version) {
        let settings = Settings { version, ..(*self.settings).clone() };
        let host = self.coordinators.lead(partition, TransactionCoordinator::new(Arc::new(settings)));
        let (markers, quorum) = (Arc::clone(&self.markers), Arc::clone(&self.quorum));
        let writer = Arc::new(MarkerWriter { host, markers, quorum });
        self.cores.keep(Box::new(move || Box::pin(writer.run())));
    }

    /// Stops coordinating the transactions of a partition.
    pub(crate) fn resign(&self, partition: Index) {
        self.coordinators.resign(partition);
    }

    /// The coordinator of a producer, where the topic of transactions has this many partitions.
    pub(crate) fn of(&self, transactional_id: &str, partitions: i32) -> Option<Arc<Transactor>> {
        self.coordinators.over(partition_of(transactional_id, partitions))
    }

    /// All coordinators.
    pub(crate) fn all(&self) -> Vec<Arc<Transactor>> {
        self.coordinators.all()
    }
}
