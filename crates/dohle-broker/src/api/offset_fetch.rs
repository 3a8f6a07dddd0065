//! OffsetFetch (KIP-447, KIP-709, KIP-848): up to where groups have read, of one group in older versions and of many in newer ones.

use dohle_base::{ErrorCode, LeaderEpoch, Offset, Partition, TopicId, TopicName};
use dohle_coordinator::{Command, FetchOffsets, FetchedOffset, OffsetValue, Reply, Wanted, Wish};
use dohle_protocol::message::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use dohle_protocol::{ApiKey, Str};

use super::lookup::{self, Named};
use super::{Api, coordination};
use crate::catalog::View;
use crate::context::Context;
use crate::dispatch::Client;
use crate::ledgers::coordinators::unanswered_code;

pub(crate) const API: Api = Api::of(ApiKey::OffsetFetch);

/// The version since which many groups are asked for at once.
const MANY_FROM: i16 = 8;
/// The version since which topics are named by their ids.
const BY_ID_FROM: i16 = 10;
/// The version since which an answer has a code for the whole group.
const GROUP_ERROR_FROM: i16 = 2;

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    version: i16,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    let view = cx.catalog.view();
    let question = Question { cx, client, view: &view, version, require_stable: request.require_stable };
    if version >= MANY_FROM {
        let mut groups = Vec::with_capacity(request.groups.len());
        for group in request.groups {
            groups.push(question.answer(group).await);
        }
        return OffsetFetchResponse { groups, ..Default::default() };
    }
    let topics = request.topics.map(|topics| topics.into_iter().map(newer).collect());
    let only = OffsetFetchRequestGroup { group_id: request.group_id, topics, ..Default::default() };
    let OffsetFetchResponseGroup { topics, error_code, .. } = question.answer(only).await;
    OffsetFetchResponse { topics: topics.into_iter().map(older).collect(), error_code, ..Default::default() }
}

struct Question<'a> {
    cx: &'a Context,
    client: &'a Client,
    view: &'a View,
    version: i16,
    require_stable: bool,
}

