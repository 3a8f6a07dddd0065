//! What a partition remembers of its producers, so that a retried batch is written once and a transaction ends once (KIP-98, KIP-360,
//! KIP-890; `ProducerStateManager`, `ProducerAppendInfo`).
//!
//! Owns the map, its rules and its bound. [`Producers::check`] judges a batch before it is written and changes nothing;
//! [`Producers::apply`] is the only place where state changes, for leader, follower and recovery alike, so that equal logs give
//! equal states. Knows no file; [`snapshot`] is its form on disk.

pub mod snapshot;

mod entry;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use dohle_base::{ErrorCode, Offset, ProducerEpoch, ProducerId, Timestamp};
use dohle_records::Header;
use dohle_records::control::EndTransaction;
use thiserror::Error;

pub use entry::{BATCHES_REMEMBERED, Producer, Remembered};

/// The most producers that one partition remembers. Beyond it those go that were silent longest.
pub const PRODUCERS_MAX: usize = 100_000;
/// How many go at once when the bound is reached, so that finding them costs little per producer.
const EVICTED_AT_ONCE: usize = PRODUCERS_MAX / 8;

/// Who wants to write a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client: sequences are checked. A transactional batch was verified with its coordinator, if that was needed.
    Client(Option<Verification>),
    /// A coordinator on this broker, with the version of transactions that its markers follow.
    Coordinator {
        /// 2 and above: a marker's epoch lies above that of its transaction (KIP-890).
        transaction_version: i16,
    },
}

/// What the transaction coordinator's yes to a first batch was given for (KIP-890, `VerificationStateEntry`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verification {
    /// The lowest sequence that asked while the answer was out: a later one may not overtake it.
    pub lowest_sequence: i32,
    /// The producer's epoch rises with each transaction, so its sequences begin at 0.
    pub supports_epoch_bump: bool,
}

/// A batch that may not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The sequence is not the next one.
    #[error("producer {producer} sent sequence {found} after {last}")]
    OutOfOrderSequence {
        /// Who.
        producer: ProducerId,
        /// The first sequence of the batch.
        found: i32,
        /// The last that is known; -1 for none.
        last: i32,
    },
    /// A newer incarnation of the producer has written here.
    #[error("producer {producer} has epoch {known}, and {found} came")]
    InvalidProducerEpoch {
        /// Who.
        producer: ProducerId,
        /// The epoch of the batch.
        found: ProducerEpoch,
        /// The epoch that is known.
        known: ProducerEpoch,
    },
    /// A batch without a transaction while the producer's transaction is open.
    #[error("producer {0} has an open transaction")]
    InvalidTransactionState(ProducerId),
    /// The marker comes from a coordinator that was replaced.
    #[error("marker of coordinator epoch {found}, and {known} has written")]
    CoordinatorFenced {
        /// The marker's.
        found: i32,
        /// The known one.
        known: i32,
    },
    /// Too many producers, all with open transactions.
    #[error("{PRODUCERS_MAX} producers have open transactions")]
    Full,
}

impl Refusal {
    /// What the client is told.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
            Self::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            Self::InvalidTransactionState(_) => ErrorCode::InvalidTxnState,
            Self::CoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
            Self::Full => ErrorCode::ThrottlingQuotaExceeded,
        }
    }
}

/// What is to be done with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is to be written.
    Fresh,
    /// It was written before, there.
    Duplicate(Remembered),
}

/// A transaction that a marker has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Whose.
    pub producer: ProducerId,
    /// Its first record here.
    pub first: Offset,
    /// The marker.
    pub last: Offset,
    /// Whether its records do not count.
    pub aborted: bool,
    /// The last stable offset once this transaction has ended: what the abort index notes.
    pub last_stable: Offset,
}

