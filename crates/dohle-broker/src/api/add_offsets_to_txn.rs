//! AddOffsetsToTxn (KIP-98): offsets of a group become part of a transaction.

use dohle_base::ErrorCode;
use dohle_coordinator::partition_of;
use dohle_coordinator::transaction::Version;
use dohle_protocol::ApiKey;
use dohle_protocol::message::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::{Api, coordination, transacting};
use crate::context::Context;
use crate::dispatch::Client;
use crate::ledgers::groups::OFFSETS_TOPIC;

pub(crate) const API: Api = Api::of(ApiKey::AddOffsetsToTxn);

/// The version since which a producer can be told that it is fenced.
const FENCED_FROM: i16 = 2;

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    version: i16,
    request: AddOffsetsToTxnRequest,
) -> AddOffsetsToTxnResponse {
    let error = add(cx, &request).await.err().unwrap_or(ErrorCode::None);
    let error_code = client.code(transacting::in_version(error, version, FENCED_FROM));
    AddOffsetsToTxnResponse { error_code, ..Default::default() }
}

async fn add(cx: &Context, request: &AddOffsetsToTxnRequest) -> Result<(), ErrorCode> {
    let index = partition_of(&request.group_id, coordination::partitions(cx, &cx.catalog.view()));
    let places: Vec<_> = transacting::place(OFFSETS_TOPIC, index.0).into_iter().collect();
    let producer = transacting::producer(request.producer_id, request.producer_epoch);
    // Whoever asks in so many words does not follow the newer protocol, which adds offsets as they are committed.
    transacting::add(cx, &request.transactional_id, producer, &places, Version::Zero).await
}
