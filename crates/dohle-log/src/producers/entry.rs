//! One producer as a partition remembers it (`ProducerStateEntry`).

use dohle_base::{Offset, ProducerEpoch, ProducerId, Timestamp};
use dohle_records::Header;
use dohle_records::batch::header::NO_SEQUENCE;

use super::Refusal;

/// How many batches of a producer are remembered: as many as it may have in flight.
pub const BATCHES_REMEMBERED: usize = 5;

/// A batch that a producer has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The sequence of its last record.
    pub last_sequence: i32,
    /// The offset of its last record.
    pub last_offset: Offset,
    /// From its first record to its last.
    pub offset_delta: i32,
    /// Its largest timestamp.
    pub timestamp: Timestamp,
}

/// One producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Its id.
    pub id: ProducerId,
    /// Its newest incarnation.
    pub epoch: ProducerEpoch,
    /// The epoch of the coordinator that last wrote a marker for it; -1 for none.
    pub coordinator_epoch: i32,
    /// The largest timestamp of its last batch, or its last marker's.
    pub last_timestamp: Timestamp,
    /// The first offset of its open transaction.
    pub transaction_start: Option<Offset>,
    /// When its last batch was appended here. Not part of what replicas agree on.
    pub(super) heard: Timestamp,
    batches: [Option<Remembered>; BATCHES_REMEMBERED],
}

impl Remembered {
    /// The offset of its first record.
    pub fn base_offset(&self) -> Offset {
        self.last_offset - i64::from(self.offset_delta)
    }

    /// The sequence of its first record, which may lie on the other side of the largest sequence.
    fn first_sequence(&self) -> i32 {
        if self.last_sequence == NO_SEQUENCE {
            return NO_SEQUENCE;
        }
        const NUMBERS: i64 = 1 << 31;
        (i64::from(self.last_sequence) - i64::from(self.offset_delta)).rem_euclid(NUMBERS) as i32
    }
}

impl Producer {
    pub(super) fn new(id: ProducerId) -> Self {
        Self {
            id,
            epoch: ProducerEpoch::NONE,
            coordinator_epoch: -1,
            last_timestamp: Timestamp::NONE,
            transaction_start: None,
            heard: Timestamp::NONE,
            batches: [None; BATCHES_REMEMBERED],
        }
    }

    /// The same, with a last batch.
    pub(super) fn with_last_batch(mut self, batch: Remembered) -> Self {
        self.batches[0] = Some(batch);
        self
    }

    /// Its last batch, if it is still remembered.
    pub fn last_batch(&self) -> Option<&Remembered> {
        self.batches.iter().rev().flatten().next()
    }

    /// The last sequence that it wrote; -1 when none is remembered.
    pub fn last_sequence(&self) -> i32 {
        self.last_batch().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    /// The last offset that it wrote; -1 when none is remembered.
    pub fn last_offset(&self) -> Offset {
        self.last_batch().map_or(Offset::NONE, |batch| batch.last_offset)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches[0].is_none()
    }

    /// The batch with the sequences of this one, if it is one of the last.
    pub(super) fn find(&self, header: &Header) -> Option<Remembered> {
        if header.producer_epoch != self.epoch {
            return None;
        }
        let (first, last) = (header.base_sequence, header.last_sequence());
        self.batches
            .iter()
            .flatten()
            .find(|batch| (batch.first_sequence(), batch.last_sequence) == (first, last))
            .copied()
    }

    pub(super) fn check_sequence(&self, header: &Header) -> Result<(), Refusal> {
        let (found, last) = (header.base_sequence, self.last_sequence());
        let next = if last == i32::MAX { 0 } else { last + 1 };
        let expected = if header.producer_epoch == self.epoch { next } else { 0 };
        // Whoever is known by a marker without an epoch is as good as unknown.
        if found == expected || self.epoch == ProducerEpoch::NONE {
            return Ok(());
        }
        Err(Refusal::OutOfOrderSequence { producer: self.id, found, last })
    }

    pub(super) fn refuse_epoch(&self, header: &Header) -> Refusal {
        Refusal::InvalidProducerEpoch { producer: self.id, found: header.producer_epoch, known: self.epoch }
    }

    /// Notes a written batch, and says whether a transaction begins with it.
    pub(super) fn apply_batch(&mut self, header: &Header) -> bool {
        self.enter(header.producer_epoch);
        let batch = Remembered {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        };
        match self.batches.iter().position(Option::is_none) {
            Some(free) => self.batches[free] = Some(batch),
            None => {
                self.batches.rotate_left(1);
                self.batches[BATCHES_REMEMBERED - 1] = Some(batch);
            }
        }
        self.last_timestamp = header.max_timestamp;
        let begins = self.transaction_start.is_none() && header.attributes.is_transactional();
        if begins {
            self.transaction_start = Some(header.base_offset);
        }
        begins
    }

    /// Notes a written marker, and says where the transaction began that it ends.
    pub(super) fn apply_marker(&mut self, header: &Header, coordinator_epoch: i32) -> Option<Offset> {
        self.enter(header.producer_epoch);
        self.coordinator_epoch = coordinator_epoch;
        self.last_timestamp = header.max_timestamp;
        self.transaction_start.take()
    }

    /// Takes over the batches of another view of the same producer, if both end alike and the other reaches further back.
    pub(super) fn recall(&mut self, other: &Self) {
        let last = |producer: &Self| (producer.epoch, producer.last_offset(), producer.last_sequence());
        let reach = |producer: &Self| producer.batches.iter().flatten().count();
        if last(self) == last(other) && reach(self) < reach(other) {
            self.batches = other.batches;
        }
    }

    /// A new epoch begins its own count.
    fn enter(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches = [None; BATCHES_REMEMBERED];
        }
    }
}