/// All producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    known: BTreeMap<ProducerId, Producer>,
    /// Open transactions by their first offset.
    open: BTreeMap<Offset, ProducerId>,
    /// Ended transactions by their first offset, with their marker's, until the high watermark has passed it.
    unreplicated: BTreeMap<Offset, Offset>,
    /// Up to where the log is told here. Exclusive.
    end: Offset,
    evicted: u64,
}

impl Producers {
    /// No producers, for a log that begins at `start`.
    pub fn starting_at(start: Offset) -> Self {
        Self { end: start, ..Self::default() }
    }

    /// Those that a snapshot of the log up to `end` holds. They count as heard of at `now`: nobody knows better.
    pub fn restore(producers: impl IntoIterator<Item = Producer>, end: Offset, now: Timestamp) -> Self {
        let mut restored = Self::starting_at(end);
        for mut producer in producers {
            producer.heard = now;
            if let Some(first) = producer.transaction_start {
                restored.open.insert(first, producer.id);
            }
            restored.known.insert(producer.id, producer);
        }
        restored
    }

    /// All of them, by id: what DescribeProducers shows and a snapshot holds.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Producer> {
        self.known.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// One of them.
    pub fn get(&self, id: ProducerId) -> Option<&Producer> {
        self.known.get(&id)
    }

    /// How many had to go because of the bound.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Up to where the log is told here. Exclusive.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Judges a batch of a producer with an id, before it is written.
    pub fn check(&self, header: &Header, origin: Origin) -> Result<Verdict, Refusal> {
        assert!(header.has_producer());
        let Some(known) = self.known.get(&header.producer_id) else {
            return self.check_unknown(header, origin);
        };
        if let Origin::Client(_) = origin
            && let Some(written) = known.find(header)
        {
            return Ok(Verdict::Duplicate(written));
        }
        if header.producer_epoch < known.epoch {
            return Err(known.refuse_epoch(header));
        }
        if let Origin::Client(verification) = origin {
            check_verification(header, known.is_empty(), verification)?;
            known.check_sequence(header)?;
        }
        if known.transaction_start.is_some() && !header.attributes.is_transactional() {
            return Err(Refusal::InvalidTransactionState(known.id));
        }
        Ok(Verdict::Fresh)
    }

    /// Of a producer that nobody remembers any sequence is accepted, for what it wrote may have been deleted.
    fn check_unknown(&self, header: &Header, origin: Origin) -> Result<Verdict, Refusal> {
        if self.known.len() >= PRODUCERS_MAX && self.open.len() >= self.known.len() {
            return Err(Refusal::Full);
        }
        match origin {
            Origin::Client(verification) => check_verification(header, true, verification)?,
            Origin::Coordinator { .. } => {}
        }
        Ok(Verdict::Fresh)
    }

    /// Judges the marker that a coordinator wants to write.
    pub fn check_marker(&self, header: &Header, marker: EndTransaction, version: i16) -> Result<(), Refusal> {
        let Some(known) = self.known.get(&header.producer_id) else { return Ok(()) };
        let late =
            if version >= 2 { header.producer_epoch <= known.epoch } else { header.producer_epoch < known.epoch };
        // The coordinator asks again when it did not hear the answer; at the largest epoch there is none above.
        let again = version >= 2
            && header.producer_epoch == known.epoch
            && (known.transaction_start.is_none() || known.epoch.0 == i16::MAX);
        if late && !again {
            return Err(known.refuse_epoch(header));
        }
        if known.coordinator_epoch > marker.coordinator_epoch {
            let (found, known) = (marker.coordinator_epoch, known.coordinator_epoch);
            return Err(Refusal::CoordinatorFenced { found, known });
        }
        Ok(())
    }

