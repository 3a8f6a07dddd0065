//! A consumer of a classic group, as clients implement it: joins, shares the work out where it leads, reads, commits,
//! gives up what it must, and comes back.
//!
//! Owns what one process of a client knows. A process that dies forgets all of it but the name that its operator gave it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_base::{ErrorCode, Instant, LeaderEpoch, Offset, Partition, Rng, TopicId, TopicName, Uuid};
use dohle_coordinator::{
    Command, CommitOffsets, FetchOffsets, FetchedOffset, Generation, GroupId, Heartbeat, InstanceId, Join, JoinRefusal,
    Joined, Leave, Leaving, MemberId, OffsetToCommit, Protocol, Reply, Sync, Wanted, Wish,
};

use crate::fact::{Answer, RequestId};

/// How many partitions the simulated topic has.
pub(crate) const PARTITIONS: i32 = 6;

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(2);
const COMMIT_INTERVAL: Duration = Duration::from_millis(700);
/// Longer than any rebalance here may take: a client of an old version that gives up sooner leaves a member behind each
/// time and keeps its group from ever coming to rest, which is why newcomers must come again (KIP-394).
const JOIN_TIMEOUT: Duration = Duration::from_secs(20);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
const BACKOFF: Duration = Duration::from_millis(200);

/// The topic that all read.
pub(crate) fn topic() -> TopicName {
    TopicName::parse("t").expect("a legal name")
}

/// What a consumer is from birth.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) name: Arc<str>,
    pub(crate) group: GroupId,
    /// Its name by its operator, if it is a static member.
    pub(crate) instance: Option<InstanceId>,
    /// It reads all partitions on its own account, without any membership.
    pub(crate) alone: bool,
    /// It speaks a version in which newcomers are in at once.
    pub(crate) old: bool,
    /// It speaks a version in which a leader may skip the assignment.
    pub(crate) skips: bool,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
}

/// A consumer.
#[derive(Clone, Debug)]
pub(crate) struct Consumer {
    pub(crate) kind: Kind,
    state: State,
    member: Option<MemberId>,
    generation: Generation,
    /// The partitions that it reads, and the next offset of each.
    positions: BTreeMap<i32, i64>,
    /// Who waits for which answer, and since when.
    waiting: BTreeMap<RequestId, (Ask, Instant)>,
    act_at: Instant,
    heartbeat_at: Instant,
    commit_at: Instant,
    commits: u64,
    /// When it last succeeded in committing.
    pub(crate) committed_at: Option<Instant>,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No process at all.
    Off,
    /// Not in any generation.
    Out,
    Joining,
    Syncing,
    /// It asks how far its partitions were read.
    Fetching,
    Working,
}

/// What it has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Join,
    Sync,
    Heartbeat,
    Commit,
    Fetch,
    Leave,
}

/// What it wants done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Act {
    Send(Ask, Box<Command>),
    /// It gives its connection up.
    Disconnect,
}

