//! New partitions: who holds them, by choice or by an administrator's wish; and more of them for topics that exist.
//!
//! Owns the checks of an assignment and the step from placement to partitions; knows nothing of topics' names and
//! configuration. Follows Kafka's `ReplicationControlManager`.

use std::collections::BTreeSet;

use dohle_base::{BrokerId, ErrorCode, Partition};
use dohle_protocol::record::MetadataRecord;

use super::{Controller, Decided, RECORDS_MAX, Soft, too_large};
use crate::image::{Assignment, Topic};
use crate::placement::{self, Candidate};
use crate::{Refusal, directory};

/// Give topics more partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreatePartitions {
    /// The topics, each named once.
    pub topics: Vec<GrowingTopic>,
    /// Say what would happen and change nothing.
    pub validate_only: bool,
}

/// A topic that should have more partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrowingTopic {
    /// Its name.
    pub name: String,
    /// How many partitions it should have then.
    pub count: i32,
    /// The replicas of each new partition, if the administrator chose them.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

/// What became of a topic that should have more partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Its name.
    pub name: String,
    /// Why it did not grow.
    pub error: Option<Refusal>,
}

impl Controller {
    pub(super) fn create_partitions(&self, soft: &mut Soft, command: CreatePartitions) -> Decided<Vec<Growth>> {
        let refuse_all = |topics: Vec<GrowingTopic>, refusal: Refusal| {
            let refused = |topic: GrowingTopic| Growth { name: topic.name, error: Some(refusal.clone()) };
            (vec![], topics.into_iter().map(refused).collect())
        };
        if command.topics.iter().map(|topic| self.additional(topic)).sum::<usize>() > RECORDS_MAX {
            return refuse_all(command.topics, too_many_partitions());
        }
        let mut records = vec![];
        let mut growths = vec![];
        let repeated = super::repeated(command.topics.iter().map(|topic| topic.name.as_str()));
        for topic in command.topics.iter().filter(|topic| !repeated.contains(topic.name.as_str())) {
            let grown = self.grow(soft, topic).map(|new| records.extend(new));
            growths.push(Growth { name: topic.name.clone(), error: grown.err() });
        }
        let twice = Refusal::new(ErrorCode::InvalidRequest, "the request names this topic more than once");
        growths.extend(repeated.iter().map(|name| Growth { name: (*name).to_owned(), error: Some(twice.clone()) }));
        if records.len() > RECORDS_MAX {
            return refuse_all(command.topics, too_large());
        }
        (if command.validate_only { vec![] } else { records }, growths)
    }

    fn additional(&self, topic: &GrowingTopic) -> usize {
        let now = self.image.topics.named(&topic.name).map(|known| known.partition_count());
        now.map_or(0, |now| usize::try_from(topic.count).unwrap_or(0).saturating_sub(now))
    }

    fn grow(&self, soft: &mut Soft, growing: &GrowingTopic) -> Result<Vec<MetadataRecord>, Refusal> {
        let unknown = || {
            let message = format!("there is no topic {}", growing.name);
            Refusal::new(ErrorCode::UnknownTopicOrPartition, message)
        };
        let topic = self.image.topics.named(&growing.name).ok_or_else(unknown)?;
        let additional = check_growth(topic, growing)?;
        let factor = topic.replication_factor();
        let new = match &growing.assignments {
            Some(assignments) => {
                assignments.iter().map(|replicas| self.assigned(replicas, Some(factor))).collect::<Result<_, _>>()?
            }
            None => self.placed(soft, additional, i16::try_from(factor).unwrap_or(i16::MAX))?,
        };
        let first = topic.partition_count() as i32;
        let record = |(index, new): (i32, &Assignment)| new.record(topic.id, Partition(index));
        Ok((first..).zip(&new).map(record).map(MetadataRecord::Partition).collect())
    }

