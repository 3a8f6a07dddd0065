//! Classic groups: found, joined, synced, kept alive, left, described, listed, deleted.

use std::time::{Duration, Instant};

use bytes::Bytes;
use dohle_base::ErrorCode;
use dohle_protocol::message::delete_groups::DeleteGroupsRequest;
use dohle_protocol::message::describe_groups::{DescribeGroupsRequest, DescribedGroup};
use dohle_protocol::message::find_coordinator::FindCoordinatorRequest;
use dohle_protocol::message::heartbeat::HeartbeatRequest;
use dohle_protocol::message::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use dohle_protocol::message::leave_group::{LeaveGroupRequest, MemberIdentity};
use dohle_protocol::message::list_groups::ListGroupsRequest;
use dohle_protocol::message::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};

use crate::broker::Broker;
use crate::client::Client;

/// A broker whose groups are spoken for.
pub(crate) fn broker() -> Broker {
    let broker = Broker::with(&[("group.min.session.timeout.ms", "100"), ("offsets.topic.num.partitions", "4")]);
    coordinated(&mut broker.client());
    broker
}

/// Waits until there is a coordinator for every group.
pub(crate) fn coordinated(client: &mut Client) {
    let keys = (0..20).map(|number| format!("group-{number}").into()).collect();
    let request = FindCoordinatorRequest { coordinator_keys: keys, ..Default::default() };
    let list = ListGroupsRequest::default();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        let found = client.ask(&request).coordinators;
        let all = found.iter().all(|coordinator| coordinator.error_code == 0);
        if all && client.ask(&list).error_code == 0 {
            return;
        }
        std::thread::yield_now();
    }
    panic!("the groups are never coordinated");
}

fn join(group: &str, member: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol {
        name: "range".into(),
        metadata: Bytes::from_static(b"subscription"),
        ..Default::default()
    };
    JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
        ..Default::default()
    }
}

/// Comes, is named, and comes again.
pub(crate) fn joined(client: &mut Client, group: &str) -> JoinGroupResponse {
    let named = client.ask(&join(group, ""));
    assert_eq!(named.error_code, ErrorCode::MemberIdRequired.code());
    client.ask(&join(group, &named.member_id))
}

