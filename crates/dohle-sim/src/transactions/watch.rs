//! Which narrow places a run has passed, as far as the facts say it.

use std::collections::{BTreeMap, BTreeSet};

use dohle_base::ErrorCode;
use dohle_coordinator::TransactionalId;
use dohle_coordinator::transaction::{State, Transaction};

use super::edge::Edge;
use super::fact::{Decided, Fact};
use super::invariant::misled::Misled;
use super::request::{Answer, Request, What};
use crate::fact::RequestId;

/// What was asked, what the coordinator's log says, and what had been passed.
#[derive(Default)]
pub(super) struct Watch {
    asked: BTreeMap<RequestId, Request>,
    latest: BTreeMap<TransactionalId, Transaction>,
    /// Requests that made the coordinator decide.
    decided: BTreeSet<RequestId>,
    misled: Misled,
    passed: BTreeMap<Edge, u64>,
}

impl Watch {
    pub(super) fn pass(&mut self, edge: Edge) {
        *self.passed.entry(edge).or_default() += 1;
    }

    pub(super) fn passed(&self) -> &BTreeMap<Edge, u64> {
        &self.passed
    }

    pub(super) fn asked(&mut self, request: RequestId, asked: &Request) {
        self.asked.insert(request, asked.clone());
    }

    /// An answer; what an observer is to know of it.
    pub(super) fn answered(&mut self, request: RequestId, answer: Answer) -> Option<Fact> {
        let asked = self.asked.remove(&request)?;
        self.pass_answer(request, &asked, answer.code());
        let Answer::Named(producer) = answer else { return None };
        match asked.what {
            What::End(_) => Some(Fact::EndTold { request, name: asked.name, producer }),
            _ => Some(Fact::Named { name: asked.name, producer }),
        }
    }

    fn pass_answer(&mut self, request: RequestId, asked: &Request, code: ErrorCode) {
        if matches!(code, ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch) {
            self.pass(Edge::Fenced);
        }
        match asked.what {
            What::End(_) if code == ErrorCode::ConcurrentTransactions => self.pass(Edge::EndWhilePrepared),
            What::End(_) if code.is_none() && !self.decided.contains(&request) => self.pass(Edge::EndRepeated),
            What::End(_) if code == ErrorCode::ProducerFenced && self.is_open(&asked.name) => {
                self.pass(Edge::LateEndRefused);
            }
            What::Init { .. } if code.is_none() && asked.producer.id.0 >= 0 => self.pass(Edge::Continued),
            What::End(_) | What::Init { .. } | What::Add(_) | What::Write { .. } | What::CommitOffset(_) => {}
        }
    }

    fn is_open(&self, name: &TransactionalId) -> bool {
        self.latest.get(name).is_some_and(|transaction| transaction.state == State::Ongoing)
    }

    pub(super) fn note(&mut self, fact: &Fact) {
        let misled = self.misled.count();
        self.misled.note(fact);
        if self.misled.count() > misled {
            self.pass(Edge::LateEndMisled);
        }
        match fact {
            Fact::Decided(decided) => self.decided(decided),
            Fact::Led { decisions, .. } => {
                self.latest.clear();
                decisions.iter().for_each(|decided| self.remember(decided));
                let states: Vec<State> = self.latest.values().map(|transaction| transaction.state).collect();
                for state in states {
                    match state {
                        State::Prepared(_) => self.pass(Edge::CrashInPrepared),
                        State::Ongoing => self.pass(Edge::CrashInOngoing),
                        State::Empty | State::Complete(_) => {}
                    }
                }
            }
            Fact::Begun { .. }
            | Fact::Intended { .. }
            | Fact::EndAsked { .. }
            | Fact::EndTold { .. }
            | Fact::Named { .. }
            | Fact::WriteTold(_)
            | Fact::Safe(_)
            | Fact::Wrote(_)
            | Fact::Stood { .. }
            | Fact::Seen { .. }
            | Fact::Stands { .. }
            | Fact::Rested => {}
        }
    }

    fn decided(&mut self, decided: &Decided) {
        self.decided.extend(decided.cause);
        let before = self.latest.get(&decided.name);
        let was_open = before.is_some_and(|before| before.state == State::Ongoing);
        let had_id = before.map(|before| before.producer.id);
        match &decided.transaction {
            None => self.pass(Edge::Forgotten),
            Some(now) => {
                if had_id.is_some_and(|id| id != now.producer.id) {
                    self.pass(Edge::Reborn);
                }
                if let State::Prepared(_) = now.state {
                    let cause = decided.cause.and_then(|cause| self.asked.get(&cause)).map(|asked| asked.what);
                    match cause {
                        None if decided.cause.is_none() => self.pass(Edge::TimedOut),
                        Some(What::Init { .. }) => self.pass(Edge::AbortedByInit),
                        Some(What::End(_)) if !was_open => self.pass(Edge::AbortOfNothing),
                        None | Some(_) => {}
                    }
                }
            }
        }
        self.remember(decided);
    }

    fn remember(&mut self, decided: &Decided) {
        match &decided.transaction {
            Some(transaction) => drop(self.latest.insert(decided.name.clone(), (**transaction).clone())),
            None => drop(self.latest.remove(&decided.name)),
        }
    }
}
