//! DescribeGroups (KIP-345, KIP-430, KIP-1043): groups, their members, and what each of them reads.

use dohle_base::ErrorCode;
use dohle_coordinator::{Command, GroupView, MemberView, Reply};
use dohle_protocol::message::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use dohle_protocol::{ApiKey, Str};

use super::{Api, coordination, operations};
use crate::context::Context;
use crate::dispatch::Client;

pub(crate) const API: Api = Api::of(ApiKey::DescribeGroups);

/// The version since which a group that does not exist is an error.
const NO_GROUP_FROM: i16 = 6;

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    version: i16,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let patience = cx.groups.settings.commit_timeout;
    let described = coordination::ask_each(cx, &request.groups, async |coordinator, groups| {
        match coordinator.ask_within(patience, Command::DescribeGroups(groups)).await? {
            Reply::DescribeGroups(described) => Ok(described.into_iter().map(|(_, view)| view).collect()),
            other => unreachable!("a description is answered as one, not as {other:?}"),
        }
    });
    let answer = Answer { client, version, operations: request.include_authorized_operations };
    let described = request.groups.iter().zip(described.await);
    let groups = described.map(|(group, described)| match described {
        Ok(Some(view)) => answer.found(group, view),
        Ok(None) => answer.dead(group),
        Err(code) => answer.refused(group, code),
    });
    DescribeGroupsResponse { groups: groups.collect(), ..Default::default() }
}

struct Answer<'a> {
    client: &'a Client,
    version: i16,
    operations: bool,
}

impl Answer<'_> {
    fn found(&self, group: &Str, view: GroupView) -> DescribedGroup {
        DescribedGroup {
            error_code: self.client.code(ErrorCode::None),
            group_id: group.clone(),
            group_state: view.state.into(),
            protocol_type: view.protocol_type.as_ref().into(),
            protocol_data: view.protocol.as_ref().into(),
            members: view.members.into_iter().map(member).collect(),
            authorized_operations: self.authorized_operations(),
            ..Default::default()
        }
    }

    fn dead(&self, group: &Str) -> DescribedGroup {
        let dead = DescribedGroup { group_id: group.clone(), group_state: "Dead".into(), ..Default::default() };
        if self.version < NO_GROUP_FROM {
            let error_code = self.client.code(ErrorCode::None);
            return DescribedGroup { error_code, authorized_operations: self.authorized_operations(), ..dead };
        }
        DescribedGroup {
            error_code: self.client.code(ErrorCode::GroupIdNotFound),
            error_message: Some(format!("there is no group {group}").into()),
            authorized_operations: operations::UNASKED,
            ..dead
        }
    }

    fn refused(&self, group: &Str, code: ErrorCode) -> DescribedGroup {
        DescribedGroup {
            error_code: self.client.code(code),
            group_id: group.clone(),
            authorized_operations: operations::UNASKED,
            ..Default::default()
        }
    }

    fn authorized_operations(&self) -> i32 {
        if self.operations { operations::GROUP } else { operations::UNASKED }
    }
}

fn member(member: MemberView) -> DescribedGroupMember {
    DescribedGroupMember {
        member_id: member.member.as_str().into(),
        group_instance_id: member.instance.map(|instance| instance.as_str().into()),
        client_id: member.client_id.as_ref().into(),
        client_host: member.client_host.as_ref().into(),
        member_metadata: member.metadata,
        member_assignment: member.assignment,
        ..Default::default()
    }
}