fn sync(group: &str, member: &str, generation_id: i32, assignments: &[(&str, &'static [u8])]) -> SyncGroupRequest {
    let assignment = |(member, assignment): &(&str, &'static [u8])| SyncGroupRequestAssignment {
        member_id: (*member).into(),
        assignment: Bytes::from_static(assignment),
        ..Default::default()
    };
    SyncGroupRequest {
        group_id: group.into(),
        generation_id,
        member_id: member.into(),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        assignments: assignments.iter().map(assignment).collect(),
        ..Default::default()
    }
}

/// The only member of a stable group.
pub(crate) fn alone(client: &mut Client, group: &str) -> JoinGroupResponse {
    let member = joined(client, group);
    let share = client.ask(&sync(group, &member.member_id, member.generation_id, &[(&member.member_id, b"all")]));
    assert_eq!((share.error_code, &share.assignment[..]), (0, &b"all"[..]));
    member
}

fn beat(client: &mut Client, group: &str, member: &str, generation_id: i32) -> ErrorCode {
    let request =
        HeartbeatRequest { group_id: group.into(), generation_id, member_id: member.into(), ..Default::default() };
    ErrorCode::from_code(client.ask(&request).error_code)
}

fn describe(client: &mut Client, groups: &[&str], version: i16) -> Vec<DescribedGroup> {
    let groups = groups.iter().map(|group| (*group).into()).collect();
    client
        .ask_in(
            &DescribeGroupsRequest { groups, include_authorized_operations: version >= 3, ..Default::default() },
            version,
        )
        .groups
}

fn leave(client: &mut Client, group: &str, member: &str) -> ErrorCode {
    let identity = MemberIdentity { member_id: member.into(), ..Default::default() };
    let request = LeaveGroupRequest { group_id: group.into(), members: vec![identity], ..Default::default() };
    let left = client.ask(&request);
    assert_eq!(left.error_code, 0);
    ErrorCode::from_code(left.members[0].error_code)
}

fn states(client: &mut Client, states: &[&str]) -> Vec<(String, String, String)> {
    let states_filter = states.iter().map(|state| (*state).into()).collect();
    let listed = client.ask(&ListGroupsRequest { states_filter, ..Default::default() }).groups;
    let mut listed: Vec<_> = listed
        .into_iter()
        .map(|group| (group.group_id.into(), group.group_state.into(), group.group_type.into()))
        .collect();
    listed.sort_unstable();
    listed
}

#[test]
fn who_asks_for_the_first_coordinator_makes_it() {
    let broker = Broker::new();
    let mut client = broker.client();
    let request = FindCoordinatorRequest { key: "g".into(), ..Default::default() };
    let first = client.ask_in(&request, 3);
    assert_eq!((first.error_code, first.node_id), (ErrorCode::CoordinatorNotAvailable.code(), -1));
    coordinated(&mut client);
    let found = client.ask_in(&request, 3);
    assert_eq!((found.error_code, found.node_id, found.port), (0, 1, i32::from(broker.address().port())));
    let offsets = client.topic("__consumer_offsets");
    assert!(offsets.is_internal && offsets.partitions.len() == 50);
    let mut refused = |key_type, version| {
        let keys = vec!["k".into()];
        let request = FindCoordinatorRequest { key_type, coordinator_keys: keys, ..Default::default() };
        ErrorCode::from_code(client.ask_in(&request, version).coordinators[0].error_code)
    };
    assert_eq!(refused(1, 6), ErrorCode::CoordinatorNotAvailable);
    assert_eq!(refused(2, 6), ErrorCode::InvalidRequest);
    assert_eq!(refused(9, 6), ErrorCode::InvalidRequest);
    crate::producer::coordinated(&mut client);
    let transactions = client.topic("__transaction_state");
    assert!(transactions.is_internal && transactions.partitions.len() == 50);
}

#[test]
fn a_member_joins_works_and_leaves_and_its_group_outlives_the_broker() {
    let mut broker = broker();
    let mut client = broker.client();
    let member = alone(&mut client, "g");
    assert_eq!((&member.leader, member.members.len()), (&member.member_id, 1));
    assert!(member.member_id.starts_with("test-"));
    assert_eq!(beat(&mut client, "g", &member.member_id, member.generation_id), ErrorCode::None);
    assert_eq!(beat(&mut client, "g", &member.member_id, 9), ErrorCode::IllegalGeneration);
    assert_eq!(beat(&mut client, "g", "stranger", member.generation_id), ErrorCode::UnknownMemberId);
    assert_eq!(beat(&mut client, "", "stranger", 1), ErrorCode::InvalidGroupId);
    let described = describe(&mut client, &["g", "nobody"], 5);
    assert_eq!((described[0].group_state.as_str(), described[0].protocol_data.as_str()), ("Stable", "range"));
    assert_eq!((described[0].authorized_operations, described[1].authorized_operations), (3400, 3400));
    let shown = &described[0].members[0];
    assert_eq!((shown.client_id.as_str(), shown.client_host.as_str()), ("test", "/127.0.0.1"));
    assert_eq!((&shown.member_metadata[..], &shown.member_assignment[..]), (&b"subscription"[..], &b"all"[..]));
    assert_eq!((described[1].error_code, described[1].group_state.as_str()), (0, "Dead"));
    assert_eq!(describe(&mut client, &["nobody"], 6)[0].error_code, ErrorCode::GroupIdNotFound.code());
    assert_eq!(states(&mut client, &["stable"]), [("g".into(), "Stable".into(), "classic".into())]);
    broker.restart();
    let mut client = broker.client();
    coordinated(&mut client);
    assert_eq!(beat(&mut client, "g", &member.member_id, member.generation_id), ErrorCode::None);
    assert_eq!(leave(&mut client, "g", &member.member_id), ErrorCode::None);
    assert_eq!(leave(&mut client, "g", &member.member_id), ErrorCode::UnknownMemberId);
    assert_eq!(states(&mut client, &[]), [("g".into(), "Empty".into(), "classic".into())]);
}

#[test]
fn a_second_member_makes_the_first_join_again() {
    let broker = broker();
    let (mut first, mut second) = (broker.client(), broker.client());
    let leader = alone(&mut first, "g");
    let named = second.ask(&join("g", ""));
    second.send(&join("g", &named.member_id), 9);
    while beat(&mut first, "g", &leader.member_id, leader.generation_id) != ErrorCode::RebalanceInProgress {
        std::thread::yield_now();
    }
    let again = first.ask(&join("g", &leader.member_id));
    let joined = second.receive::<JoinGroupRequest>(9);
    assert_eq!((again.members.len(), joined.members.len()), (2, 0));
    assert_eq!((again.generation_id, joined.generation_id), (2, 2));
    assert_eq!(joined.leader, leader.member_id);
    second.send(&sync("g", &joined.member_id, 2, &[]), 5);
    let shares: [(&str, &[u8]); 2] = [(&leader.member_id, b"one"), (&joined.member_id, b"two")];
    assert_eq!(&first.ask(&sync("g", &leader.member_id, 2, &shares)).assignment[..], b"one");
    assert_eq!(&second.receive::<SyncGroupRequest>(5).assignment[..], b"two");
}

#[test]
fn members_that_ask_for_what_cannot_be_are_told_why() {
    let broker = broker();
    let mut client = broker.client();
    let mut code = |request: JoinGroupRequest| ErrorCode::from_code(client.ask(&request).error_code);
    assert_eq!(code(join("", "")), ErrorCode::InvalidGroupId);
    assert_eq!(code(JoinGroupRequest { session_timeout_ms: 1, ..join("g", "") }), ErrorCode::InvalidSessionTimeout);
    assert_eq!(code(join("g", "stranger")), ErrorCode::UnknownMemberId);
    let member = alone(&mut client, "g");
    let other = JoinGroupRequest { protocol_type: "connect".into(), ..join("g", "") };
    assert_eq!(client.ask(&other).error_code, ErrorCode::InconsistentGroupProtocol.code());
    let mut synced = |request: SyncGroupRequest, version| -> SyncGroupResponse { client.ask_in(&request, version) };
    let silent = SyncGroupRequest { protocol_name: None, ..sync("g", &member.member_id, 1, &[]) };
    assert_eq!(synced(silent.clone(), 5).error_code, ErrorCode::InconsistentGroupProtocol.code());
    assert_eq!(synced(silent, 4).error_code, 0, "older versions do not say it");
    assert_eq!(synced(sync("g", &member.member_id, 7, &[]), 5).error_code, ErrorCode::IllegalGeneration.code());
    assert_eq!(synced(sync("h", "m", 1, &[]), 5).error_code, ErrorCode::UnknownMemberId.code());
}

#[test]
fn the_oldest_clients_join_and_leave_in_their_own_words() {
    let broker = broker();
    let mut client = broker.client();
    let joined = client.ask_in(&join("old", ""), 0);
    assert_eq!((joined.error_code, joined.protocol_name.as_deref()), (0, Some("range")));
    let refused = client.ask_in(&join("old", "stranger"), 1);
    assert_eq!((refused.error_code, refused.protocol_name.as_deref()), (ErrorCode::UnknownMemberId.code(), Some("")));
    let member_id = joined.member_id.clone();
    let leave = LeaveGroupRequest { group_id: "old".into(), member_id, ..Default::default() };
    assert_eq!(client.ask_in(&leave, 2).error_code, 0);
    assert_eq!(client.ask_in(&leave, 0).error_code, ErrorCode::UnknownMemberId.code());
}

#[test]
fn only_groups_without_members_are_deleted() {
    let broker = broker();
    let mut client = broker.client();
    let member = alone(&mut client, "busy");
    let idle = alone(&mut client, "idle");
    leave(&mut client, "idle", &idle.member_id);
    let mut delete = |groups: &[&str]| {
        let groups_names = groups.iter().map(|group| (*group).into()).collect();
        let results = client.ask(&DeleteGroupsRequest { groups_names, ..Default::default() }).results;
        let code = |code| ErrorCode::from_code(code);
        results.iter().map(|result| (result.group_id.to_string(), code(result.error_code))).collect::<Vec<_>>()
    };
    let expected = [
        ("busy".to_owned(), ErrorCode::NonEmptyGroup),
        ("idle".to_owned(), ErrorCode::None),
        ("nobody".to_owned(), ErrorCode::GroupIdNotFound),
    ];
    assert_eq!(delete(&["busy", "idle", "nobody", "idle"]), expected);
    assert_eq!(delete(&["idle"]), [("idle".to_owned(), ErrorCode::GroupIdNotFound)]);
    assert_eq!(beat(&mut client, "busy", &member.member_id, member.generation_id), ErrorCode::None);
}
