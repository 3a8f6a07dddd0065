//! The topics and their partitions.
//!
//! Owns the two ways to a topic, by id and by name; knows nothing of configuration.
//! Laws: each name and each id belongs to one topic; partitions are numbered from 0 without a gap.

use std::sync::Arc;

use dohle_base::{Partition, TopicId, TopicName};
use dohle_protocol::record::metadata::{
    ClearElrRecord, PartitionChangeRecord, PartitionRecord, RemoveTopicRecord, TopicRecord,
};
use imbl::OrdMap;

use super::{Assignment, Contradiction};

/// A topic. Cloning shares the partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// What clients call it.
    pub name: TopicName,
    /// What it is, also after another takes its name.
    pub id: TopicId,
    partitions: OrdMap<Partition, Arc<Assignment>>,
}

impl Topic {
    /// One partition.
    pub fn partition(&self, index: Partition) -> Option<&Arc<Assignment>> {
        self.partitions.get(&index)
    }

    /// All partitions, in their order.
    pub fn partitions(&self) -> impl Iterator<Item = (Partition, &Arc<Assignment>)> {
        self.partitions.iter().map(|(index, assignment)| (*index, assignment))
    }

    /// How many partitions there are.
    pub fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    /// How many replicas the first partition has; 0 when there is no partition.
    pub fn replication_factor(&self) -> usize {
        self.partition(Partition(0)).map_or(0, |assignment| assignment.replicas.len())
    }

    /// One that is like that of the partition before shares its memory: in a small cluster most of a topic's are alike.
    fn put(&mut self, index: Partition, assignment: Assignment) {
        let before = self.partition(Partition(index.0.wrapping_sub(1)));
        let alike = before.filter(|before| ***before == assignment).cloned();
        self.partitions.insert(index, alike.unwrap_or_else(|| Arc::new(assignment)));
    }

    pub(crate) fn assignments(&self) -> &OrdMap<Partition, Arc<Assignment>> {
        &self.partitions
    }
}

/// All topics. Cloning shares them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topics {
    by_id: OrdMap<TopicId, Arc<Topic>>,
    by_name: OrdMap<TopicName, TopicId>,
    /// Topics whose name in metrics could be another's too, by that name.
    by_metric_name: OrdMap<String, Vec<TopicName>>,
}

impl Topics {
    /// The topic of this id.
    pub fn get(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.by_id.get(&id)
    }

    /// The topic that now bears this name.
    pub fn named(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_name.get(name).and_then(|id| self.by_id.get(id))
    }

    /// The partition of this topic.
    pub fn partition(&self, id: TopicId, index: Partition) -> Option<&Arc<Assignment>> {
        self.get(id)?.partition(index)
    }

    /// All topics, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.values().filter_map(|id| self.by_id.get(id))
    }

    /// All topics from this name on, by name: for answers in pages.
    pub fn from<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Arc<Topic>> {
        let names = self.by_name.range::<_, str>((std::ops::Bound::Included(name), std::ops::Bound::Unbounded));
        names.filter_map(|(_, id)| self.by_id.get(id))
    }

    /// How many topics there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is no topic.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// A topic of another name that would be the same in metrics.
    pub(crate) fn collision(&self, name: &TopicName) -> Option<&TopicName> {
        self.by_metric_name.get(&name.metric_name())?.iter().find(|other| *other != name)
    }

    pub(crate) fn by_id(&self) -> &OrdMap<TopicId, Arc<Topic>> {
        &self.by_id
    }

    pub(super) fn add(&mut self, record: &TopicRecord) -> Result<(), Contradiction> {
        let name = TopicName::parse(&record.name).map_err(|_| Contradiction::TopicName(record.name.to_string()))?;
        if self.by_name.contains_key(&name) || self.by_id.contains_key(&record.topic_id) {
            return Err(Contradiction::SecondTopic(name));
        }
        if is_ambiguous(&name) {
            self.by_metric_name.entry(name.metric_name()).or_default().push(name.clone());
        }
        self.by_name.insert(name.clone(), record.topic_id);
        self.by_id.insert(record.topic_id, Arc::new(Topic { name, id: record.topic_id, partitions: OrdMap::new() }));
        Ok(())
    }

    pub(super) fn remove(&mut self, record: &RemoveTopicRecord) -> Result<TopicName, Contradiction> {
        let topic = self.by_id.remove(&record.topic_id).ok_or(Contradiction::NoTopic(record.topic_id))?;
        self.by_name.remove(&topic.name);
        self.forget_metric_name(&topic.name);
        Ok(topic.name.clone())
    }

    pub(super) fn place(&mut self, record: &PartitionRecord) -> Result<(), Contradiction> {
        let assignment = Assignment::read(record)?;
        let topic = self.by_id.get_mut(&record.topic_id).ok_or(Contradiction::NoTopic(record.topic_id))?;
        Arc::make_mut(topic).put(Partition(record.partition_id), assignment);
        Ok(())
    }

    pub(super) fn change(&mut self, record: &PartitionChangeRecord) -> Result<(), Contradiction> {
        let index = Partition(record.partition_id);
        let topic = self.by_id.get_mut(&record.topic_id).ok_or(Contradiction::NoTopic(record.topic_id))?;
        let now = topic.partition(index).ok_or(Contradiction::NoPartition(record.topic_id, index))?;
        let changed = now.changed(record)?;
        Arc::make_mut(topic).put(index, changed);
        Ok(())
    }

    /// Forgets the eligible leaders of one topic, or of all when no name is given.
    pub(super) fn clear_eligible_leaders(&mut self, record: &ClearElrRecord) -> Result<(), Contradiction> {
        if !record.topic_name.is_empty() {
            let id = self.by_name.get(record.topic_name.as_str()).copied();
            let id = id.ok_or_else(|| Contradiction::NoTopicNamed(record.topic_name.to_string()))?;
            self.clear_topic(id);
            return Ok(());
        }
        let all: Vec<TopicId> = self.by_id.keys().copied().collect();
        all.into_iter().for_each(|id| self.clear_topic(id));
        Ok(())
    }

    fn clear_topic(&mut self, id: TopicId) {
        let Some(topic) = self.by_id.get(&id) else { return };
        let cleared = |(index, now): (Partition, &Arc<Assignment>)| Some((index, now.without_eligible_leaders()?));
        let changed: Vec<(Partition, Assignment)> = topic.partitions().filter_map(cleared).collect();
        if changed.is_empty() {
            return;
        }
        let Some(topic) = self.by_id.get_mut(&id) else { return };
        let topic = Arc::make_mut(topic);
        changed.into_iter().for_each(|(index, assignment)| topic.put(index, assignment));
    }

    fn forget_metric_name(&mut self, name: &TopicName) {
        let metric_name = name.metric_name();
        let Some(names) = self.by_metric_name.get_mut(&metric_name) else { return };
        names.retain(|other| other != name);
        if names.is_empty() {
            self.by_metric_name.remove(&metric_name);
        }
    }

    pub(super) fn check(&self) {
        assert!(self.by_id.len() == self.by_name.len());
        assert!(self.by_name.iter().all(|(name, id)| self.by_id.get(id).is_some_and(|topic| topic.name == *name)));
        assert!(self.by_id.iter().all(|(id, topic)| topic.id == *id && !id.is_zero()));
        for topic in self.by_id.values() {
            assert!(topic.partitions().zip(0..).all(|((index, _), place)| index == Partition(place)));
            topic.partitions().for_each(|(_, assignment)| assignment.check());
        }
    }
}

fn is_ambiguous(name: &str) -> bool {
    name.contains(['.', '_'])
}
