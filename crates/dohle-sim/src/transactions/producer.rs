//! A transactional producer, as clients implement it: it takes its name, writes, moves its group on, ends its transaction, and asks again
//! for whatever it got no answer to.
//!
//! Owns what one process of a client knows. A process that dies forgets all of it but its name.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use dohle_base::{ErrorCode, Instant, Rng};
use dohle_coordinator::transaction::{Outcome, Version};
use dohle_coordinator::{Producer as Identity, TransactionalId};

use super::fact::{Fact, Label, Value};
use super::place::{DATA_PARTITIONS, Place};
use super::request::{Answer, RECORDS, Request, What};
use crate::fact::RequestId;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
const BACKOFF: Duration = Duration::from_millis(100);
/// The most batches that a transaction writes.
const BATCHES_MAX: u64 = 4;

/// What a producer is from birth.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub(super) name: TransactionalId,
    /// The protocol that it follows.
    pub(super) version: Version,
    pub(super) timeout_ms: i32,
}

/// A producer.
#[derive(Clone, Debug)]
pub(super) struct Producer {
    pub(super) kind: Kind,
    is_off: bool,
    /// It finishes its transaction and begins no other.
    pub(super) is_resting: bool,
    /// It never thinks for longer than a transaction may take.
    pub(super) is_brisk: bool,
    /// Who it is; none until the coordinator has told it.
    identity: Option<Identity>,
    /// It must ask for the next epoch before it begins another transaction (KIP-360).
    must_go_on: bool,
    label: Label,
    /// What is left to do of the transaction; the first of it is under way.
    plan: VecDeque<What>,
    contents: BTreeSet<(Place, Value)>,
    has_intended: bool,
    sequences: BTreeMap<i32, i32>,
    /// The request that has no answer yet, and since when.
    waiting: Option<(RequestId, Instant)>,
    act_at: Instant,
    /// How many transactions it has ended.
    pub(super) ended: u64,
}

/// What it wants done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    /// An observer should know.
    Tell(Fact),
    Send(Request),
    /// It gives its connection up.
    Disconnect,
}

