//! What is known of the cluster: its brokers, and who leads which partition.
//!
//! Owns the latest metadata and the decision to ask again. Laws: a leader's epoch never goes back within a topic's id
//! (KIP-320); knowledge of a topic that the broker did not speak of is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dohle_base::{BrokerId, ErrorCode, Instant, LeaderEpoch, Partition, TopicId, TopicName};
use dohle_protocol::message::MetadataResponse;
use dohle_protocol::message::metadata::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};

use crate::core::TopicPartition;

/// Most topics that one client follows.
pub const TOPICS_MAX: usize = 100_000;

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Where it stands, when it says so.
    pub rack: Option<String>,
}

/// A topic as the brokers describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its identity; zero from brokers that do not tell.
    pub id: TopicId,
    /// Whether the brokers keep it for themselves.
    pub internal: bool,
    /// Its partitions, by number.
    pub partitions: Vec<Leadership>,
}

/// Who leads a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// The leader, or nobody.
    pub leader: BrokerId,
    /// Its reign.
    pub epoch: LeaderEpoch,
    /// Who has a copy.
    pub replicas: Vec<BrokerId>,
    /// Whose copy is in step.
    pub in_sync: Vec<BrokerId>,
    /// Whose copy cannot be reached.
    pub offline: Vec<BrokerId>,
}

/// The client's map of the cluster.
#[derive(Clone, Debug)]
pub struct Routing {
    max_age: Duration,
    brokers: BTreeMap<BrokerId, Endpoint>,
    topics: BTreeMap<TopicName, Topic>,
    refused: BTreeMap<TopicName, ErrorCode>,
    wanted: BTreeSet<TopicName>,
    cluster_id: Option<String>,
    controller: BrokerId,
    refreshed_at: Option<Instant>,
    refresh_due: bool,
}

impl Routing {
    /// Knows nothing yet; what it will know is asked for again after `max_age` (`metadata.max.age.ms`).
    pub fn new(max_age: Duration) -> Self {
        Self {
            max_age,
            brokers: BTreeMap::new(),
            topics: BTreeMap::new(),
            refused: BTreeMap::new(),
            wanted: BTreeSet::new(),
            cluster_id: None,
            controller: BrokerId::NONE,
            refreshed_at: None,
            refresh_due: true,
        }
    }

    /// Follows a topic from now on. Answers false when too many are followed already.
    #[must_use]
    pub fn want(&mut self, topic: &TopicName) -> bool {
        if self.wanted.contains(topic) {
            return true;
        }
        if self.wanted.len() >= TOPICS_MAX {
            return false;
        }
        self.wanted.insert(topic.clone());
        self.refresh_due = true;
        true
    }

    /// The topics to ask for.
    pub fn wanted(&self) -> impl Iterator<Item = &TopicName> {
        self.wanted.iter()
    }

    /// What is known turned out to be wrong.
    pub fn invalidate(&mut self) {
        self.refresh_due = true;
    }

    /// Whether it is time to ask for metadata.
    pub fn refresh_due(&self, now: Instant) -> bool {
        self.refresh_due || self.refresh_at().is_none_or(|at| at <= now)
    }

    /// When what is known will be too old.
    pub fn refresh_at(&self) -> Option<Instant> {
        self.refreshed_at.map(|at| at + self.max_age)
    }

    /// Takes in an answer. A topic's error is remembered until an answer brings the topic itself.
    pub fn learn(&mut self, now: Instant, answer: &MetadataResponse) {
        self.refreshed_at = Some(now);
        self.refresh_due = false;
        self.cluster_id = answer.cluster_id.as_ref().map(|id| id.to_string()).or_else(|| self.cluster_id.take());
        self.controller = BrokerId(answer.controller_id);
        if !answer.brokers.is_empty() {
            self.brokers =
                answer.brokers.iter().map(|broker| (BrokerId(broker.node_id), Endpoint::from(broker))).collect();
        }
        for topic in &answer.topics {
            let Some(name) = topic.name.as_ref().and_then(|name| TopicName::parse(name).ok()) else { continue };
            match ErrorCode::from_code(topic.error_code) {
                ErrorCode::None => self.learn_topic(name, topic),
                refusal => self.learn_refusal(name, refusal),
            }
        }
    }

