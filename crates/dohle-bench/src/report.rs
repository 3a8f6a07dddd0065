//! What a run comes to, as programs read it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::histogram::{Percentiles, Times};
use crate::machine::Spent;
use crate::tally::Tally;

/// The result of a run. Figures are those of the measured window, which warming up precedes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// What was run.
    pub command: &'static str,
    /// How long the measured window was.
    pub seconds: f64,
    /// Records that were acknowledged, or read where none were produced.
    pub records: u64,
    /// The bytes of their batches as they were on the wire.
    pub bytes: u64,
    /// Requests that were answered.
    pub requests: u64,
    /// Errors in the whole run, the warm-up included.
    pub errors: u64,
    /// The same by Kafka's name.
    pub errors_by_name: BTreeMap<&'static str, u64>,
    /// Records a second.
    pub records_per_second: f64,
    /// Megabytes (of 1,000,000 bytes) a second.
    pub mb_per_second: f64,
    /// From the intended start of a request to its answer.
    pub latency_us: Option<Percentiles>,
    /// From the intended start of a request to the consumer that read its records.
    pub end_to_end_us: Option<Percentiles>,
    /// How late requests started: what the generator and a full pipeline added.
    pub late_us: Option<Percentiles>,
    /// How late the machine was with a message that three threads only hand on, 500 times a second: what every other time here has in it.
    pub relay_late_us: Option<Percentiles>,
    /// Requests that were due and could not be sent: the rate was too high. Their waiting until the end is in `latency_us`.
    pub unsent: u64,
    /// What consumers read while producers were measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered: Option<Delivered>,
    /// Processor time of this process.
    pub generator_cpu_seconds: f64,
    /// Processor time of the process that was named.
    pub broker_cpu_seconds: Option<f64>,
    /// Processor time of everything on this machine.
    pub machine_cpu_seconds: f64,
    /// Processor time that the host of a virtual machine gave to others while it was wanted here. Whoever waited for it is in the latencies.
    pub stolen_cpu_seconds: f64,
    /// Resident memory of the process that was named.
    pub broker_resident_bytes: Option<Resident>,
    /// What a connection costs the process that was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_bytes_per_connection: Option<f64>,
    /// The measured window minute by minute, where it lasts two at least.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub minutes: Vec<Minute>,
    /// How long a group took to be of one mind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settle_ms: Option<Settled>,
}

/// What consumers read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Delivered {
    /// Records, those of all consumers.
    pub records: u64,
    /// Bytes, those of all consumers.
    pub bytes: u64,
    /// Fetches.
    pub requests: u64,
    /// Megabytes (of 1,000,000 bytes) a second.
    pub mb_per_second: f64,
}

/// One minute of the measured window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Minute {
    /// Records that were acknowledged, or read where none were produced.
    pub records: u64,
    /// From the intended start of a request to its answer, or to the consumer where there is one.
    pub latency_us: Option<Percentiles>,
    /// How late the machine was with a message that three threads only hand on.
    pub relay_late_us: Option<Percentiles>,
    /// Resident memory of the process that was named, at the minute's end.
    pub broker_resident_bytes: Option<u64>,
    /// Processor time that the host gave to others in it.
    pub stolen_cpu_seconds: f64,
}

/// What bad neighbours did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Disturbed {
    /// For how long.
    pub seconds: f64,
    /// What slow consumers took.
    pub slow_bytes: u64,
    /// What waited, at the end, in the sockets of consumers that take nothing.
    pub stalled_bytes: u64,
    /// Connections that were made and given up.
    pub connections: u64,
    /// Connections that could not be made.
    pub refused: u64,
}

/// Memory over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resident {
    /// When the window began.
    pub begin: u64,
    /// When it ended.
    pub end: u64,
    /// The most that was seen at any second.
    pub max: u64,
}

/// Milliseconds until every member that is left has its share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Settled {
    /// From the first join.
    pub join: f64,
    /// From the leave.
    pub leave: f64,
    /// From the moment at which a member's connection ended without a word; its session must time out first.
    pub death: f64,
}

/// A report and the distributions behind it.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// What programs read.
    pub report: Report,
    /// Of acknowledgements.
    pub acknowledged: Times,
    /// From end to end.
    pub end_to_end: Times,
}

impl Results {
    /// What `tally` and `spent` come to.
    pub fn of(command: &'static str, seconds: f64, tally: Tally, spent: &Spent) -> Self {
        let produces = tally.produced.requests > 0 || tally.unsent > 0;
        let flow = if produces { tally.produced } else { tally.consumed };
        let delivered = Delivered {
            records: tally.consumed.records,
            bytes: tally.consumed.bytes,
            requests: tally.consumed.requests,
            mb_per_second: rate(tally.consumed.bytes as f64 / 1e6, seconds),
        };
        let report = Report {
            command,
            seconds,
            records: flow.records,
            bytes: flow.bytes,
            requests: flow.requests,
            errors: tally.errors.values().sum(),
            records_per_second: rate(flow.records as f64, seconds),
            mb_per_second: rate(flow.bytes as f64 / 1e6, seconds),
            latency_us: tally.acknowledged.percentiles(),
            end_to_end_us: tally.end_to_end.percentiles(),
            late_us: tally.late.percentiles(),
            relay_late_us: None,
            unsent: tally.unsent,
            delivered: (produces && tally.consumed.requests > 0).then_some(delivered),
            generator_cpu_seconds: spent.generator,
            broker_cpu_seconds: spent.broker,
            machine_cpu_seconds: spent.machine,
            stolen_cpu_seconds: spent.stolen,
            broker_resident_bytes: spent.resident,
            resident_bytes_per_connection: None,
            minutes: vec![],
            settle_ms: None,
            errors_by_name: tally.errors,
        };
        Self { report, acknowledged: tally.acknowledged, end_to_end: tally.end_to_end }
    }
}

fn rate(amount: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { (amount / seconds * 1e3).round() / 1e3 } else { 0.0 }
}
