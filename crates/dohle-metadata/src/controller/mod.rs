//! Who may change the cluster: commands in, records and answers out, over the ledger of the metadata log.
//!
//! Owns what is allowed and in which words it is refused; knows neither requests nor who may send them: access is
//! checked before a command is made. Follows Kafka's `QuorumController` and its control managers.
//! Laws: a decision is all of its records or none; no decision has more than [`RECORDS_MAX`] records; soft state is
//! sessions, chance and what is left to be settled, and nothing that a record should say.

pub mod brokers;
pub mod configs;
pub mod directories;
pub mod partitions;
pub mod topics;

mod elect;
mod features;
mod producer_ids;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dohle_base::{BrokerId, ErrorCode, Instant, Now, Offset, Rng, Token};
use dohle_protocol::record::MetadataRecord;
use dohle_replication::ledger::{Decision, Folded};
use imbl::OrdMap;

use crate::Refusal;
use crate::effective::{ConfigTables, View};
use crate::image::{BrokerEpoch, Image};

use brokers::{Heartbeat, RegisterBroker, Session, Standing};
use configs::{AlterConfigs, ConfigResult, ReplaceConfigs};
use directories::PlaceReplicas;
use elect::Cause;
use partitions::{CreatePartitions, Growth};
use topics::{CreateTopics, Deletion, TopicRef, TopicResult};

pub use producer_ids::{PRODUCER_IDS_BLOCK, ProducerIds};

/// The most records that one command may write, and the most partitions that it may create (Kafka's
/// `MAX_RECORDS_PER_USER_OP`).
pub const RECORDS_MAX: usize = 10_000;

/// What this node was started with, as far as it matters when it leads.
#[derive(Clone, Debug)]
pub struct Policy {
    /// This node.
    pub node: BrokerId,
    /// The declared keys.
    pub tables: ConfigTables,
    /// The values of broker keys from the command line and the configuration file.
    pub statics: BTreeMap<String, String>,
    /// `num.partitions`.
    pub partitions_default: i32,
    /// `default.replication.factor`.
    pub replication_factor_default: i16,
    /// `broker.session.timeout.ms`: a broker that is silent for longer is fenced.
    pub session_timeout: Duration,
    /// Where chance begins. Hand in another one at each start of the process.
    pub seed: u64,
}

/// What the controller is asked.
#[derive(Clone, Debug)]
pub enum Command {
    /// Make sure that the log begins as that of a new cluster does. The first command of each leadership.
    Bootstrap,
    /// A broker begins a life, or says more about the one it has.
    RegisterBroker(RegisterBroker),
    /// An administrator removes a broker for good.
    UnregisterBroker(BrokerId),
    /// A broker is alive.
    Heartbeat(Heartbeat),
    /// Make topics.
    CreateTopics(CreateTopics),
    /// Remove topics.
    DeleteTopics(Vec<TopicRef>),
    /// Give topics more partitions.
    CreatePartitions(CreatePartitions),
    /// Change some keys of resources.
    AlterConfigs(AlterConfigs),
    /// Give resources these keys and no others.
    ReplaceConfigs(ReplaceConfigs),
    /// A broker needs producer ids.
    AllocateProducerIds {
        /// Who asks.
        broker: BrokerId,
        /// In which life.
        epoch: BrokerEpoch,
    },
    /// A broker says in which directory some of its replicas lie.
    PlaceReplicas(PlaceReplicas),
}

/// What the controller answers, one variant for each command. Lists are in the order of the command's.
#[derive(Clone, Debug)]
pub enum Reply {
    /// To [`Command::Bootstrap`]: whether the log was new.
    Bootstrapped(bool),
    /// To [`Command::RegisterBroker`]: the epoch to carry from now on.
    Registered(Result<BrokerEpoch, Refusal>),
    /// To [`Command::UnregisterBroker`].
    Unregistered(Result<(), Refusal>),
    /// To [`Command::Heartbeat`].
    Heartbeat(Result<Standing, Refusal>),
    /// To [`Command::CreateTopics`]: one for each name.
    TopicsCreated(Vec<TopicResult>),
    /// To [`Command::DeleteTopics`].
    TopicsDeleted(Vec<Deletion>),
    /// To [`Command::CreatePartitions`]: one for each name.
    PartitionsCreated(Vec<Growth>),
    /// To [`Command::AlterConfigs`] and [`Command::ReplaceConfigs`]: one for each resource.
    ConfigsAltered(Vec<ConfigResult>),
    /// To [`Command::AllocateProducerIds`].
    ProducerIds(Result<ProducerIds, Refusal>),
    /// To [`Command::PlaceReplicas`].
    ReplicasPlaced(Result<(), Refusal>),
}

/// The records of a decision and what becomes true with them.
type Decided<T> = (Vec<MetadataRecord>, T);

/// The cluster's image, and what only its controller needs.
#[derive(Clone, Debug)]
pub struct Controller {
    image: Image,
    /// Where each broker's registration is in the log: who has not read so far does not know that it is registered.
    registered: OrdMap<BrokerId, Offset>,
    policy: Arc<Policy>,
}

/// What lives as long as a leadership.
#[derive(Clone, Debug)]
pub struct Soft {
    sessions: BTreeMap<BrokerId, Session>,
    /// Elections of which one decision could not hold all.
    unsettled: BTreeMap<BrokerId, Cause>,
    rng: Rng,
}

