//! One broker that leads one partition of `__consumer_offsets`: the shell of the machines, as the real one drives them.
//!
//! Owns the log on its disk, the leader machine and the ledger; decides nothing. What it does outside of itself comes out
//! as [`Out`].

mod journal;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dohle_base::{ErrorCode, Instant, LeaderEpoch, Now, Offset, Rng, Timestamp, Token};
use dohle_coordinator::{Command, GroupCoordinator, GroupId, GroupView, Settings, refusal_code};
use dohle_log::disk::Memory;
use dohle_log::log::{Flush, Log};
use dohle_replication::ledger::{Effect, Effects, Folded, Ledger};
use dohle_replication::partition::{self, Durability, Leader};

use crate::compaction::compact;
use crate::fact::{Answer, Fact, RequestId};
use crate::spoil::Spoiled;
use crate::weather::Fault;

/// What a batch of the simulated topic holds: small, so that some decisions do not fit.
pub(crate) const BATCH_BYTES_MAX: usize = 16 << 10;
/// Memory for the keys of a compaction: often too little for all of them.
const KEYS_BYTES: u64 = 400;

/// What a broker did to the world around it.
#[derive(Debug, Default)]
pub(crate) struct Out {
    /// What an observer notes down, in order.
    pub(crate) facts: Vec<Fact>,
    /// What clients are told, in order.
    pub(crate) answers: Vec<(RequestId, Answer)>,
    /// Something waits for the disk to confirm it.
    pub(crate) wants_flush: bool,
    /// The disk failed: the broker cannot go on.
    pub(crate) failed: bool,
}

/// A broker, its disk, and what its disk outlives.
#[derive(Debug)]
pub(crate) struct Broker {
    settings: Arc<Settings>,
    segment_bytes: u64,
    disk: Memory,
    role: Role,
    /// How often it was started: the epoch in which it leads.
    lives: i32,
    /// Whether the last stop was in good order.
    clean: bool,
    /// Up to where the log is durable, as far as the checkpoint file says.
    recovery_point: Offset,
    /// Up to where the log is compacted, as far as the checkpoint file says.
    cleaned: Offset,
    spoiled: Spoiled,
    /// How far the wall clock is from the true time.
    pub(crate) skew_ms: i64,
}

#[derive(Debug)]
enum Role {
    Down,
    /// It reads its log.
    Loading(Box<Log<Memory>>),
    Leading(Box<Leading>),
}

struct Leading {
    log: Log<Memory>,
    leader: Leader,
    ledger: Ledger<GroupCoordinator>,
    epoch: LeaderEpoch,
    tokens: u64,
    asking: BTreeMap<Token, RequestId>,
    flush: Option<Flush<Memory>>,
}

impl std::fmt::Debug for Leading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leading").field("epoch", &self.epoch).field("end", &self.log.end()).finish_non_exhaustive()
    }
}

/// How a broker goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// In good order.
    Clean,
    /// The process dies.
    Kill,
    /// The power goes.
    PowerCut,
}

impl Broker {
    pub(crate) fn new(settings: Arc<Settings>, segment_bytes: u64) -> Self {
        let disk = journal::format();
        Self {
            settings,
            segment_bytes,
            disk,
            role: Role::Down,
            lives: 0,
            clean: false,
            recovery_point: Offset::ZERO,
            cleaned: Offset::ZERO,
            spoiled: Spoiled::default(),
            skew_ms: 0,
        }
    }

    /// The moment, as this broker's clocks tell it.
    fn now(&self, instant: Instant) -> Now {
        let ms = (instant.0 / 1_000_000) as i64;
        Now { instant, wall: Timestamp(1_700_000_000_000 + ms + self.skew_ms) }
    }

    pub(crate) fn is_down(&self) -> bool {
        matches!(self.role, Role::Down)
    }

    pub(crate) fn is_leading(&self) -> bool {
        matches!(self.role, Role::Leading(_))
    }

    /// Takes the log up from the disk. What follows is [`Broker::load`].
    pub(crate) fn start(&mut self, at: Instant) -> Result<(), String> {
        assert!(self.is_down());
        self.lives += 1;
        let opening = journal::Opened { clean: self.clean, recovery_point: self.recovery_point };
        let log = journal::open(&self.disk, self.segment_bytes, opening, self.now(at).wall)?;
        self.clean = false;
        self.role = Role::Loading(Box::new(log));
        Ok(())
    }

