//! `dohle bench consume`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use dohle_base::parse_duration;
use dohle_bench::Plan;
use dohle_bench::plan::{Consume, From};

use super::load::parse_size;
use super::{Common, Measured, Topics, measure, refuse_properties};

pub(super) const EXAMPLES: &str = "\
Examples:
  dohle bench consume --topic bench --from latest --consumers 5     # what arrives within 30 s, five times
  dohle bench consume --topic bench --until-end                     # all that is there, as fast as it comes
  dohle bench consume --topic bench --until-end --check             # the same, and verify each batch's checksum

Each consumer reads all partitions, without a group, in a fetch session. JSON as of `dohle bench produce`; with --until-end
the measured time is from the begin to the last record, and --for is the longest that it may take.";

/// Whoever reads to the end has so long, unless something else is said.
const UNTIL_END_MAX: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Args)]
pub(in crate::command) struct Arguments {
    #[command(flatten)]
    topics: Topics,
    /// Consumers, each of which reads all partitions
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    consumers: u32,
    /// Where they begin; the default is earliest with --until-end, else latest
    #[arg(long, value_enum)]
    from: Option<Begin>,
    /// End when all have read what was there when they began
    #[arg(long)]
    until_end: bool,
    /// Verify the checksum of each batch
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    measured: Measured,
}

/// What a fetch asks for.
#[derive(Args)]
pub(super) struct Wanted {
    /// The most of an answer
    #[arg(long, value_name = "BYTES", default_value = "50MiB", value_parser = parse_size)]
    max_bytes: u64,
    /// The most of one partition in an answer
    #[arg(long, value_name = "BYTES", default_value = "1MiB", value_parser = parse_size)]
    partition_max_bytes: u64,
    /// What is worth an answer
    #[arg(long, value_name = "BYTES", default_value = "1", value_parser = parse_size)]
    min_bytes: u64,
    /// How long the broker may wait for that
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = parse_duration)]
    max_wait: Duration,
}

#[derive(Clone, Copy, ValueEnum)]
enum Begin {
    /// At the first record that is there
    Earliest,
    /// Behind the last
    Latest,
}

impl Wanted {
    pub(super) fn consume(&self, consumers: u32, from: From) -> Consume {
        Consume {
            consumers: consumers as usize,
            from,
            until_end: false,
            max_bytes: self.max_bytes as i32,
            partition_max_bytes: self.partition_max_bytes as i32,
            min_bytes: self.min_bytes as i32,
            max_wait: self.max_wait,
            check: false,
        }
    }
}

pub(super) fn run(common: &Common, arguments: &Arguments) -> anyhow::Result<()> {
    refuse_properties(common)?;
    let Arguments { measured, until_end, check, .. } = arguments;
    let from = match (arguments.from, until_end) {
        (Some(Begin::Earliest), _) | (None, true) => From::Earliest,
        (Some(Begin::Latest), _) | (None, false) => From::Latest,
    };
    let topics = arguments.topics.names()?.iter().map(ToString::to_string).collect();
    let plan = measured.plan(common, "consume", topics);
    let plan = Plan {
        // What is there is read once: nothing of it may be missing.
        warm_up: if *until_end { Duration::ZERO } else { plan.warm_up },
        length: if *until_end { measured.length.unwrap_or(UNTIL_END_MAX) } else { plan.length },
        consume: Some(Consume {
            until_end: *until_end,
            check: *check,
            ..arguments.wanted.consume(arguments.consumers, from)
        }),
        ..plan
    };
    measure(common, measured, &plan)
}
