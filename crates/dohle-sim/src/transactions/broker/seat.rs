//! A machine and the partition that keeps its records: what the ledger proposed is appended at once, and what the high watermark has
//! passed is committed.

use std::collections::BTreeMap;

use dohle_base::{Now, Offset, Token};
use dohle_log::log::AppendError;
use dohle_log::producers::Origin;
use dohle_replication::ledger::{Effect, Effects, Folded, Ledger, Refusal};

use super::BATCH_BYTES_MAX;
use super::journal::Journal;
use super::partition::Partition;

/// A machine in its partition. `W` is what is remembered of a caller until it is answered.
pub(super) struct Seat<M: Journal, W> {
    pub(super) partition: Partition,
    pub(super) ledger: Ledger<M>,
    tokens: u64,
    asking: BTreeMap<Token, W>,
}

/// What came of a step.
pub(super) struct Heard<M: Folded, W> {
    /// What was appended, whether or not that went well: what failed may be on the disk all the same.
    pub(super) appended: Vec<(Offset, Vec<M::Record>)>,
    /// Who is told what, in order.
    pub(super) told: Vec<(W, Result<M::Reply, Refusal>)>,
    /// The disk failed.
    pub(super) failed: bool,
}

impl<M: Journal, W> Seat<M, W> {
    /// Leads with the machine that the log was folded into.
    pub(super) fn lead(machine: M, partition: Partition, now: Now) -> Self {
        let ledger = Ledger::lead(machine, now, partition.log.end(), BATCH_BYTES_MAX);
        Self { partition, ledger, tokens: 0, asking: BTreeMap::new() }
    }

    pub(super) fn propose(&mut self, now: Now, waiter: W, command: M::Command) -> Heard<M, W> {
        let token = Token(self.tokens);
        self.tokens += 1;
        self.asking.insert(token, waiter);
        let mut effects = vec![];
        self.ledger.propose(now, token, command, &mut effects);
        self.perform(now, effects)
    }

    pub(super) fn tick(&mut self, now: Now) -> Heard<M, W> {
        let mut effects = vec![];
        self.ledger.tick(now, &mut effects);
        self.perform(now, effects)
    }

    /// Commits what the high watermark has passed.
    pub(super) fn settle(&mut self, now: Now) -> Heard<M, W> {
        let mut effects = vec![];
        self.ledger.commit(self.partition.high_watermark(), &mut effects);
        self.perform(now, effects)
    }

    /// How many callers wait.
    pub(super) fn waiting(&self) -> usize {
        self.asking.len()
    }

    fn perform(&mut self, now: Now, effects: Effects<M>) -> Heard<M, W> {
        let mut heard = Heard { appended: vec![], told: vec![], failed: false };
        for effect in effects {
            match effect {
                Effect::Append { at, records } => {
                    let origin = Origin::Coordinator { transaction_version: 0 };
                    match self.partition.append(&M::batch(&records, now.wall), origin, now) {
                        Ok(appended) => assert_eq!(appended.base_offset, at, "the log and the ledger count alike"),
                        Err(AppendError::Storage(_) | AppendError::Offline) => heard.failed = true,
                        Err(refusal) => panic!("the log refuses its ledger: {refusal}"),
                    }
                    heard.appended.push((at, records));
                    if heard.failed {
                        return heard;
                    }
                }
                Effect::Reply { token, reply } => heard.told.push((self.waiter(token), Ok(reply))),
                Effect::Refuse { token, refusal } => heard.told.push((self.waiter(token), Err(refusal))),
            }
        }
        heard
    }

    fn waiter(&mut self, token: Token) -> W {
        self.asking.remove(&token).expect("a token is answered once")
    }
}
