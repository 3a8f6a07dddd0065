//! The way from a group to its coordinator: which one it is, and what the client is told when it does not answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use dohle_base::ErrorCode;
use dohle_coordinator::{Command, GroupId, InstanceId, MemberId, Reply, partition_of};
use dohle_protocol::Str;

use crate::catalog::View;
use crate::context::Context;
use crate::ledgers::coordinators::unanswered_code;
use crate::ledgers::groups::{Group, OFFSETS_TOPIC};
use crate::ledgers::host::Unanswered;

/// The coordinator of a group, if it is this broker's.
pub(super) fn coordinator(cx: &Context, group: &str) -> Result<Arc<Group>, ErrorCode> {
    let view = cx.catalog.view();
    cx.groups.of(group, partitions(cx, &view)).ok_or(ErrorCode::NotCoordinator)
}

/// How many partitions the groups are spread over: as many as the topic has, or will have.
pub(super) fn partitions(cx: &Context, view: &View) -> i32 {
    let settled = view.topic(OFFSETS_TOPIC).map(|topic| topic.partition_count() as i32);
    settled.unwrap_or(cx.groups.settings.offsets_topic_partitions)
}

/// Asks a group's coordinator and waits as long as the group lets the caller wait.
pub(super) async fn ask(cx: &Context, group: &str, command: Command) -> Result<Reply, ErrorCode> {
    coordinator(cx, group)?.ask(command).await.map_err(unanswered_code)
}

/// Asks a group's coordinator for what it decides at once: if that is not safe in time, the client is to come again.
pub(super) async fn ask_promptly(cx: &Context, group: &str, command: Command) -> Result<Reply, ErrorCode> {
    coordinator(cx, group)?.ask_within(cx.groups.settings.commit_timeout, command).await.map_err(unanswered_code)
}

/// Asks the coordinators of many groups, each of them once. `ask` returns one answer for each group that it is given, and so does
/// this, in the order of `groups`.
pub(super) async fn ask_each<T>(
    cx: &Context,
    groups: &[Str],
    ask: impl AsyncFn(&Group, Vec<GroupId>) -> Result<Vec<T>, Unanswered>,
) -> Vec<Result<T, ErrorCode>> {
    let partitions = partitions(cx, &cx.catalog.view());
    let mut places: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for (place, group) in groups.iter().enumerate() {
        places.entry(partition_of(group, partitions).0).or_default().push(place);
    }
    let mut answers = vec![];
    for places in places.into_values() {
        let ids = places.iter().map(|place| GroupId::from(groups[*place].as_str())).collect();
        let answered = match cx.groups.of(&groups[places[0]], partitions) {
            Some(coordinator) => ask(&coordinator, ids).await.map_err(unanswered_code),
            None => Err(ErrorCode::NotCoordinator),
        };
        match answered {
            Ok(each) => answers.extend(places.into_iter().zip(each.into_iter().map(Ok))),
            Err(code) => answers.extend(places.into_iter().map(|place| (place, Err(code)))),
        }
    }
    answers.sort_unstable_by_key(|(place, _)| *place);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Who a request says that it comes from; a newcomer has no name yet.
pub(super) fn member(id: &str) -> Option<MemberId> {
    (!id.is_empty()).then(|| id.into())
}

/// The operator's name for a member.
pub(super) fn instance(id: Option<&Str>) -> Option<InstanceId> {
    id.map(|id| id.as_str().into())
}