    /// Reads the log to its end and leads. What is read is made durable before anybody relies on it.
    pub(crate) fn load(&mut self, at: Instant, out: &mut Out) -> Result<(), String> {
        let now = self.now(at);
        let Role::Loading(mut log) = std::mem::replace(&mut self.role, Role::Down) else { return Ok(()) };
        if !journal::sync(&mut log, now.wall) {
            out.failed = true;
            self.role = Role::Loading(log);
            return Ok(());
        }
        let epoch = LeaderEpoch(self.lives);
        log.begin_epoch(epoch);
        let records = journal::read(&log)?;
        let mut machine = GroupCoordinator::new(Arc::clone(&self.settings));
        records.iter().for_each(|(offset, record)| machine.apply(*offset, record));
        let ledger = Ledger::lead(machine, now, log.end(), BATCH_BYTES_MAX);
        let leader = Leader::new(epoch, Durability::Synced, log.end());
        out.facts.push(Fact::Led { log: records });
        let leading = Leading { log: *log, leader, ledger, epoch, tokens: 0, asking: BTreeMap::new(), flush: None };
        leading.note_advance(out);
        self.role = Role::Leading(Box::new(leading));
        Ok(())
    }

    /// A request came in.
    pub(crate) fn handle(&mut self, at: Instant, request: RequestId, command: Command, out: &mut Out) {
        let now = self.now(at);
        match &mut self.role {
            Role::Down => {}
            Role::Loading(_) => {
                let answer = Answer::Refused(ErrorCode::CoordinatorLoadInProgress);
                out.answer(request, answer, false, Offset::ZERO);
            }
            Role::Leading(leading) => {
                self.spoiled.before_write(&self.disk);
                leading.propose(now, request, command, out);
            }
        }
    }

    /// Time passed.
    pub(crate) fn tick(&mut self, at: Instant, out: &mut Out) {
        let now = self.now(at);
        if let Role::Leading(leading) = &mut self.role {
            let mut effects = vec![];
            leading.ledger.tick(now, &mut effects);
            leading.perform(now, None, effects, out);
        }
    }

    /// When [`Broker::tick`] must be called at the latest.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.role {
            Role::Leading(leading) => leading.ledger.deadline(),
            Role::Down | Role::Loading(_) => None,
        }
    }

    /// Hands what waits to the disk; false when nothing does.
    pub(crate) fn begin_flush(&mut self) -> bool {
        let Role::Leading(leading) = &mut self.role else { return false };
        if leading.flush.is_none() {
            leading.flush = leading.log.begin_flush();
        }
        leading.flush.is_some()
    }

    /// The disk is done with what it was handed.
    pub(crate) fn end_flush(&mut self, at: Instant, checkpoint: bool, out: &mut Out) {
        let now = self.now(at);
        let Role::Leading(leading) = &mut self.role else { return };
        let Some(flush) = leading.flush.take() else { return };
        self.spoiled.before_sync(&self.disk);
        match leading.log.flushed(flush.run(), now.wall) {
            Ok(synced) => {
                leading.synced(now, synced, out);
                if checkpoint {
                    self.recovery_point = self.recovery_point.max(synced);
                }
            }
            Err(_) => out.failed = true,
        }
    }

    /// Compacts its log; false when there is nothing to compact.
    pub(crate) fn compact(&mut self, at: Instant, out: &mut Out) -> bool {
        let now = self.now(at);
        let Role::Leading(leading) = &mut self.role else { return false };
        let high_watermark = leading.leader.high_watermark();
        match compact(&mut leading.log, KEYS_BYTES, high_watermark, self.cleaned, self.recovery_point, now.wall) {
            Ok(Some(reached)) => self.cleaned = reached,
            Ok(None) => return false,
            Err(_) => out.failed = true,
        }
        true
    }

    /// Goes down; `rng` decides what of the unsynced the disk keeps.
    pub(crate) fn stop(&mut self, at: Instant, stop: Stop, rng: &mut Rng, out: &mut Out) {
        let wall = self.now(at).wall;
        if let Role::Leading(mut leading) = std::mem::replace(&mut self.role, Role::Down) {
            let high_watermark = leading.leader.high_watermark();
            if stop == Stop::Clean {
                leading.retire(out);
                let flushed = leading.flush.take().is_none_or(|flush| leading.log.flushed(flush.run(), wall).is_ok());
                self.clean = flushed && journal::close(&mut leading.log, wall);
            }
            out.facts.push(Fact::Stopped { high_watermark });
        }
        self.spoiled = Spoiled::default();
        self.disk = match stop {
            Stop::Clean | Stop::Kill => self.disk.kill(),
            Stop::PowerCut => self.disk.crash(rng),
        };
    }

    /// Lets the disk do something wrong soon; false when nothing is asked of it.
    pub(crate) fn spoil(&mut self, fault: Fault, rng: &mut Rng) -> bool {
        if !self.is_leading() {
            return false;
        }
        self.spoiled.ask(fault, &self.disk, rng)
    }

    /// Whether only a start of the machine shows what is really on its disk.
    pub(crate) fn must_reboot(&self) -> bool {
        self.spoiled.must_reboot()
    }

    /// How a group looks.
    pub(crate) fn view(&self, group: &GroupId) -> Option<GroupView> {
        match &self.role {
            Role::Leading(leading) => leading.ledger.latest().view(leading.ledger.soft(), group),
            Role::Down | Role::Loading(_) => None,
        }
    }

    /// How many callers wait in the coordinator's barriers.
    pub(crate) fn waiting(&self) -> usize {
        match &self.role {
            Role::Leading(leading) => leading.asking.len(),
            Role::Down | Role::Loading(_) => 0,
        }
    }

    /// The laws of the machines.
    pub(crate) fn check(&self) {
        if let Role::Leading(leading) = &self.role {
            leading.leader.check();
            leading.ledger.check();
            leading.ledger.latest().check(leading.ledger.soft());
            leading.log.check();
        }
    }
}

