//! The classic protocol: members join, one of them shares the work out, all learn their share
//! (JoinGroup, SyncGroup, Heartbeat, LeaveGroup; KIP-62, 345, 394, 429, 814).
//!
//! A [`Group`] is the soft state of one group while it has members or expects some: its members, the callers in its two
//! barriers, its deadlines. What it agrees on becomes durable as [`GroupMetadata`]; whatever else is in here may be lost,
//! and members then join anew. Behaves as `ClassicGroup` and the classic part of `GroupMetadataManager`.
//!
//! Laws: a member is in the group once; the leader is a member; a caller waits in one barrier at most; every deadline is
//! at or after the alarm.

mod deadline;
mod heartbeat;
pub(crate) mod join;
mod leave;
mod member;
mod rebalance;
mod sync;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dohle_base::{ErrorCode, Instant, Now, Timestamp, Token, TopicName};
use dohle_protocol::record::consumer::ConsumerProtocolSubscription;
use dohle_protocol::{Message, Reader};

use self::member::{Awaits, Member};
use crate::{Generation, GroupId, GroupMetadata, InstanceId, MemberId, Record, StoredMember};

/// The protocol type of consumers, whose subscriptions the coordinator can read.
const CONSUMER: &str = "consumer";

/// How long a newcomer may wait in the first barrier: it has no session yet that could end.
const NEWCOMER_TIMEOUT: Duration = Duration::from_secs(300);

/// The most newcomers that may have a name and not yet have come again.
const PENDING_MAX: usize = 10_000;

/// The most bytes of subscription that a member may bring.
const SUBSCRIPTION_BYTES_MAX: usize = 1 << 20;

/// A group that has members or expects some.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    id: GroupId,
    phase: Phase,
    /// When the phase began; none in groups from before Kafka 2.1.
    since: Option<Timestamp>,
    generation: Generation,
    protocol_type: Option<Arc<str>>,
    protocol: Option<Arc<str>>,
    leader: Option<MemberId>,
    members: BTreeMap<MemberId, Member>,
    /// The static members, by the names that their operator gave them.
    instances: BTreeMap<InstanceId, MemberId>,
    /// Newcomers that were given a name and are to come again, and until when.
    pending: BTreeMap<MemberId, Instant>,
    /// What the members are subscribed to, as far as the coordinator can read it.
    topics: Option<BTreeSet<TopicName>>,
    /// No deadline of the group comes before this.
    alarm: Instant,
}

/// What the group is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// Nobody is in it.
    Empty,
    /// Members join the next generation: the first barrier.
    Preparing(Preparing),
    /// The leader shares the work out: the second barrier.
    Completing(Unsynced),
    /// Everybody works.
    Stable(Unsynced),
}

/// The first barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Preparing {
    /// Whoever has not joined by then is dropped.
    deadline: Instant,
    /// The group was empty before: it waits for others to come.
    first: Option<First>,
}

/// The wait for company in a group that was empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct First {
    /// The wait under way.
    delay: Duration,
    /// How much longer the group may wait in all.
    remaining: Duration,
    /// Somebody came during the wait.
    grown: bool,
}

/// Members of a generation that have not asked for their share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Unsynced {
    members: BTreeSet<MemberId>,
    /// Whoever has not asked by then is dropped; [`Instant::NEVER`] when nobody is missing.
    deadline: Instant,
}

impl Unsynced {
    fn nobody() -> Self {
        Self { members: BTreeSet::new(), deadline: Instant::NEVER }
    }

    fn remove(&mut self, member: &MemberId) {
        self.members.remove(member);
        if self.members.is_empty() {
            self.deadline = Instant::NEVER;
        }
    }
}

impl Group {
    /// The group as the log remembers it, or as good as new.
    pub(crate) fn restore(id: GroupId, stored: &GroupMetadata, now: Now) -> Self {
        let mut group = Self {
            id,
            phase: if stored.members.is_empty() { Phase::Empty } else { Phase::Stable(Unsynced::nobody()) },
            since: stored.since,
            generation: stored.generation,
            protocol_type: stored.protocol_type.clone(),
            protocol: stored.protocol.clone(),
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: BTreeMap::new(),
            topics: None,
            alarm: Instant::NEVER,
        };
        let protocol: Arc<str> = stored.protocol.clone().unwrap_or_else(|| "".into());
        for member in stored.members.iter() {
            group.instances.extend(member.instance.iter().map(|instance| (instance.clone(), member.id.clone())));
            group.arm(now.instant + member.session_timeout);
            group.members.insert(member.id.clone(), Member::restore(member, Arc::clone(&protocol), now.instant));
        }
        let leader = stored.leader.as_ref().filter(|leader| group.members.contains_key(*leader));
        group.leader = leader.or(group.members.keys().next()).cloned();
        group.topics = group.subscribed_topics();
        group
    }

    /// Whether nothing is lost when only the log remembers the group.
    pub(crate) fn is_vacant(&self) -> bool {
        self.is_empty() && self.pending.is_empty()
    }

    /// Whether nobody is in the group, nor waits for the next generation.
    pub(crate) fn is_empty(&self) -> bool {
        match self.phase {
            Phase::Empty => true,
            Phase::Preparing(_) | Phase::Completing(_) | Phase::Stable(_) => false,
        }
    }

    /// How many are in the group.
    pub(crate) fn size(&self) -> usize {
        self.members.len()
    }

