//! OffsetForLeaderEpoch (KIP-101, KIP-320): where the records of an epoch end, for a reader that may have read what was lost.

use dohle_base::{ErrorCode, LeaderEpoch};
use dohle_log::epochs::EpochEnd;
use dohle_protocol::ApiKey;
use dohle_protocol::message::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
};

use super::{Api, lookup};
use crate::catalog::View;
use crate::context::Context;
use crate::dispatch::Client;
use crate::partition::Partition;

pub(crate) const API: Api = Api::of(ApiKey::OffsetForLeaderEpoch);

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    _version: i16,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let view = cx.catalog.view();
    let told = |topic: &str, asked: &OffsetForLeaderPartition| {
        let found = find(&view, topic, asked);
        let told = EpochEndOffset {
            error_code: client.code(found.err().unwrap_or(ErrorCode::None)),
            partition: asked.partition,
            ..Default::default()
        };
        let Ok(Some(EpochEnd { epoch, end })) = found else { return told };
        EpochEndOffset { leader_epoch: epoch.0, end_offset: end.0, ..told }
    };
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| told(&topic.topic, asked)).collect();
        OffsetForLeaderTopicResult { topic: topic.topic, partitions, ..Default::default() }
    });
    OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() }
}

fn find(view: &View, topic: &str, asked: &OffsetForLeaderPartition) -> Result<Option<EpochEnd>, ErrorCode> {
    lookup::led(view, topic, asked.partition)?.look(|log, leader| {
        Partition::check_epoch(leader, asked.current_leader_epoch)?;
        Ok(log.epochs().end_of(LeaderEpoch(asked.leader_epoch), log.end()))
    })?
}
