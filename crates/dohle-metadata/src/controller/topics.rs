//! Topics made and removed.
//!
//! Owns the checks of a new topic, in Kafka's order, and its records; placement is in `partitions`, the check of its
//! configuration in `configs`. Follows Kafka's `ReplicationControlManager` and the parts of `ControllerApis` that
//! look at more than one topic of a request.

use std::collections::{BTreeMap, BTreeSet};

use dohle_base::{BrokerId, ErrorCode, Partition, TopicId, TopicName, Uuid};
use dohle_protocol::record::MetadataRecord;
use dohle_protocol::record::metadata::{RemoveTopicRecord, TopicRecord};

use super::partitions::too_many_partitions;
use super::{Controller, Decided, RECORDS_MAX, Soft, repeated, too_large};
use crate::Refusal;
use crate::effective::Entry;
use crate::image::{Assignment, Resource, ResourceKind, Topic};
use crate::snapshot::config_record;

/// The topic whose log this is: nobody may make it.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// "As the broker's configuration says", for partitions and replication factor.
pub const DEFAULT: i32 = -1;

/// Make topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateTopics {
    /// The topics, each named once.
    pub topics: Vec<NewTopic>,
    /// Say what would happen and change nothing.
    pub validate_only: bool,
}

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; [`DEFAULT`] as the broker says, or when `assignments` says it.
    pub partitions: i32,
    /// How many replicas of each; [`DEFAULT`] as the broker says, or when `assignments` says it.
    pub replication_factor: i16,
    /// The replicas of each partition by number, if the administrator chose them.
    pub assignments: Vec<(i32, Vec<BrokerId>)>,
    /// Its configuration. No value may be missing.
    pub configs: Vec<(String, Option<String>)>,
}

impl NewTopic {
    /// A topic of this name, all else as the broker says.
    pub fn named(name: &str) -> Self {
        let (assignments, configs) = (vec![], vec![]);
        Self { name: name.to_owned(), partitions: DEFAULT, replication_factor: DEFAULT as i16, assignments, configs }
    }
}

/// What became of a topic to be made.
#[derive(Clone, Debug)]
pub struct TopicResult {
    /// Its name, as it was asked for.
    pub name: String,
    /// What was made, or would be; or why not.
    pub outcome: Result<Created, Refusal>,
}

/// A topic that was made.
#[derive(Clone, Debug)]
pub struct Created {
    /// Its id.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many replicas each has.
    pub replication_factor: i16,
    /// Its configuration, defaults included. Only for who may see it.
    pub configs: Vec<Entry>,
}

/// How a request names a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicRef {
    /// By its name.
    Name(String),
    /// By its id.
    Id(TopicId),
}

impl TopicRef {
    /// Reads the two fields of which a request fills one.
    pub fn parse(name: Option<&str>, id: Uuid) -> Result<Self, Refusal> {
        match (name, id) {
            (Some(name), Uuid::ZERO) => Ok(Self::Name(name.to_owned())),
            (None, Uuid::ZERO) => {
                Err(Refusal::new(ErrorCode::InvalidRequest, "neither name nor id of a topic is given"))
            }
            (None, id) => Ok(Self::Id(id)),
            (Some(_), _) => Err(Refusal::new(ErrorCode::InvalidRequest, "both name and id of a topic are given")),
        }
    }
}

/// What became of a topic to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// How the request named it.
    pub topic: TopicRef,
    /// Its name, where one is known.
    pub name: Option<String>,
    /// Its id; zero where none is known.
    pub id: TopicId,
    /// Why it was not removed.
    pub error: Option<Refusal>,
}

impl Controller {
    pub(super) fn create_topics(&self, soft: &mut Soft, command: CreateTopics) -> Decided<Vec<TopicResult>> {
        let refuse_all = |topics: Vec<NewTopic>, refusal: Refusal| {
            let refused = |topic: NewTopic| TopicResult { name: topic.name, outcome: Err(refusal.clone()) };
            (vec![], topics.into_iter().map(refused).collect())
        };
        if command.topics.iter().map(|topic| self.asked(topic)).sum::<usize>() > RECORDS_MAX {
            return refuse_all(command.topics, too_many_partitions());
        }
        let mut records = vec![];
        let mut results = vec![];
        let mut taken = BTreeSet::new();
        let repeated = repeated(command.topics.iter().map(|topic| topic.name.as_str()));
        for topic in command.topics.iter().filter(|topic| !repeated.contains(topic.name.as_str())) {
            let outcome = self.create_topic(soft, topic, &mut taken, &mut records);
            results.push(TopicResult { name: topic.name.clone(), outcome });
        }
        let twice = Refusal::new(ErrorCode::InvalidRequest, "the request names this topic more than once");
        let refused = |name: &&str| TopicResult { name: (*name).to_owned(), outcome: Err(twice.clone()) };
        results.extend(repeated.iter().map(refused));
        if records.len() > RECORDS_MAX {
            return refuse_all(command.topics, too_large());
        }
        (if command.validate_only { vec![] } else { records }, results)
    }

