//! The transaction coordinator as the fold of its log: commands come in, the state says what becomes of them.
//!
//! Laws: the open and the decided transactions are listed, and no others; of a decided one, markers are noted only where
//! it wrote, and not all of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use dohle_base::{ErrorCode, Instant, Now, Offset, ProducerEpoch, ProducerId, Token};
use dohle_replication::ledger::{Decision, Folded};
use imbl::{OrdMap, OrdSet};

use super::chores::Walk;
use super::record::Record;
use super::state::{State, TopicPartition, Transaction};
use super::{Command, Reply, Settings};
use crate::{Producer, TransactionalId};

/// The most transactional ids that one coordinator keeps; a new one beyond them is refused.
pub(super) const TRANSACTIONS_MAX: usize = 1_000_000;

/// The transactional producers of one partition of `__transaction_state`, as far as the log remembers them.
#[derive(Clone, Debug)]
pub struct TransactionCoordinator {
    pub(super) settings: Arc<Settings>,
    pub(super) transactions: OrdMap<TransactionalId, Known>,
    /// Whose transaction is open.
    pub(super) ongoing: OrdSet<TransactionalId>,
    /// Whose transaction is decided but not complete, by where the log has the outcome.
    pub(super) prepared: OrdMap<Offset, TransactionalId>,
}

/// Where a producer stands, and since where in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) transaction: Arc<Transaction>,
    recorded_at: Offset,
}

/// What lives only as long as a leadership: which markers are written, and what time will demand.
#[derive(Clone, Debug)]
pub struct Soft {
    /// Where the markers of decided transactions are safe.
    pub(super) marked: BTreeMap<Offset, BTreeSet<TopicPartition>>,
    /// The epoch that a producer named when it last went on after an error: should it ask again, it did not hear the answer.
    /// The log does not keep it, in Kafka neither.
    pub(super) continued: BTreeMap<TransactionalId, ProducerEpoch>,
    /// Decided transactions of an earlier leadership that wrote nowhere.
    pub(super) unmarkable: VecDeque<Offset>,
    /// A producer id for an overdue transaction that has used up its epochs.
    pub(super) spare: Option<ProducerId>,
    pub(super) lacks_spare: bool,
    pub(super) timeouts: Walk,
    pub(super) expiry: Walk,
}

impl TransactionCoordinator {
    /// The coordinator of an empty log.
    pub fn new(settings: Arc<Settings>) -> Self {
        Self { settings, transactions: OrdMap::new(), ongoing: OrdSet::new(), prepared: OrdMap::new() }
    }

    /// How many transactional ids are known.
    pub fn len(&self) -> usize {
        self.transactions.len()
    }

    /// Whether no transactional id is known.
    pub fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }

    /// How many transactions are open.
    pub fn ongoing_count(&self) -> usize {
        self.ongoing.len()
    }

    /// The transaction of a producer who says it is `producer` and has not been fenced.
    pub(super) fn current(&self, id: &TransactionalId, producer: Producer) -> Result<&Arc<Transaction>, ErrorCode> {
        if id.as_str().is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let known = self.transactions.get(id).ok_or(ErrorCode::InvalidProducerIdMapping)?;
        if known.transaction.producer.id != producer.id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if known.transaction.producer.epoch != producer.epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        Ok(&known.transaction)
    }

    /// The laws; `soft` belongs to the latest state.
    pub fn check(&self, soft: &Soft) {
        for (id, known) in &self.transactions {
            known.transaction.check();
            let is_open = known.transaction.state == State::Ongoing;
            let is_decided = matches!(known.transaction.state, State::Prepared(_));
            assert!(self.ongoing.contains(id) == is_open);
            assert!((self.prepared.get(&known.recorded_at) == Some(id)) == is_decided);
        }
        assert!(self.ongoing.iter().all(|id| self.transactions.contains_key(id)));
        assert!(self.prepared.values().all(|id| self.transactions.contains_key(id)));
        for (offset, marked) in &soft.marked {
            let id = self.prepared.get(offset).expect("markers are noted for what is decided");
            let partitions = &self.transactions[id].transaction.partitions;
            assert!(marked.iter().all(|place| partitions.contains(place)));
            assert!(marked.len() < partitions.len());
        }
        assert!(soft.continued.keys().all(|id| self.transactions.contains_key(id)));
    }

    fn enlist(&mut self, offset: Offset, id: &TransactionalId, state: State) {
        match state {
            State::Ongoing => drop(self.ongoing.insert(id.clone())),
            State::Prepared(_) => drop(self.prepared.insert(offset, id.clone())),
            State::Empty | State::Complete(_) => {}
        }
    }

    fn strike(&mut self, id: &TransactionalId) {
        let Some(Known { transaction, recorded_at }) = self.transactions.get(id) else { return };
        match transaction.state {
            State::Ongoing => drop(self.ongoing.remove(id)),
            State::Prepared(_) => drop(self.prepared.remove(recorded_at)),
            State::Empty | State::Complete(_) => {}
        }
    }
}

impl Soft {
    /// Whether an overdue transaction waits for a producer id: answer with [`Command::Spare`].
    pub fn wants_producer_id(&self) -> bool {
        self.lacks_spare
    }
}

impl Folded for TransactionCoordinator {
    type Command = Command;
    type Record = Record;
    type Reply = Reply;
    type Soft = Soft;

    fn lead(&self, now: Now) -> Soft {
        let wrote_nowhere = |id: &TransactionalId| self.transactions[id].transaction.partitions.is_empty();
        let unmarkable = self.prepared.iter().filter(|(_, id)| wrote_nowhere(id)).map(|(offset, _)| *offset);
        Soft {
            marked: BTreeMap::new(),
            continued: BTreeMap::new(),
            unmarkable: unmarkable.collect(),
            spare: None,
            lacks_spare: false,
            timeouts: Walk::at(now.instant + self.settings.abort_interval),
            expiry: Walk::at(now.instant + self.settings.expiry_interval),
        }
    }

    fn decide(&self, soft: &mut Soft, now: Now, token: Token, command: Command) -> Decision<Record, Reply> {
        let (records, reply) = match command {
            Command::Init(init) => self.init(soft, now, init),
            Command::AddPartitions(request) => self.add_partitions(now, &request),
            Command::End(end) => self.end(soft, now, &end),
            Command::MarkersWritten(written) => self.note_markers(soft, now, written),
            Command::Spare(id) => {
                soft.take_spare(id, now.instant);
                (vec![], Reply::Spare)
            }
        };
        Decision::write(records, token, reply)
    }

    fn tick(&self, soft: &mut Soft, now: Now) -> Decision<Record, Reply> {
        Decision { records: self.do_chore(soft, now), replies: vec![] }
    }

    fn deadline(&self, soft: &Soft) -> Option<Instant> {
        Some(soft.deadline())
    }

    fn parked(_: &mut Soft) -> Vec<Token> {
        vec![]
    }

    fn apply(&mut self, offset: Offset, record: &Record) {
        let id = &record.transactional_id;
        self.strike(id);
        match &record.value {
            None => drop(self.transactions.remove(id)),
            Some(transaction) => {
                self.enlist(offset, id, transaction.state);
                let known = Known { transaction: Arc::clone(transaction), recorded_at: offset };
                self.transactions.insert(id.clone(), known);
            }
        }
    }

    fn weight(record: &Record) -> usize {
        record.weight()
    }
}