impl Question<'_> {
    async fn answer(&self, group: OffsetFetchRequestGroup) -> OffsetFetchResponseGroup {
        let answered = match &group.topics {
            None => self.all(&group.group_id).await,
            Some(topics) => self.listed(&group.group_id, topics).await,
        };
        let (topics, error) = match (answered, group.topics) {
            (Ok(topics), _) => (topics, ErrorCode::None),
            (Err(code), Some(asked)) if self.version < GROUP_ERROR_FROM => {
                (asked.into_iter().map(|topic| self.refused(topic, code)).collect(), code)
            }
            (Err(code), _) => (vec![], code),
        };
        let error_code = self.client.code(error);
        OffsetFetchResponseGroup { group_id: group.group_id, topics, error_code, ..Default::default() }
    }

    async fn all(&self, group: &str) -> Result<Vec<OffsetFetchResponseTopics>, ErrorCode> {
        let mut topics: Vec<OffsetFetchResponseTopics> = vec![];
        for fetched in self.ask(group, Wanted::All).await? {
            let place = self.place(fetched.partition.0, fetched.committed);
            match topics.last_mut() {
                Some(last) if last.name == fetched.topic.as_str() => last.partitions.push(place),
                _ => topics.push(self.topic(&fetched.topic, place)),
            }
        }
        // A topic that is gone has no id, and cannot be told of where topics are named by their ids.
        topics.retain(|topic| self.version < BY_ID_FROM || !topic.topic_id.is_zero());
        Ok(topics)
    }

    fn topic(&self, name: &TopicName, place: OffsetFetchResponsePartitions) -> OffsetFetchResponseTopics {
        OffsetFetchResponseTopics {
            name: name.as_str().into(),
            topic_id: self.view.topic(name).map_or(TopicId::ZERO, |topic| topic.id),
            partitions: vec![place],
            ..Default::default()
        }
    }

    async fn listed(
        &self,
        group: &str,
        asked: &[OffsetFetchRequestTopics],
    ) -> Result<Vec<OffsetFetchResponseTopics>, ErrorCode> {
        let names: Vec<_> = asked.iter().map(|topic| self.name(topic)).collect();
        let wishes = names.iter().zip(asked).flat_map(|(name, topic)| name.iter().flat_map(|name| wishes(name, topic)));
        let mut fetched = self.ask(group, Wanted::Listed(wishes.collect())).await?.into_iter();
        let mut place = |name: &Result<TopicName, ErrorCode>, index: i32| match name {
            Ok(_) => self.place(index, fetched.next().map_or(Ok(None), |fetched| fetched.committed)),
            // A name that no topic can have: nobody has read there.
            Err(ErrorCode::InvalidTopic) => self.place(index, Ok(None)),
            Err(code) => self.place(index, Err(*code)),
        };
        let answers = names.iter().zip(asked).map(|(name, topic)| OffsetFetchResponseTopics {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: topic.partition_indexes.iter().map(|index| place(name, *index)).collect(),
            ..Default::default()
        });
        Ok(answers.collect())
    }

    /// The name of a topic. One that is named by name need not exist: what was committed for it may still be known.
    fn name(&self, topic: &OffsetFetchRequestTopics) -> Result<TopicName, ErrorCode> {
        if self.version < BY_ID_FROM {
            return TopicName::parse(&topic.name).map_err(|_| ErrorCode::InvalidTopic);
        }
        lookup::topic(self.view, Named::Id(topic.topic_id)).map(|topic| topic.name.clone())
    }

    async fn ask(&self, group: &str, wanted: Wanted) -> Result<Vec<FetchedOffset>, ErrorCode> {
        let coordinator = coordination::coordinator(self.cx, group)?;
        let question = FetchOffsets { group: group.into(), wanted, require_stable: self.require_stable };
        if !self.require_stable {
            return coordinator.committed(|state| state.fetch_offsets(&question)).map_err(unanswered_code);
        }
        let patience = self.cx.groups.settings.commit_timeout;
        match coordinator.ask_within(patience, Command::FetchOffsets(question)).await.map_err(unanswered_code) {
            Ok(Reply::FetchOffsets(fetched)) => Ok(fetched),
            Ok(other) => unreachable!("a fetch is answered as one, not as {other:?}"),
            // Consumers before 3.9 do not know the other code here.
            Err(ErrorCode::CoordinatorNotAvailable) => Err(ErrorCode::NotCoordinator),
            Err(code) => Err(code),
        }
    }

    fn refused(&self, topic: OffsetFetchRequestTopics, code: ErrorCode) -> OffsetFetchResponseTopics {
        let partitions = topic.partition_indexes.iter().map(|index| self.place(*index, Err(code))).collect();
        OffsetFetchResponseTopics { name: topic.name, topic_id: topic.topic_id, partitions, ..Default::default() }
    }

    fn place(&self, index: i32, found: Result<Option<OffsetValue>, ErrorCode>) -> OffsetFetchResponsePartitions {
        let error = found.as_ref().err().copied().unwrap_or(ErrorCode::None);
        if !error.is_none() {
            self.client.count(error);
        }
        let (offset, epoch, metadata) = match found {
            Ok(Some(value)) => (value.offset, value.leader_epoch, value.metadata),
            Ok(None) | Err(_) => (Offset::NONE, LeaderEpoch::NONE, None),
        };
        OffsetFetchResponsePartitions {
            partition_index: index,
            committed_offset: offset.0,
            committed_leader_epoch: epoch.0,
            metadata: Some(metadata.as_deref().map(Str::from).unwrap_or_default()),
            error_code: error.code(),
            ..Default::default()
        }
    }
}

fn wishes(name: &TopicName, topic: &OffsetFetchRequestTopics) -> impl Iterator<Item = Wish> {
    let wish = |index: &i32| Wish { topic: name.clone(), topic_id: topic.topic_id, partition: Partition(*index) };
    topic.partition_indexes.iter().map(wish).collect::<Vec<_>>().into_iter()
}

fn newer(topic: OffsetFetchRequestTopic) -> OffsetFetchRequestTopics {
    let OffsetFetchRequestTopic { name, partition_indexes, .. } = topic;
    OffsetFetchRequestTopics { name, partition_indexes, ..Default::default() }
}

fn older(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let place = |place: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
        partition_index: place.partition_index,
        committed_offset: place.committed_offset,
        committed_leader_epoch: place.committed_leader_epoch,
        metadata: place.metadata,
        error_code: place.error_code,
        ..Default::default()
    };
    OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(place).collect(),
        ..Default::default()
    }
}
