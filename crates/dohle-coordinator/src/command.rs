//! What callers ask a coordinator for, freed from the wire and its versions.
//!
//! Bytes and texts that a group keeps are copied out of the request, so that a small subscription does not hold a large
//! frame in memory.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_base::{LeaderEpoch, Offset, Partition, TopicId, TopicName, Uuid};

use crate::transaction::{Outcome, Version};
use crate::{Generation, GroupId, InstanceId, MemberId, Producer};

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// JoinGroup.
    Join(Box<Join>),
    /// SyncGroup.
    Sync(Sync),
    /// Heartbeat.
    Heartbeat(Heartbeat),
    /// LeaveGroup.
    Leave(Leave),
    /// OffsetCommit.
    CommitOffsets(CommitOffsets),
    /// TxnOffsetCommit (KIP-447).
    CommitOffsetsInTransaction(CommitOffsetsInTransaction),
    /// WriteTxnMarkers, for this partition of the offsets topic.
    EndTransaction(EndTransaction),
    /// OffsetFetch that must not overtake a commit on its way (KIP-447). One that may is answered by
    /// [`GroupCoordinator::fetch_offsets`](crate::GroupCoordinator::fetch_offsets) on the committed state.
    FetchOffsets(FetchOffsets),
    /// OffsetDelete (KIP-496).
    DeleteOffsets(DeleteOffsets),
    /// DeleteGroups (KIP-229).
    DeleteGroups(Vec<GroupId>),
    /// DescribeGroups.
    DescribeGroups(Vec<GroupId>),
    /// ListGroups.
    ListGroups(GroupFilter),
    /// These topics are gone: forget where groups had read them.
    TopicsDeleted(Vec<DeletedTopic>),
}

/// A member's wish to be in the next generation.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// The group.
    pub group: GroupId,
    /// Who joins; none for a newcomer.
    pub member: Option<MemberId>,
    /// The operator's name for it, if it is a static member.
    pub instance: Option<InstanceId>,
    /// The client's name for itself.
    pub client_id: Arc<str>,
    /// The client's address; Kafka writes `/127.0.0.1`.
    pub client_host: Arc<str>,
    /// What the group is for: `consumer`, `connect`.
    pub protocol_type: Arc<str>,
    /// What the member could agree to, the dearest first.
    pub protocols: Vec<Protocol>,
    /// Silence after which the member counts as dead.
    pub session_timeout: Duration,
    /// How long a rebalance waits for the member. Version 0 has none: its session timeout stands here.
    pub rebalance_timeout: Duration,
    /// A newcomer must come again with the name that it is given: since version 4 (KIP-394).
    pub must_come_again: bool,
    /// The member understands a leadership without assignment: since version 9 (KIP-814).
    pub may_skip_assignment: bool,
    /// Chance, handed in: the name of a newcomer is made of it.
    pub fresh: Uuid,
}

/// One way of sharing work that a member could agree to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// The name of the assignor.
    pub name: Arc<str>,
    /// The member's subscription, in the words of the protocol type.
    pub metadata: Bytes,
}

/// A member's question for its share; the leader's brings the answer for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sync {
    /// The group.
    pub group: GroupId,
    /// Who asks.
    pub member: MemberId,
    /// The operator's name for it.
    pub instance: Option<InstanceId>,
    /// The generation that it joined.
    pub generation: Generation,
    /// What it believes the group to be for: since version 5.
    pub protocol_type: Option<Arc<str>>,
    /// What it believes the group to have agreed on: since version 5.
    pub protocol: Option<Arc<str>>,
    /// Each member's share; empty unless the leader asks.
    pub assignments: Vec<(MemberId, Bytes)>,
}

/// A sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The group.
    pub group: GroupId,
    /// Who lives.
    pub member: MemberId,
    /// The operator's name for it.
    pub instance: Option<InstanceId>,
    /// The generation that it belongs to.
    pub generation: Generation,
}

/// Members that go, or are sent away by an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leave {
    /// The group.
    pub group: GroupId,
    /// Who goes.
    pub members: Vec<Leaving>,
}

/// One member that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// Its name; none when an operator knows the instance only.
    pub member: Option<MemberId>,
    /// The operator's name for it.
    pub instance: Option<InstanceId>,
}

/// Places up to which a group has read.
#[derive(Clone, Debug, PartialEq)]
pub struct CommitOffsets {
    /// The group.
    pub group: GroupId,
    /// Who commits; none for a caller outside of any membership.
    pub member: Option<MemberId>,
    /// The operator's name for it.
    pub instance: Option<InstanceId>,
    /// The generation that it belongs to; [`Generation::NONE`] outside of any membership.
    pub generation: Generation,
    /// How long the offsets are to be kept, where the client decides: versions 2 to 4.
    pub retention: Option<Duration>,
    /// The places, one a partition.
    pub offsets: Vec<OffsetToCommit>,
}

/// Places that count once a transaction is committed.
#[derive(Clone, Debug, PartialEq)]
pub struct CommitOffsetsInTransaction {
    /// Whose transaction. That it is open, and that this partition belongs to it, the caller has verified.
    pub producer: Producer,
    /// The places, and who speaks for the group; before version 3 nobody does. There is no retention.
    pub commit: CommitOffsets,
}

/// A transaction is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTransaction {
    /// The producer, in the epoch of the marker.
    pub producer: Producer,
    /// Whether its places count.
    pub outcome: Outcome,
    /// Under [`Version::Two`] the epoch of the marker is above that of the transaction (KIP-1228).
    pub version: Version,
    /// The leader epoch of the transaction coordinator.
    pub coordinator_epoch: LeaderEpoch,
}

/// One place.
#[derive(Clone, Debug, PartialEq)]
pub struct OffsetToCommit {
    /// The topic.
    pub topic: TopicName,
    /// The topic's identity, [`TopicId::ZERO`] where the client did not give one.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: Partition,
    /// The next record that is to be read.
    pub offset: Offset,
    /// The epoch of the last record that was read.
    pub leader_epoch: LeaderEpoch,
    /// The client's own words.
    pub metadata: Option<Arc<str>>,
}

/// A question for committed places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchOffsets {
    /// The group.
    pub group: GroupId,
    /// Which places.
    pub wanted: Wanted,
    /// Whether a place that an open transaction may move is withheld (KIP-447).
    pub require_stable: bool,
}

/// Which places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All that the group has.
    All,
    /// These.
    Listed(Vec<Wish>),
}

/// One wanted place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The topic.
    pub topic: TopicName,
    /// The topic's identity, [`TopicId::ZERO`] where the client did not give one.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: Partition,
}

/// Places to forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteOffsets {
    /// The group.
    pub group: GroupId,
    /// The partitions.
    pub partitions: Vec<(TopicName, Partition)>,
}

/// Which groups are listed; an empty list lets all pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupFilter {
    /// Names of states, in any case.
    pub states: Vec<String>,
    /// Names of kinds, in any case: `classic`, `consumer`, `share`, `streams`.
    pub kinds: Vec<String>,
}

/// A topic that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTopic {
    /// Its name, which another topic may bear by now.
    pub name: TopicName,
    /// Its identity.
    pub id: TopicId,
}
