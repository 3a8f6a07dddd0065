//! OffsetForLeaderEpoch (KIP-101, KIP-320): where the records of an epoch end, for a reader that may have read what was lost.

use dohle_base::{ErrorCode, LeaderEpoch};
use dohle_protocol::ApiKey;
use dohle_protocol::message::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
};

use super::{Api, lookup};
use crate::context::Context;
use crate::dispatch::Client;

pub(crate) const API: Api = Api::of(ApiKey::OffsetForLeaderEpoch);

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    _version: i16,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let view = cx.catalog.view();
    let told = |topic: &str, asked: &OffsetForLeaderPartition| {
        let found = lookup::led(&view, topic, asked.partition);
        let epoch = LeaderEpoch(asked.leader_epoch);
        let found = found.and_then(|partition| partition.end_of_epoch(epoch, asked.current_leader_epoch));
        let told = EpochEndOffset {
            error_code: client.code(found.err().unwrap_or(ErrorCode::None)),
            partition: asked.partition,
            ..Default::default()
        };
        let Ok(Some((epoch, end))) = found else { return told };
        EpochEndOffset { leader_epoch: epoch.0, end_offset: end.0, ..told }
    };
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| told(&topic.topic, asked)).collect();
        OffsetForLeaderTopicResult { topic: topic.topic, partitions, ..Default::default() }
    });
    OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() }
}