    /// A new partition whose replicas an administrator chose; `factor` is how many the partitions before it have.
    pub(super) fn assigned(&self, replicas: &[BrokerId], factor: Option<usize>) -> Result<Assignment, Refusal> {
        let refuse = |message: String| Refusal::new(ErrorCode::InvalidReplicaAssignment, message);
        if replicas.is_empty() {
            return Err(refuse("an assignment names no replica".to_owned()));
        }
        if let Some(stranger) = replicas.iter().find(|id| self.image.brokers.get(**id).is_none()) {
            return Err(refuse(format!("an assignment names broker {stranger}, which is not registered")));
        }
        let distinct: BTreeSet<&BrokerId> = replicas.iter().collect();
        if distinct.len() < replicas.len() {
            return Err(refuse(format!("an assignment names a broker more than once: {}", list(replicas))));
        }
        if let Some(factor) = factor.filter(|factor| *factor != replicas.len()) {
            let message =
                format!("an assignment names {} replicas where other partitions have {factor}", replicas.len());
            return Err(refuse(message));
        }
        self.begun(replicas.to_vec())
            .ok_or_else(|| refuse(format!("all brokers of an assignment are fenced or leaving: {}", list(replicas))))
    }

    /// New partitions whose replicas are spread over the brokers.
    pub(super) fn placed(&self, soft: &mut Soft, count: usize, factor: i16) -> Result<Vec<Assignment>, Refusal> {
        let refuse = |message: String| Refusal::new(ErrorCode::InvalidReplicationFactor, message);
        let brokers = self.image.brokers.iter();
        let usable =
            brokers.filter(|broker| broker.takes_partitions() && (broker.fenced || !broker.in_controlled_shutdown));
        let candidate = |broker: &std::sync::Arc<crate::image::Broker>| Candidate {
            id: broker.id,
            rack: broker.rack.clone(),
            fenced: broker.fenced,
        };
        let candidates: Vec<Candidate> = usable.map(candidate).collect();
        let placed = placement::place(&candidates, count, factor, &mut soft.rng);
        let placed = placed.map_err(|why| refuse(why.to_string()))?;
        let begun = placed.into_iter().map(|replicas| self.begun(replicas));
        begun.collect::<Option<_>>().ok_or_else(|| refuse("all brokers are fenced or leaving".to_owned()))
    }

    /// A new partition, with those in sync that are active. None when nobody is.
    fn begun(&self, replicas: Vec<BrokerId>) -> Option<Assignment> {
        let in_sync: Vec<BrokerId> = replicas.iter().copied().filter(|id| self.image.brokers.is_active(*id)).collect();
        let place = |id: &BrokerId| self.image.brokers.get(*id).map(|broker| broker.default_directory());
        let directories = replicas.iter().map(|id| place(id).unwrap_or(directory::UNASSIGNED)).collect();
        (!in_sync.is_empty()).then(|| Assignment::new(replicas, directories, in_sync))
    }
}

fn check_growth(topic: &Topic, growing: &GrowingTopic) -> Result<usize, Refusal> {
    let now = topic.partition_count();
    let wanted = usize::try_from(growing.count).unwrap_or(0);
    if wanted == now {
        let message = format!("topic {} already has {now} partitions", topic.name);
        return Err(Refusal::new(ErrorCode::InvalidPartitions, message));
    }
    if wanted < now {
        let message = format!("topic {} has {now} partitions and cannot shrink to {}", topic.name, growing.count);
        return Err(Refusal::new(ErrorCode::InvalidPartitions, message));
    }
    let additional = wanted - now;
    if let Some(assignments) = growing.assignments.as_ref().filter(|assignments| assignments.len() != additional) {
        let message = format!("{additional} partitions are to be added, and {} are assigned", assignments.len());
        return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, message));
    }
    Ok(additional)
}

/// A request for more partitions than one may create.
pub(super) fn too_many_partitions() -> Refusal {
    Refusal::new(ErrorCode::PolicyViolation, format!("one request may create at most {RECORDS_MAX} partitions"))
}

fn list(brokers: &[BrokerId]) -> String {
    brokers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
