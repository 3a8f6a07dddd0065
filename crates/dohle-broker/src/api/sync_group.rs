//! SyncGroup (KIP-345, KIP-559): a member asks for its share; the leader brings everybody's.

use bytes::Bytes;
use dohle_base::ErrorCode;
use dohle_coordinator::{Command, Generation, Reply, Sync, Synced};
use dohle_protocol::ApiKey;
use dohle_protocol::message::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};

use super::{Api, coordination};
use crate::context::Context;
use crate::dispatch::Client;

pub(crate) const API: Api = Api::of(ApiKey::SyncGroup);

/// The version since which a member must say what it believes the group to have agreed on.
const PROTOCOL_FROM: i16 = 5;

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    version: i16,
    request: SyncGroupRequest,
) -> SyncGroupResponse {
    let says_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
    if version >= PROTOCOL_FROM && !says_protocol {
        return refused(client, ErrorCode::InconsistentGroupProtocol);
    }
    match coordination::ask(cx, &request.group_id, Command::Sync(sync(&request))).await {
        Ok(Reply::Sync(Ok(share))) => synced(client, share),
        Ok(Reply::Sync(Err(code))) | Err(code) => refused(client, code),
        Ok(other) => unreachable!("a sync is answered as one, not as {other:?}"),
    }
}

fn sync(request: &SyncGroupRequest) -> Sync {
    let share = |share: &SyncGroupRequestAssignment| {
        (share.member_id.as_str().into(), Bytes::copy_from_slice(&share.assignment))
    };
    Sync {
        group: request.group_id.as_str().into(),
        member: request.member_id.as_str().into(),
        instance: coordination::instance(request.group_instance_id.as_ref()),
        generation: Generation(request.generation_id),
        protocol_type: request.protocol_type.as_deref().map(Into::into),
        protocol: request.protocol_name.as_deref().map(Into::into),
        assignments: request.assignments.iter().map(share).collect(),
    }
}

fn synced(client: &Client, share: Synced) -> SyncGroupResponse {
    SyncGroupResponse {
        error_code: client.code(ErrorCode::None),
        protocol_type: share.protocol_type.as_deref().map(Into::into),
        protocol_name: share.protocol.as_deref().map(Into::into),
        assignment: share.assignment,
        ..Default::default()
    }
}

fn refused(client: &Client, code: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse { error_code: client.code(code), ..Default::default() }
}
