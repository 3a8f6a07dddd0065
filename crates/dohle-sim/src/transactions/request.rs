//! What transactional producers ask a broker for, and what they are told.

use dohle_base::ErrorCode;
use dohle_coordinator::transaction::{Outcome, Version};
use dohle_coordinator::{Producer, TransactionalId};

use super::fact::{Label, Value};
use super::place::Place;

/// A request, and in whose name it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) name: TransactionalId,
    /// The protocol that the client follows.
    pub(crate) version: Version,
    /// The transaction that it is part of, if it is part of one.
    pub(crate) label: Label,
    /// Who the client says it is; [`Producer::NONE`] if it does not know.
    pub(crate) producer: Producer,
    pub(crate) what: What,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// InitProducerId, of a client that goes on where it names a producer.
    Init { timeout_ms: i32 },
    /// AddPartitionsToTxn, or AddOffsetsToTxn for the offsets.
    Add(Place),
    /// Produce of one batch with two records.
    Write { partition: i32, sequence: i32, value: Value },
    /// TxnOffsetCommit of the group that bears the producer's name.
    CommitOffset(Value),
    /// EndTxn.
    End(Outcome),
}

/// How many records a written batch has: the second has the next number.
pub(crate) const RECORDS: i32 = 2;

impl What {
    /// The partition that it needs in the transaction.
    pub(crate) fn place(self) -> Option<Place> {
        match self {
            Self::Init { .. } | Self::End(_) => None,
            Self::Add(place) => Some(place),
            Self::Write { partition, .. } => Some(Place::Data(partition)),
            Self::CommitOffset(_) => Some(Place::Offsets),
        }
    }

    /// The records that it writes.
    pub(crate) fn values(self) -> Vec<Value> {
        match self {
            Self::Init { .. } | Self::Add(_) | Self::End(_) => vec![],
            Self::Write { value, .. } => vec![value, Value { number: value.number + 1, ..value }],
            Self::CommitOffset(value) => vec![value],
        }
    }
}

/// What the broker says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Who the producer is from now on.
    Named(Producer),
    /// It is done, and safe.
    Done,
    Refused(ErrorCode),
}

impl Answer {
    pub(crate) fn of(said: Result<(), ErrorCode>) -> Self {
        said.map_or_else(Self::Refused, |()| Self::Done)
    }

    pub(crate) fn named(said: Result<Producer, ErrorCode>) -> Self {
        said.map_or_else(Self::Refused, Self::Named)
    }

    pub(crate) fn code(self) -> ErrorCode {
        match self {
            Self::Named(_) | Self::Done => ErrorCode::None,
            Self::Refused(code) => code,
        }
    }
}
