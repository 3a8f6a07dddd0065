//! InitProducerId (KIP-98, KIP-360): a number of its own for a producer, so that what it sends twice is kept once.
//!
//! Transactions are not served: whoever names one is refused for good, with a code that every client takes as final.

use dohle_base::ErrorCode;
use dohle_protocol::ApiKey;
use dohle_protocol::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use super::Api;
use crate::context::Context;
use crate::dispatch::Client;

pub(crate) const API: Api = Api::of(ApiKey::InitProducerId);

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    _version: i16,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    if let Err(error) = check(&request) {
        return refused(client, error);
    }
    match cx.quorum.producer_id().await {
        Ok(id) => InitProducerIdResponse {
            error_code: client.code(ErrorCode::None),
            producer_id: id.0,
            producer_epoch: 0,
            ..Default::default()
        },
        // Whatever the controller says: every client knows this code and comes again.
        Err(_) => refused(client, ErrorCode::CoordinatorLoadInProgress),
    }
}

fn check(request: &InitProducerIdRequest) -> Result<(), ErrorCode> {
    if (request.producer_id == -1) != (request.producer_epoch == -1) {
        return Err(ErrorCode::InvalidRequest);
    }
    match request.transactional_id.as_deref() {
        None => Ok(()),
        Some("") => Err(ErrorCode::InvalidRequest),
        Some(_) => Err(ErrorCode::TransactionalIdAuthorizationFailed),
    }
}

fn refused(client: &Client, error: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse { error_code: client.code(error), producer_epoch: -1, ..Default::default() }
}
