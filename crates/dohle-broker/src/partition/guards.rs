//! First batches of transactions, from the question whether the coordinator knows of the transaction to the append (KIP-890 part 1;
//! `VerificationGuard`, `VerificationStateEntry`).
//!
//! Owns one guard for each producer that is asked about. Knows neither the coordinator nor what it answers.
//! Laws: a guard ends with the first batch of the transaction here, or with its marker; an answer that was given under another guard
//! is worth nothing, so that no batch enters behind the marker that ends its transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use dohle_base::{ProducerEpoch, ProducerId, Timestamp};
use dohle_log::producers::{Origin, Verification};
use dohle_records::Header;

use super::Log;

/// The most guards of one partition; beyond it the oldest goes, and whoever asked under it asks again.
const GUARDS_MAX: usize = 100_000;

/// What an answer of the coordinator is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guard(u64);

/// What a writer has in its hands for the first batch of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Nothing.
    None,
    /// The operator lets everybody write (`transaction.partition.verification.enable=false`).
    Waived,
    /// The coordinator knew of the transaction when it was asked under this guard.
    Given(Guard),
}

/// Who wants a batch appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Author {
    /// A client.
    Client(Leave),
    /// A coordinator on this broker, with the version of transactions that its markers follow.
    Coordinator {
        /// 2 and above: a marker's epoch lies above that of its transaction.
        transaction_version: i16,
    },
}

/// The first batch of a transaction of which nobody knows that it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("producer {0} has no open transaction here, and no leave to begin one")]
pub(crate) struct Unverified(pub(crate) ProducerId);

/// The first batch of a transaction, before it is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FirstBatch {
    pub(crate) producer: ProducerId,
    pub(crate) epoch: ProducerEpoch,
    /// -1 where the writer does not count.
    pub(crate) sequence: i32,
    /// The producer's epoch rises with each transaction, so its sequences begin at 0.
    pub(crate) supports_epoch_bump: bool,
}

/// The guards of one partition.
#[derive(Debug, Default)]
pub(super) struct Guards {
    given: u64,
    by_producer: BTreeMap<ProducerId, Pending>,
    /// The same producers, whoever asked first before the others.
    by_age: BTreeMap<u64, ProducerId>,
}

/// A transaction that is asked about.
#[derive(Debug)]
struct Pending {
    guard: Guard,
    since: Timestamp,
    epoch: ProducerEpoch,
    lowest_sequence: i32,
    supports_epoch_bump: bool,
}

impl Guards {
    /// A guard to ask under; none if the transaction is open here, so that nobody need be asked.
    pub(super) fn open(&mut self, log: &Log, batch: &FirstBatch, now: Timestamp) -> Option<Guard> {
        if is_open(log, batch.producer, batch.epoch) {
            return None;
        }
        if let Some(pending) = self.by_producer.get_mut(&batch.producer) {
            pending.ask_again(batch);
            return Some(pending.guard);
        }
        self.make_room();
        self.given += 1;
        let guard = Guard(self.given);
        let pending = Pending {
            guard,
            since: now,
            epoch: batch.epoch,
            lowest_sequence: batch.sequence,
            supports_epoch_bump: batch.supports_epoch_bump,
        };
        self.by_producer.insert(batch.producer, pending);
        self.by_age.insert(guard.0, batch.producer);
        Some(guard)
    }

    /// In which role the log is to judge a batch.
    pub(super) fn admit(&self, log: &Log, header: &Header, author: Author) -> Result<Origin, Unverified> {
        match author {
            Author::Coordinator { transaction_version } => Ok(Origin::Coordinator { transaction_version }),
            Author::Client(leave) => {
                self.check(log, header, leave)?;
                let pending = self.by_producer.get(&header.producer_id);
                Ok(Origin::Client(pending.map(Pending::verification)))
            }
        }
    }

    /// Refuses the first batch of a transaction without leave. A marker needs none.
    pub(super) fn check(&self, log: &Log, header: &Header, leave: Leave) -> Result<(), Unverified> {
        let attributes = header.attributes;
        let (producer, epoch) = (header.producer_id, header.producer_epoch);
        if !attributes.is_transactional() || attributes.is_control() || is_open(log, producer, epoch) {
            return Ok(());
        }
        let given = match leave {
            Leave::None => false,
            Leave::Waived => true,
            Leave::Given(guard) => self.by_producer.get(&producer).is_some_and(|pending| pending.guard == guard),
        };
        if given { Ok(()) } else { Err(Unverified(producer)) }
    }

    /// The transaction has begun or ended here.
    pub(super) fn close(&mut self, producer: ProducerId) {
        if let Some(pending) = self.by_producer.remove(&producer) {
            self.by_age.remove(&pending.guard.0);
        }
    }

    /// Forgets whoever asked and never came back.
    pub(super) fn expire(&mut self, now: Timestamp, silence: Duration) {
        self.by_producer.retain(|_, pending| now.saturating_since(pending.since) < silence);
        self.by_age.retain(|_, producer| self.by_producer.contains_key(producer));
    }

    fn make_room(&mut self) {
        if self.by_producer.len() >= GUARDS_MAX
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.by_producer.remove(&oldest);
        }
    }
}

impl Pending {
    fn ask_again(&mut self, batch: &FirstBatch) {
        if batch.epoch > self.epoch || (batch.epoch == self.epoch && batch.sequence < self.lowest_sequence) {
            self.epoch = batch.epoch;
            self.lowest_sequence = batch.sequence;
        }
    }

    fn verification(&self) -> Verification {
        Verification { lowest_sequence: self.lowest_sequence, supports_epoch_bump: self.supports_epoch_bump }
    }
}

fn is_open(log: &Log, producer: ProducerId, epoch: ProducerEpoch) -> bool {
    let known = log.producers().get(producer);
    known.is_some_and(|known| known.transaction_start.is_some() && known.epoch == epoch)
}
