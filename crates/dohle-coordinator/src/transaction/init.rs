//! InitProducerId: a producer begins a life, and whoever had its name before is fenced (KIP-98, KIP-360).

use std::sync::Arc;

use dohle_base::{ErrorCode, Now, ProducerEpoch, ProducerId, Timestamp};

use super::coordinator::{Soft, TRANSACTIONS_MAX, TransactionCoordinator};
use super::end::{Ending, decided};
use super::record::Record;
use super::state::{EPOCH_EXHAUSTED, Outcome, State, TIMEOUT_NEVER_MS, Transaction};
use super::{Init, Reply, Settings};
use crate::{Producer, TransactionalId};

/// Whom a life makes of a producer.
enum Life {
    /// The next epoch.
    Next,
    /// An id that nobody has: the epochs of the old one are used up.
    Reborn,
    /// The same as before: the producer did not hear the answer.
    Same,
}

impl TransactionCoordinator {
    pub(super) fn init(&self, soft: &mut Soft, now: Now, init: Init) -> (Vec<Record>, Reply) {
        let refuse = |code| (vec![], Reply::Init(Err(code)));
        let timeout_ms = match timeout(&init, &self.settings) {
            Ok(timeout_ms) => timeout_ms,
            Err(code) => return refuse(code),
        };
        let id = init.transactional_id;
        let Some(known) = self.transactions.get(&id) else {
            return self.begin_first_life(id, init.fresh, timeout_ms, now.wall);
        };
        let before = &*known.transaction;
        if init.expected.is_some_and(|expected| !may_be(before, expected)) {
            return refuse(ErrorCode::ProducerFenced);
        }
        match before.state {
            State::Prepared(_) => return refuse(ErrorCode::ConcurrentTransactions),
            State::Ongoing => return self.fence_by_init(soft, now, &id, before, init.fresh),
            State::Empty | State::Complete(_) => {}
        }
        let last = last_epoch(soft, &id, before);
        let expected = init.expected.map(|expected| expected.epoch);
        let life = match life(before, expected, last) {
            Ok(life) => life,
            Err(code) => return refuse(code),
        };
        let (producer, last) = match (life, init.fresh) {
            (Life::Same, _) => (before.producer, last),
            (Life::Next, _) => (next_epoch(before.producer), expected),
            (Life::Reborn, Some(fresh)) => (Producer { id: fresh, epoch: ProducerEpoch(0) }, expected),
            (Life::Reborn, None) => return (vec![], Reply::NeedsProducerId),
        };
        soft.remember(&id, last);
        let value = Some(Arc::new(before.initialised(producer, timeout_ms, now.wall)));
        (vec![Record { transactional_id: id, value }], Reply::Init(Ok(producer)))
    }

    fn begin_first_life(
        &self,
        id: TransactionalId,
        fresh: Option<ProducerId>,
        timeout_ms: i32,
        now: Timestamp,
    ) -> (Vec<Record>, Reply) {
        if self.transactions.len() >= TRANSACTIONS_MAX {
            return (vec![], Reply::Init(Err(ErrorCode::PolicyViolation)));
        }
        let Some(fresh) = fresh else { return (vec![], Reply::NeedsProducerId) };
        let producer = Producer { id: fresh, epoch: ProducerEpoch(0) };
        let value = Some(Arc::new(Transaction::unborn(fresh, now).initialised(producer, timeout_ms, now)));
        (vec![Record { transactional_id: id, value }], Reply::Init(Ok(producer)))
    }

    /// The open transaction is aborted first, and the caller has to come again; by then it is fenced.
    fn fence_by_init(
        &self,
        soft: &mut Soft,
        now: Now,
        id: &TransactionalId,
        before: &Transaction,
        fresh: Option<ProducerId>,
    ) -> (Vec<Record>, Reply) {
        match self.fence(before, fresh, now.wall) {
            Ending::Decided(prepared) => {
                soft.remember(id, None);
                (decided(id, prepared, now.wall), Reply::Init(Err(ErrorCode::ConcurrentTransactions)))
            }
            Ending::NeedsProducerId => (vec![], Reply::NeedsProducerId),
        }
    }

    /// Aborts an open transaction in the name of the coordinator, in an epoch that its producer does not have. That epoch is
    /// raised once: under version 2 the end of a transaction does it anyway (KAFKA-19367).
    pub(super) fn fence(&self, before: &Transaction, fresh: Option<ProducerId>, now: Timestamp) -> Ending {
        if self.settings.version.raises_epoch() {
            return Ending::raising(before, Outcome::Abort, fresh, now);
        }
        Ending::Decided(before.prepared(next_epoch(before.producer), Outcome::Abort, now))
    }
}

impl Soft {
    /// The epoch that the producer went on from, so that it may ask again; none if it began anew.
    pub(super) fn remember(&mut self, id: &TransactionalId, last: Option<ProducerEpoch>) {
        match last {
            Some(epoch) => drop(self.continued.insert(id.clone(), epoch)),
            None => drop(self.continued.remove(id)),
        }
    }
}

/// The transactions' timeout, if the request may be answered at all.
fn timeout(init: &Init, settings: &Settings) -> Result<i32, ErrorCode> {
    if init.transactional_id.as_str().is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    if init.two_phase && !settings.two_phase {
        return Err(ErrorCode::TransactionalIdAuthorizationFailed);
    }
    // Kafka 4.4 knows the flag and refuses it: the rest of KIP-939 is not written yet.
    if init.keep_prepared {
        return Err(ErrorCode::UnsupportedVersion);
    }
    if init.two_phase {
        return Ok(TIMEOUT_NEVER_MS);
    }
    let is_in_range = init.timeout_ms > 0 && init.timeout_ms as u128 <= settings.timeout_max.as_millis();
    if is_in_range { Ok(init.timeout_ms) } else { Err(ErrorCode::InvalidTransactionTimeout) }
}

/// Whether a producer may take itself for `expected`: its id is current, or it is the one before and was used up, so that the
/// producer may not have heard of its new id.
fn may_be(before: &Transaction, expected: Producer) -> bool {
    let was_used_up = expected.id == before.previous_id && expected.epoch >= EPOCH_EXHAUSTED;
    expected.id == before.producer.id || was_used_up
}

fn life(before: &Transaction, expected: Option<ProducerEpoch>, last: Option<ProducerEpoch>) -> Result<Life, ErrorCode> {
    let current = before.producer.epoch;
    if expected.is_none_or(|expected| expected == current) {
        return Ok(if before.is_exhausted() { Life::Reborn } else { Life::Next });
    }
    if expected == last { Ok(Life::Same) } else { Err(ErrorCode::ProducerFenced) }
}

/// The epoch that the producer had before its current one, where it may still believe in it.
///
/// After a transaction that raised the epoch, this can be read off the state, so that it outlives a leadership.
fn last_epoch(soft: &Soft, id: &TransactionalId, before: &Transaction) -> Option<ProducerEpoch> {
    let has_raised = matches!(before.state, State::Complete(_)) && before.version.raises_epoch();
    match before.producer.epoch {
        ProducerEpoch(0) if has_raised => Some(EPOCH_EXHAUSTED),
        ProducerEpoch(epoch) if has_raised => Some(ProducerEpoch(epoch - 1)),
        ProducerEpoch(_) => soft.continued.get(id).copied(),
    }
}

/// At most the last one, which is never handed to a client.
fn next_epoch(producer: Producer) -> Producer {
    Producer { id: producer.id, epoch: ProducerEpoch(producer.epoch.0.saturating_add(1)) }
}
