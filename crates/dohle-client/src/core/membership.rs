//! One member of a group, as the classic protocol knows it (KIP-62, KIP-345, KIP-394, KIP-429).
//!
//! Owns who the member is, in which generation, what it holds, and what to ask of the coordinator next. Knows no
//! connection, no position and no record. The shell performs one request at a time in the order of the effects and reports
//! its end as an event; the caller of `poll` lets go of partitions and is told what it got.
//!
//! Laws: partitions are asked for by nobody twice without letting go in between (eager), or stay until they are taken
//! (cooperative); a member that is not heard of by its coordinator keeps nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use dohle_base::{BrokerId, ErrorCode, Instant, Rng, TopicName};

use crate::core::TopicPartition;
use crate::core::assign::{Assignor, Member, Plan};
use crate::core::retry::{Backoff, Verdict, judge};

/// What the member is told at its birth.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The group's name (`group.id`).
    pub group: String,
    /// The name of a static member (`group.instance.id`).
    pub instance: Option<String>,
    /// The coordinator forgets a member that was silent for so long (`session.timeout.ms`).
    pub session_timeout: Duration,
    /// A member whose caller did not poll for so long leaves (`max.poll.interval.ms`).
    pub poll_interval_max: Duration,
    /// How often the member says that it lives (`heartbeat.interval.ms`).
    pub heartbeat_interval: Duration,
    /// The ways to share out that the member knows, the preferred one first (`partition.assignment.strategy`).
    pub assignors: Vec<Assignor>,
    /// Waits between attempts.
    pub backoff: Backoff,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The caller named the topics that it wants, for the first time or anew.
    Subscribed(BTreeSet<TopicName>),
    /// The caller asked for records.
    Polled,
    /// The caller let go of what [`Effect::Release`] named.
    Released,
    /// The coordinator was found, or not.
    Found(Result<BrokerId, Failure>),
    /// The coordinator answered a join.
    Joined(Result<Joined, Failure>),
    /// The plan that [`Effect::Plan`] asked for.
    Planned(Plan),
    /// The coordinator handed out the assignment.
    Synced(Result<BTreeSet<TopicPartition>, Failure>),
    /// The coordinator answered a heartbeat, or refused a commit.
    Beaten(Result<(), Failure>),
    /// The topics are not what they were when the plan was made.
    TopicsChanged,
    /// The caller is done.
    Closed,
    /// The coordinator was told that the member leaves, or could not be told.
    Left,
    /// Time passed.
    Tick,
}

/// Why a request did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The coordinator refused.
    Refused(ErrorCode),
    /// The coordinator gave the id with which to join (KIP-394).
    NeedsId(String),
    /// No answer came.
    Silence,
}

/// The coordinator's answer to a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The member's id.
    pub member: String,
    /// The generation that begins.
    pub generation: i32,
    /// How the group shares out.
    pub assignor: Assignor,
    /// The members, when this one leads; else nobody.
    pub members: Option<Vec<Member>>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Find the group's coordinator.
    FindCoordinator,
    /// Ask to join, under this id.
    Join {
        /// The member's id; empty when it has none.
        member: String,
    },
    /// Share the topics out among the members.
    Plan {
        /// In which way.
        assignor: Assignor,
        /// Among whom.
        members: Vec<Member>,
    },
    /// Hand the plan to the coordinator (the leader), or only wait for it (the others).
    Sync {
        /// How the group shares out.
        assignor: Assignor,
        /// The leader's plan.
        plan: Plan,
    },
    /// Say that the member lives.
    Heartbeat,
    /// Say that the member leaves.
    Leave {
        /// As whom.
        member: String,
    },
    /// Let go of partitions, then report [`Event::Released`].
    Release {
        /// Which.
        partitions: BTreeSet<TopicPartition>,
        /// Whether somebody else may read them already, so that nothing can be committed for them.
        lost: bool,
    },
    /// Begin to read partitions.
    Assign {
        /// Which, beside those that are held.
        partitions: BTreeSet<TopicPartition>,
    },
    /// The coordinator will not have this member; the caller must know.
    Fail(ErrorCode),
}

