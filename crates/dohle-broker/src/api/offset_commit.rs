//! OffsetCommit (KIP-211, KIP-320, KIP-345, KIP-848): up to where a group has read.

use std::time::Duration;

use dohle_base::{ErrorCode, LeaderEpoch, Offset, Partition, TopicId};
use dohle_coordinator::{Command, CommitOffsets, Generation, OffsetToCommit, Reply};
use dohle_metadata::image::Topic;
use dohle_protocol::ApiKey;
use dohle_protocol::message::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};

use super::lookup::{self, Docket, Named};
use super::{Api, coordination};
use crate::context::Context;
use crate::dispatch::Client;

pub(crate) const API: Api = Api::of(ApiKey::OffsetCommit);

/// The version since which topics are named by their ids.
const BY_ID_FROM: i16 = 10;
/// The version since which a group that does not exist has a code of its own (KIP-848).
const NO_GROUP_FROM: i16 = 9;

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    version: i16,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let view = cx.catalog.view();
    let by_id = version >= BY_ID_FROM;
    let mut docket = Docket::default();
    let mut offsets = vec![];
    for topic in &request.topics {
        let found = lookup::topic(&view, Named::by(by_id, &topic.name, topic.topic_id));
        for place in &topic.partitions {
            match found.and_then(|topic| lookup::assignment(topic, place.partition_index).map(|_| topic)) {
                Ok(found) => {
                    docket.ask();
                    offsets.push(to_commit(found, topic.topic_id, place));
                }
                Err(code) => docket.refuse(code),
            }
        }
    }
    let committed = commit(cx, version, &request, offsets).await;
    let mut codes = docket.settle(committed);
    let mut told = |place: OffsetCommitRequestPartition| OffsetCommitResponsePartition {
        partition_index: place.partition_index,
        error_code: client.code(codes.next().unwrap_or(ErrorCode::UnknownServerError)),
        ..Default::default()
    };
    let topics = request.topics.into_iter().map(|topic| OffsetCommitResponseTopic {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: topic.partitions.into_iter().map(&mut told).collect(),
        ..Default::default()
    });
    OffsetCommitResponse { topics: topics.collect(), ..Default::default() }
}

fn to_commit(topic: &Topic, topic_id: TopicId, place: &OffsetCommitRequestPartition) -> OffsetToCommit {
    OffsetToCommit {
        topic: topic.name.clone(),
        topic_id,
        partition: Partition(place.partition_index),
        offset: Offset(place.committed_offset),
        leader_epoch: LeaderEpoch(place.committed_leader_epoch),
        metadata: place.committed_metadata.as_deref().map(Into::into),
    }
}

async fn commit(
    cx: &Context,
    version: i16,
    request: &OffsetCommitRequest,
    offsets: Vec<OffsetToCommit>,
) -> Result<Vec<ErrorCode>, ErrorCode> {
    if offsets.is_empty() {
        return Ok(vec![]);
    }
    let command = Command::CommitOffsets(CommitOffsets {
        group: request.group_id.as_str().into(),
        member: coordination::member(&request.member_id),
        instance: coordination::instance(request.group_instance_id.as_ref()),
        generation: Generation(request.generation_id_or_member_epoch),
        retention: u64::try_from(request.retention_time_ms).ok().map(Duration::from_millis),
        offsets,
    });
    match coordination::ask_promptly(cx, &request.group_id, command).await? {
        Reply::CommitOffsets(Err(ErrorCode::GroupIdNotFound)) if version < NO_GROUP_FROM => {
            Err(ErrorCode::IllegalGeneration)
        }
        Reply::CommitOffsets(committed) => committed,
        other => unreachable!("a commit is answered as one, not as {other:?}"),
    }
}
