//! What an observer who sees everything notes down of transactions. The laws judge facts; they see nothing of the machines.

use std::collections::BTreeSet;
use std::sync::Arc;

use dohle_base::Offset;
use dohle_coordinator::transaction::{Outcome, Transaction, Version};
use dohle_coordinator::{Producer, TransactionalId};

use super::place::Place;
use crate::fact::RequestId;

/// A transaction, as the process knows it that makes it: no two in a run have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label(pub u64);

/// A record, as it is written and read: whose transaction's, and the how manieth of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value {
    /// The transaction.
    pub label: Label,
    /// Its place in the transaction.
    pub number: u32,
}

/// What a batch of a log of a partition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// Records of a producer's transaction.
    Records(Vec<Value>),
    /// Its end.
    Marker(Outcome),
}

/// A batch in a log of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// In which partition.
    pub place: Place,
    /// The offset of its first record.
    pub at: Offset,
    /// Who wrote it, or whose transaction it ends.
    pub producer: Producer,
    /// What it says.
    pub written: Written,
}

/// A decision in the log of the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The request that was being decided, none for time alone.
    pub cause: Option<RequestId>,
    /// Where.
    pub at: Offset,
    /// About whom.
    pub name: TransactionalId,
    /// What it is from now on; none when it is forgotten.
    pub transaction: Option<Arc<Transaction>>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// A process begins a transaction.
    Begun {
        /// Which.
        label: Label,
        /// Whose.
        name: TransactionalId,
        /// The protocol that it follows.
        version: Version,
    },
    /// A process is about to ask for the first time that its transaction be ended.
    Intended {
        /// Which.
        label: Label,
        /// How.
        outcome: Outcome,
        /// Everything that it was told is written.
        contents: BTreeSet<(Place, Value)>,
    },
    /// A process sent an EndTxn.
    EndAsked {
        /// Which.
        request: RequestId,
        /// The transaction that it means.
        label: Label,
        /// The producer that it says it is.
        producer: Producer,
        /// How.
        outcome: Outcome,
    },
    /// The coordinator answered an EndTxn: the outcome is safe.
    EndTold {
        /// Which.
        request: RequestId,
        /// Whose.
        name: TransactionalId,
        /// Who the producer is from now on.
        producer: Producer,
    },
    /// The coordinator said who a producer is from now on.
    Named {
        /// Its name.
        name: TransactionalId,
        /// Who it is.
        producer: Producer,
    },
    /// A partition told a producer that a batch is safe.
    WriteTold(Line),
    /// A decision was appended to the coordinator's log.
    Decided(Decided),
    /// The coordinator's log is safe below this.
    Safe(Offset),
    /// A batch was appended to the log of a partition.
    Wrote(Line),
    /// How far a partition's readers may see.
    Stood {
        /// Which partition.
        place: Place,
        /// Readers of everything: below this.
        high_watermark: Offset,
        /// Readers of committed records: below this.
        last_stable: Offset,
    },
    /// A reader of committed records has read a partition from its beginning to the last stable offset.
    Seen {
        /// Which partition.
        place: Place,
        /// Up to where. Exclusive.
        last_stable: Offset,
        /// All that it was given.
        values: BTreeSet<Value>,
    },
    /// Where the group of a producer stands, and no open transaction can move it.
    Stands {
        /// The producer.
        name: TransactionalId,
        /// The record that says so; none where nothing was ever committed.
        value: Option<Value>,
    },
    /// The broker has read its logs and leads.
    Led {
        /// Every decision that the coordinator's log holds.
        decisions: Vec<Decided>,
        /// Every batch of a transaction, each partition's in order.
        lines: Vec<Line>,
        /// Where the coordinator's log ends; all of it is durable.
        end: Offset,
    },
    /// Every producer has finished what it began, and everything has come to rest: what is seen from now on is final.
    Rested,
}
