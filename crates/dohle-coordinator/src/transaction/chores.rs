//! What is done when nobody asks: overdue transactions are aborted, forgotten ids forgotten, each a piece at a time.

use std::ops::Bound;

use dohle_base::{Instant, Now, ProducerId, Timestamp};

use super::coordinator::{Soft, TransactionCoordinator};
use super::end::{Ending, decided};
use super::record::Record;
use super::state::{State, Transaction};
use crate::TransactionalId;

/// The most transactions that one piece of a chore looks at.
const TRANSACTIONS_PER_PIECE: usize = 10_000;

/// A walk through all ids, or all open ones: it begins at a moment, and rests between its pieces.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    at: Instant,
    /// Where it goes on; none while no walk is under way.
    from: Option<TransactionalId>,
}

/// One batch of a walk.
struct Piece {
    records: Vec<Record>,
    weight: usize,
    weight_max: usize,
}

impl Walk {
    pub(super) fn at(at: Instant) -> Self {
        Self { at, from: None }
    }

    fn deadline(&self) -> Instant {
        if self.from.is_some() { Instant::ZERO } else { self.at }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.deadline() <= now
    }

    fn start(&mut self) -> Bound<TransactionalId> {
        self.from.take().map_or(Bound::Unbounded, Bound::Included)
    }
}

impl Piece {
    fn new(weight_max: usize) -> Self {
        Self { records: vec![], weight: 0, weight_max }
    }

    /// Takes all records or none. An empty piece takes whatever comes: the ledger has the last word.
    fn take(&mut self, records: Vec<Record>) -> bool {
        let weight: usize = records.iter().map(Record::weight).sum();
        if !self.records.is_empty() && self.weight + weight > self.weight_max {
            return false;
        }
        self.weight += weight;
        self.records.extend(records);
        true
    }
}

impl Soft {
    pub(super) fn deadline(&self) -> Instant {
        if !self.unmarkable.is_empty() {
            return Instant::ZERO;
        }
        self.timeouts.deadline().min(self.expiry.deadline())
    }

    /// Keeps an id for the next overdue transaction that needs one, and looks for it at once.
    pub(super) fn take_spare(&mut self, id: ProducerId, now: Instant) {
        self.spare = Some(id);
        if self.lacks_spare {
            self.lacks_spare = false;
            self.timeouts = Walk::at(now);
        }
    }
}

impl TransactionCoordinator {
    /// Does the next piece of what is due.
    pub(super) fn do_chore(&self, soft: &mut Soft, now: Now) -> Vec<Record> {
        if !soft.unmarkable.is_empty() {
            self.complete_unmarkable(soft, now)
        } else if soft.timeouts.is_due(now.instant) {
            self.abort_overdue(soft, now)
        } else if soft.expiry.is_due(now.instant) {
            self.forget_expired(soft, now)
        } else {
            vec![]
        }
    }

    fn complete_unmarkable(&self, soft: &mut Soft, now: Now) -> Vec<Record> {
        let mut piece = Piece::new(self.settings.batch_bytes_max);
        while let Some(prepared_at) = soft.unmarkable.front() {
            if !piece.take(self.completion(*prepared_at, now).into_iter().collect()) {
                break;
            }
            soft.unmarkable.pop_front();
        }
        piece.records
    }

    fn abort_overdue(&self, soft: &mut Soft, now: Now) -> Vec<Record> {
        let mut piece = Piece::new(self.settings.batch_bytes_max);
        let ids = self.ongoing.range((soft.timeouts.start(), Bound::Unbounded));
        for (looked_at, id) in ids.enumerate() {
            let transaction = &self.transactions[id].transaction;
            let is_abortable = transaction.is_overdue(now.wall);
            if looked_at == TRANSACTIONS_PER_PIECE
                || is_abortable && !self.abort(soft, &mut piece, id, transaction, now)
            {
                soft.timeouts.from = Some(id.clone());
                return piece.records;
            }
        }
        soft.timeouts.at = now.instant + self.settings.abort_interval;
        piece.records
    }

    /// False when the batch is full. A transaction that lacks an id to go on with waits for the next walk.
    fn abort(
        &self,
        soft: &mut Soft,
        piece: &mut Piece,
        id: &TransactionalId,
        transaction: &Transaction,
        now: Now,
    ) -> bool {
        let prepared = match self.fence(transaction, soft.spare, now.wall) {
            Ending::Decided(prepared) => prepared,
            Ending::NeedsProducerId => {
                soft.lacks_spare = true;
                return true;
            }
        };
        let has_used_spare = prepared.next_id.is_some();
        if !piece.take(decided(id, prepared, now.wall)) {
            return false;
        }
        soft.remember(id, None);
        if has_used_spare {
            soft.spare = None;
        }
        true
    }

    fn forget_expired(&self, soft: &mut Soft, now: Now) -> Vec<Record> {
        let mut piece = Piece::new(self.settings.batch_bytes_max);
        let known = self.transactions.range((soft.expiry.start(), Bound::Unbounded));
        for (looked_at, (id, known)) in known.enumerate() {
            let is_expired = self.is_expired(&known.transaction, now.wall);
            let tombstone = || vec![Record { transactional_id: id.clone(), value: None }];
            if looked_at == TRANSACTIONS_PER_PIECE || is_expired && !piece.take(tombstone()) {
                soft.expiry.from = Some(id.clone());
                return piece.records;
            }
            if is_expired {
                soft.remember(id, None);
            }
        }
        soft.expiry.at = now.instant + self.settings.expiry_interval;
        piece.records
    }

    fn is_expired(&self, transaction: &Transaction, now: Timestamp) -> bool {
        match transaction.state {
            State::Ongoing | State::Prepared(_) => false,
            State::Empty | State::Complete(_) => {
                now.saturating_since(transaction.updated_at) >= self.settings.id_expiration
            }
        }
    }
}