/// The member.
#[derive(Clone, Debug)]
pub struct Membership {
    settings: Settings,
    rng: Rng,
    topics: BTreeSet<TopicName>,
    coordinator: Coordinator,
    phase: Phase,
    member: String,
    generation: i32,
    held: BTreeSet<TopicPartition>,
    beating: bool,
    heartbeat_at: Instant,
    heard_at: Instant,
    polled_at: Instant,
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coordinator {
    /// To be sought at that moment.
    Unknown(Instant),
    Sought,
    Known(BrokerId),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is subscribed, or the coordinator refused for good.
    Idle,
    /// To join at that moment.
    Apart(Instant),
    Joining,
    Planning(Assignor),
    Syncing(Assignor),
    Stable,
    /// A member whose caller has to let go of partitions before it joins again.
    Releasing(BTreeSet<TopicPartition>),
    /// The caller does not poll: the member left, and joins when it does.
    Away,
    Leaving,
    Gone,
}

/// Before the first generation, and after having been forgotten.
const GENERATION_NONE: i32 = -1;

impl Membership {
    /// A member of nothing yet.
    pub fn new(now: Instant, settings: Settings, rng: Rng) -> Self {
        assert!(!settings.assignors.is_empty(), "a member knows at least one way to share out");
        Self {
            settings,
            rng,
            topics: BTreeSet::new(),
            coordinator: Coordinator::Unknown(now),
            phase: Phase::Idle,
            member: String::new(),
            generation: GENERATION_NONE,
            held: BTreeSet::new(),
            beating: false,
            heartbeat_at: now,
            heard_at: now,
            polled_at: now,
            failures: 0,
        }
    }

    /// Takes in what happened and says what to do.
    pub fn step(&mut self, now: Instant, event: Event, out: &mut Vec<Effect>) {
        match event {
            Event::Subscribed(topics) => self.subscribed(now, topics),
            Event::Polled => self.polled(now),
            Event::Released => self.released(now),
            Event::Found(answer) => self.found(now, answer, out),
            Event::Joined(answer) => self.joined(now, answer, out),
            Event::Planned(plan) => self.planned(plan, out),
            Event::Synced(answer) => self.synced(now, answer, out),
            Event::Beaten(answer) => self.beaten(now, answer, out),
            Event::TopicsChanged => self.rejoin(now),
            Event::Closed => self.closed(out),
            Event::Left => self.left(),
            Event::Tick => {}
        }
        self.advance(now, out);
        self.check();
    }

