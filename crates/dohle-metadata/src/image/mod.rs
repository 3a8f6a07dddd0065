//! What the cluster is, as the fold of its metadata log: a value that readers hold while the next one is made.
//!
//! Owns the order in which records change the aspects; knows nothing of who may write a record. Cloning shares all
//! that a later record does not change.
//! Laws: those of the aspects; every topic's configuration ends with the topic; what a transaction (KIP-868) began is
//! taken back as a whole when it is aborted.

pub mod access;
pub mod brokers;
pub mod configs;
pub mod features;
pub mod partition;
pub mod quotas;
pub mod topics;

use std::sync::Arc;

use dohle_base::{BrokerId, Offset, Partition, TopicId, TopicName, Uuid};
use dohle_protocol::record::MetadataRecord;

pub use access::Access;
pub use brokers::{Broker, BrokerEpoch, Brokers, Listener, Supported};
pub use configs::{Configs, Resource, ResourceKind};
pub use features::Features;
pub use partition::Assignment;
pub use quotas::Quotas;
pub use topics::{Topic, Topics};

/// The cluster at one offset of its metadata log.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// The cluster's id. No record carries it: every node knows it from its directories.
    pub cluster_id: Arc<str>,
    /// The last record that was applied; [`Offset::NONE`] before the first.
    pub offset: Offset,
    /// Topics and their partitions.
    pub topics: Topics,
    /// Brokers and controllers.
    pub brokers: Brokers,
    /// What was configured while the cluster ran.
    pub configs: Configs,
    /// The levels of features that the cluster agreed on.
    pub features: Features,
    /// The first producer id that nobody was given.
    pub next_producer_id: i64,
    /// Rules of access, credentials and tokens.
    pub access: Access,
    /// Quotas.
    pub quotas: Quotas,
    /// What a transaction that is still open would fall back to.
    before: Option<Arc<Image>>,
}

/// A record that contradicts what came before it. A node that meets one must stop: whatever it did next would be
/// wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metadata record of type {kind} at offset {offset} cannot be applied")]
pub struct Unfoldable {
    /// Where the record is.
    pub offset: Offset,
    /// The number of its type.
    pub kind: i16,
    /// What it contradicts.
    #[source]
    pub why: Contradiction,
}

/// What a record contradicts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// It names a topic as no topic can be named.
    #[error("no topic can be named {0:?}")]
    TopicName(String),
    /// It makes a topic whose name or id is taken.
    #[error("topic {0} exists, or another has its id")]
    SecondTopic(TopicName),
    /// It changes a topic that does not exist.
    #[error("no topic has the id {0}")]
    NoTopic(TopicId),
    /// It changes a topic that does not exist.
    #[error("no topic is named {0}")]
    NoTopicNamed(String),
    /// It changes a partition that does not exist.
    #[error("topic {0} has no partition {1}")]
    NoPartition(TopicId, Partition),
    /// It says where some replicas lie and is silent about others.
    #[error("{directories} directories for {replicas} replicas")]
    Directories {
        /// How many replicas there are.
        replicas: usize,
        /// How many directories are named.
        directories: usize,
    },
    /// It changes a broker that is not registered.
    #[error("broker {0} is not registered")]
    NoBroker(BrokerId),
    /// It changes a broker in another life than the one it has.
    #[error("broker {broker} has epoch {found}, not {named}")]
    BrokerEpoch {
        /// The broker.
        broker: BrokerId,
        /// Its epoch.
        found: BrokerEpoch,
        /// The record's.
        named: BrokerEpoch,
    },
    /// It sets a switch to neither on nor off.
    #[error("{0} is no position of a switch")]
    Switch(i8),
    /// It configures what cannot be configured.
    #[error("no kind of resource has the number {0}")]
    ResourceKind(i8),
    /// It removes a rule of access that does not exist.
    #[error("no rule of access has the id {0}")]
    NoAccessRule(Uuid),
    /// It begins a transaction within another, or ends one that was not begun.
    #[error("transactions must begin and end in turn")]
    Transaction,
}

