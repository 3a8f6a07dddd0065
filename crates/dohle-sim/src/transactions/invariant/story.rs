//! Words for the tests of the laws: short facts of one producer, and what a law says to a run of them.

use std::sync::Arc;

use dohle_base::{Offset, ProducerEpoch, ProducerId, Timestamp};
use dohle_coordinator::Producer;
use dohle_coordinator::transaction::{Outcome, State, Transaction, Version};

use super::Invariant;
use crate::fact::RequestId;
use crate::invariant::Look;
use crate::transactions::fact::{Decided, Fact, Label, Line, Value, Written};
use crate::transactions::place::Place;

/// The law judges the good run and finds the bad one out.
pub(super) fn tells(law: impl Fn() -> Box<dyn Invariant<Fact>>, good: &[Fact], bad: &[Fact]) {
    let judge = |facts: &[Fact]| -> Result<usize, String> {
        let (mut law, mut judged) = (law(), 0);
        for fact in facts {
            judged += usize::from(law.judge(fact)? == Look::Judged);
        }
        Ok(judged)
    };
    assert!(judge(good).is_ok_and(|judged| judged > 0), "{:?}", judge(good));
    assert!(judge(bad).is_err());
}

fn producer(epoch: i16) -> Producer {
    Producer { id: ProducerId(7), epoch: ProducerEpoch(epoch) }
}

pub(super) fn value(label: u64, number: u32) -> Value {
    Value { label: Label(label), number }
}

pub(super) fn begun(label: u64, version: Version) -> Fact {
    Fact::Begun { label: Label(label), name: "app".into(), version }
}

pub(super) fn intended(label: u64, outcome: Outcome, contents: &[(Place, Value)]) -> Fact {
    Fact::Intended { label: Label(label), outcome, contents: contents.iter().copied().collect() }
}

pub(super) fn end_asked(request: u64, label: u64, epoch: i16, outcome: Outcome) -> Fact {
    Fact::EndAsked { request: RequestId(request), label: Label(label), producer: producer(epoch), outcome }
}

pub(super) fn end_told(request: u64, epoch: i16) -> Fact {
    Fact::EndTold { request: RequestId(request), name: "app".into(), producer: producer(epoch) }
}

pub(super) fn decided(cause: Option<u64>, at: i64, epoch: i16, outcome: Outcome) -> Decided {
    let transaction = Transaction {
        producer: producer(epoch),
        previous_id: ProducerId(7),
        next_id: None,
        timeout_ms: 1_000,
        state: State::Prepared(outcome),
        partitions: Default::default(),
        started_at: Some(Timestamp(0)),
        updated_at: Timestamp(0),
        version: Version::Two,
    };
    Decided {
        cause: cause.map(RequestId),
        at: Offset(at),
        name: "app".into(),
        transaction: Some(Arc::new(transaction)),
    }
}

pub(super) fn prepared(cause: Option<u64>, at: i64, epoch: i16, outcome: Outcome) -> Fact {
    Fact::Decided(decided(cause, at, epoch, outcome))
}

pub(super) fn records(partition: i32, at: i64, epoch: i16, values: &[Value]) -> Line {
    let written = Written::Records(values.to_vec());
    Line { place: Place::Data(partition), at: Offset(at), producer: producer(epoch), written }
}

pub(super) fn marker(partition: i32, at: i64, epoch: i16, outcome: Outcome) -> Line {
    let written = Written::Marker(outcome);
    Line { place: Place::Data(partition), at: Offset(at), producer: producer(epoch), written }
}

pub(super) fn stood(high_watermark: i64, last_stable: i64) -> Fact {
    let (high_watermark, last_stable) = (Offset(high_watermark), Offset(last_stable));
    Fact::Stood { place: Place::Data(0), high_watermark, last_stable }
}

pub(super) fn seen(partition: i32, values: &[Value]) -> Fact {
    let values = values.iter().copied().collect();
    Fact::Seen { place: Place::Data(partition), last_stable: Offset(100), values }
}

pub(super) fn stands(value: Option<Value>) -> Fact {
    Fact::Stands { name: "app".into(), value }
}

pub(super) fn led(decisions: &[Decided], lines: &[Line]) -> Fact {
    Fact::Led { decisions: decisions.to_vec(), lines: lines.to_vec(), end: Offset(100) }
}
