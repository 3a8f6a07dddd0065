//! What a transactional producer is, and how its transactions follow one another (`TransactionMetadata`).
//!
//! Every transition makes a new value and leaves the old one alone; the caller has checked that it may be made.
//! Laws: an epoch is never negative; the last epoch of an id is never handed to a client, so that whoever has an id can be
//! fenced; an empty or complete transaction has no partitions.

use dohle_base::{Partition, ProducerEpoch, ProducerId, Timestamp, TopicName};
use imbl::OrdSet;

use crate::Producer;

/// From this epoch on no client is given the next one: the last is kept for fencing (`isEpochExhausted`).
pub(crate) const EPOCH_EXHAUSTED: ProducerEpoch = ProducerEpoch(i16::MAX - 1);
/// The timeout of a transaction that another coordinator ends: it never comes (KIP-939).
pub(crate) const TIMEOUT_NEVER_MS: i32 = i32::MAX;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: Partition,
}

/// Whether what a transaction wrote counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It does.
    Commit,
    /// It does not.
    Abort,
}

/// Levels of the feature `transaction.version`, and with them the protocol that a client ends its transactions by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// The protocol of KIP-98: a producer keeps its epoch through its transactions.
    #[default]
    Zero,
    /// The same, with records that can be extended.
    One,
    /// The protocol of KIP-890: the end of a transaction raises the epoch.
    Two,
}

/// Where a producer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It has begun nothing in this life.
    Empty,
    /// A transaction is open.
    Ongoing,
    /// The outcome is decided, and the partitions are being told.
    Prepared(Outcome),
    /// All partitions know the outcome.
    Complete(Outcome),
}

/// A transactional producer with its current or last transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Who it is. While prepared under [`Version::Two`], this is what the markers carry.
    pub producer: Producer,
    /// The id that it had before the last transition, [`ProducerId::NONE`] at its first.
    pub previous_id: ProducerId,
    /// The id that it gets when the prepared transaction is complete, because its epochs are used up.
    pub next_id: Option<ProducerId>,
    /// How long a transaction may take, in milliseconds.
    pub timeout_ms: i32,
    /// Where it stands.
    pub state: State,
    /// What the open or prepared transaction has written to.
    pub partitions: OrdSet<TopicPartition>,
    /// When the transaction began; none before the first of this life.
    pub started_at: Option<Timestamp>,
    /// When anything of this last changed.
    pub updated_at: Timestamp,
    /// The protocol of the last transition that named one.
    pub version: Version,
}

impl Version {
    /// Its number.
    pub fn level(self) -> i16 {
        match self {
            Self::Zero => 0,
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// The version of this number.
    pub fn from_level(level: i16) -> Option<Self> {
        [Self::Zero, Self::One, Self::Two].into_iter().find(|version| version.level() == level)
    }

    /// Whether the end of a transaction raises the epoch.
    pub fn raises_epoch(self) -> bool {
        self == Self::Two
    }
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Empty,
        Self::Ongoing,
        Self::Prepared(Outcome::Commit),
        Self::Prepared(Outcome::Abort),
        Self::Complete(Outcome::Commit),
        Self::Complete(Outcome::Abort),
    ];

    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::Prepared(Outcome::Commit) => "PrepareCommit",
            Self::Prepared(Outcome::Abort) => "PrepareAbort",
            Self::Complete(Outcome::Commit) => "CompleteCommit",
            Self::Complete(Outcome::Abort) => "CompleteAbort",
        }
    }

    /// Its number in the log.
    pub(crate) fn status(self) -> i8 {
        match self {
            Self::Empty => 0,
            Self::Ongoing => 1,
            Self::Prepared(Outcome::Commit) => 2,
            Self::Prepared(Outcome::Abort) => 3,
            Self::Complete(Outcome::Commit) => 4,
            Self::Complete(Outcome::Abort) => 5,
        }
    }

    pub(crate) fn from_status(status: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.status() == status)
    }
}

impl Transaction {
    /// A producer that the log does not know: its first life begins at epoch 0.
    pub(crate) fn unborn(id: ProducerId, now: Timestamp) -> Self {
        Self {
            producer: Producer { id, epoch: ProducerEpoch::NONE },
            previous_id: ProducerId::NONE,
            next_id: None,
            timeout_ms: 0,
            state: State::Empty,
            partitions: OrdSet::new(),
            started_at: None,
            updated_at: now,
            version: Version::Zero,
        }
    }