    /// Notes a batch that is in the log: `header` as it was written, and the marker when it is one. Batches without a producer only
    /// move the end.
    pub fn apply(&mut self, header: &Header, marker: Option<EndTransaction>, now: Timestamp) -> Option<Ended> {
        assert!(header.base_offset >= self.end, "the log is told in order");
        self.end = header.next_offset();
        // A control batch without records is what compaction left of a transaction: it changes nothing.
        if !header.has_producer() || (header.attributes.is_control() && marker.is_none()) {
            return None;
        }
        self.make_room(header.producer_id);
        let known = self.known.entry(header.producer_id).or_insert_with(|| Producer::new(header.producer_id));
        known.heard = now;
        match marker {
            Some(marker) => {
                let start = known.apply_marker(header, marker.coordinator_epoch);
                start.map(|first| self.end_transaction(header, first, !marker.committed))
            }
            None => {
                if known.apply_batch(header) {
                    self.open.insert(header.base_offset, header.producer_id);
                }
                None
            }
        }
    }

    fn end_transaction(&mut self, header: &Header, first: Offset, aborted: bool) -> Ended {
        self.open.remove(&first);
        let last = header.last_offset();
        self.unreplicated.insert(first, last);
        let last_stable = self.open.keys().next().copied().unwrap_or_else(|| last.next());
        Ended { producer: header.producer_id, first, last, aborted, last_stable }
    }

    /// Takes over what `others`, who were told the end of the log only, remember of the batches before the last.
    pub(crate) fn recall(&mut self, others: &Self) {
        for known in self.known.values_mut() {
            if let Some(other) = others.known.get(&known.id) {
                known.recall(other);
            }
        }
    }

    /// Notes that the log ends at `end` although no batch says so: a new segment, a new start.
    pub fn advance_end(&mut self, end: Offset) {
        self.end = self.end.max(end);
    }

    /// The offset behind the last record whose fate is known to all: below the first open transaction, and below the first ended one
    /// whose marker is not under the high watermark yet.
    pub fn last_stable(&mut self, high_watermark: Offset) -> Offset {
        self.unreplicated.retain(|_, last| *last >= high_watermark);
        let open = self.open.keys().next();
        let unreplicated = self.unreplicated.keys().next();
        open.into_iter().chain(unreplicated).copied().fold(high_watermark, Offset::min)
    }

    /// The first offset of the oldest open transaction.
    pub fn first_open(&self) -> Option<Offset> {
        self.open.keys().next().copied()
    }

    /// Forgets transactions that ended below `start`: their records are gone.
    pub fn forget_below(&mut self, start: Offset) {
        self.unreplicated.retain(|_, last| *last >= start);
        self.advance_end(start);
    }

    /// Forgets the producers that were silent for `silence` and have no open transaction, and says how many.
    pub fn expire(&mut self, now: Timestamp, silence: Duration) -> usize {
        let before = self.known.len();
        self.known.retain(|_, known| known.transaction_start.is_some() || now.saturating_since(known.heard) < silence);
        before - self.known.len()
    }

    /// Keeps the bound: the longest silent go first, but none with an open transaction.
    fn make_room(&mut self, newcomer: ProducerId) {
        if self.known.len() < PRODUCERS_MAX || self.known.contains_key(&newcomer) {
            return;
        }
        let idle = self.known.values().filter(|known| known.transaction_start.is_none());
        let mut idle: Vec<_> = idle.map(|known| (known.heard, known.last_offset(), known.id)).collect();
        let gone = EVICTED_AT_ONCE.min(idle.len());
        if gone < idle.len() {
            idle.select_nth_unstable(gone);
        }
        for (_, _, id) in &idle[..gone] {
            self.known.remove(id);
        }
        self.evicted += gone as u64;
    }
}

fn check_verification(header: &Header, no_batches: bool, verification: Option<Verification>) -> Result<(), Refusal> {
    let Some(verification) = verification else { return Ok(()) };
    let found = header.base_sequence;
    let begins_late = verification.supports_epoch_bump && no_batches && found != 0;
    if begins_late || found > verification.lowest_sequence {
        return Err(Refusal::OutOfOrderSequence { producer: header.producer_id, found, last: -1 });
    }
    Ok(())
}
