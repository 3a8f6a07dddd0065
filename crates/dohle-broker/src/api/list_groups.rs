//! ListGroups (KIP-518, KIP-848): the groups that this broker coordinates.

use dohle_base::ErrorCode;
use dohle_coordinator::{Command, GroupFilter, ListedGroup, Reply};
use dohle_protocol::message::list_groups::{self, ListGroupsRequest, ListGroupsResponse};
use dohle_protocol::{ApiKey, Str};

use super::Api;
use crate::context::Context;
use crate::dispatch::Client;
use crate::ledgers::coordinators::unanswered_code;

pub(crate) const API: Api = Api::of(ApiKey::ListGroups);

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    _version: i16,
    request: ListGroupsRequest,
) -> ListGroupsResponse {
    let filter = GroupFilter { states: texts(request.states_filter), kinds: texts(request.types_filter) };
    match list(cx, &filter).await {
        Ok(groups) => ListGroupsResponse { error_code: client.code(ErrorCode::None), groups, ..Default::default() },
        Err(code) => ListGroupsResponse { error_code: client.code(code), ..Default::default() },
    }
}

/// Asks one coordinator after the other. Who has ceased to be one while it was asked has no groups; the list without those of
/// one that still reads its log would be a lie.
async fn list(cx: &Context, filter: &GroupFilter) -> Result<Vec<list_groups::ListedGroup>, ErrorCode> {
    let patience = cx.groups.settings.commit_timeout;
    let mut groups = vec![];
    for coordinator in cx.groups.all() {
        let asked = coordinator.ask_within(patience, Command::ListGroups(filter.clone())).await;
        match asked.map_err(unanswered_code) {
            Ok(Reply::ListGroups(listed)) => groups.extend(listed.into_iter().map(told)),
            Ok(other) => unreachable!("a listing is answered as one, not as {other:?}"),
            Err(ErrorCode::NotCoordinator) => {}
            Err(code) => return Err(code),
        }
    }
    Ok(groups)
}

fn told(group: ListedGroup) -> list_groups::ListedGroup {
    list_groups::ListedGroup {
        group_id: group.group.as_str().into(),
        protocol_type: group.protocol_type.as_ref().into(),
        group_state: group.state.into(),
        group_type: group.kind.into(),
        ..Default::default()
    }
}

fn texts(texts: Vec<Str>) -> Vec<String> {
    texts.into_iter().map(String::from).collect()
}
