//! FindCoordinator (KIP-699): which broker speaks for a group or a transactional producer. Who asks before there is one makes it: the topic
//! of groups or of transactions is created.
//!
//! Share groups are not served; their keys are refused with a code that clients take as final.

use dohle_base::ErrorCode;
use dohle_coordinator::partition_of;
use dohle_protocol::message::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use dohle_protocol::{ApiKey, Str};

use super::{Api, coordination, endpoint, transacting};
use crate::catalog::View;
use crate::context::Context;
use crate::dispatch::Client;
use crate::ledgers::groups::OFFSETS_TOPIC;
use crate::ledgers::transactions::TRANSACTIONS_TOPIC;

pub(crate) const API: Api = Api::of(ApiKey::FindCoordinator);

/// The version since which many keys are asked for at once.
const MANY_FROM: i16 = 4;
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    version: i16,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let view = cx.catalog.view();
    let find = |key: Str| told(client, find(cx, client, &view, request.key_type, &key), key);
    if version >= MANY_FROM {
        let coordinators = request.coordinator_keys.into_iter().map(find).collect();
        return FindCoordinatorResponse { coordinators, ..Default::default() };
    }
    let Coordinator { node_id, host, port, error_code, error_message, .. } = find(request.key);
    FindCoordinatorResponse { error_code, error_message, node_id, host, port, ..Default::default() }
}

/// A broker's number and where to call it.
type Node = (i32, Str, i32);

fn find(cx: &Context, client: &Client, view: &View, key_type: i8, key: &str) -> Result<Node, ErrorCode> {
    let (topic, partitions) = match key_type {
        GROUP => (OFFSETS_TOPIC, coordination::partitions(cx, view)),
        TRANSACTION => (TRANSACTIONS_TOPIC, transacting::partitions(cx, view)),
        _ => return Err(ErrorCode::InvalidRequest),
    };
    let Some(found) = view.topic(topic) else {
        cx.topics.create_internal(cx, topic);
        return Err(ErrorCode::CoordinatorNotAvailable);
    };
    let led = found.partition(partition_of(key, partitions)).filter(|assignment| assignment.has_leader());
    let found = led.and_then(|assignment| endpoint(view, client, assignment.leader.0));
    found.map(|(id, host, port, _)| (id, host, port)).ok_or(ErrorCode::CoordinatorNotAvailable)
}

fn told(client: &Client, found: Result<Node, ErrorCode>, key: Str) -> Coordinator {
    let error = found.as_ref().err().copied().unwrap_or(ErrorCode::None);
    let (node_id, host, port) = found.unwrap_or((-1, Str::default(), -1));
    let (error_code, error_message) = (client.code(error), Some(message(error).into()));
    Coordinator { key, node_id, host, port, error_code, error_message, ..Default::default() }
}

fn message(error: ErrorCode) -> &'static str {
    match error {
        ErrorCode::InvalidRequest => "only coordinators of groups and of transactions are served",
        ErrorCode::CoordinatorNotAvailable => "the coordinator is not available yet: try again",
        _ => "",
    }
}
