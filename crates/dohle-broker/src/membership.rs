//! How this node takes its place in the cluster: the metadata log that it leads, and what it says of itself.
//!
//! Law: an epoch of the metadata log is on the disk before its first record.

use std::sync::Arc;
use std::time::Duration;

use dohle_base::{LeaderEpoch, Offset, Partition as Index, TopicName, Uuid};
use dohle_log::disk::Files;
use dohle_log::options::Options;
use dohle_metadata::controller::brokers::RegisterBroker;
use dohle_metadata::controller::{Controller, Policy};
use dohle_metadata::image::features::{FEATURES, Feature, KRAFT_VERSION};
use dohle_metadata::image::{BrokerEpoch, Listener as Reachable, Supported};
use dohle_protocol::record::control::voters::Endpoint;

use crate::catalog::Catalog;
use crate::chance;
use crate::clock::Clock;
use crate::config::listeners::Listener;
use crate::config::settings::Settings;
use crate::config::tables;
use crate::partition::{Identity, Outcome, Partition};
use crate::publish::Mailbox;
use crate::quorum::state::{self, QuorumState};
use crate::quorum::{METADATA_TOPIC, Quorum, Voter};
use crate::start::StartError;
use crate::storage::Storage;
use crate::waiters::Waiters;

/// A broker that is silent for this long is fenced (`broker.session.timeout.ms`).
const SESSION_TIMEOUT: Duration = Duration::from_secs(9);
/// Kafka's number for a listener without encryption.
const PLAINTEXT: i16 = 0;

/// What there is of a node before it belongs to a cluster.
pub(crate) struct Membership<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) listeners: &'a [Listener],
    pub(crate) storage: &'a Arc<Storage>,
    pub(crate) clock: Clock,
}

impl Membership<'_> {
    /// Begins the next epoch of the metadata log and lets the controller decide from where it ends.
    pub(crate) fn lead(
        &self,
        catalog: Arc<Catalog>,
        mailbox: Arc<Mailbox>,
        waiters: Arc<Waiters<Outcome>>,
    ) -> Result<Arc<Quorum>, StartError> {
        let metadata = self.lead_metadata(waiters)?;
        let controller = Controller::new(self.storage.cluster_id(), self.policy());
        let observe = move |controller: &Controller| mailbox.post(controller.image());
        let storage = Arc::clone(self.storage);
        Ok(Quorum::lead(metadata, controller, &self.voter(), catalog, storage, self.clock, Box::new(observe))?)
    }

    /// What this broker says of itself. Where the metadata log ends, it does not know yet.
    pub(crate) fn registration(&self, incarnation: Uuid) -> RegisterBroker {
        let quorum = Supported { name: KRAFT_VERSION.to_owned(), least: 0, most: 1 };
        RegisterBroker {
            id: self.settings.node.id,
            cluster_id: self.storage.cluster_id().to_owned(),
            incarnation,
            listeners: self.listeners.iter().map(reachable).collect(),
            features: FEATURES.iter().map(supported).chain([quorum]).collect(),
            rack: self.settings.node.rack.clone(),
            directories: self.storage.volumes().iter().map(|volume| volume.id).collect(),
            previous_epoch: self.storage.clean_epoch().map(BrokerEpoch),
            log_end: Offset::ZERO,
        }
    }

    fn lead_metadata(&self, waiters: Arc<Waiters<Outcome>>) -> Result<Arc<Partition>, StartError> {
        let topic = TopicName::parse(METADATA_TOPIC).expect("a name that Kafka gave");
        let log = self.storage.open_metadata(topic.clone(), Options::default(), self.clock.wall())?;
        let before = state::read(&Files, log.dir())?;
        let epoch = before.map_or(LeaderEpoch(0), |state| state.epoch);
        let epoch = log.epochs().latest().map_or(epoch, |latest| latest.max(epoch)).next();
        state::write(&Files, log.dir(), QuorumState { leader: self.settings.node.id, epoch })?;
        let identity = Identity { topic, topic_id: Uuid::METADATA_TOPIC, index: Index(0) };
        let partition = Partition::lead(identity, log, epoch, Arc::clone(self.storage.metadata()), waiters);
        partition.set_in_sync(1);
        Ok(partition)
    }

    fn policy(&self) -> Policy {
        Policy {
            node: self.settings.node.id,
            tables: *tables::all(),
            statics: self.settings.written.clone(),
            partitions_default: self.settings.topics.partitions,
            replication_factor_default: self.settings.topics.replication_factor,
            session_timeout: SESSION_TIMEOUT,
            seed: chance::number(),
        }
    }

    fn voter(&self) -> Voter {
        let endpoint = |listener: &Listener| Endpoint {
            name: "CONTROLLER".into(),
            host: listener.advertised.host.as_str().into(),
            port: listener.advertised.port,
            ..Default::default()
        };
        let endpoints = self.listeners.first().map(endpoint).into_iter().collect();
        Voter { id: self.settings.node.id, directory: self.storage.metadata().id, endpoints }
    }
}

fn reachable(listener: &Listener) -> Reachable {
    Reachable {
        name: listener.advertised.name.clone(),
        host: listener.advertised.host.clone(),
        port: listener.advertised.port,
        security_protocol: PLAINTEXT,
    }
}

fn supported(feature: &Feature) -> Supported {
    Supported { name: feature.name.to_owned(), least: feature.least, most: feature.most }
}
