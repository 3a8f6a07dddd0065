//! Topics: which there are, what they are, new ones, more of one, and none of one.

use std::collections::{BTreeMap, BTreeSet};

use dohle_base::{BrokerId, ErrorCode, LeaderEpoch, Offset, Partition, TopicId, TopicName};
use dohle_protocol::message::create_partitions::CreatePartitionsTopic;
use dohle_protocol::message::create_topics::{CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig};
use dohle_protocol::message::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use dohle_protocol::message::delete_topics::DeleteTopicState;
use dohle_protocol::message::metadata::MetadataResponseTopic;
use dohle_protocol::message::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest, MetadataResponse,
};

use super::{Admin, Each};
use crate::core::TopicPartition;
use crate::transport::{AskError, Lane, refuse_unless_none};

/// The last version that names topics to be deleted in a list of their own.
const DELETE_VERSION_OF_NAMES: i16 = 5;

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: TopicName,
    /// Its identity; zero from brokers that do not tell.
    pub id: TopicId,
    /// Whether the brokers keep it for themselves.
    pub internal: bool,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Its number.
    pub partition: Partition,
    /// Who leads it, if anybody.
    pub leader: Option<BrokerId>,
    /// The leader's reign.
    pub leader_epoch: LeaderEpoch,
    /// Who has a copy, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Whose copy is in step.
    pub in_sync: Vec<BrokerId>,
    /// Whose copy cannot be reached.
    pub offline: Vec<BrokerId>,
}

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: TopicName,
    /// How many partitions; the broker's default when none.
    pub partitions: Option<i32>,
    /// How many copies; the broker's default when none.
    pub replication_factor: Option<i16>,
    /// Who is to have the copies of each partition, in the place of the two numbers above.
    pub assignment: BTreeMap<i32, Vec<BrokerId>>,
    /// What it obeys beyond the defaults.
    pub configs: BTreeMap<String, String>,
}

/// A topic that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Its identity; zero from brokers that do not tell.
    pub id: TopicId,
    /// How many partitions it has; -1 from brokers that do not tell.
    pub partitions: i32,
    /// How many copies it has; -1 from brokers that do not tell.
    pub replication_factor: i16,
}

impl NewTopic {
    /// A topic as the broker would make it.
    pub fn new(name: TopicName) -> Self {
        Self { name, partitions: None, replication_factor: None, assignment: BTreeMap::new(), configs: BTreeMap::new() }
    }
}

impl Admin {
    /// All topics, by name.
    pub async fn list_topics(&self) -> Result<Vec<TopicDescription>, AskError> {
        let answer = self.cluster.persist(|| self.cluster.metadata(None, false)).await?;
        self.cluster.learn(&answer);
        let mut topics: Vec<TopicDescription> =
            answer.topics.iter().filter_map(|topic| describe(topic)?.1.ok()).collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// Some topics.
    pub async fn describe_topics(&self, names: &[TopicName]) -> Result<Each<TopicName, TopicDescription>, AskError> {
        let answer = self.cluster.persist(|| self.settled_metadata(names)).await?;
        self.cluster.learn(&answer);
        Ok(answer.topics.iter().filter_map(describe).collect())
    }

    /// Metadata in which no topic is still being made.
    async fn settled_metadata(&self, names: &[TopicName]) -> Result<MetadataResponse, AskError> {
        let answer = self.cluster.metadata(Some(names), false).await?;
        let unsettled = |code: ErrorCode| code.is_retriable() && code != ErrorCode::UnknownTopicOrPartition;
        for topic in &answer.topics {
            if unsettled(ErrorCode::from_code(topic.error_code)) {
                refuse_unless_none(topic.error_code, None, || what(topic.name.as_deref().unwrap_or_default()))?;
            }
        }
        Ok(answer)
    }

    /// Makes topics, or only checks whether it could.
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
        validate_only: bool,
    ) -> Result<Each<TopicName, Created>, AskError> {
        let request = CreateTopicsRequest {
            topics: topics.iter().map(creatable).collect(),
            timeout_ms: self.timeout_ms(),
            validate_only,
            ..CreateTopicsRequest::default()
        };
        let answer = self.cluster.persist(|| self.ask_controller(&request)).await?;
        let created = answer.topics.iter().filter_map(|topic| {
            let refused = self.refused(topic.error_code, topic.error_message.as_deref(), || what(&topic.name));
            let created = Created {
                id: topic.topic_id,
                partitions: topic.num_partitions,
                replication_factor: topic.replication_factor,
            };
            Some((TopicName::parse(&topic.name).ok()?, refused.map(|()| created)))
        });
        Ok(created.collect())
    }