impl Producer {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            is_off: true,
            is_resting: false,
            is_brisk: false,
            identity: None,
            must_go_on: false,
            label: Label::default(),
            plan: VecDeque::new(),
            contents: BTreeSet::new(),
            has_intended: false,
            sequences: BTreeMap::new(),
            waiting: None,
            act_at: Instant::ZERO,
            ended: 0,
        }
    }

    /// A new process.
    pub(super) fn start(&mut self) {
        *self = Self {
            is_off: false,
            is_resting: self.is_resting,
            is_brisk: self.is_brisk,
            ended: self.ended,
            ..Self::new(self.kind.clone())
        };
    }

    /// The process dies.
    pub(super) fn die(&mut self) {
        self.start();
        self.is_off = true;
    }

    pub(super) fn is_off(&self) -> bool {
        self.is_off
    }

    /// Whether it has nothing to do and waits for nothing.
    pub(super) fn is_idle(&self) -> bool {
        self.plan.is_empty() && self.waiting.is_none() && self.identity.is_some() && !self.must_go_on
    }

    /// A request went out.
    pub(super) fn sent(&mut self, request: RequestId, now: Instant) {
        self.waiting = Some((request, now));
    }

    /// The connection is gone, and with it every answer.
    pub(super) fn disconnected(&mut self, now: Instant) {
        self.waiting = None;
        self.act_at = now + BACKOFF;
    }

    /// A moment in which it may act; `labels` counts the transactions of the world.
    pub(super) fn tick(&mut self, now: Instant, rng: &mut Rng, labels: &mut u64) -> Vec<Act> {
        if self.is_off {
            return vec![];
        }
        if let Some((_, since)) = self.waiting {
            if now.saturating_since(since) <= REQUEST_TIMEOUT {
                return vec![];
            }
            self.disconnected(now);
            if rng.chance(200) {
                self.give_up();
            }
            return vec![Act::Disconnect];
        }
        if now < self.act_at {
            return vec![];
        }
        self.act(rng, labels)
    }

    fn act(&mut self, rng: &mut Rng, labels: &mut u64) -> Vec<Act> {
        if self.identity.is_none() || self.must_go_on && self.plan.is_empty() {
            return vec![self.send(What::Init { timeout_ms: self.kind.timeout_ms })];
        }
        let mut acts = vec![];
        if self.plan.is_empty() {
            if self.is_resting {
                return vec![];
            }
            *labels += 1;
            self.begin(Label(*labels), rng);
            let (label, name, version) = (self.label, self.kind.name.clone(), self.kind.version);
            acts.push(Act::Tell(Fact::Begun { label, name, version }));
        }
        let what = self.plan[0];
        if let What::End(outcome) = what
            && !self.has_intended
        {
            self.has_intended = true;
            let (label, contents) = (self.label, self.contents.clone());
            acts.push(Act::Tell(Fact::Intended { label, outcome, contents }));
        }
        acts.push(self.send(what));
        acts
    }

    fn send(&self, what: What) -> Act {
        let what = match what {
            What::Write { partition, value, .. } => {
                let sequence = self.sequences.get(&partition).copied().unwrap_or(0);
                What::Write { partition, sequence, value }
            }
            other @ (What::Init { .. } | What::Add(_) | What::CommitOffset(_) | What::End(_)) => other,
        };
        let producer = self.identity.unwrap_or(Identity::NONE);
        let (name, version, label) = (self.kind.name.clone(), self.kind.version, self.label);
        Act::Send(Request { name, version, label, producer, what })
    }

    /// Thinks of a transaction.
    fn begin(&mut self, label: Label, rng: &mut Rng) {
        self.label = label;
        self.contents.clear();
        self.has_intended = false;
        let raises = self.kind.version.raises_epoch();
        if raises && rng.chance(50) {
            // Whoever does not know how far it got may abort what it has not begun.
            return self.plan.push_back(What::End(Outcome::Abort));
        }
        let mut added = BTreeSet::new();
        let mut number = 0;
        let mut join = |plan: &mut VecDeque<What>, place, what| {
            if !raises && added.insert(place) {
                plan.push_back(What::Add(place));
            }
            plan.push_back(what);
        };
        for _ in 0..1 + rng.below(BATCHES_MAX) {
            let partition = rng.below(DATA_PARTITIONS as u64) as i32;
            let what = What::Write { partition, sequence: 0, value: Value { label, number } };
            join(&mut self.plan, Place::Data(partition), what);
            number += RECORDS as u32;
        }
        if rng.chance(500) {
            join(&mut self.plan, Place::Offsets, What::CommitOffset(Value { label, number }));
        }
        self.plan.push_back(What::End(if rng.chance(700) { Outcome::Commit } else { Outcome::Abort }));
    }

    /// An answer came in.
    pub(super) fn receive(&mut self, request: RequestId, answer: Answer, now: Instant, rng: &mut Rng) {
        if self.waiting.is_none_or(|(waited, _)| waited != request) {
            return;
        }
        self.waiting = None;
        self.act_at = now + self.pause(rng);
        match answer {
            Answer::Named(identity) => self.named(identity),
            Answer::Done => self.done(),
            Answer::Refused(code) => self.refused(code, now),
        }
    }

    fn named(&mut self, identity: Identity) {
        let was_end = self.plan.pop_front().is_some();
        if was_end {
            self.ended += 1;
        } else {
            self.must_go_on = false;
        }
        // Under the older protocol the sequences go on with the epoch.
        if self.identity != Some(identity) {
            self.sequences.clear();
        }
        self.identity = Some(identity);
    }

    fn done(&mut self) {
        let Some(what) = self.plan.pop_front() else { return };
        if let What::Write { partition, .. } = what {
            *self.sequences.entry(partition).or_default() += RECORDS;
        }
        if let Some(place) = what.place() {
            self.contents.extend(what.values().into_iter().map(|value| (place, value)));
        }
    }

    fn refused(&mut self, code: ErrorCode, now: Instant) {
        self.act_at = now + BACKOFF;
        let writes = matches!(self.plan.front(), Some(What::Write { .. } | What::CommitOffset(_)));
        match code {
            ErrorCode::InvalidProducerEpoch if writes => {
                self.plan.clear();
                self.must_go_on = true;
            }
            ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch | ErrorCode::InvalidProducerIdMapping => {
                self.die();
            }
            ErrorCode::TransactionAbortable | ErrorCode::InvalidTxnState | ErrorCode::OutOfOrderSequenceNumber => {
                self.give_up();
            }
            // Whatever else it was: not now, not here.
            _ => {}
        }
    }

    /// It does not get on with its transaction and aborts it, or does not know how it has ended.
    fn give_up(&mut self) {
        match self.plan.front() {
            None => {}
            Some(What::End(_)) => {
                self.plan.clear();
                self.must_go_on = true;
            }
            Some(_) => {
                self.plan = VecDeque::from([What::End(Outcome::Abort)]);
                // What it sent may still be on its way: under the older protocol only a new epoch keeps it out.
                self.must_go_on = !self.kind.version.raises_epoch();
            }
        }
    }

    /// How long the process thinks before it goes on: now and then longer than its transaction may take.
    fn pause(&self, rng: &mut Rng) -> Duration {
        match rng.below(200) {
            0 if !self.is_brisk => Duration::from_millis(rng.below(15_000)),
            1..20 => Duration::from_millis(rng.below(1_000)),
            _ => Duration::from_millis(rng.below(20)),
        }
    }
}
