//! `dohle bench disturb`.

use std::time::Duration;

use clap::Args;
use dohle_base::parse_duration;
use dohle_bench::plan::Disturb;
use dohle_bench::report::Disturbed;

use super::load::parse_size;
use super::{Common, LENGTH, NewTopics, Topics, bootstrap, refuse_properties, wait_for};
use crate::output::table;
use crate::text::number::grouped;

pub(super) const EXAMPLES: &str = "\
Examples:
  dohle bench disturb                                      # one slow consumer, one that stalls, 200 connections/s
  dohle bench disturb --slow 0 --stalled 20 --storm 0      # twenty that ask for records and take none
  dohle bench disturb --storm 2000 --for 60s

Run it beside `dohle bench latency` or `connections` and see whether these change: neighbours should not be felt. Slow
consumers and those that stall read the topic from its first record, so there should be something in it. JSON: \"seconds\",
\"slow_bytes\", \"stalled_bytes\" (what the broker could not send is not in it), \"connections\", \"refused\".";

#[derive(Args)]
pub(in crate::command) struct Arguments {
    #[command(flatten)]
    topics: Topics,
    #[command(flatten)]
    new: NewTopics,
    /// Consumers that take their answers slowly
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=1_000))]
    slow: u16,
    /// What each of these takes in a second
    #[arg(long, value_name = "BYTES", default_value = "64KiB", value_parser = parse_size)]
    slow_rate: u64,
    /// Consumers that ask again and again, and take nothing
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=1_000))]
    stalled: u16,
    /// Connections a second that are made and given up, with a request begun, sent or not
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    storm: u32,
    /// How long; 30 s if not said
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    length: Option<Duration>,
}

pub(super) fn run(common: &Common, arguments: &Arguments) -> anyhow::Result<()> {
    refuse_properties(common)?;
    let plan = Disturb {
        bootstrap: bootstrap(common),
        topics: wait_for(arguments.topics.make(common, &arguments.new))?,
        slow: arguments.slow.into(),
        slow_rate: arguments.slow_rate,
        stalled: arguments.stalled.into(),
        storm: arguments.storm,
        length: arguments.length.unwrap_or(LENGTH),
    };
    common.output().one(&dohle_bench::disturb(&plan)?, text)
}

fn text(disturbed: &Disturbed) -> String {
    let row = |name: &str, value: String| [name.to_owned(), value];
    let rows = [
        row("lasted", format!("{:.1} s", disturbed.seconds)),
        row("taken slowly", format!("{} bytes", grouped(disturbed.slow_bytes))),
        row("not taken", format!("{} bytes were in the way of those that stalled", grouped(disturbed.stalled_bytes))),
        row("connections", format!("{}, {} refused", grouped(disturbed.connections), grouped(disturbed.refused))),
    ];
    table(["", ""], rows).trim_start().to_owned()
}
