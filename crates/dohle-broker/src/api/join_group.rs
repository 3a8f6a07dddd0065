//! JoinGroup (KIP-62, KIP-345, KIP-394, KIP-559, KIP-800, KIP-814): a member wants to be in the group's next generation.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_base::ErrorCode;
use dohle_coordinator::{Command, Join, JoinRefusal, Joined, JoinedMember, Protocol, Reply};
use dohle_protocol::message::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse, JoinGroupResponseMember,
};
use dohle_protocol::{ApiKey, Str};

use super::{Api, coordination};
use crate::chance;
use crate::context::Context;
use crate::dispatch::Client;

pub(crate) const API: Api = Api::of(ApiKey::JoinGroup);

/// The version since which a rebalance may wait longer than a session lasts.
const REBALANCE_TIMEOUT_FROM: i16 = 1;
/// The version since which a newcomer comes twice.
const COME_AGAIN_FROM: i16 = 4;
/// The version since which there may be no protocol in the answer.
const NO_PROTOCOL_FROM: i16 = 7;
/// The version since which a leader can be told to share nothing out.
const SKIP_ASSIGNMENT_FROM: i16 = 9;

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    version: i16,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let member = coordination::member(&request.member_id);
    let command = Command::Join(Box::new(join(client, version, &request)));
    match coordination::ask(cx, &request.group_id, command).await {
        Ok(Reply::Join(Ok(place))) => joined(client, version, place),
        Ok(Reply::Join(Err(refusal))) => refused(client, version, &refusal),
        Ok(other) => unreachable!("a join is answered as one, not as {other:?}"),
        Err(code) => refused(client, version, &JoinRefusal { code, member }),
    }
}

fn join(client: &Client, version: i16, request: &JoinGroupRequest) -> Join {
    let millis = |number: i32| Duration::from_millis(u64::try_from(number).unwrap_or(0));
    let session_timeout = millis(request.session_timeout_ms);
    let rebalance_timeout = millis(request.rebalance_timeout_ms);
    Join {
        group: request.group_id.as_str().into(),
        member: coordination::member(&request.member_id),
        instance: coordination::instance(request.group_instance_id.as_ref()),
        client_id: client.id.as_deref().unwrap_or_default().into(),
        client_host: format!("/{}", client.peer.address.ip()).into(),
        protocol_type: request.protocol_type.as_str().into(),
        protocols: request.protocols.iter().map(protocol).collect(),
        session_timeout,
        rebalance_timeout: if version >= REBALANCE_TIMEOUT_FROM { rebalance_timeout } else { session_timeout },
        must_come_again: version >= COME_AGAIN_FROM,
        may_skip_assignment: version >= SKIP_ASSIGNMENT_FROM,
        fresh: chance::uuid(),
    }
}

fn protocol(offered: &JoinGroupRequestProtocol) -> Protocol {
    Protocol { name: offered.name.as_str().into(), metadata: Bytes::copy_from_slice(&offered.metadata) }
}

fn joined(client: &Client, version: i16, place: Joined) -> JoinGroupResponse {
    JoinGroupResponse {
        error_code: client.code(ErrorCode::None),
        generation_id: place.generation.0,
        protocol_type: place.protocol_type.as_deref().map(Into::into),
        protocol_name: protocol_name(version, place.protocol.as_ref()),
        leader: place.leader.as_str().into(),
        skip_assignment: place.skip_assignment,
        member_id: place.member.as_str().into(),
        members: place.members.into_iter().map(member).collect(),
        ..Default::default()
    }
}

fn member(member: JoinedMember) -> JoinGroupResponseMember {
    JoinGroupResponseMember {
        member_id: member.member.as_str().into(),
        group_instance_id: member.instance.map(|instance| instance.as_str().into()),
        metadata: member.metadata,
        ..Default::default()
    }
}

fn refused(client: &Client, version: i16, refusal: &JoinRefusal) -> JoinGroupResponse {
    JoinGroupResponse {
        error_code: client.code(refusal.code),
        protocol_name: protocol_name(version, None),
        member_id: refusal.member.as_ref().map(|member| member.as_str().into()).unwrap_or_default(),
        ..Default::default()
    }
}

fn protocol_name(version: i16, name: Option<&Arc<str>>) -> Option<Str> {
    let none = (version < NO_PROTOCOL_FROM).then(Str::default);
    name.map(|name| name.as_ref().into()).or(none)
}
