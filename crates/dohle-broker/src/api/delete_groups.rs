//! DeleteGroups (KIP-229): groups without members, with their offsets.

use std::collections::BTreeSet;

use dohle_base::ErrorCode;
use dohle_coordinator::{Command, Reply};
use dohle_protocol::message::delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};
use dohle_protocol::{ApiKey, Str};

use super::{Api, coordination};
use crate::context::Context;
use crate::dispatch::Client;

pub(crate) const API: Api = Api::of(ApiKey::DeleteGroups);

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    _version: i16,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let mut seen = BTreeSet::new();
    let once = request.groups_names.iter().filter(|group| seen.insert(group.as_str()));
    let groups: Vec<Str> = once.cloned().collect();
    let patience = cx.groups.settings.commit_timeout;
    let deleted = coordination::ask_each(cx, &groups, async |coordinator, groups| {
        match coordinator.ask_within(patience, Command::DeleteGroups(groups)).await? {
            Reply::DeleteGroups(deleted) => Ok(deleted.into_iter().map(|group| group.code).collect()),
            other => unreachable!("a deletion is answered as one, not as {other:?}"),
        }
    });
    let deleted = deleted.await.into_iter().map(|deleted: Result<ErrorCode, _>| deleted.unwrap_or_else(|code| code));
    let results = deleted.zip(&groups).map(|(code, group)| told(client, group, code));
    DeleteGroupsResponse { results: results.collect(), ..Default::default() }
}

fn told(client: &Client, group: &Str, code: ErrorCode) -> DeletableGroupResult {
    let message = match code {
        ErrorCode::None => None,
        ErrorCode::NonEmptyGroup => Some(format!("group {group} has members")),
        ErrorCode::GroupIdNotFound => Some(format!("there is no group {group}")),
        other => Some(other.words()),
    };
    DeletableGroupResult {
        group_id: group.clone(),
        error_code: client.code(code),
        error_message: message.map(Into::into),
        ..Default::default()
    }
}