impl Consumer {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            state: State::Off,
            member: None,
            generation: Generation::NONE,
            positions: BTreeMap::new(),
            waiting: BTreeMap::new(),
            act_at: Instant::ZERO,
            heartbeat_at: Instant::ZERO,
            commit_at: Instant::ZERO,
            commits: 0,
            committed_at: None,
        }
    }

    /// A new process.
    pub(crate) fn start(&mut self) {
        *self = Self { state: State::Out, commits: self.commits, ..Self::new(self.kind.clone()) };
    }

    /// The process dies.
    pub(crate) fn die(&mut self) {
        *self = Self { commits: self.commits, ..Self::new(self.kind.clone()) };
    }

    pub(crate) fn is_off(&self) -> bool {
        self.state == State::Off
    }

    pub(crate) fn is_working(&self) -> bool {
        self.state == State::Working
    }

    pub(crate) fn member(&self) -> Option<&MemberId> {
        self.member.as_ref()
    }

    /// The partitions that it reads.
    pub(crate) fn owned(&self) -> impl Iterator<Item = i32> {
        self.positions.keys().copied()
    }

    /// A request went out.
    pub(crate) fn sent(&mut self, request: RequestId, ask: Ask, now: Instant) {
        self.waiting.insert(request, (ask, now));
    }

    /// The connection is gone, and with it every answer.
    pub(crate) fn disconnected(&mut self, now: Instant) {
        self.waiting.clear();
        match self.state {
            State::Off | State::Out | State::Working => {}
            State::Joining | State::Syncing => self.state = State::Out,
            // The share is known; only where to begin is not.
            State::Fetching => {}
        }
        self.act_at = now + BACKOFF;
    }

    /// A moment in which it may act.
    pub(crate) fn tick(&mut self, now: Instant, rng: &mut Rng) -> Vec<Act> {
        if self.state == State::Off {
            return vec![];
        }
        if self.waiting.values().any(|(ask, since)| now.saturating_since(*since) > self.patience(*ask)) {
            self.disconnected(now);
            return vec![Act::Disconnect];
        }
        if now < self.act_at {
            return vec![];
        }
        match self.state {
            State::Off => vec![],
            State::Out if self.kind.alone => self.fetch_all(),
            State::Out => vec![self.join(rng)],
            State::Fetching if self.waiting.is_empty() => vec![self.fetch()],
            State::Joining | State::Syncing | State::Fetching => vec![],
            State::Working => self.work(now, rng),
        }
    }

    /// How long it waits for an answer before it gives its connection up.
    fn patience(&self, ask: Ask) -> Duration {
        match ask {
            Ask::Join => JOIN_TIMEOUT,
            Ask::Sync => self.kind.rebalance_timeout,
            Ask::Heartbeat | Ask::Commit | Ask::Fetch | Ask::Leave => REQUEST_TIMEOUT,
        }
    }

    fn work(&mut self, now: Instant, rng: &mut Rng) -> Vec<Act> {
        for next in self.positions.values_mut() {
            *next += rng.below(4) as i64;
        }
        let mut acts = vec![];
        if !self.kind.alone && now >= self.heartbeat_at {
            self.heartbeat_at = now + HEARTBEAT_INTERVAL;
            acts.extend(self.heartbeat());
        }
        if now >= self.commit_at && !self.positions.is_empty() {
            self.commit_at = now + COMMIT_INTERVAL;
            acts.push(self.commit());
        }
        acts
    }

    /// An answer came in.
    pub(crate) fn receive(&mut self, request: RequestId, answer: &Answer, now: Instant, rng: &mut Rng) -> Vec<Act> {
        let Some((ask, _)) = self.waiting.remove(&request) else { return vec![] };
        match answer {
            Answer::Refused(code) => self.refused(ask, *code, now, rng),
            Answer::Reply(Reply::Join(Ok(joined))) => vec![self.joined(joined)],
            Answer::Reply(Reply::Join(Err(refusal))) => self.not_joined(refusal, now, rng),
            Answer::Reply(Reply::Sync(Ok(synced))) => self.synced(&synced.assignment, now),
            Answer::Reply(Reply::FetchOffsets(fetched)) => self.fetched(fetched, now),
            Answer::Reply(Reply::CommitOffsets(Ok(_))) => {
                self.committed_at = Some(now);
                vec![]
            }
            Answer::Reply(Reply::Sync(Err(code)) | Reply::Heartbeat(Err(code)) | Reply::CommitOffsets(Err(code))) => {
                self.refused(ask, *code, now, rng)
            }
            Answer::Reply(
                Reply::Heartbeat(Ok(()))
                | Reply::Leave(_)
                | Reply::DeleteOffsets(_)
                | Reply::DeleteGroups(_)
                | Reply::DescribeGroups(_)
                | Reply::ListGroups(_)
                | Reply::CommitOffsetsInTransaction(_)
                | Reply::EndTransaction(_)
                | Reply::TopicsDeleted,
            ) => vec![],
        }
    }

    fn not_joined(&mut self, refusal: &JoinRefusal, now: Instant, rng: &mut Rng) -> Vec<Act> {
        if refusal.code == ErrorCode::MemberIdRequired {
            self.member = refusal.member.clone();
            self.state = State::Out;
            return vec![self.join(rng)];
        }
        self.refused(Ask::Join, refusal.code, now, rng)
    }

    fn refused(&mut self, ask: Ask, code: ErrorCode, now: Instant, rng: &mut Rng) -> Vec<Act> {
        self.act_at = now + BACKOFF;
        match code {
            ErrorCode::RebalanceInProgress if ask == Ask::Heartbeat => {
                // What was read is committed before it is given up; both go out in this order.
                let commit = (!self.positions.is_empty()).then(|| self.commit());
                self.positions.clear();
                commit.into_iter().chain([self.join(rng)]).collect()
            }
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => {
                self.member = None;
                self.fall_out()
            }
            ErrorCode::IllegalGeneration => self.fall_out(),
            ErrorCode::RebalanceInProgress if ask == Ask::Commit => vec![],
            // Whatever else it was: not now, not here.
            _ => match ask {
                Ask::Join | Ask::Sync => self.fall_out(),
                Ask::Heartbeat | Ask::Commit | Ask::Fetch | Ask::Leave => vec![],
            },
        }
    }

    /// It is in no generation any more: whatever it read is another's.
    fn fall_out(&mut self) -> Vec<Act> {
        if !self.kind.alone {
            self.positions.clear();
            self.state = State::Out;
        }
        vec![]
    }

    fn join(&mut self, rng: &mut Rng) -> Act {
        self.state = State::Joining;
        let mut fresh = Uuid::ZERO;
        rng.fill(&mut fresh.0);
        let join = Join {
            group: self.kind.group.clone(),
            member: self.member.clone(),
            instance: self.kind.instance.clone(),
            client_id: Arc::clone(&self.kind.name),
            client_host: "/127.0.0.1".into(),
            protocol_type: "consumer".into(),
            protocols: vec![Protocol { name: "range".into(), metadata: subscription() }],
            session_timeout: self.kind.session_timeout,
            rebalance_timeout: self.kind.rebalance_timeout,
            must_come_again: !self.kind.old,
            may_skip_assignment: self.kind.skips,
            fresh,
        };
        Act::Send(Ask::Join, Box::new(Command::Join(Box::new(join))))
    }

    fn joined(&mut self, joined: &Joined) -> Act {
        self.member = Some(joined.member.clone());
        self.generation = joined.generation;
        self.positions.clear();
        self.state = State::Syncing;
        let members: Vec<&MemberId> = joined.members.iter().map(|member| &member.member).collect();
        let assignments = if joined.skip_assignment { vec![] } else { shared_out(&members) };
        let sync = Sync {
            group: self.kind.group.clone(),
            member: joined.member.clone(),
            instance: self.kind.instance.clone(),
            generation: joined.generation,
            protocol_type: Some("consumer".into()),
            protocol: Some("range".into()),
            assignments,
        };
        Act::Send(Ask::Sync, Box::new(Command::Sync(sync)))
    }

    fn synced(&mut self, assignment: &Bytes, now: Instant) -> Vec<Act> {
        self.positions = assignment.iter().map(|partition| (i32::from(*partition), -1)).collect();
        self.heartbeat_at = now + HEARTBEAT_INTERVAL;
        if self.positions.is_empty() {
            self.state = State::Working;
            return vec![];
        }
        vec![self.fetch()]
    }

    fn fetch_all(&mut self) -> Vec<Act> {
        self.positions = (0..PARTITIONS).map(|partition| (partition, -1)).collect();
        vec![self.fetch()]
    }

    fn fetch(&mut self) -> Act {
        self.state = State::Fetching;
        let wish = |partition: &i32| Wish { topic: topic(), topic_id: TopicId::ZERO, partition: Partition(*partition) };
        let wanted = Wanted::Listed(self.positions.keys().map(wish).collect());
        let fetch = FetchOffsets { group: self.kind.group.clone(), wanted, require_stable: true };
        Act::Send(Ask::Fetch, Box::new(Command::FetchOffsets(fetch)))
    }

    fn fetched(&mut self, fetched: &[FetchedOffset], now: Instant) -> Vec<Act> {
        for place in fetched {
            if let (Some(next), Ok(committed)) = (self.positions.get_mut(&place.partition.0), &place.committed) {
                *next = committed.as_ref().map_or(0, |committed| committed.offset.0);
            }
        }
        self.commit_at = now + COMMIT_INTERVAL;
        self.state = State::Working;
        vec![]
    }

    fn heartbeat(&self) -> Option<Act> {
        let heartbeat = Heartbeat {
            group: self.kind.group.clone(),
            member: self.member.clone()?,
            instance: self.kind.instance.clone(),
            generation: self.generation,
        };
        Some(Act::Send(Ask::Heartbeat, Box::new(Command::Heartbeat(heartbeat))))
    }

    /// Each commit bears words of its own, so that an observer can tell it from every other.
    fn commit(&mut self) -> Act {
        self.commits += 1;
        let words: Arc<str> = format!("{}-{}", self.kind.name, self.commits).into();
        let place = |(partition, next): (&i32, &i64)| OffsetToCommit {
            topic: topic(),
            topic_id: TopicId::ZERO,
            partition: Partition(*partition),
            offset: Offset(*next),
            leader_epoch: LeaderEpoch::NONE,
            metadata: Some(Arc::clone(&words)),
        };
        let alone = self.kind.alone;
        let commit = CommitOffsets {
            group: self.kind.group.clone(),
            member: self.member.clone().filter(|_| !alone),
            instance: self.kind.instance.clone().filter(|_| !alone),
            generation: if alone { Generation::NONE } else { self.generation },
            retention: None,
            offsets: self.positions.iter().map(place).collect(),
        };
        Act::Send(Ask::Commit, Box::new(Command::CommitOffsets(commit)))
    }

    /// It leaves in good order, if it is in.
    pub(crate) fn leave(&mut self) -> Option<Act> {
        let leaving = Leaving { member: Some(self.member.clone()?), instance: self.kind.instance.clone() };
        let leave = Leave { group: self.kind.group.clone(), members: vec![leaving] };
        Some(Act::Send(Ask::Leave, Box::new(Command::Leave(leave))))
    }
}

/// Deals the partitions out to the members, each once.
fn shared_out(members: &[&MemberId]) -> Vec<(MemberId, Bytes)> {
    let share = |place: usize| {
        let partitions = (0..PARTITIONS as u8).filter(|partition| usize::from(*partition) % members.len() == place);
        partitions.collect::<Vec<u8>>()
    };
    members.iter().enumerate().map(|(place, member)| ((*member).clone(), share(place).into())).collect()
}

/// A subscription to the topic, in the oldest version.
fn subscription() -> Bytes {
    Bytes::from_static(&[0, 0, 0, 0, 0, 1, 0, 1, b't', 0xff, 0xff, 0xff, 0xff])
}
