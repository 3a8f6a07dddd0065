//! EndTxn (KIP-98, KIP-360, KIP-890): a transaction is committed or aborted. When this is answered, the outcome is safe, and the
//! partitions are being told.

use dohle_base::ErrorCode;
use dohle_coordinator::Producer;
use dohle_coordinator::transaction::{Command, End, Outcome, Reply, Version};
use dohle_protocol::ApiKey;
use dohle_protocol::message::end_txn::{EndTxnRequest, EndTxnResponse};

use super::{Api, transacting};
use crate::context::Context;
use crate::dispatch::Client;

pub(crate) const API: Api = Api::of(ApiKey::EndTxn);

/// The version since which a producer can be told that it is fenced.
const FENCED_FROM: i16 = 2;
/// The version since which the end of a transaction raises the epoch.
const RAISES_EPOCH_FROM: i16 = 5;

pub(crate) async fn handle(cx: &Context, client: &Client, version: i16, request: EndTxnRequest) -> EndTxnResponse {
    let ended = end(cx, version, &request).await;
    let error = ended.err().unwrap_or(ErrorCode::None);
    let producer = ended.unwrap_or(Producer::NONE);
    EndTxnResponse {
        error_code: client.code(transacting::in_version(error, version, FENCED_FROM)),
        producer_id: producer.id.0,
        producer_epoch: producer.epoch.0,
        ..Default::default()
    }
}

async fn end(cx: &Context, version: i16, request: &EndTxnRequest) -> Result<Producer, ErrorCode> {
    let command = |fresh| {
        Command::End(End {
            transactional_id: request.transactional_id.as_str().into(),
            producer: transacting::producer(request.producer_id, request.producer_epoch),
            outcome: if request.committed { Outcome::Commit } else { Outcome::Abort },
            version: if version >= RAISES_EPOCH_FROM { Version::Two } else { Version::Zero },
            fresh,
        })
    };
    match transacting::ask(cx, &request.transactional_id, command).await? {
        Reply::End(ended) => ended,
        other => unreachable!("an end is answered as one, not as {other:?}"),
    }
}