    /// How many partitions a request asks for, whether or not it gets them.
    fn asked(&self, topic: &NewTopic) -> usize {
        match (topic.assignments.len(), topic.partitions) {
            (0, DEFAULT) => usize::try_from(self.policy.partitions_default).unwrap_or(0),
            (0, count) => usize::try_from(count).unwrap_or(0),
            (assigned, _) => assigned,
        }
    }

    /// Adds the records of one topic. `taken` are the names that earlier topics of the request have in metrics.
    fn create_topic(
        &self,
        soft: &mut Soft,
        topic: &NewTopic,
        taken: &mut BTreeSet<String>,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<Created, Refusal> {
        let name = self.new_name(&topic.name, taken)?;
        let values = self.first_values(&name, &topic.configs)?;
        let partitions = self.first_partitions(soft, topic)?;
        let id = self.unused_id(soft);
        let record = TopicRecord { name: name.as_str().into(), topic_id: id, ..Default::default() };
        records.push(MetadataRecord::Topic(record));
        let resource = Resource::new(ResourceKind::Topic, &name);
        records.extend(values.iter().map(|(key, value)| config_record(&resource, key, Some(value))));
        let made = (0..).zip(&partitions).map(|(index, made)| made.record(id, Partition(index)));
        records.extend(made.map(MetadataRecord::Partition));
        taken.insert(name.metric_name());
        Ok(self.created(id, &partitions, &values))
    }

    fn created(&self, id: TopicId, partitions: &[Assignment], values: &BTreeMap<String, String>) -> Created {
        Created {
            id,
            partitions: partitions.len() as i32,
            replication_factor: partitions.first().map_or(0, |first| first.replicas.len()) as i16,
            configs: self.view().topic_with(values).collect(),
        }
    }

    fn new_name(&self, name: &str, taken: &BTreeSet<String>) -> Result<TopicName, Refusal> {
        let invalid = |message: String| Refusal::new(ErrorCode::InvalidTopic, message);
        if name == METADATA_TOPIC {
            let message = format!("nobody may create the internal topic {METADATA_TOPIC}");
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
        let name = TopicName::parse(name).map_err(|why| invalid(why.to_string()))?;
        if self.image.topics.named(&name).is_some() {
            return Err(Refusal::new(ErrorCode::TopicAlreadyExists, format!("topic {name} already exists")));
        }
        if let Some(other) = self.image.topics.collision(&name) {
            let message = format!("topic {name} would collide with topic {other}: metrics cannot tell . from _");
            return Err(invalid(message));
        }
        if taken.contains(&name.metric_name()) {
            let message =
                format!("topic {name} would collide with another one of the request: metrics cannot tell . from _");
            return Err(invalid(message));
        }
        Ok(name)
    }

    fn first_values(
        &self,
        name: &TopicName,
        configs: &[(String, Option<String>)],
    ) -> Result<BTreeMap<String, String>, Refusal> {
        let missing: Vec<&str> =
            configs.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key.as_str()).collect();
        if !missing.is_empty() {
            let message = format!("a new topic's configuration needs values: {} has none", missing.join(", "));
            return Err(Refusal::new(ErrorCode::InvalidConfig, message));
        }
        let changes: BTreeMap<String, Option<String>> = configs.iter().cloned().collect();
        self.check_values(&Resource::new(ResourceKind::Topic, name), &changes)?;
        Ok(changes.into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
    }

    fn first_partitions(&self, soft: &mut Soft, topic: &NewTopic) -> Result<Vec<Assignment>, Refusal> {
        if !topic.assignments.is_empty() {
            return self.first_assignments(topic);
        }
        let (asked, factor) = (topic.partitions, i32::from(topic.replication_factor));
        if factor < DEFAULT || factor == 0 {
            let message =
                format!("the replication factor must be positive, or {DEFAULT} for the broker's; it is {factor}");
            return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
        }
        if asked < DEFAULT || asked == 0 {
            let message =
                format!("the number of partitions must be positive, or {DEFAULT} for the broker's; it is {asked}");
            return Err(Refusal::new(ErrorCode::InvalidPartitions, message));
        }
        let factor = if factor == DEFAULT { self.policy.replication_factor_default } else { topic.replication_factor };
        self.placed(soft, self.asked(topic), factor)
    }

    /// The partitions of a topic whose replicas the administrator chose.
    fn first_assignments(&self, topic: &NewTopic) -> Result<Vec<Assignment>, Refusal> {
        if i32::from(topic.replication_factor) != DEFAULT || topic.partitions != DEFAULT {
            let message = format!("where replicas are assigned, partitions and replication factor must be {DEFAULT}");
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
        let refuse = |message: String| Refusal::new(ErrorCode::InvalidReplicaAssignment, message);
        let mut by_number = BTreeMap::new();
        let mut factor = None;
        for (number, replicas) in &topic.assignments {
            if by_number.contains_key(number) {
                return Err(refuse(format!("partition {number} is assigned more than once")));
            }
            by_number.insert(*number, self.assigned(replicas, factor)?);
            factor = Some(replicas.len());
        }
        if !by_number.keys().copied().eq(0..topic.assignments.len() as i32) {
            return Err(refuse("partitions must be assigned from 0 on without a gap".to_owned()));
        }
        Ok(by_number.into_values().collect())
    }

    fn unused_id(&self, soft: &mut Soft) -> TopicId {
        loop {
            let id = Uuid::random(&mut soft.rng);
            if self.image.topics.get(id).is_none() {
                return id;
            }
        }
    }

    pub(super) fn delete_topics(&self, topics: Vec<TopicRef>) -> Decided<Vec<Deletion>> {
        let twice = || Some(Refusal::new(ErrorCode::InvalidRequest, "the request names this topic more than once"));
        let mut records = vec![];
        let mut deletions = vec![];
        let repeated = repeated(topics.iter());
        let once: Vec<&TopicRef> = topics.iter().filter(|topic| !repeated.contains(topic)).collect();
        let named_both_ways =
            super::repeated(once.iter().filter_map(|topic| self.find(topic).ok()).map(|found| found.id));
        for topic in once {
            match (self.find(topic), topic) {
                (Err(refusal), _) => deletions.push(deletion(topic, None, Some(refusal))),
                (Ok(found), TopicRef::Name(_)) if named_both_ways.contains(&found.id) => {
                    deletions.push(deletion(topic, Some(found), twice()));
                }
                // The answer for the name speaks for both.
                (Ok(found), TopicRef::Id(_)) if named_both_ways.contains(&found.id) => {}
                (Ok(found), _) => {
                    records.push(removal(found));
                    deletions.push(deletion(topic, Some(found), None));
                }
            }
        }
        deletions.extend(repeated.iter().map(|topic| deletion(topic, None, twice())));
        if records.len() > RECORDS_MAX {
            let refused = topics.iter().map(|topic| deletion(topic, None, Some(too_large())));
            return (vec![], refused.collect());
        }
        (records, deletions)
    }

    fn find(&self, topic: &TopicRef) -> Result<&Topic, Refusal> {
        let (found, code) = match topic {
            TopicRef::Name(name) => (self.image.topics.named(name), ErrorCode::UnknownTopicOrPartition),
            TopicRef::Id(id) => (self.image.topics.get(*id), ErrorCode::UnknownTopicId),
        };
        let name = match topic {
            TopicRef::Name(name) => name.clone(),
            TopicRef::Id(id) => format!("with the id {id}"),
        };
        found.map(AsRef::as_ref).ok_or_else(|| Refusal::new(code, format!("there is no topic {name}")))
    }
}

fn removal(topic: &Topic) -> MetadataRecord {
    MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id: topic.id, ..Default::default() })
}

/// An answer tells what the request told, and after a removal also the rest.
fn deletion(topic: &TopicRef, known: Option<&Topic>, error: Option<Refusal>) -> Deletion {
    let (name, id) = match topic {
        TopicRef::Name(name) => (Some(name.clone()), known.map_or(Uuid::ZERO, |topic| topic.id)),
        TopicRef::Id(id) => (known.map(|topic| topic.name.to_string()), *id),
    };
    Deletion { topic: topic.clone(), name, id, error }
}

#[cfg(test)]
mod tests;
