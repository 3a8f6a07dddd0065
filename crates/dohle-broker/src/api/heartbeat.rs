//! Heartbeat (KIP-345): a member is alive, and learns whether its group rebalances.

use dohle_base::ErrorCode;
use dohle_coordinator::{Command, Generation, Heartbeat, Reply};
use dohle_protocol::ApiKey;
use dohle_protocol::message::heartbeat::{HeartbeatRequest, HeartbeatResponse};

use super::{Api, coordination};
use crate::context::Context;
use crate::dispatch::Client;

pub(crate) const API: Api = Api::of(ApiKey::Heartbeat);

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    _version: i16,
    request: HeartbeatRequest,
) -> HeartbeatResponse {
    let command = Command::Heartbeat(Heartbeat {
        group: request.group_id.as_str().into(),
        member: request.member_id.as_str().into(),
        instance: coordination::instance(request.group_instance_id.as_ref()),
        generation: Generation(request.generation_id),
    });
    let lives = match coordination::ask_promptly(cx, &request.group_id, command).await {
        Ok(Reply::Heartbeat(lives)) => lives,
        Ok(other) => unreachable!("a heartbeat is answered as one, not as {other:?}"),
        // A coordinator that still reads its log does not know better: the member is to stay.
        Err(ErrorCode::CoordinatorLoadInProgress) => Ok(()),
        Err(code) => Err(code),
    };
    let error_code = client.code(lives.err().unwrap_or(ErrorCode::None));
    HeartbeatResponse { error_code, ..Default::default() }
}