    /// Deletes topics and all of their records.
    pub async fn delete_topics(&self, names: &[TopicName]) -> Result<Each<TopicName, ()>, AskError> {
        let answer = self
            .cluster
            .persist(|| async {
                self.cluster.meet().await?;
                let connection = self.cluster.any().await?;
                let version = connection.version::<DeleteTopicsRequest>(i16::MAX)?;
                let request = self.delete_request(version, names);
                Ok(connection.call_in(version, &request, self.cluster.common.request_timeout).await?)
            })
            .await?;
        let deleted = answer.responses.iter().filter_map(|topic| {
            let name = topic.name.as_deref().unwrap_or_default();
            let refused = self.refused(topic.error_code, topic.error_message.as_deref(), || what(name));
            Some((TopicName::parse(name).ok()?, refused))
        });
        Ok(deleted.collect())
    }

    fn delete_request(&self, version: i16, names: &[TopicName]) -> DeleteTopicsRequest {
        let mut request = DeleteTopicsRequest { timeout_ms: self.timeout_ms(), ..DeleteTopicsRequest::default() };
        let names = names.iter().map(|name| name.as_str().into());
        if version <= DELETE_VERSION_OF_NAMES {
            request.topic_names = names.collect();
        } else {
            let state = |name| DeleteTopicState { name: Some(name), ..DeleteTopicState::default() };
            request.topics = names.map(state).collect();
        }
        request
    }

    /// Gives a topic more partitions. Keys go elsewhere from then on.
    pub async fn create_partitions(&self, name: &TopicName, count: i32) -> Result<(), AskError> {
        let topic = CreatePartitionsTopic {
            name: name.as_str().into(),
            count,
            assignments: None,
            ..CreatePartitionsTopic::default()
        };
        let request = CreatePartitionsRequest {
            topics: vec![topic],
            timeout_ms: self.timeout_ms(),
            ..CreatePartitionsRequest::default()
        };
        let answer = self.cluster.persist(|| self.ask_controller(&request)).await?;
        answer
            .results
            .iter()
            .try_for_each(|topic| self.refused(topic.error_code, topic.error_message.as_deref(), || what(&topic.name)))
    }

