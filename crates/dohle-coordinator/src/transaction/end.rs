//! EndTxn: what becomes of a transaction. The tables of the two protocols differ (`endTransactionWithTV1`,
//! `endTransaction`): under version 2 each end raises the epoch, so that a late request is told from the next one, and a
//! producer that does not know how far it got may abort what it has not begun.

use std::sync::Arc;

use dohle_base::{ErrorCode, Now, ProducerEpoch, ProducerId, Timestamp};

use super::coordinator::{Soft, TransactionCoordinator};
use super::record::Record;
use super::state::{EPOCH_EXHAUSTED, Outcome, State, Transaction};
use super::{End, Reply};
use crate::{Producer, TransactionalId};

/// How a transaction is about to end.
pub(super) enum Ending {
    /// Like this.
    Decided(Transaction),
    /// It would, had it an id to go on with.
    NeedsProducerId,
}

/// What an end is, to a state.
enum Verdict {
    /// The transaction ends now.
    New,
    /// It has ended just so: the producer did not hear the answer.
    Repeated,
}

impl Ending {
    /// The end of a transaction under version 2.
    pub(super) fn raising(before: &Transaction, outcome: Outcome, fresh: Option<ProducerId>, now: Timestamp) -> Self {
        if !before.is_exhausted() {
            return Self::Decided(before.prepared_and_raised(outcome, None, now));
        }
        match fresh {
            Some(_) => Self::Decided(before.prepared_and_raised(outcome, fresh, now)),
            None => Self::NeedsProducerId,
        }
    }
}

impl TransactionCoordinator {
    pub(super) fn end(&self, soft: &mut Soft, now: Now, end: &End) -> (Vec<Record>, Reply) {
        let refuse = |code| (vec![], Reply::End(Err(code)));
        let id = &end.transactional_id;
        if id.as_str().is_empty() {
            return refuse(ErrorCode::InvalidRequest);
        }
        let Some(known) = self.transactions.get(id) else {
            return refuse(ErrorCode::InvalidProducerIdMapping);
        };
        let before = &*known.transaction;
        let raises = end.version.raises_epoch();
        let verdict = if raises { judge_raising(before, end) } else { judge_keeping(before, end) };
        match verdict {
            Err(code) => return refuse(code),
            Ok(Verdict::Repeated) => return (vec![], Reply::End(Ok(before.producer))),
            Ok(Verdict::New) => {}
        }
        let ending = if raises {
            Ending::raising(before, end.outcome, end.fresh, now.wall)
        } else {
            Ending::Decided(before.prepared(before.producer, end.outcome, now.wall))
        };
        let Ending::Decided(prepared) = ending else { return (vec![], Reply::NeedsProducerId) };
        if raises {
            soft.remember(id, None);
        }
        let reply = Reply::End(Ok(prepared.successor()));
        (decided(id, prepared, now.wall), reply)
    }
}

/// The records of a decided transaction: one that wrote nowhere is complete at once.
pub(super) fn decided(id: &TransactionalId, prepared: Transaction, now: Timestamp) -> Vec<Record> {
    let completed = prepared.partitions.is_empty().then(|| prepared.completed(now));
    let record = |value| Record { transactional_id: id.clone(), value: Some(Arc::new(value)) };
    [Some(prepared), completed].into_iter().flatten().map(record).collect()
}

/// A producer that keeps its epoch.
fn judge_keeping(before: &Transaction, end: &End) -> Result<Verdict, ErrorCode> {
    if before.producer.id != end.producer.id {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if before.producer.epoch != end.producer.epoch {
        return Err(ErrorCode::ProducerFenced);
    }
    match before.state {
        State::Ongoing => Ok(Verdict::New),
        State::Complete(outcome) if outcome == end.outcome => Ok(Verdict::Repeated),
        State::Prepared(outcome) if outcome == end.outcome => Err(ErrorCode::ConcurrentTransactions),
        State::Empty | State::Prepared(_) | State::Complete(_) => Err(ErrorCode::InvalidTxnState),
    }
}

/// A producer whose epoch rises with each transaction: the current epoch is the next transaction's, the one before it that
/// of a repeated request.
fn judge_raising(before: &Transaction, end: &End) -> Result<Verdict, ErrorCode> {
    let Producer { id, epoch } = end.producer;
    let current = before.producer.epoch;
    let is_reborn = before.previous_id == id && epoch == EPOCH_EXHAUSTED && current == ProducerEpoch(0);
    let is_raised = i32::from(current.0) == i32::from(epoch.0) + 1;
    let is_valid = match before.state {
        State::Empty | State::Ongoing => epoch == current,
        State::Prepared(_) => is_raised,
        // The very last epoch fences, and is nobody's answer.
        State::Complete(_) => is_raised && epoch != EPOCH_EXHAUSTED || is_reborn || epoch == current,
    };
    if before.producer.id != id && !is_reborn {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if !is_valid {
        return Err(ErrorCode::ProducerFenced);
    }
    match (before.state, end.outcome) {
        (State::Ongoing, _) => Ok(Verdict::New),
        (State::Prepared(outcome), _) if outcome == end.outcome => Err(ErrorCode::ConcurrentTransactions),
        (State::Complete(outcome), _) if is_raised || is_reborn => {
            if outcome == end.outcome {
                Ok(Verdict::Repeated)
            } else {
                Err(ErrorCode::InvalidTxnState)
            }
        }
        (State::Empty | State::Complete(_), Outcome::Abort) => Ok(Verdict::New),
        (State::Empty | State::Complete(_), Outcome::Commit) | (State::Prepared(_), _) => {
            Err(ErrorCode::InvalidTxnState)
        }
    }
}
