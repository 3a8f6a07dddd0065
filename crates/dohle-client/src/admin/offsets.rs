//! Offsets: where partitions begin and end, and what groups keep.

use std::collections::{BTreeMap, BTreeSet};

use dohle_base::{ErrorCode, Partition, TopicName};
use dohle_protocol::message::OffsetDeleteRequest;
use dohle_protocol::message::offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};

use super::{Admin, Each};
use crate::config::Isolation;
use crate::core::TopicPartition;
use crate::core::positions::Committed;
use crate::list_offsets::{self, Found, OffsetSpec};
use crate::offsets::{self, Committer};
use crate::transport::AskError;

impl Admin {
    /// Where rules lead, each in its partition. What may succeed later is asked again for a while.
    pub async fn list_offsets(
        &self,
        wanted: &BTreeMap<TopicPartition, OffsetSpec>,
    ) -> Result<Each<TopicPartition, Found>, AskError> {
        let deadline = self.cluster.now() + self.cluster.common.api_timeout;
        let (mut found, mut missing) = (Each::new(), wanted.clone());
        for failures in 1.. {
            self.cluster.persist(|| self.know(missing.keys())).await?;
            let answers = list_offsets::find(&self.cluster, Isolation::ReadUncommitted, &missing).await;
            missing.retain(|place, _| !answers.get(place).is_some_and(is_final));
            found.extend(answers);
            let wait = self.cluster.retry_wait(failures);
            let unknown = missing.keys().all(|place| self.is_unknown(place));
            if missing.is_empty() || unknown || self.cluster.now() + wait >= deadline {
                break;
            }
            tokio::time::sleep(wait).await;
        }
        Ok(found)
    }

    /// Whether the brokers say that there is no such partition.
    fn is_unknown(&self, place: &TopicPartition) -> bool {
        let routing = self.cluster.routing();
        match routing.topic(&place.topic) {
            Some(topic) => place.partition.0 as usize >= topic.partitions.len(),
            None => routing.refusal(&place.topic).is_some(),
        }
    }

    /// The offsets that a group keeps; of all partitions when none are named. What has none is not among the answers.
    pub async fn group_offsets(
        &self,
        group: &str,
        places: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, Committed>, AskError> {
        self.cluster.persist(|| offsets::committed(&self.cluster, group, places)).await
    }

    /// Makes a group without members go on from these offsets.
    pub async fn alter_group_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, Committed>,
    ) -> Result<Each<TopicPartition, ()>, AskError> {
        let committer = Committer { group: group.to_owned(), ..Committer::default() };
        let refused = self.cluster.persist(|| offsets::commit(&self.cluster, &committer, offsets)).await?;
        Ok(each(group, offsets.keys().cloned(), &refused))
    }

    /// Makes a group forget the offsets of these partitions.
    pub async fn delete_group_offsets(
        &self,
        group: &str,
        places: &BTreeSet<TopicPartition>,
    ) -> Result<Each<TopicPartition, ()>, AskError> {
        let mut topics: BTreeMap<&TopicName, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
        for place in places {
            topics
                .entry(&place.topic)
                .or_default()
                .push(OffsetDeleteRequestPartition { partition_index: place.partition.0 });
        }
        let topic =
            |(name, partitions): (&TopicName, _)| OffsetDeleteRequestTopic { name: name.as_str().into(), partitions };
        let request = OffsetDeleteRequest { group_id: group.into(), topics: topics.into_iter().map(topic).collect() };
        let answer = self
            .cluster
            .persist(|| async {
                let answer = self.cluster.ask_coordinator(group, &request).await?;
                self.cluster.refused_by_coordinator(group, answer.error_code)?;
                Ok(answer)
            })
            .await?;
        let mut refused = BTreeMap::new();
        for topic in &answer.topics {
            let Ok(name) = TopicName::parse(&topic.name) else { continue };
            for partition in topic.partitions.iter().filter(|partition| partition.error_code != 0) {
                let place = TopicPartition::new(name.clone(), Partition(partition.partition_index));
                refused.insert(place, ErrorCode::from_code(partition.error_code));
            }
        }
        Ok(each(group, places.iter().cloned(), &refused))
    }
}

fn is_final(answer: &Result<Found, AskError>) -> bool {
    answer.as_ref().err().is_none_or(|error| !error.is_retriable())
}

fn each(
    group: &str,
    places: impl Iterator<Item = TopicPartition>,
    refused: &BTreeMap<TopicPartition, ErrorCode>,
) -> Each<TopicPartition, ()> {
    let end = |place: &TopicPartition| match refused.get(place) {
        None => Ok(()),
        Some(code) => Err(AskError::Refused { what: format!("group {group}, {place}"), code: *code, message: None }),
    };
    places.map(|place| (place.clone(), end(&place))).collect()
}