    /// Whether no client may be given the next epoch.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.producer.epoch >= EPOCH_EXHAUSTED
    }

    /// Whether its time is over. One that another coordinator ends has all the time.
    pub(crate) fn is_overdue(&self, now: Timestamp) -> bool {
        let started_at = self.started_at.unwrap_or(Timestamp::NONE).0;
        let is_limited = self.timeout_ms != TIMEOUT_NEVER_MS;
        self.state == State::Ongoing && is_limited && started_at.saturating_add(self.timeout_ms.into()) < now.0
    }

    /// A life begins, or goes on, as `producer`.
    pub(crate) fn initialised(&self, producer: Producer, timeout_ms: i32, now: Timestamp) -> Self {
        assert!(!matches!(self.state, State::Ongoing | State::Prepared(_)));
        Self {
            producer,
            previous_id: self.producer.id,
            next_id: None,
            timeout_ms,
            state: State::Empty,
            partitions: OrdSet::new(),
            started_at: None,
            updated_at: now,
            version: self.version,
        }
    }

    /// Partitions join the transaction; the first ones begin it.
    pub(crate) fn extended(&self, partitions: &[TopicPartition], version: Version, now: Timestamp) -> Self {
        let (known, started_at) = match self.state {
            State::Ongoing => (self.partitions.clone(), self.started_at),
            State::Empty | State::Complete(_) => (OrdSet::new(), Some(now)),
            State::Prepared(_) => unreachable!("a decided transaction takes no partitions"),
        };
        let partitions = known.union(partitions.iter().cloned().collect());
        let (state, previous_id) = (State::Ongoing, self.producer.id);
        Self { state, partitions, started_at, version, previous_id, updated_at: now, ..self.clone() }
    }

    /// The outcome is decided by a client of [`Version::Zero`], as `producer`: the same epoch, or a higher one that fences.
    pub(crate) fn prepared(&self, producer: Producer, outcome: Outcome, now: Timestamp) -> Self {
        assert!(self.state == State::Ongoing);
        assert!(producer.id == self.producer.id);
        Self {
            producer,
            previous_id: self.producer.id,
            state: State::Prepared(outcome),
            updated_at: now,
            version: Version::Zero,
            ..self.clone()
        }
    }

    /// The outcome is decided under [`Version::Two`]: the epoch rises. `next_id` is there if and only if it is used up.
    /// A transaction that has not begun can be aborted, and begins and ends now.
    pub(crate) fn prepared_and_raised(&self, outcome: Outcome, next_id: Option<ProducerId>, now: Timestamp) -> Self {
        assert!(next_id.is_some() == self.is_exhausted());
        let has_begun = self.state == State::Ongoing;
        assert!(has_begun || outcome == Outcome::Abort);
        let epoch = ProducerEpoch(self.producer.epoch.0.saturating_add(1));
        Self {
            producer: Producer { id: self.producer.id, epoch },
            previous_id: self.producer.id,
            next_id,
            state: State::Prepared(outcome),
            started_at: if has_begun { self.started_at } else { Some(now) },
            updated_at: now,
            version: Version::Two,
            ..self.clone()
        }
    }

    /// Who the producer is once the prepared transaction is complete.
    pub(crate) fn successor(&self) -> Producer {
        match self.next_id {
            Some(id) if self.version.raises_epoch() => Producer { id, epoch: ProducerEpoch(0) },
            Some(_) | None => self.producer,
        }
    }

    /// Every partition knows the outcome.
    pub(crate) fn completed(&self, now: Timestamp) -> Self {
        let State::Prepared(outcome) = self.state else { unreachable!("only a decided transaction is completed") };
        Self {
            producer: self.successor(),
            previous_id: self.producer.id,
            next_id: None,
            state: State::Complete(outcome),
            partitions: OrdSet::new(),
            updated_at: now,
            ..self.clone()
        }
    }

    /// The laws.
    pub(crate) fn check(&self) {
        assert!(self.producer.id >= ProducerId(0));
        assert!(self.producer.epoch >= ProducerEpoch(0));
        match self.state {
            State::Empty | State::Complete(_) => assert!(self.partitions.is_empty()),
            State::Ongoing | State::Prepared(_) => assert!(self.started_at.is_some()),
        }
        assert!(self.next_id.is_none() || matches!(self.state, State::Prepared(_)));
    }
}
