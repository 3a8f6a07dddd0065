//! What changed from one image to the next, in the order in which a node must act on it.
//!
//! Owns the comparison, whose cost follows the change and not the cluster; knows nothing of what a node does with it.

use std::sync::Arc;

use dohle_base::{BrokerId, Partition};
use imbl::ordmap::DiffItem;

use crate::image::{Assignment, Broker, Image, Resource, Topic};

/// The difference between two images.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    /// Topics that were not there; their partitions are among `partitions`.
    pub topics_created: Vec<Arc<Topic>>,
    /// Topics that are gone, as they were; a topic made anew under an old name is in both lists.
    pub topics_deleted: Vec<Arc<Topic>>,
    /// Partitions that appeared or changed, by topic id and number.
    pub partitions: Vec<PartitionDelta>,
    /// Resources whose configuration changed, those of deleted topics included.
    pub configs: Vec<Resource>,
    /// Brokers that came, changed or went.
    pub brokers: Vec<BrokerDelta>,
    /// Whether the level of a feature changed.
    pub features: bool,
    /// Whether rules of access, credentials or tokens changed.
    pub access: bool,
    /// Whether quotas changed.
    pub quotas: bool,
}

/// A partition that appeared or changed.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionDelta {
    /// Its topic, as it is now.
    pub topic: Arc<Topic>,
    /// Its number.
    pub index: Partition,
    /// What it was; none if it is new.
    pub before: Option<Arc<Assignment>>,
    /// What it is.
    pub after: Arc<Assignment>,
}

/// A broker that came, changed or went.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokerDelta {
    /// Its number.
    pub id: BrokerId,
    /// What it was; none if it is new.
    pub before: Option<Arc<Broker>>,
    /// What it is; none if it is gone.
    pub after: Option<Arc<Broker>>,
}

/// What one broker has to do with its replicas, in this order (Kafka's `LocalReplicaChanges`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Local {
    /// Replicas that it no longer holds, because they moved or their topic is gone: stop, then delete.
    pub stop: Vec<(Arc<Topic>, Partition)>,
    /// Replicas that it leads from now on, or leads in another epoch, with other replicas or another in-sync set.
    pub lead: Vec<PartitionDelta>,
    /// Replicas that follow another leader, or nobody.
    pub follow: Vec<PartitionDelta>,
}

impl Delta {
    /// What must be done to get from `old` to `new`.
    pub fn between(old: &Image, new: &Image) -> Self {
        let mut delta = Self {
            configs: configs(old, new),
            brokers: brokers(old, new),
            features: old.features != new.features,
            access: old.access != new.access,
            quotas: old.quotas != new.quotas,
            ..Self::default()
        };
        delta.compare_topics(old, new);
        delta
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What `broker` has to do.
    pub fn local(&self, broker: BrokerId) -> Local {
        let mut local = Local::default();
        for topic in &self.topics_deleted {
            let held = topic.partitions().filter(|(_, assignment)| assignment.replicas.contains(&broker));
            local.stop.extend(held.map(|(index, _)| (topic.clone(), index)));
        }
        for change in &self.partitions {
            if change.after.leader == broker {
                local.lead.push(change.clone());
            } else if change.after.replicas.contains(&broker) {
                local.follow.push(change.clone());
            } else if change.before.as_ref().is_some_and(|before| before.replicas.contains(&broker)) {
                local.stop.push((change.topic.clone(), change.index));
            }
        }
        local
    }

    fn compare_topics(&mut self, old: &Image, new: &Image) {
        for difference in old.topics.by_id().diff(new.topics.by_id()) {
            match difference {
                DiffItem::Add(_, topic) => {
                    let partitions = topic.partitions().map(|(index, after)| appeared(topic, index, after));
                    self.partitions.extend(partitions);
                    self.topics_created.push(topic.clone());
                }
                DiffItem::Remove(_, topic) => self.topics_deleted.push(topic.clone()),
                DiffItem::Update { old: (_, old), new: (_, topic) } => self.compare_partitions(old, topic),
            }
        }
    }

    fn compare_partitions(&mut self, old: &Topic, topic: &Arc<Topic>) {
        for difference in old.assignments().diff(topic.assignments()) {
            match difference {
                DiffItem::Add(index, after) => self.partitions.push(appeared(topic, *index, after)),
                DiffItem::Update { old: (_, before), new: (index, after) } => {
                    let before = Some(before.clone());
                    self.partitions.push(PartitionDelta { before, ..appeared(topic, *index, after) });
                }
                DiffItem::Remove(index, _) => {
                    unreachable!("partition {index} of {} went without its topic", topic.name)
                }
            }
        }
    }
}

fn appeared(topic: &Arc<Topic>, index: Partition, after: &Arc<Assignment>) -> PartitionDelta {
    PartitionDelta { topic: topic.clone(), index, before: None, after: after.clone() }
}

fn configs(old: &Image, new: &Image) -> Vec<Resource> {
    let changed = |difference| match difference {
        DiffItem::Add(resource, _) | DiffItem::Update { new: (resource, _), .. } => Resource::clone(resource),
        DiffItem::Remove(resource, _) => Resource::clone(resource),
    };
    old.configs.all().diff(new.configs.all()).map(changed).collect()
}

fn brokers(old: &Image, new: &Image) -> Vec<BrokerDelta> {
    let changed = |difference| match difference {
        DiffItem::Add(id, after) => BrokerDelta { id: *id, before: None, after: Some(Arc::clone(after)) },
        DiffItem::Remove(id, before) => BrokerDelta { id: *id, before: Some(Arc::clone(before)), after: None },
        DiffItem::Update { old: (id, before), new: (_, after) } => {
            BrokerDelta { id: *id, before: Some(Arc::clone(before)), after: Some(Arc::clone(after)) }
        }
    };
    old.brokers.by_id().diff(new.brokers.by_id()).map(changed).collect()
}

#[cfg(test)]
mod tests;
