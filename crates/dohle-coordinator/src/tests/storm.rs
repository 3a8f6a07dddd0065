//! Callers who say anything at any time: whatever comes, the laws hold and everybody is answered exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_base::{Instant, LeaderEpoch, Now, Offset, Partition, Rng, Timestamp, Token, TopicId, TopicName, Uuid};
use dohle_replication::ledger::{Effect, Effects, Folded, Ledger};

use crate::story::later;
use crate::{
    Command, CommitOffsets, DeleteOffsets, DeletedTopic, FetchOffsets, Generation, GroupCoordinator, GroupFilter,
    GroupId, Heartbeat, InstanceId, Join, Leave, Leaving, MemberId, OffsetToCommit, Protocol, Record, Reply, Settings,
    Sync, Wanted,
};

const SEEDS: u64 = 60;
const STEPS: usize = 1_500;
const BATCH_BYTES_MAX: usize = 2_048;
const GROUPS: [&str; 3] = ["g", "h", "i"];
const INSTANCES: [&str; 2] = ["one", "two"];

struct Storm {
    rng: Rng,
    now: Now,
    settings: Arc<Settings>,
    ledger: Option<Ledger<GroupCoordinator>>,
    log: Vec<Record>,
    stable: usize,
    tokens: u64,
    open: BTreeSet<Token>,
    /// Names that were given to somebody.
    members: Vec<MemberId>,
    /// Who was told to be in which generation.
    places: Vec<(GroupId, MemberId, Generation)>,
    /// The highest generation of each life of a group that this leadership has told anybody.
    generations: BTreeMap<(GroupId, usize), Generation>,
    /// Which life of which group a caller asked about.
    asked: BTreeMap<Token, (GroupId, usize)>,
    joins: usize,
    shares: usize,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let delay = ["0", "500", "3000"][rng.below(3) as usize];
        let size = ["2", "4", "100"][rng.below(3) as usize];
        let written = |key| match key {
            "group.initial.rebalance.delay.ms" => Some(delay),
            "group.max.size" => Some(size),
            "offsets.retention.minutes" => Some("1"),
            "offsets.retention.check.interval.ms" => Some("20000"),
            _ => None,
        };
        let settings = Arc::new(Settings::resolve(BATCH_BYTES_MAX, written).unwrap());
        let now = Now { instant: Instant(0), wall: Timestamp(1_000_000) };
        let ledger = Ledger::lead(GroupCoordinator::new(Arc::clone(&settings)), now, Offset::ZERO, BATCH_BYTES_MAX);
        Self {
            rng,
            now,
            settings,
            ledger: Some(ledger),
            log: vec![],
            stable: 0,
            tokens: 0,
            open: BTreeSet::new(),
            members: vec![],
            places: vec![],
            generations: BTreeMap::new(),
            asked: BTreeMap::new(),
            joins: 0,
            shares: 0,
        }
    }

    fn step(&mut self) {
        match self.rng.below(100) {
            0..80 => self.propose(),
            80..90 => self.pass(Duration::from_millis(self.rng.clone().below(4_000))),
            90..99 => self.commit(),
            _ => self.resign(),
        }
    }

    fn propose(&mut self) {
        let token = Token(self.tokens);
        self.tokens += 1;
        self.open.insert(token);
        let (group, member, generation) = self.place();
        self.asked.insert(token, (group.clone(), self.deaths(&group)));
        let command = self.command(group, member, generation);
        let (mut out, now) = (vec![], self.now);
        self.ledger.as_mut().unwrap().propose(now, token, command, &mut out);
        self.perform(out);
    }

    fn command(&mut self, group: GroupId, member: MemberId, generation: Generation) -> Command {
        let instance = self.instance();
        match self.rng.below(20) {
            0..6 => self.join(group, member, instance),
            6..11 => self.sync(group, member, instance, generation),
            11..14 => Command::Heartbeat(Heartbeat { group, member, instance, generation }),
            14 => Command::Leave(Leave { group, members: vec![Leaving { member: Some(member), instance }] }),
            15 | 16 => self.commit_offsets(group, member, instance, generation),
            17 => Command::FetchOffsets(FetchOffsets { group, wanted: Wanted::All, require_stable: true }),
            18 => match self.rng.below(4) {
                0 => Command::DeleteGroups(vec![group]),
                1 => Command::TopicsDeleted(vec![DeletedTopic { name: topic(), id: TopicId::ZERO }]),
                2 => Command::DeleteOffsets(DeleteOffsets { group, partitions: vec![(topic(), Partition(0))] }),
                _ => Command::ListGroups(GroupFilter::default()),
            },
            _ => Command::DescribeGroups(vec![group]),
        }
    }

    /// Mostly a place that somebody has or had a moment ago, else a guess.
    fn place(&mut self) -> (GroupId, MemberId, Generation) {
        let recent = &self.places[self.places.len().saturating_sub(8)..];
        match self.rng.pick(recent).cloned() {
            Some(place) if self.rng.chance(850) => place,
            Some(_) | None => (self.group(), self.member(), Generation(self.rng.below(5) as i32)),
        }
    }

    fn join(&mut self, group: GroupId, member: MemberId, instance: Option<InstanceId>) -> Command {
        let mut fresh = Uuid::ZERO;
        self.rng.fill(&mut fresh.0);
        let mut protocols = vec![protocol("range"), protocol("sticky")];
        if self.rng.chance(200) {
            protocols.truncate(1);
        }
        Command::Join(Box::new(Join {
            group,
            member: if self.rng.chance(400) { None } else { Some(member) },
            instance,
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            protocol_type: "consumer".into(),
            protocols,
            session_timeout: Duration::from_secs(6 + self.rng.below(10)),
            rebalance_timeout: Duration::from_secs(self.rng.below(20)),
            must_come_again: self.rng.chance(500),
            may_skip_assignment: self.rng.chance(500),
            fresh,
        }))
    }

    /// Gives every member a share; now and then one that no batch holds.
    fn sync(
        &mut self,
        group: GroupId,
        member: MemberId,
        instance: Option<InstanceId>,
        generation: Generation,
    ) -> Command {
        let length = if self.rng.chance(30) { BATCH_BYTES_MAX } else { 8 };
        let mut share = vec![0; length];
        self.rng.fill(&mut share);
        let share = Bytes::from(share);
        let assignments = self.members.iter().map(|member| (member.clone(), share.clone())).collect();
        Command::Sync(Sync { group, member, instance, generation, protocol_type: None, protocol: None, assignments })
    }

    fn commit_offsets(
        &mut self,
        group: GroupId,
        member: MemberId,
        instance: Option<InstanceId>,
        generation: Generation,
    ) -> Command {
        let outside = self.rng.chance(300);
        let offset = |partition| OffsetToCommit {
            topic: topic(),
            topic_id: TopicId::ZERO,
            partition: Partition(partition),
            offset: Offset(1),
            leader_epoch: LeaderEpoch::NONE,
            metadata: None,
        };
        let count = self.rng.below(20) as i32;
        Command::CommitOffsets(CommitOffsets {
            group,
            member: if outside { None } else { Some(member) },
            instance: instance.filter(|_| !outside),
            generation: if outside { Generation::NONE } else { generation },
            retention: None,
            offsets: (0..count).map(offset).collect(),
        })
    }

    fn group(&mut self) -> GroupId {
        (*self.rng.pick(&GROUPS).unwrap()).into()
    }

    fn instance(&mut self) -> Option<InstanceId> {
        if self.rng.chance(200) { self.rng.pick(&INSTANCES).map(|name| InstanceId::from(*name)) } else { None }
    }

    /// One of the last that were given a name, or nobody.
    fn member(&mut self) -> MemberId {
        let recent = &self.members[self.members.len().saturating_sub(6)..];
        self.rng.pick(recent).cloned().unwrap_or_else(|| "stranger".into())
    }

    fn perform(&mut self, effects: Effects<GroupCoordinator>) {
        for effect in effects {
            match effect {
                Effect::Append { at, records } => {
                    assert_eq!(at.0 as usize, self.log.len());
                    assert!(records.iter().map(Record::weight).sum::<usize>() <= BATCH_BYTES_MAX);
                    self.log.extend(records);
                }
                Effect::Reply { token, reply } => self.answered(token, &reply),
                Effect::Refuse { token, .. } => assert!(self.open.remove(&token), "{token} was answered before"),
            }
        }
        let ledger = self.ledger.as_ref().unwrap();
        ledger.check();
        ledger.latest().check(ledger.soft());
        assert!(ledger.soft().waiting() <= self.open.len());
    }

    fn answered(&mut self, token: Token, reply: &Reply) {
        assert!(self.open.remove(&token), "{token} was answered before");
        let (group, life) = self.asked.remove(&token).unwrap();
        match reply {
            Reply::Join(Ok(joined)) => {
                self.joins += 1;
                self.members.push(joined.member.clone());
                self.places.push((group.clone(), joined.member.clone(), joined.generation));
                let last = self.generations.insert((group, life), joined.generation);
                assert!(last.is_none_or(|last| last <= joined.generation));
                assert!(joined.members.is_empty() || joined.member == joined.leader);
            }
            Reply::Join(Err(refusal)) => self.members.extend(refusal.member.clone()),
            Reply::Sync(Ok(synced)) => {
                self.shares += 1;
                let written = self.log[..self.stable].iter().rev().flat_map(|record| match record {
                    Record::Group { group: of, value: Some(stored) } if *of == group => stored.members.to_vec(),
                    Record::Group { .. } | Record::Offset { .. } | Record::TransactionEnded { .. } => vec![],
                });
                assert!(written.into_iter().any(|member| member.assignment == synced.assignment), "not in the log");
            }
            _ => {}
        }
    }

    /// How often the log says that the group is no more.
    fn deaths(&self, id: &GroupId) -> usize {
        let is_death = |record: &&Record| matches!(record, Record::Group { group, value: None } if group == id);
        self.log.iter().filter(is_death).count()
    }

    fn commit(&mut self) {
        let uncommitted = (self.log.len() - self.stable) as u64;
        self.stable += self.rng.below(uncommitted + 1) as usize;
        let (mut out, stable) = (vec![], Offset(self.stable as i64));
        self.ledger.as_mut().unwrap().commit(stable, &mut out);
        self.perform(out);
    }

    fn pass(&mut self, duration: Duration) {
        self.now = later(self.now, duration);
        while self.ledger.as_ref().unwrap().deadline().is_some_and(|deadline| deadline <= self.now.instant) {
            let (mut out, now) = (vec![], self.now);
            self.ledger.as_mut().unwrap().tick(now, &mut out);
            self.perform(out);
        }
    }

    fn resign(&mut self) {
        let mut out = vec![];
        let committed = self.ledger.take().unwrap().resign(&mut out);
        self.log.truncate(self.stable);
        let mut machine = GroupCoordinator::new(Arc::clone(&self.settings));
        for (offset, record) in self.log.iter().enumerate() {
            machine.apply(Offset(offset as i64), record);
        }
        assert_eq!(format!("{committed:?}"), format!("{machine:?}"));
        self.ledger = Some(Ledger::lead(machine, self.now, Offset(self.stable as i64), BATCH_BYTES_MAX));
        self.perform(out);
        assert!(self.open.is_empty(), "a resignation leaves nobody waiting");
        self.generations.clear();
    }

    /// No more callers: within a while all barriers close and all sessions end.
    fn calm(&mut self) {
        for _ in 0..400 {
            self.pass(Duration::from_secs(1));
            self.stable = self.log.len();
            self.commit();
        }
        assert!(self.open.is_empty(), "{:?} still wait", self.open);
        let ledger = self.ledger.as_ref().unwrap();
        assert_eq!(ledger.latest().group_ids().count(), 0, "what nobody keeps alive is forgotten");
    }
}

fn protocol(name: &str) -> Protocol {
    Protocol { name: name.into(), metadata: Bytes::from_static(&[0, 0, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 0]) }
}

fn topic() -> TopicName {
    TopicName::parse("t").unwrap()
}

#[test]
fn whatever_callers_say_the_laws_hold_and_everybody_is_answered_once() {
    let (mut joins, mut shares) = (0, 0);
    for seed in 0..SEEDS {
        let mut storm = Storm::new(seed);
        (0..STEPS).for_each(|_| storm.step());
        storm.calm();
        joins += storm.joins;
        shares += storm.shares;
    }
    // A storm in which nobody ever gets anywhere proves nothing.
    assert!(joins > 3_000, "only {joins} joined");
    assert!(shares > 400, "only {shares} got a share");
}
