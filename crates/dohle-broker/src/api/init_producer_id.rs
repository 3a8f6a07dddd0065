//! InitProducerId (KIP-98, KIP-360, KIP-939): a number of its own for a producer, so that what it sends twice is kept once; for one
//! with a transactional id a new life, which fences the ones before.

use dohle_base::ErrorCode;
use dohle_coordinator::Producer;
use dohle_coordinator::transaction::{Command, Init, Reply};
use dohle_protocol::ApiKey;
use dohle_protocol::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use super::{Api, transacting};
use crate::context::Context;
use crate::dispatch::Client;

pub(crate) const API: Api = Api::of(ApiKey::InitProducerId);

/// The version since which a producer can be told that it is fenced.
const FENCED_FROM: i16 = 4;
const NOBODY: i64 = -1;
const NO_EPOCH: i16 = -1;

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    version: i16,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let asked = match (expected(&request), request.transactional_id.as_deref()) {
        (Err(code), _) => Err(code),
        (Ok(_), None) => new(cx).await,
        (Ok(expected), Some(transactional_id)) => init(cx, transactional_id, &request, expected).await,
    };
    let error = asked.err().unwrap_or(ErrorCode::None);
    let producer = asked.unwrap_or(Producer::NONE);
    InitProducerIdResponse {
        error_code: client.code(transacting::in_version(error, version, FENCED_FROM)),
        producer_id: producer.id.0,
        producer_epoch: producer.epoch.0,
        ..Default::default()
    }
}

/// Who the producer says that it was so far: both of id and epoch, or neither.
fn expected(request: &InitProducerIdRequest) -> Result<Option<Producer>, ErrorCode> {
    match (request.producer_id, request.producer_epoch) {
        (NOBODY, NO_EPOCH) => Ok(None),
        (NOBODY, _) | (_, NO_EPOCH) => Err(ErrorCode::InvalidRequest),
        (id, epoch) => Ok(Some(transacting::producer(id, epoch))),
    }
}

/// A producer that only counts.
async fn new(cx: &Context) -> Result<Producer, ErrorCode> {
    match cx.quorum.producer_id().await {
        Ok(id) => Ok(transacting::producer(id.0, 0)),
        // Whatever the controller says: every client knows this code and comes again.
        Err(_) => Err(ErrorCode::CoordinatorLoadInProgress),
    }
}

async fn init(
    cx: &Context,
    transactional_id: &str,
    request: &InitProducerIdRequest,
    expected: Option<Producer>,
) -> Result<Producer, ErrorCode> {
    let command = |fresh| {
        Command::Init(Init {
            transactional_id: transactional_id.into(),
            timeout_ms: request.transaction_timeout_ms,
            expected,
            two_phase: request.enable2_pc,
            keep_prepared: request.keep_prepared_txn,
            fresh,
        })
    };
    match transacting::ask(cx, transactional_id, command).await? {
        Reply::Init(producer) => producer,
        other => unreachable!("a new life is answered as one, not as {other:?}"),
    }
}
