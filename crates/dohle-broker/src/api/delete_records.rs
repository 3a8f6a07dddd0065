//! DeleteRecords (KIP-107): everything below an offset is gone.

use std::sync::Arc;

use dohle_base::{ErrorCode, Offset};
use dohle_log::directory::Checkpoint;
use dohle_protocol::ApiKey;
use dohle_protocol::message::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};

use super::{Api, lookup};
use crate::catalog::View;
use crate::context::Context;
use crate::dispatch::Client;
use crate::partition::Partition;
use crate::topics::is_internal;
use crate::volume::Volume;

pub(crate) const API: Api = Api::of(ApiKey::DeleteRecords);

/// The offset that stands for the high watermark.
const HIGH_WATERMARK: i64 = -1;

/// What was deleted stays so over a crash: the new start is written down before the client is told.
pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    _version: i16,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let view = cx.catalog.view();
    let mut deleted: Vec<Deleted> = vec![];
    for topic in &request.topics {
        deleted.extend(topic.partitions.iter().map(|asked| delete(&view, &topic.name, asked)));
    }
    let deleted = if deleted.iter().any(Result::is_ok) { write_down(cx, deleted).await } else { deleted };
    let mut deleted = deleted.into_iter();
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().zip(&mut deleted).map(|(asked, deleted)| tell(client, asked, deleted));
        DeleteRecordsTopicResult { partitions: partitions.collect(), name: topic.name, ..Default::default() }
    });
    DeleteRecordsResponse { topics: topics.collect(), ..Default::default() }
}

/// A partition and where it begins now.
type Deleted = Result<(Arc<Partition>, Offset), ErrorCode>;

fn delete(view: &View, topic: &str, asked: &DeleteRecordsPartition) -> Deleted {
    let partition = lookup::led(view, topic, asked.partition_index)?;
    if is_internal(topic) {
        return Err(ErrorCode::InvalidTopic);
    }
    let start = partition.delete_records((asked.offset != HIGH_WATERMARK).then_some(Offset(asked.offset)))?;
    Ok((Arc::clone(partition), start))
}

/// A start that could not be written down is not promised, though it may hold.
async fn write_down(cx: &Context, deleted: Vec<Deleted>) -> Vec<Deleted> {
    let (checkpoints, now) = (Arc::clone(&cx.checkpoints), cx.clock.instant());
    let unwritten = cx.readers.begin(move || checkpoints.write(Checkpoint::LogStart, now)).await;
    let is_written = |volume: &Volume| unwritten.as_ref().is_some_and(|unwritten| !unwritten.contains(&volume.id));
    let promised = |(partition, start): (Arc<Partition>, Offset)| match is_written(&partition.volume()) {
        true => Ok((partition, start)),
        false => Err(ErrorCode::KafkaStorageError),
    };
    deleted.into_iter().map(|deleted| deleted.and_then(promised)).collect()
}

fn tell(client: &Client, asked: &DeleteRecordsPartition, deleted: Deleted) -> DeleteRecordsPartitionResult {
    let start = deleted.map(|(_, start)| start);
    DeleteRecordsPartitionResult {
        partition_index: asked.partition_index,
        low_watermark: start.unwrap_or(Offset::NONE).0,
        error_code: client.code(start.err().unwrap_or(ErrorCode::None)),
        ..Default::default()
    }
}
