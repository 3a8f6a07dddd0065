//! DeleteRecords (KIP-107): everything below an offset is gone.

use dohle_base::{ErrorCode, Offset};
use dohle_protocol::ApiKey;
use dohle_protocol::message::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};

use super::{Api, lookup};
use crate::catalog::View;
use crate::context::Context;
use crate::dispatch::Client;
use crate::topics::is_internal;

pub(crate) const API: Api = Api::of(ApiKey::DeleteRecords);

/// The offset that stands for the high watermark.
const HIGH_WATERMARK: i64 = -1;

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    _version: i16,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let view = cx.catalog.view();
    let told = |topic: &str, asked: &DeleteRecordsPartition| {
        let deleted = delete(&view, topic, asked);
        DeleteRecordsPartitionResult {
            partition_index: asked.partition_index,
            low_watermark: deleted.unwrap_or(Offset::NONE).0,
            error_code: client.code(deleted.err().unwrap_or(ErrorCode::None)),
            ..Default::default()
        }
    };
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| told(&topic.name, asked)).collect();
        DeleteRecordsTopicResult { name: topic.name, partitions, ..Default::default() }
    });
    DeleteRecordsResponse { topics: topics.collect(), ..Default::default() }
}

fn delete(view: &View, topic: &str, asked: &DeleteRecordsPartition) -> Result<Offset, ErrorCode> {
    let partition = lookup::led(view, topic, asked.partition_index)?;
    if is_internal(topic) {
        return Err(ErrorCode::InvalidTopic);
    }
    partition.delete_records((asked.offset != HIGH_WATERMARK).then_some(Offset(asked.offset)))
}