impl Controller {
    /// A controller that has read nothing yet.
    pub fn new(cluster_id: &str, policy: Policy) -> Self {
        Self { image: Image::new(cluster_id), registered: OrdMap::new(), policy: Arc::new(policy) }
    }

    /// The cluster.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Configuration as this node sees it.
    pub fn view(&self) -> View<'_> {
        View {
            tables: &self.policy.tables,
            configs: &self.image.configs,
            broker: self.policy.node,
            statics: &self.policy.statics,
        }
    }

    /// The laws.
    pub fn check(&self) {
        self.image.check();
        assert!(self.image.brokers.iter().all(|broker| self.registered.contains_key(&broker.id)));
    }

    fn answer(&self, soft: &mut Soft, now: Now, command: Command) -> Decided<Reply> {
        match command {
            Command::Bootstrap => reply(Reply::Bootstrapped, self.bootstrap()),
            Command::RegisterBroker(command) => judged(Reply::Registered, self.register_broker(soft, now, command)),
            Command::UnregisterBroker(broker) => judged(Reply::Unregistered, self.unregister_broker(soft, broker)),
            Command::Heartbeat(command) => judged(Reply::Heartbeat, self.heartbeat(soft, now, &command)),
            Command::CreateTopics(command) => reply(Reply::TopicsCreated, self.create_topics(soft, command)),
            Command::DeleteTopics(topics) => reply(Reply::TopicsDeleted, self.delete_topics(topics)),
            Command::CreatePartitions(command) => {
                reply(Reply::PartitionsCreated, self.create_partitions(soft, command))
            }
            Command::AlterConfigs(command) => reply(Reply::ConfigsAltered, self.alter_configs(command)),
            Command::ReplaceConfigs(command) => reply(Reply::ConfigsAltered, self.replace_configs(command)),
            Command::AllocateProducerIds { broker, epoch } => {
                judged(Reply::ProducerIds, self.allocate_producer_ids(broker, epoch))
            }
            Command::PlaceReplicas(command) => judged(Reply::ReplicasPlaced, self.place_replicas(&command)),
        }
    }
}

impl Folded for Controller {
    type Command = Command;
    type Record = MetadataRecord;
    type Reply = Reply;
    type Soft = Soft;

    fn lead(&self, now: Now) -> Soft {
        // Topics of the same name in two leaderships must not get the same id.
        let seed = self.policy.seed ^ (now.wall.0 as u64).rotate_left(32) ^ now.instant.0;
        Soft { sessions: self.sessions(now), unsettled: BTreeMap::new(), rng: Rng::new(seed) }
    }

    fn decide(&self, soft: &mut Soft, now: Now, token: Token, command: Command) -> Decision<MetadataRecord, Reply> {
        let (records, reply) = self.answer(soft, now, command);
        assert!(records.len() <= RECORDS_MAX);
        Decision::write(records, token, reply)
    }

    fn tick(&self, soft: &mut Soft, now: Now) -> Decision<MetadataRecord, Reply> {
        let records = self.settle(soft).unwrap_or_else(|| self.fence_silent_broker(soft, now));
        assert!(records.len() <= RECORDS_MAX);
        Decision { records, replies: vec![] }
    }

    fn deadline(&self, soft: &Soft) -> Option<Instant> {
        if !soft.unsettled.is_empty() {
            return Some(Instant::ZERO);
        }
        soft.sessions.values().map(|session| session.until).min()
    }

    /// Every command is answered by its own decision.
    fn parked(_: &mut Soft) -> Vec<Token> {
        vec![]
    }

    fn apply(&mut self, offset: Offset, record: &MetadataRecord) {
        if let Err(contradiction) = self.image.apply(offset, record) {
            panic!("{contradiction}: {}", contradiction.why);
        }
        if let MetadataRecord::RegisterBroker(record) = record {
            self.registered.insert(BrokerId(record.broker_id), offset);
        }
    }

    fn weight(record: &MetadataRecord) -> usize {
        /// What a batch adds to the value of a record: lengths, timestamp and offset, each at most so many bytes.
        const FRAME_BYTES_MAX: usize = 32;
        let value = record.encode(version(record)).map_or(0, |value| value.len());
        value + FRAME_BYTES_MAX
    }
}

/// The version in which a record is written: the newest, which the level of `metadata.version` that a new cluster
/// begins with implies.
pub fn version(record: &MetadataRecord) -> i16 {
    *record.versions().end()
}

fn reply<T>(say: fn(T) -> Reply, (records, outcome): Decided<T>) -> Decided<Reply> {
    (records, say(outcome))
}

fn judged<T>(say: fn(Result<T, Refusal>) -> Reply, outcome: Result<Decided<T>, Refusal>) -> Decided<Reply> {
    match outcome {
        Ok((records, outcome)) => (records, say(Ok(outcome))),
        Err(refusal) => (vec![], say(Err(refusal))),
    }
}

/// A command that would write more than fits is refused as a whole.
fn too_large() -> Refusal {
    Refusal::new(ErrorCode::PolicyViolation, format!("one request may write at most {RECORDS_MAX} metadata records"))
}

/// What comes more than once, each time once.
fn repeated<T: Ord + Clone>(items: impl Iterator<Item = T>) -> BTreeSet<T> {
    let mut seen = BTreeSet::new();
    items.filter(|item| !seen.insert(item.clone())).collect()
}

#[cfg(test)]
mod tests;