impl Leading {
    fn propose(&mut self, now: Now, request: RequestId, command: Command, out: &mut Out) {
        let token = Token(self.tokens);
        self.tokens += 1;
        self.asking.insert(token, request);
        let mut effects = vec![];
        self.ledger.propose(now, token, command, &mut effects);
        self.perform(now, Some(request), effects, out);
    }

    fn perform(&mut self, now: Now, cause: Option<RequestId>, effects: Effects<GroupCoordinator>, out: &mut Out) {
        for effect in effects {
            match effect {
                Effect::Append { at, records } => {
                    // Noted before: a write that failed may be on the disk all the same.
                    out.facts.push(Fact::Appended { cause, at, records: records.clone() });
                    if !journal::append(&mut self.log, self.epoch, at, &records, now.wall) {
                        out.failed = true;
                        return;
                    }
                    self.step(now, partition::Event::Written { end: self.log.end() }, out);
                }
                Effect::Reply { token, reply } => self.answer(token, Answer::Reply(reply), out),
                Effect::Refuse { token, refusal } => self.answer(token, Answer::Refused(refusal_code(refusal)), out),
            }
        }
    }

    fn step(&mut self, now: Now, event: partition::Event, out: &mut Out) {
        let mut effects = vec![];
        self.leader.step(now.instant, event, &mut effects);
        for effect in effects {
            match effect {
                partition::Effect::Sync => out.wants_flush = true,
                partition::Effect::Release { .. }
                | partition::Effect::Expire { .. }
                | partition::Effect::Refuse { .. } => {
                    unreachable!("nobody waits at the leader itself: callers wait at the ledger")
                }
            }
        }
    }

    fn synced(&mut self, now: Now, upto: Offset, out: &mut Out) {
        self.step(now, partition::Event::Synced { upto }, out);
        self.note_advance(out);
        let mut effects = vec![];
        self.ledger.commit(self.leader.high_watermark(), &mut effects);
        self.perform(now, None, effects, out);
        if self.log.synced() < self.log.end() {
            out.wants_flush = true;
        }
    }

    fn note_advance(&self, out: &mut Out) {
        let high_watermark = self.leader.high_watermark();
        out.facts.push(Fact::Advanced { high_watermark, synced: self.log.synced() });
    }

    fn answer(&mut self, token: Token, answer: Answer, out: &mut Out) {
        let request = self.asking.remove(&token).expect("a token is answered once");
        out.answer(request, answer, true, self.log.synced());
    }

    /// Refuses everybody who waits, before a stop in good order.
    fn retire(&mut self, out: &mut Out) {
        let fresh = Ledger::lead(self.ledger.committed().clone(), Now::default(), self.log.end(), BATCH_BYTES_MAX);
        let ledger = std::mem::replace(&mut self.ledger, fresh);
        let mut effects = vec![];
        ledger.resign(&mut effects);
        self.perform(Now::default(), None, effects, out);
        assert!(self.asking.is_empty(), "a resignation answers everybody");
    }
}

impl Out {
    fn answer(&mut self, request: RequestId, answer: Answer, leading: bool, synced: Offset) {
        self.facts.push(Fact::Answered { request, answer: answer.clone(), leading, synced });
        self.answers.push((request, answer));
    }
}

/// How long a broker that failed stays away.
pub(crate) const RESTART_DELAY: Duration = Duration::from_millis(500);
