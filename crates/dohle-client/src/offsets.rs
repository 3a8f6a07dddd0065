//! A group's offsets: asked for and kept at its coordinator.

use std::collections::BTreeMap;

use dohle_base::{ErrorCode, LeaderEpoch, Offset, Partition, TopicName};
use dohle_protocol::Str;
use dohle_protocol::message::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use dohle_protocol::message::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use dohle_protocol::message::{OffsetCommitRequest, OffsetFetchRequest, OffsetFetchResponse};

use crate::core::TopicPartition;
use crate::core::positions::Committed;
use crate::transport::{AskError, Cluster};

/// The last version that names topics; later ones only know ids (KIP-848).
const VERSION_MAX_BY_NAME: i16 = 9;
/// The first version that asks for several groups.
const VERSION_OF_GROUPS: i16 = 8;

/// In whose name offsets are kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Committer {
    pub(crate) group: String,
    pub(crate) instance: Option<String>,
    /// Id and generation of a member; nobody in particular outside a generation.
    pub(crate) member: Option<(String, i32)>,
}

/// Keeps offsets. Answers what was refused, by partition.
pub(crate) async fn commit(
    cluster: &Cluster,
    committer: &Committer,
    offsets: &BTreeMap<TopicPartition, Committed>,
) -> Result<BTreeMap<TopicPartition, ErrorCode>, AskError> {
    let mut topics: BTreeMap<&TopicName, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for (place, committed) in offsets {
        topics.entry(&place.topic).or_default().push(OffsetCommitRequestPartition {
            partition_index: place.partition.0,
            committed_offset: committed.offset.0,
            committed_leader_epoch: committed.epoch.0,
            committed_metadata: Some(committed.metadata.as_str().into()),
            ..OffsetCommitRequestPartition::default()
        });
    }
    let (member, generation) = committer.member.clone().unwrap_or((String::new(), -1));
    let request = OffsetCommitRequest {
        group_id: committer.group.as_str().into(),
        generation_id_or_member_epoch: generation,
        member_id: member.into(),
        group_instance_id: committer.instance.as_deref().map(Str::from),
        topics: topics
            .into_iter()
            .map(|(name, partitions)| OffsetCommitRequestTopic {
                name: name.as_str().into(),
                partitions,
                ..OffsetCommitRequestTopic::default()
            })
            .collect(),
        ..OffsetCommitRequest::default()
    };
    let answer = cluster.ask_coordinator_up_to(VERSION_MAX_BY_NAME, &committer.group, &request).await?;
    let mut refused = BTreeMap::new();
    for topic in &answer.topics {
        let Ok(name) = TopicName::parse(&topic.name) else { continue };
        for partition in &topic.partitions {
            let place = TopicPartition::new(name.clone(), Partition(partition.partition_index));
            match ErrorCode::from_code(partition.error_code) {
                ErrorCode::None => {}
                code => drop(refused.insert(place, code)),
            }
        }
    }
    // That this broker does not keep the group is said of each partition alike.
    if let Some(code) = refused.values().find(|code| code.is_retriable()) {
        cluster.refused_by_coordinator(&committer.group, code.code())?;
    }
    Ok(refused)
}

/// The offsets that a group keeps; of all partitions when none are named. What has none is not among the answers.
pub(crate) async fn committed(
    cluster: &Cluster,
    group: &str,
    partitions: Option<&[TopicPartition]>,
) -> Result<BTreeMap<TopicPartition, Committed>, AskError> {
    let mut topics: BTreeMap<&TopicName, Vec<i32>> = BTreeMap::new();
    for place in partitions.unwrap_or_default() {
        topics.entry(&place.topic).or_default().push(place.partition.0);
    }
    let coordinator = cluster.coordinator(group).await?;
    let connection = cluster.broker(coordinator, crate::transport::Lane::Control).await?;
    let version = connection.version::<OffsetFetchRequest>(VERSION_MAX_BY_NAME)?;
    let request = if version >= VERSION_OF_GROUPS {
        new_request(group, partitions.is_some().then_some(topics))
    } else {
        old_request(group, partitions.is_some().then_some(topics))
    };
    let answer = connection.call_in(version, &request, cluster.common.request_timeout).await;
    if answer.is_err() {
        cluster.forget_coordinator(group);
    }
    read(cluster, group, answer?)
}

type Wanted<'a> = Option<BTreeMap<&'a TopicName, Vec<i32>>>;

fn new_request(group: &str, topics: Wanted) -> OffsetFetchRequest {
    let wanted = |(name, partition_indexes): (&TopicName, Vec<i32>)| OffsetFetchRequestTopics {
        name: name.as_str().into(),
        partition_indexes,
        ..OffsetFetchRequestTopics::default()
    };
    let group = OffsetFetchRequestGroup {
        group_id: group.into(),
        topics: topics.map(|topics| topics.into_iter().map(wanted).collect()),
        ..OffsetFetchRequestGroup::default()
    };
    OffsetFetchRequest { groups: vec![group], require_stable: true, ..OffsetFetchRequest::default() }
}

fn old_request(group: &str, topics: Wanted) -> OffsetFetchRequest {
    let wanted = |(name, partition_indexes): (&TopicName, Vec<i32>)| OffsetFetchRequestTopic {
        name: name.as_str().into(),
        partition_indexes,
        ..OffsetFetchRequestTopic::default()
    };
    OffsetFetchRequest {
        group_id: group.into(),
        topics: topics.map(|topics| topics.into_iter().map(wanted).collect()),
        ..OffsetFetchRequest::default()
    }
}

fn read(
    cluster: &Cluster,
    group: &str,
    answer: OffsetFetchResponse,
) -> Result<BTreeMap<TopicPartition, Committed>, AskError> {
    let mut found = BTreeMap::new();
    let mut take = |topic: &str, partition: i32, offset: i64, epoch: i32, metadata: Option<&str>| {
        if let (Ok(topic), true) = (TopicName::parse(topic), offset >= 0) {
            let metadata = metadata.unwrap_or_default().to_owned();
            let committed = Committed { offset: Offset(offset), epoch: LeaderEpoch(epoch), metadata };
            found.insert(TopicPartition::new(topic, Partition(partition)), committed);
        }
    };
    cluster.refused_by_coordinator(group, answer.error_code)?;
    for topic in &answer.topics {
        for it in &topic.partitions {
            cluster.refused_by_coordinator(group, it.error_code)?;
            let metadata = it.metadata.as_deref();
            take(&topic.name, it.partition_index, it.committed_offset, it.committed_leader_epoch, metadata);
        }
    }
    for answered in &answer.groups {
        cluster.refused_by_coordinator(group, answered.error_code)?;
        for topic in &answered.topics {
            for it in &topic.partitions {
                cluster.refused_by_coordinator(group, it.error_code)?;
                let metadata = it.metadata.as_deref();
                take(&topic.name, it.partition_index, it.committed_offset, it.committed_leader_epoch, metadata);
            }
        }
    }
    Ok(found)
}
