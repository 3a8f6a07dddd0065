//! Tables of states and requests: the words before the bar say what stands in the log and what is asked, those behind it
//! what comes of it.

use std::fmt::Write;
use std::sync::Arc;

use dohle_base::{Instant, Now, Offset, ProducerEpoch, ProducerId, Timestamp, Token};
use dohle_replication::ledger::Folded;

use super::script::{outcome, place, producer, show_reply, state};
use crate::Producer;
use crate::transaction::{
    AddPartitions, Command, End, Init, Record, Settings, State, Transaction, TransactionCoordinator, Version,
};

const NOW: Now = Now { instant: Instant(0), wall: Timestamp(1_000_000) };
/// Who stands in the log of every row: its id was another's before only where the row says so.
const CURRENT: Producer = Producer { id: ProducerId(7), epoch: ProducerEpoch(5) };

/// Fills in what comes of each row.
pub(super) fn play(table: &str) -> String {
    let mut out = String::new();
    for line in table.lines() {
        match line.split_once('|') {
            Some((row, _)) if !row.starts_with('#') => writeln!(out, "{row}| {}", decide(row)).unwrap(),
            Some(_) | None => writeln!(out, "{line}").unwrap(),
        }
    }
    out
}

/// `State version request …`, where `version` is that of the client, and of the transaction.
fn decide(row: &str) -> String {
    let words: Vec<&str> = row.split_whitespace().collect();
    let [name, version, request @ ..] = &words[..] else { panic!("a row is too short: {row}") };
    let version = Version::from_level(version.parse().unwrap()).unwrap();
    let settings = Settings::resolve(10_000, Version::Two, |_| None).unwrap();
    let mut machine = TransactionCoordinator::new(Arc::new(settings));
    let value = state(name).map(|state| Arc::new(stored(state, version)));
    machine.apply(Offset(0), &Record { transactional_id: "a".into(), value });
    let mut soft = machine.lead(NOW);
    let decision = machine.decide(&mut soft, NOW, Token(1), command(request, version));
    let states = decision.records.iter().filter_map(|record| record.value.as_ref()).map(|it| it.state.name());
    let written: String = states.map(|name| format!(", {name}")).collect();
    format!("{}{written}", show_reply(&decision.replies[0].1))
}

fn stored(state: State, version: Version) -> Transaction {
    let has_partitions = matches!(state, State::Ongoing | State::Prepared(_));
    Transaction {
        producer: CURRENT,
        previous_id: CURRENT.id,
        next_id: None,
        timeout_ms: 60_000,
        state,
        partitions: has_partitions.then(|| place("t/0")).into_iter().collect(),
        started_at: (state != State::Empty).then_some(NOW.wall),
        updated_at: NOW.wall,
        version,
    }
}

fn command(request: &[&str], version: Version) -> Command {
    let transactional_id = "a".into();
    let fresh = Some(ProducerId(8));
    match request {
        ["end", who, what] => {
            Command::End(End { transactional_id, producer: producer(who), outcome: outcome(what), version, fresh })
        }
        ["init", who] => Command::Init(Init {
            transactional_id,
            timeout_ms: 60_000,
            expected: (*who != "anew").then(|| producer(who)),
            two_phase: false,
            keep_prepared: false,
            fresh,
        }),
        ["add", who, partition] => Command::AddPartitions(AddPartitions {
            transactional_id,
            producer: producer(who),
            partitions: vec![place(partition)],
            version,
        }),
        _ => panic!("no such request: {request:?}"),
    }
}
