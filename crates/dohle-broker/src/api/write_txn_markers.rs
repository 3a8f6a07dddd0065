//! WriteTxnMarkers (KIP-98, KIP-664, KIP-1228): ends transactions in the partitions of this broker. What other coordinators ask for, and
//! an operator who aborts a transaction that hangs. Answered when the markers are safe.

use std::sync::Arc;

use dohle_base::{ErrorCode, LeaderEpoch, Partition as Index};
use dohle_coordinator::transaction::{Outcome, Version};
use dohle_protocol::ApiKey;
use dohle_protocol::message::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use tokio::task::JoinSet;

use super::{Api, transacting};
use crate::context::Context;
use crate::dispatch::Client;
use crate::ledgers::markers::Marker;

pub(crate) const API: Api = Api::of(ApiKey::WriteTxnMarkers);

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    _version: i16,
    request: WriteTxnMarkersRequest,
) -> WriteTxnMarkersResponse {
    let mut codes = write(cx, &request.markers).await.into_iter();
    let mut partition = |index: i32| WritableTxnMarkerPartitionResult {
        partition_index: index,
        error_code: client.code(codes.next().unwrap_or(ErrorCode::UnknownServerError)),
        ..Default::default()
    };
    let mut result = |marker: WritableTxnMarker| {
        let topics = marker.topics.into_iter().map(|topic| WritableTxnMarkerTopicResult {
            name: topic.name,
            partitions: topic.partition_indexes.into_iter().map(&mut partition).collect(),
            ..Default::default()
        });
        WritableTxnMarkerResult { producer_id: marker.producer_id, topics: topics.collect(), ..Default::default() }
    };
    WriteTxnMarkersResponse { markers: request.markers.into_iter().map(&mut result).collect(), ..Default::default() }
}

/// Writes all markers at once; what became of each, in the order of the request.
async fn write(cx: &Context, asked: &[WritableTxnMarker]) -> Vec<ErrorCode> {
    let mut writes = JoinSet::new();
    let mut count = 0;
    for (marker, topic) in asked.iter().flat_map(|marker| marker.topics.iter().map(move |topic| (marker, topic))) {
        for index in &topic.partition_indexes {
            let (place, marker, index) = (count, told(marker), Index(*index));
            let (markers, topic) = (Arc::clone(&cx.transactions.markers), topic.name.clone());
            writes.spawn_local(async move { (place, markers.write(&marker, &topic, index).await) });
            count += 1;
        }
    }
    let mut codes = vec![ErrorCode::UnknownServerError; count];
    while let Some(written) = writes.join_next().await {
        let Ok((place, written)) = written else { continue };
        codes[place] = written.err().unwrap_or(ErrorCode::None);
    }
    codes
}

fn told(marker: &WritableTxnMarker) -> Marker {
    Marker {
        producer: transacting::producer(marker.producer_id, marker.producer_epoch),
        outcome: if marker.transaction_result { Outcome::Commit } else { Outcome::Abort },
        coordinator_epoch: LeaderEpoch(marker.coordinator_epoch),
        // A coordinator of a later release follows the newest protocol at least.
        version: Version::from_level(marker.transaction_version.into()).unwrap_or(Version::Two),
    }
}