    fn learn_topic(&mut self, name: TopicName, answer: &MetadataResponseTopic) {
        self.refused.remove(&name);
        let known = self.topics.get(&name).filter(|known| known.id == answer.topic_id);
        let count = answer.partitions.iter().map(|partition| partition.partition_index + 1).max().unwrap_or(0);
        let mut partitions = vec![Leadership::unknown(); count.max(0) as usize];
        for answered in &answer.partitions {
            let Some(place) = partitions.get_mut(answered.partition_index.max(0) as usize) else { continue };
            let fresh = Leadership::from(answered);
            let kept = known.and_then(|topic| topic.partitions.get(answered.partition_index as usize));
            *place = kept
                .filter(|kept| kept.epoch > fresh.epoch && fresh.epoch != LeaderEpoch::NONE)
                .cloned()
                .unwrap_or(fresh);
        }
        // A partition without a leader will get one: ask again soon.
        self.refresh_due |= partitions.iter().any(|partition| partition.leader == BrokerId::NONE);
        self.topics.insert(name, Topic { id: answer.topic_id, internal: answer.is_internal, partitions });
    }

    fn learn_refusal(&mut self, name: TopicName, refusal: ErrorCode) {
        if matches!(refusal, ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId) {
            self.topics.remove(&name);
        }
        self.refresh_due |= refusal.is_retriable() && self.wanted.contains(&name);
        self.refused.insert(name, refusal);
    }

    /// A broker told who leads now, in an answer that refused us (KIP-951). Older news is ignored.
    pub fn learn_leader(&mut self, place: &TopicPartition, leader: BrokerId, epoch: LeaderEpoch) {
        let partition =
            self.topics.get_mut(&place.topic).and_then(|topic| topic.partitions.get_mut(place.partition.0 as usize));
        if let Some(partition) = partition.filter(|partition| partition.epoch < epoch) {
            partition.leader = leader;
            partition.epoch = epoch;
        }
    }

    /// Where a broker listens.
    pub fn endpoint(&self, broker: BrokerId) -> Option<&Endpoint> {
        self.brokers.get(&broker)
    }

    /// Learns where a broker listens from an answer that is not about metadata.
    pub fn learn_endpoint(&mut self, broker: BrokerId, endpoint: Endpoint) {
        self.brokers.insert(broker, endpoint);
    }

    /// All brokers.
    pub fn brokers(&self) -> impl Iterator<Item = (BrokerId, &Endpoint)> {
        self.brokers.iter().map(|(id, endpoint)| (*id, endpoint))
    }

    /// A topic, when it is known.
    pub fn topic(&self, name: &TopicName) -> Option<&Topic> {
        self.topics.get(name)
    }

    /// All known topics.
    pub fn topics(&self) -> impl Iterator<Item = (&TopicName, &Topic)> {
        self.topics.iter()
    }

    /// Why a topic is not known, when a broker said so.
    pub fn refusal(&self, name: &TopicName) -> Option<ErrorCode> {
        self.refused.get(name).copied()
    }

    /// Who leads a partition, and since which reign.
    pub fn leader(&self, place: &TopicPartition) -> Option<(BrokerId, LeaderEpoch)> {
        let partition = self.topics.get(&place.topic)?.partitions.get(usize::try_from(place.partition.0).ok()?)?;
        (partition.leader != BrokerId::NONE).then_some((partition.leader, partition.epoch))
    }

    /// The name of a topic by its identity.
    pub fn name_of(&self, id: TopicId) -> Option<&TopicName> {
        self.topics.iter().find(|(_, topic)| topic.id == id).map(|(name, _)| name)
    }

    /// The broker that answers for the cluster's metadata.
    pub fn controller(&self) -> Option<BrokerId> {
        (self.controller != BrokerId::NONE).then_some(self.controller)
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }
}

