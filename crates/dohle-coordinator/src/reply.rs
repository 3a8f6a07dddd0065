//! What callers are told, freed from the wire and its versions.

use std::sync::Arc;

use bytes::Bytes;
use dohle_base::{ErrorCode, Partition, TopicName};
use dohle_replication::ledger::Refusal;

use crate::{Generation, GroupId, InstanceId, MemberId, OffsetValue};

/// An answer; each kind belongs to the command of the same name.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// JoinGroup.
    Join(Result<Joined, JoinRefusal>),
    /// SyncGroup.
    Sync(Result<Synced, ErrorCode>),
    /// Heartbeat.
    Heartbeat(Result<(), ErrorCode>),
    /// LeaveGroup: one for each who was to go, in order. Version 2 and below answer with the only one's code.
    Leave(Result<Vec<Left>, ErrorCode>),
    /// OffsetCommit: one code for each place, in order. A refusal of all, where it is
    /// [`ErrorCode::GroupIdNotFound`], is [`ErrorCode::IllegalGeneration`] below version 9.
    CommitOffsets(Result<Vec<ErrorCode>, ErrorCode>),
    /// TxnOffsetCommit: one code for each place, in order. A refusal of all, where it is [`ErrorCode::GroupIdNotFound`] and
    /// the version does not know it, is [`ErrorCode::IllegalGeneration`].
    CommitOffsetsInTransaction(Result<Vec<ErrorCode>, ErrorCode>),
    /// WriteTxnMarkers: the marker is safe.
    EndTransaction(Result<(), ErrorCode>),
    /// OffsetFetch: in the order of the question, or by topic and partition where all were wanted.
    FetchOffsets(Vec<FetchedOffset>),
    /// OffsetDelete: one code for each partition, in order.
    DeleteOffsets(Result<Vec<ErrorCode>, ErrorCode>),
    /// DeleteGroups: in the order of the question.
    DeleteGroups(Vec<DeletedGroup>),
    /// DescribeGroups: in the order of the question. An unknown group is none: `Dead` without an error up to version 5,
    /// [`ErrorCode::GroupIdNotFound`] since (KIP-1043).
    DescribeGroups(Vec<(GroupId, Option<GroupView>)>),
    /// ListGroups: by name.
    ListGroups(Vec<ListedGroup>),
    /// No group remembers the topics any more.
    TopicsDeleted,
}

/// A place in a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Who joined.
    pub member: MemberId,
    /// The generation.
    pub generation: Generation,
    /// What the group is for.
    pub protocol_type: Option<Arc<str>>,
    /// What its members agreed on.
    pub protocol: Option<Arc<str>>,
    /// Who shares the work out.
    pub leader: MemberId,
    /// The leader need not share anything out: all stays as it was (KIP-814).
    pub skip_assignment: bool,
    /// All members with their subscriptions, for the leader only.
    pub members: Vec<JoinedMember>,
}

/// A member, as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// The member.
    pub member: MemberId,
    /// The operator's name for it.
    pub instance: Option<InstanceId>,
    /// Its subscription.
    pub metadata: Bytes,
}

/// Why a member did not join, and the name under which it should try again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRefusal {
    /// Why.
    pub code: ErrorCode,
    /// Its name; none for a newcomer.
    pub member: Option<MemberId>,
}

/// A member's share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// What the group is for.
    pub protocol_type: Option<Arc<str>>,
    /// What its members agreed on.
    pub protocol: Option<Arc<str>>,
    /// The share, in the words of the protocol type.
    pub assignment: Bytes,
}

/// What became of one who was to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its name, as it was asked for.
    pub member: Option<MemberId>,
    /// The operator's name for it.
    pub instance: Option<InstanceId>,
    /// [`ErrorCode::None`] if it went.
    pub code: ErrorCode,
}

/// One place up to which a group has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedOffset {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: Partition,
    /// The place; none where the group committed none.
    pub committed: Result<Option<OffsetValue>, ErrorCode>,
}

/// What became of a group that was to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedGroup {
    /// The group.
    pub group: GroupId,
    /// [`ErrorCode::None`] if it is gone.
    pub code: ErrorCode,
}

/// A group, as DescribeGroups shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// `Empty`, `PreparingRebalance`, `CompletingRebalance` or `Stable`.
    pub state: &'static str,
    /// What the group is for; empty where it never had members.
    pub protocol_type: Arc<str>,
    /// What its members agreed on; empty unless the group is stable.
    pub protocol: Arc<str>,
    /// The members, by name.
    pub members: Vec<MemberView>,
}

/// A member, as DescribeGroups shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// The member.
    pub member: MemberId,
    /// The operator's name for it.
    pub instance: Option<InstanceId>,
    /// The client's name for itself.
    pub client_id: Arc<str>,
    /// The client's address.
    pub client_host: Arc<str>,
    /// Its subscription; empty unless the group is stable.
    pub metadata: Bytes,
    /// Its share.
    pub assignment: Bytes,
}

/// A group, as ListGroups shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// The group.
    pub group: GroupId,
    /// What the group is for; empty where it never had members.
    pub protocol_type: Arc<str>,
    /// The name of its state.
    pub state: &'static str,
    /// `classic`.
    pub kind: &'static str,
}

/// The code for a caller whom the ledger refused.
pub fn refusal_code(refusal: Refusal) -> ErrorCode {
    match refusal {
        Refusal::Resigned => ErrorCode::NotCoordinator,
        Refusal::TooLarge => ErrorCode::UnknownServerError,
    }
}