    /// Deletes the records before these offsets; [`Offset::NONE`] stands for all that are there. Answers where the
    /// partitions begin now.
    pub async fn delete_records(
        &self,
        before: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<Each<TopicPartition, Offset>, AskError> {
        self.know(before.keys()).await?;
        let mut deleted = Each::new();
        let mut by_leader: BTreeMap<BrokerId, Vec<(&TopicPartition, Offset)>> = BTreeMap::new();
        for (place, offset) in before {
            match self.cluster.leader(place) {
                Some((leader, _)) => by_leader.entry(leader).or_default().push((place, *offset)),
                None => drop(deleted.insert(place.clone(), Err(AskError::Nobody { what: place.to_string() }))),
            }
        }
        for (leader, asked) in by_leader {
            let connection = self.cluster.broker(leader, Lane::Control).await?;
            let answer =
                connection.call(&self.delete_records_request(&asked), self.cluster.common.request_timeout).await?;
            for topic in &answer.topics {
                let Ok(name) = TopicName::parse(&topic.name) else { continue };
                for partition in &topic.partitions {
                    let place = TopicPartition::new(name.clone(), Partition(partition.partition_index));
                    let refused = self.refused(partition.error_code, None, || place.to_string());
                    deleted.insert(place.clone(), refused.map(|()| Offset(partition.low_watermark)));
                }
            }
        }
        Ok(deleted)
    }

    fn delete_records_request(&self, asked: &[(&TopicPartition, Offset)]) -> DeleteRecordsRequest {
        let mut topics: BTreeMap<&TopicName, Vec<DeleteRecordsPartition>> = BTreeMap::new();
        for (place, offset) in asked {
            topics.entry(&place.topic).or_default().push(DeleteRecordsPartition {
                partition_index: place.partition.0,
                offset: offset.0,
                ..DeleteRecordsPartition::default()
            });
        }
        let topic = |(name, partitions): (&TopicName, _)| DeleteRecordsTopic {
            name: name.as_str().into(),
            partitions,
            ..DeleteRecordsTopic::default()
        };
        DeleteRecordsRequest {
            topics: topics.into_iter().map(topic).collect(),
            timeout_ms: self.timeout_ms(),
            ..DeleteRecordsRequest::default()
        }
    }

    /// Makes sure that the leaders of these partitions are known, as far as they have any.
    pub(super) async fn know(&self, places: impl Iterator<Item = &TopicPartition>) -> Result<(), AskError> {
        let topics: BTreeSet<&TopicName> = places.map(|place| &place.topic).collect();
        let topics: Vec<TopicName> = topics.into_iter().cloned().collect();
        let answer = self.cluster.metadata(Some(&topics), false).await?;
        self.cluster.learn(&answer);
        Ok(())
    }
}

fn what(topic: &str) -> String {
    format!("topic {topic}")
}

fn creatable(topic: &NewTopic) -> CreatableTopic {
    let by_hand = !topic.assignment.is_empty();
    CreatableTopic {
        name: topic.name.as_str().into(),
        num_partitions: topic.partitions.filter(|_| !by_hand).unwrap_or(-1),
        replication_factor: topic.replication_factor.filter(|_| !by_hand).unwrap_or(-1),
        assignments: topic
            .assignment
            .iter()
            .map(|(partition, brokers)| CreatableReplicaAssignment {
                partition_index: *partition,
                broker_ids: brokers.iter().map(|broker| broker.0).collect(),
                ..CreatableReplicaAssignment::default()
            })
            .collect(),
        configs: topic
            .configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig {
                name: name.into(),
                value: Some(value.into()),
                ..CreatableTopicConfig::default()
            })
            .collect(),
        ..CreatableTopic::default()
    }
}

/// A topic of an answer, unless its name is none.
fn describe(topic: &MetadataResponseTopic) -> Option<(TopicName, Result<TopicDescription, AskError>)> {
    let name = TopicName::parse(topic.name.as_deref()?).ok()?;
    if let Err(refusal) = refuse_unless_none(topic.error_code, None, || what(&name)) {
        return Some((name, Err(refusal)));
    }
    let brokers = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect();
    let mut partitions: Vec<PartitionDescription> = topic
        .partitions
        .iter()
        .map(|partition| PartitionDescription {
            partition: Partition(partition.partition_index),
            leader: Some(BrokerId(partition.leader_id)).filter(|id| *id != BrokerId::NONE),
            leader_epoch: LeaderEpoch(partition.leader_epoch),
            replicas: brokers(&partition.replica_nodes),
            in_sync: brokers(&partition.isr_nodes),
            offline: brokers(&partition.offline_replicas),
        })
        .collect();
    partitions.sort_by_key(|partition| partition.partition);
    let description =
        TopicDescription { name: name.clone(), id: topic.topic_id, internal: topic.is_internal, partitions };
    Some((name, Ok(description)))
}