impl Image {
    /// A cluster of which nothing is known but its id.
    pub fn new(cluster_id: &str) -> Self {
        Self {
            cluster_id: cluster_id.into(),
            offset: Offset::NONE,
            topics: Topics::default(),
            brokers: Brokers::default(),
            configs: Configs::default(),
            features: Features::default(),
            next_producer_id: 0,
            access: Access::default(),
            quotas: Quotas::default(),
            before: None,
        }
    }

    /// Whether a transaction is open: then this must not be shown to anybody.
    pub fn in_transaction(&self) -> bool {
        self.before.is_some()
    }

    /// Takes in the record at `offset`. After a contradiction this image is of no use.
    pub fn apply(&mut self, offset: Offset, record: &MetadataRecord) -> Result<(), Unfoldable> {
        self.fold(record).map_err(|why| Unfoldable { offset, kind: record.kind(), why })?;
        self.offset = offset;
        Ok(())
    }

    fn fold(&mut self, record: &MetadataRecord) -> Result<(), Contradiction> {
        match record {
            MetadataRecord::Topic(record) => self.topics.add(record)?,
            MetadataRecord::RemoveTopic(record) => {
                let name = self.topics.remove(record)?;
                self.configs.forget(&Resource::new(ResourceKind::Topic, &name));
            }
            MetadataRecord::Partition(record) => self.topics.place(record)?,
            MetadataRecord::PartitionChange(record) => self.topics.change(record)?,
            MetadataRecord::ClearElr(record) => self.topics.clear_eligible_leaders(record)?,
            MetadataRecord::RegisterBroker(record) => self.brokers.register(record),
            MetadataRecord::UnregisterBroker(record) => self.brokers.unregister(record)?,
            MetadataRecord::BrokerRegistrationChange(record) => self.brokers.change(record)?,
            MetadataRecord::FenceBroker(record) => self.brokers.fence(record.id, record.epoch, true)?,
            MetadataRecord::UnfenceBroker(record) => self.brokers.fence(record.id, record.epoch, false)?,
            MetadataRecord::RegisterController(record) => self.brokers.register_controller(record),
            MetadataRecord::UnregisterController(record) => self.brokers.unregister_controller(record),
            MetadataRecord::Config(record) => self.configs.set(record)?,
            MetadataRecord::FeatureLevel(record) => self.features.set(record),
            MetadataRecord::ProducerIds(record) => self.next_producer_id = record.next_producer_id,
            MetadataRecord::ClientQuota(record) => self.quotas.set(record),
            MetadataRecord::AccessControlEntry(record) => self.access.allow(record),
            MetadataRecord::RemoveAccessControlEntry(record) => self.access.forget_rule(record)?,
            MetadataRecord::UserScramCredential(record) => self.access.trust(record),
            MetadataRecord::RemoveUserScramCredential(record) => self.access.forget_credential(record),
            MetadataRecord::DelegationToken(record) => self.access.delegate(record),
            MetadataRecord::RemoveDelegationToken(record) => self.access.forget_token(record),
            MetadataRecord::BeginTransaction(_) => self.begin()?,
            MetadataRecord::EndTransaction(_) => self.end()?,
            MetadataRecord::AbortTransaction(_) => self.abort()?,
            // The first says nothing by design; the second is left over from clusters that once ran on ZooKeeper.
            MetadataRecord::NoOp(_) | MetadataRecord::ZkMigrationState(_) => {}
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Contradiction> {
        if self.in_transaction() {
            return Err(Contradiction::Transaction);
        }
        self.before = Some(Arc::new(self.clone()));
        Ok(())
    }

    fn end(&mut self) -> Result<(), Contradiction> {
        self.before.take().map(drop).ok_or(Contradiction::Transaction)
    }

    fn abort(&mut self) -> Result<(), Contradiction> {
        let before = self.before.take().ok_or(Contradiction::Transaction)?;
        *self = Arc::unwrap_or_clone(before);
        Ok(())
    }

    /// The laws.
    pub fn check(&self) {
        self.topics.check();
        self.brokers.check();
        self.configs.check();
        let topics = self.configs.resources(ResourceKind::Topic);
        assert!(topics.into_iter().all(|resource| self.topics.named(&resource.name).is_some()));
        assert!(self.next_producer_id >= 0);
    }
}

#[cfg(test)]
mod tests;