    /// No deadline of the group comes before this; cheap to ask, and exact after [`Group::expire`].
    pub(crate) fn alarm(&self) -> Instant {
        self.alarm
    }

    /// Whether the group's own protocol is that of consumers.
    pub(crate) fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// Whether members read the topic. A group of consumers whose subscriptions cannot be read may read any.
    pub(crate) fn is_subscribed(&self, topic: &TopicName) -> bool {
        self.topics.as_ref().map_or(self.is_of_consumers(), |topics| topics.contains(topic))
    }

    /// Whether everybody works, and it is known on what.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Stable(_)) && self.is_of_consumers() && self.topics.is_some()
    }

    /// Whether the caller is who it says it is.
    fn validate(&self, member: &MemberId, instance: Option<&InstanceId>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            match self.instances.get(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(holder) if holder != member => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    fn is_leader(&self, member: &MemberId) -> bool {
        self.leader.as_ref() == Some(member)
    }

    fn enter(&mut self, phase: Phase, now: Now) {
        self.phase = phase;
        self.since = Some(now.wall);
    }

    /// Remembers that a deadline was set.
    fn arm(&mut self, at: Instant) {
        self.alarm = self.alarm.min(at);
    }

    /// How long the slowest member may take to join.
    fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    /// Takes a member out of the group; whoever waits in its name is told so.
    fn remove(&mut self, id: &MemberId, turn: &mut crate::turn::Turn<'_>) {
        self.pending.remove(id);
        if let Phase::Completing(unsynced) | Phase::Stable(unsynced) = &mut self.phase {
            unsynced.remove(id);
        }
        let Some(mut member) = self.members.remove(id) else { return };
        member.dismiss(turn, ErrorCode::UnknownMemberId, None);
        if let Some(instance) = &member.instance {
            self.instances.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// What all members together are subscribed to; none where that cannot be read.
    ///
    /// The oldest version of a subscription is the beginning of every newer one.
    fn subscribed_topics(&self) -> Option<BTreeSet<TopicName>> {
        if !self.is_of_consumers() {
            return None;
        }
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            let mut reader = Reader::new(member.metadata(self.protocol.as_deref()?)?.clone());
            let _version = reader.i16();
            let subscription = ConsumerProtocolSubscription::decode(&mut reader, 0).ok()?;
            topics.extend(subscription.topics.iter().filter_map(|topic| TopicName::parse(topic).ok()));
        }
        Some(topics)
    }

    /// The group as the log will remember it: `assignment` says what each member's share is.
    fn record(&self, assignment: impl Fn(&MemberId, &Member) -> bytes::Bytes) -> Record {
        let protocol = self.protocol.as_deref();
        let members = self.members.iter().map(|(id, member)| StoredMember {
            id: id.clone(),
            instance: member.instance.clone(),
            client_id: Arc::clone(&member.client_id),
            client_host: Arc::clone(&member.client_host),
            rebalance_timeout: member.rebalance_timeout,
            session_timeout: member.session_timeout,
            subscription: protocol.and_then(|protocol| member.metadata(protocol)).cloned().unwrap_or_default(),
            assignment: assignment(id, member),
        });
        let value = GroupMetadata {
            protocol_type: self.protocol_type.clone(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            since: self.since,
            members: members.collect(),
        };
        Record::Group { group: self.id.clone(), value: Some(Arc::new(value)) }
    }

    /// How many callers wait in a barrier.
    pub(crate) fn waiting(&self) -> usize {
        self.members.values().filter(|member| member.awaits != Awaits::Nothing).count()
    }

    /// Everybody who waits in a barrier, and no longer does.
    pub(crate) fn parked(&mut self) -> impl Iterator<Item = Token> {
        self.members.values_mut().filter_map(|member| member.awaits.take())
    }

    /// The laws. `stored` is what the latest state remembers of the group.
    pub(crate) fn check(&self, stored: Option<&GroupMetadata>) {
        assert!(self.leader.as_ref().is_none_or(|leader| self.members.contains_key(leader)));
        assert!(self.leader.is_some() || self.members.is_empty());
        assert!(self.instances.values().all(|id| self.members.contains_key(id)));
        let statics = self.members.values().filter(|member| member.instance.is_some()).count();
        assert!(self.instances.len() == statics);
        assert!(self.pending.keys().all(|id| !self.members.contains_key(id)));
        assert!(self.alarm <= self.earliest().unwrap_or(Instant::NEVER));
        let joining = self.members.values().filter(|member| matches!(member.awaits, Awaits::Join(_))).count();
        let syncing = self.members.values().filter(|member| matches!(member.awaits, Awaits::Sync(_))).count();
        match &self.phase {
            Phase::Empty => assert!(self.members.is_empty()),
            Phase::Preparing(_) => assert!(syncing == 0),
            Phase::Completing(unsynced) => {
                assert!(joining == 0);
                assert!(!self.members.is_empty());
                assert!(unsynced.members.iter().all(|id| self.members.contains_key(id)));
            }
            Phase::Stable(unsynced) => {
                assert!(joining + syncing == 0);
                assert!(unsynced.members.iter().all(|id| self.members.contains_key(id)));
                let stored = stored.expect("a stable group is in the log");
                assert!(stored.generation == self.generation);
                assert!(stored.members.iter().map(|member| &member.id).eq(self.members.keys()));
            }
        }
    }
}