    /// When a tick is due at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let sought = match self.coordinator {
            Coordinator::Unknown(at) if self.needs_coordinator() => Some(at),
            Coordinator::Unknown(_) | Coordinator::Sought | Coordinator::Known(_) => None,
        };
        let next = match &self.phase {
            Phase::Apart(at) => Some(*at),
            Phase::Stable | Phase::Releasing(_) => {
                let away_at = self.polled_at + self.settings.poll_interval_max;
                Some(if self.beating { away_at } else { self.heartbeat_at.min(away_at) })
            }
            Phase::Idle
            | Phase::Joining
            | Phase::Planning(_)
            | Phase::Syncing(_)
            | Phase::Away
            | Phase::Leaving
            | Phase::Gone => None,
        };
        match self.coordinator {
            Coordinator::Known(_) => next,
            Coordinator::Unknown(_) | Coordinator::Sought => sought,
        }
    }

    /// Under which name and generation offsets are committed; none while the member is in no generation.
    pub fn identity(&self) -> Option<(&str, i32)> {
        match self.phase {
            Phase::Stable | Phase::Releasing(_) => Some((&self.member, self.generation)),
            Phase::Idle
            | Phase::Apart(_)
            | Phase::Joining
            | Phase::Planning(_)
            | Phase::Syncing(_)
            | Phase::Away
            | Phase::Leaving
            | Phase::Gone => None,
        }
    }

    /// The coordinator, when it is known.
    pub fn coordinator(&self) -> Option<BrokerId> {
        match self.coordinator {
            Coordinator::Known(broker) => Some(broker),
            Coordinator::Unknown(_) | Coordinator::Sought => None,
        }
    }

    /// The member's id; empty before the coordinator gave one.
    pub fn member(&self) -> &str {
        &self.member
    }

    /// The latest generation of which this was a member.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// What the member holds.
    pub fn held(&self) -> &BTreeSet<TopicPartition> {
        &self.held
    }

    /// What the member wants to read.
    pub fn topics(&self) -> &BTreeSet<TopicName> {
        &self.topics
    }

    /// What the member was told at its birth.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the member is done with its group.
    pub fn is_gone(&self) -> bool {
        self.phase == Phase::Gone
    }

    /// The laws.
    pub fn check(&self) {
        assert!(!self.beating || matches!(self.coordinator, Coordinator::Known(_)), "only a known coordinator is told");
        assert!(self.generation >= 0 || self.identity().is_none(), "nothing is committed outside a generation");
        assert!(self.phase != Phase::Gone || self.held.is_empty(), "who is gone holds nothing");
    }

    fn is_cooperative(&self) -> bool {
        self.settings.assignors.iter().all(|assignor| assignor.is_cooperative())
    }

    fn needs_coordinator(&self) -> bool {
        match self.phase {
            Phase::Apart(_) | Phase::Stable | Phase::Releasing(_) => true,
            Phase::Idle
            | Phase::Joining
            | Phase::Planning(_)
            | Phase::Syncing(_)
            | Phase::Away
            | Phase::Leaving
            | Phase::Gone => false,
        }
    }

    fn subscribed(&mut self, now: Instant, topics: BTreeSet<TopicName>) {
        self.topics = topics;
        self.polled_at = now;
        match self.phase {
            Phase::Idle => self.phase = Phase::Apart(now),
            _ => self.rejoin(now),
        }
    }

    fn polled(&mut self, now: Instant) {
        self.polled_at = now;
        if self.phase == Phase::Away {
            self.phase = Phase::Apart(now);
        }
    }

    fn rejoin(&mut self, now: Instant) {
        if self.phase == Phase::Stable {
            self.phase = Phase::Apart(now);
        }
    }

    fn released(&mut self, now: Instant) {
        if let Phase::Releasing(partitions) = &self.phase {
            self.held.retain(|held| !partitions.contains(held));
            self.phase = Phase::Apart(now);
        }
    }

    fn found(&mut self, now: Instant, answer: Result<BrokerId, Failure>, out: &mut Vec<Effect>) {
        match answer {
            Ok(broker) => {
                self.failures = 0;
                self.coordinator = Coordinator::Known(broker);
                self.heard_at = now;
            }
            Err(Failure::Refused(code)) if judge(code) == Verdict::Fail => self.give_up(now, code, out),
            Err(_) => self.seek_later(now),
        }
    }

    fn joined(&mut self, now: Instant, answer: Result<Joined, Failure>, out: &mut Vec<Effect>) {
        if self.phase != Phase::Joining {
            return;
        }
        let joined = match answer {
            Ok(joined) => joined,
            Err(failure) => return self.refused(now, failure, out),
        };
        self.failures = 0;
        self.heard_at = now;
        self.member = joined.member;
        self.generation = joined.generation;
        match joined.members {
            Some(members) => {
                self.phase = Phase::Planning(joined.assignor);
                out.push(Effect::Plan { assignor: joined.assignor, members });
            }
            None => self.sync(joined.assignor, Plan::new(), out),
        }
    }

    fn planned(&mut self, plan: Plan, out: &mut Vec<Effect>) {
        if let Phase::Planning(assignor) = self.phase {
            self.sync(assignor, plan, out);
        }
    }

    fn sync(&mut self, assignor: Assignor, plan: Plan, out: &mut Vec<Effect>) {
        self.phase = Phase::Syncing(assignor);
        out.push(Effect::Sync { assignor, plan });
    }

    fn synced(&mut self, now: Instant, answer: Result<BTreeSet<TopicPartition>, Failure>, out: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Syncing(_)) {
            return;
        }
        let assigned = match answer {
            Ok(assigned) => assigned,
            Err(failure) => return self.refused(now, failure, out),
        };
        self.failures = 0;
        self.heard_at = now;
        self.heartbeat_at = now + self.settings.heartbeat_interval;
        self.phase = Phase::Stable;
        let taken: BTreeSet<TopicPartition> = self.held.difference(&assigned).cloned().collect();
        let added: BTreeSet<TopicPartition> = assigned.difference(&self.held).cloned().collect();
        self.held.extend(added.iter().cloned());
        out.push(Effect::Assign { partitions: added });
        if !taken.is_empty() {
            self.release(taken, out);
        }
    }

    fn beaten(&mut self, now: Instant, answer: Result<(), Failure>, out: &mut Vec<Effect>) {
        self.beating = false;
        match answer {
            Ok(()) => self.heard_at = now,
            Err(failure) if self.identity().is_some() => self.refused(now, failure, out),
            Err(_) => {}
        }
    }

    /// A request of a member was refused or lost: what it means is the same for join, sync, heartbeat and commit.
    fn refused(&mut self, now: Instant, failure: Failure, out: &mut Vec<Effect>) {
        match failure {
            Failure::NeedsId(member) => {
                self.member = member;
                self.phase = Phase::Apart(now);
            }
            Failure::Silence => self.lose_coordinator(now),
            Failure::Refused(ErrorCode::RebalanceInProgress) => match self.phase {
                // The caller has been asked to let go already.
                Phase::Releasing(_) => self.heard_at = now,
                Phase::Stable => {
                    self.heard_at = now;
                    self.phase = Phase::Apart(now);
                }
                _ => self.join_later(now),
            },
            Failure::Refused(ErrorCode::UnknownMemberId) => self.forget(now, true, out),
            Failure::Refused(ErrorCode::IllegalGeneration) => self.forget(now, false, out),
            Failure::Refused(code) => match judge(code) {
                Verdict::Rediscover | Verdict::Refresh => self.lose_coordinator(now),
                Verdict::Retry => self.join_later(now),
                Verdict::Done | Verdict::Fail => self.give_up(now, code, out),
            },
        }
    }

    /// The coordinator does not know the member (any more): what it held may be another's by now.
    fn forget(&mut self, now: Instant, unknown: bool, out: &mut Vec<Effect>) {
        if unknown {
            self.member.clear();
        }
        self.generation = GENERATION_NONE;
        self.phase = Phase::Apart(now);
        self.lose_held(out);
    }

    fn lose_held(&mut self, out: &mut Vec<Effect>) {
        if !self.held.is_empty() {
            out.push(Effect::Release { partitions: std::mem::take(&mut self.held), lost: true });
        }
    }

    fn lose_coordinator(&mut self, now: Instant) {
        self.beating = false;
        self.seek_later(now);
        if matches!(self.phase, Phase::Joining | Phase::Syncing(_)) {
            self.phase = Phase::Apart(now);
        }
    }

    fn seek_later(&mut self, now: Instant) {
        self.failures += 1;
        self.coordinator = Coordinator::Unknown(now + self.settings.backoff.wait(self.failures, &mut self.rng));
    }

    fn join_later(&mut self, now: Instant) {
        self.failures += 1;
        let at = now + self.settings.backoff.wait(self.failures, &mut self.rng);
        match self.phase {
            // A heartbeat that could not be answered now is repeated, and the member stays what it is.
            Phase::Stable | Phase::Releasing(_) => self.heartbeat_at = at,
            _ => self.phase = Phase::Apart(at),
        }
    }

    fn give_up(&mut self, now: Instant, code: ErrorCode, out: &mut Vec<Effect>) {
        self.coordinator = Coordinator::Unknown(now);
        self.beating = false;
        self.generation = GENERATION_NONE;
        self.phase = Phase::Idle;
        self.lose_held(out);
        out.push(Effect::Fail(code));
    }

    fn closed(&mut self, out: &mut Vec<Effect>) {
        self.held.clear();
        self.beating = false;
        // A static member keeps its place: it comes back under its name.
        let leaves = !self.member.is_empty() && self.settings.instance.is_none() && self.coordinator().is_some();
        self.phase = if leaves { Phase::Leaving } else { Phase::Gone };
        if leaves {
            out.push(Effect::Leave { member: self.member.clone() });
        }
    }

    fn left(&mut self) {
        match self.phase {
            Phase::Leaving => self.phase = Phase::Gone,
            _ => {
                self.member.clear();
                self.generation = GENERATION_NONE;
            }
        }
    }

    fn release(&mut self, partitions: BTreeSet<TopicPartition>, out: &mut Vec<Effect>) {
        self.phase = Phase::Releasing(partitions.clone());
        out.push(Effect::Release { partitions, lost: false });
    }

    /// What time brings.
    fn advance(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.needs_coordinator() && matches!(self.coordinator, Coordinator::Unknown(at) if at <= now) {
            self.coordinator = Coordinator::Sought;
            out.push(Effect::FindCoordinator);
        }
        if self.coordinator().is_none() {
            return;
        }
        match &self.phase {
            Phase::Apart(at) if *at <= now && !self.beating => self.begin_to_join(out),
            Phase::Stable | Phase::Releasing(_) => self.live(now, out),
            Phase::Apart(_)
            | Phase::Idle
            | Phase::Joining
            | Phase::Planning(_)
            | Phase::Syncing(_)
            | Phase::Away
            | Phase::Leaving
            | Phase::Gone => {}
        }
    }

    fn begin_to_join(&mut self, out: &mut Vec<Effect>) {
        if !self.held.is_empty() && !self.is_cooperative() && self.generation != GENERATION_NONE {
            return self.release(self.held.clone(), out);
        }
        self.phase = Phase::Joining;
        out.push(Effect::Join { member: self.member.clone() });
    }

    fn live(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.polled_at + self.settings.poll_interval_max <= now {
            return self.go_away(out);
        }
        if self.heard_at + self.settings.session_timeout <= now {
            self.heard_at = now;
            return self.lose_coordinator(now);
        }
        if !self.beating && self.heartbeat_at <= now {
            self.beating = true;
            self.heartbeat_at = now + self.settings.heartbeat_interval;
            out.push(Effect::Heartbeat);
        }
    }

    /// The caller stopped polling: others shall read what it holds (KIP-62).
    fn go_away(&mut self, out: &mut Vec<Effect>) {
        self.phase = Phase::Away;
        self.beating = false;
        self.lose_held(out);
        if self.settings.instance.is_none() {
            out.push(Effect::Leave { member: self.member.clone() });
        }
        self.generation = GENERATION_NONE;
    }
}

#[cfg(test)]
mod tests;
