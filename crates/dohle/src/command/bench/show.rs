//! What people see of a measurement: a line each second, and a table at the end.

use std::io::{IsTerminal, stderr};

use dohle_base::size;
use dohle_bench::histogram::Percentiles;
use dohle_bench::report::{Report, Settled};
use dohle_bench::tally::Second;
use dohle_bench::{News, Plan};

use crate::output::table;
use crate::text::number::grouped;

/// Shows what happens while it does.
pub(super) struct Progress {
    draws: bool,
}

impl Progress {
    pub(super) fn new(plan: &Plan) -> Self {
        let draws = stderr().is_terminal();
        if draws {
            let (warm_up, length) = (plan.warm_up.as_secs_f64(), plan.length.as_secs_f64());
            eprintln!("{}: {warm_up:.0} s of warm-up, then {length:.0} s are measured", plan.command);
        }
        Self { draws }
    }

    /// Of what has no seconds: only errors are told.
    pub(super) fn silent() -> Self {
        Self { draws: false }
    }

    pub(super) fn take(&mut self, news: News) {
        match news {
            News::Error(error) => eprintln!("first error: {error}"),
            News::Second { number, measured, counted } if self.draws => {
                eprintln!("{}", line(number, measured, counted));
            }
            News::Second { .. } => {}
        }
    }
}

fn line(number: u64, measured: bool, counted: &Second) -> String {
    let mark = if measured { ' ' } else { '~' };
    let mut line = format!("{mark}{number:>4} s");
    for (name, flow) in [("out", counted.produced), ("in", counted.consumed)] {
        if flow.requests > 0 {
            let (records, mb) = (grouped(flow.records), flow.bytes as f64 / 1e6);
            line.push_str(&format!("   {name} {records:>11} records/s {mb:>8.1} MB/s"));
        }
    }
    if let Some(times) = counted.times.percentiles() {
        line.push_str(&format!("   p50 {} p99 {} max {}", time(times.p50), time(times.p99), time(times.max)));
    }
    if counted.errors > 0 {
        line.push_str(&format!("   {} errors", grouped(counted.errors)));
    }
    line
}

/// The table at the end.
pub(super) fn text(report: &Report) -> String {
    let mut rows = vec![row("measured", format!("{:.1} s", report.seconds))];
    if let Some(Settled { join, leave, death }) = report.settle_ms {
        rows.push(row(
            "settled",
            format!("{join:.0} ms after the join, {leave:.0} ms after a leave, {death:.0} ms after a death"),
        ));
    }
    rows.extend([
        row("records", format!("{}, {}/s", grouped(report.records), grouped(report.records_per_second as u64))),
        row("bytes", format!("{}, {:.1} MB/s", size::show(report.bytes), report.mb_per_second)),
        row("requests", grouped(report.requests)),
    ]);
    if let Some(delivered) = &report.delivered {
        let (records, bytes) = (grouped(delivered.records), size::show(delivered.bytes));
        let pace = format!("{records} records, {bytes}, {:.1} MB/s", delivered.mb_per_second);
        rows.push(row("delivered", pace));
    }
    let errors = report.errors_by_name.iter().map(|(name, count)| format!(", {} {name}", grouped(*count)));
    rows.push(row("errors", grouped(report.errors) + &errors.collect::<String>()));
    if report.unsent > 0 {
        rows.push(row("unsent", format!("{} requests were due: the rate is too high", grouped(report.unsent))));
    }
    rows.extend(figures(report));
    let mut text = table(["", ""], rows).trim_start().to_owned();
    let times = [
        ("latency", report.latency_us),
        ("end to end", report.end_to_end_us),
        ("late", report.late_us),
        ("a bare relay", report.relay_late_us),
    ];
    let times: Vec<_> = times.into_iter().filter_map(|(name, times)| Some(percentiles(name, &times?))).collect();
    if !times.is_empty() {
        text.push_str("\n\n");
        text.push_str(&table(["", "P50", "P90", "P99", "P99.9", "MAX", "MEAN"], times));
    }
    text
}

fn figures(report: &Report) -> Vec<[String; 2]> {
    let per_gb = |seconds: f64| match (report.bytes, report.requests) {
        (0, _) | (_, 0) => String::new(),
        (bytes, requests) => {
            let (per_gb, per_request) = (seconds * 1e9 / bytes as f64, seconds * 1e6 / requests as f64);
            format!(", {per_gb:.3} s per GB, {per_request:.1} µs per request")
        }
    };
    let mut rows = vec![];
    if let Some(seconds) = report.broker_cpu_seconds {
        rows.push(row("broker's CPU", format!("{seconds:.2} s{}", per_gb(seconds))));
    }
    let seconds = report.generator_cpu_seconds;
    rows.push(row("generator's CPU", format!("{seconds:.2} s{}", per_gb(seconds))));
    if let Some(bytes) = report.resident_bytes_per_connection {
        rows.push(row("a connection", format!("{} of the broker's memory", size::show(bytes as u64))));
    }
    rows.push(row("machine's CPU", format!("{:.2} s", report.machine_cpu_seconds)));
    if report.stolen_cpu_seconds > 0.0 {
        let stolen = report.stolen_cpu_seconds;
        rows.push(row("taken by the host", format!("{stolen:.2} s of CPU; who waited for it is in the latencies")));
    }
    if let Some(resident) = &report.broker_resident_bytes {
        let [begin, end, max] = [resident.begin, resident.end, resident.max].map(size::show);
        rows.push(row("broker's memory", format!("{begin} at the begin, {end} at the end, {max} at most")));
    }
    rows
}

fn row(name: &str, value: String) -> [String; 2] {
    [name.to_owned(), value]
}

fn percentiles(name: &str, times: &Percentiles) -> [String; 7] {
    let Percentiles { p50, p90, p99, p99_9, max, mean } = *times;
    let [p50, p90, p99, p99_9, max, mean] = [p50, p90, p99, p99_9, max, mean].map(time);
    [name.to_owned(), p50, p90, p99, p99_9, max, mean]
}

/// Microseconds, in a unit that leaves few digits.
fn time(microseconds: f64) -> String {
    match microseconds {
        us if us < 1_000.0 => format!("{us:.0} µs"),
        us if us < 1_000_000.0 => format!("{:.2} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}
