//! LeaveGroup (KIP-345, KIP-800): members go, or are sent away by an operator.

use dohle_base::ErrorCode;
use dohle_coordinator::{Command, Leave, Leaving, Left, Reply};
use dohle_protocol::ApiKey;
use dohle_protocol::message::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse};

use super::{Api, coordination};
use crate::context::Context;
use crate::dispatch::Client;

pub(crate) const API: Api = Api::of(ApiKey::LeaveGroup);

/// The version since which many may leave at once.
const MANY_FROM: i16 = 3;

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    version: i16,
    request: LeaveGroupRequest,
) -> LeaveGroupResponse {
    let members = if version >= MANY_FROM { request.members } else { vec![alone(request.member_id)] };
    let leave = Leave {
        group: request.group_id.as_str().into(),
        members: members.iter().map(leaving).collect(),
    };
    match coordination::ask_promptly(cx, &request.group_id, Command::Leave(leave)).await {
        Ok(Reply::Leave(Ok(left))) if version >= MANY_FROM => LeaveGroupResponse {
            error_code: client.code(ErrorCode::None),
            members: left.into_iter().map(|left| told(client, &left)).collect(),
            ..Default::default()
        },
        Ok(Reply::Leave(Ok(left))) => only(client, left.first().map_or(ErrorCode::None, |left| left.code)),
        Ok(Reply::Leave(Err(code))) | Err(code) => only(client, code),
        Ok(other) => unreachable!("a leave is answered as one, not as {other:?}"),
    }
}

fn alone(member_id: dohle_protocol::Str) -> MemberIdentity {
    MemberIdentity { member_id, ..Default::default() }
}

fn leaving(member: &MemberIdentity) -> Leaving {
    let instance = coordination::instance(member.group_instance_id.as_ref());
    Leaving { member: coordination::member(&member.member_id), instance }
}

fn told(client: &Client, left: &Left) -> MemberResponse {
    MemberResponse {
        member_id: left.member.as_ref().map(|member| member.as_str().into()).unwrap_or_default(),
        group_instance_id: left.instance.as_ref().map(|instance| instance.as_str().into()),
        error_code: client.code(left.code),
        ..Default::default()
    }
}

fn only(client: &Client, code: ErrorCode) -> LeaveGroupResponse {
    LeaveGroupResponse { error_code: client.code(code), ..Default::default() }
}