impl Topic {
    /// Whether a partition has a leader.
    pub fn is_led(&self, partition: Partition) -> bool {
        let known = usize::try_from(partition.0).ok().and_then(|number| self.partitions.get(number));
        known.is_some_and(|partition| partition.leader != BrokerId::NONE)
    }
}

impl Leadership {
    fn unknown() -> Self {
        Self { leader: BrokerId::NONE, epoch: LeaderEpoch::NONE, replicas: vec![], in_sync: vec![], offline: vec![] }
    }
}

impl From<&MetadataResponseBroker> for Endpoint {
    fn from(answer: &MetadataResponseBroker) -> Self {
        Self {
            host: answer.host.to_string(),
            port: u16::try_from(answer.port).unwrap_or(0),
            rack: answer.rack.as_ref().map(|rack| rack.to_string()),
        }
    }
}

impl From<&MetadataResponsePartition> for Leadership {
    fn from(answer: &MetadataResponsePartition) -> Self {
        let brokers = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect();
        Self {
            leader: BrokerId(answer.leader_id),
            epoch: LeaderEpoch(answer.leader_epoch),
            replicas: brokers(&answer.replica_nodes),
            in_sync: brokers(&answer.isr_nodes),
            offline: brokers(&answer.offline_replicas),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> TopicName {
        TopicName::parse(text).unwrap()
    }

    fn answer(code: ErrorCode, leaders: &[(i32, i32)]) -> MetadataResponse {
        let partitions = leaders.iter().enumerate().map(|(number, (leader, epoch))| MetadataResponsePartition {
            partition_index: number as i32,
            leader_id: *leader,
            leader_epoch: *epoch,
            ..MetadataResponsePartition::default()
        });
        let topic = MetadataResponseTopic {
            error_code: code.code(),
            name: Some("t".into()),
            topic_id: dohle_base::Uuid([1; 16]),
            partitions: partitions.collect(),
            ..MetadataResponseTopic::default()
        };
        MetadataResponse { topics: vec![topic], ..MetadataResponse::default() }
    }

    fn leader(routing: &Routing) -> Option<(i32, i32)> {
        let place = TopicPartition::new(name("t"), Partition(0));
        routing.leader(&place).map(|(broker, epoch)| (broker.0, epoch.0))
    }

    #[test]
    fn news_of_an_older_reign_is_ignored() {
        let mut routing = Routing::new(Duration::from_secs(300));
        routing.learn(Instant(1), &answer(ErrorCode::None, &[(1, 5)]));
        routing.learn(Instant(2), &answer(ErrorCode::None, &[(2, 4)]));
        assert_eq!(leader(&routing), Some((1, 5)));
        routing.learn(Instant(3), &answer(ErrorCode::None, &[(2, 6)]));
        assert_eq!(leader(&routing), Some((2, 6)));
        routing.learn_leader(&TopicPartition::new(name("t"), Partition(0)), BrokerId(3), LeaderEpoch(5));
        assert_eq!(leader(&routing), Some((2, 6)));
    }

    #[test]
    fn a_topic_that_is_not_there_yet_is_asked_for_again() {
        let mut routing = Routing::new(Duration::from_secs(300));
        assert!(routing.refresh_due(Instant(0)));
        assert!(routing.want(&name("t")));
        routing.learn(Instant(1), &answer(ErrorCode::LeaderNotAvailable, &[]));
        assert!(routing.refresh_due(Instant(1)));
        assert_eq!(routing.refusal(&name("t")), Some(ErrorCode::LeaderNotAvailable));
        routing.learn(Instant(2), &answer(ErrorCode::None, &[(-1, 0)]));
        assert!(routing.refresh_due(Instant(2)), "a partition without a leader will get one");
        routing.learn(Instant(3), &answer(ErrorCode::None, &[(1, 0)]));
        assert!(!routing.refresh_due(Instant(3)));
        assert_eq!(routing.refusal(&name("t")), None);
        assert!(routing.refresh_due(Instant(3) + Duration::from_secs(300)));
    }
}
