//! `dohle bench connections`.

use clap::Args;
use dohle_bench::Plan;
use dohle_records::Codec;

use super::load::{Load, parse_size};
use super::{Common, Measured, NewTopics, Topics, measure, parse_records, refuse_properties, wait_for};

pub(super) const EXAMPLES: &str = "\
Examples:
  dohle bench connections --connections 5000 --pid $(pgrep -f 'dohle server')   # what an idle connection costs
  dohle bench connections --connections 1000 --rate 20k --record-size 100       # one record in each request, in turn

Idle connections have asked for the broker's versions and say nothing more; the memory that --pid has more at the end than
before they were made is divided by their number. With a rate each sends one record in a request when its turn comes. JSON as
of `dohle bench produce`, and \"resident_bytes_per_connection\" of idle ones.";

#[derive(Args)]
pub(in crate::command) struct Arguments {
    #[command(flatten)]
    topics: Topics,
    #[command(flatten)]
    new: NewTopics,
    #[command(flatten)]
    load: Load,
    /// Records a second of all connections together, such as 20k; without it they are idle
    #[arg(long, value_parser = parse_records)]
    rate: Option<u64>,
    /// The most bytes of a batch, headers included; one record is in it whatever its size
    #[arg(long, value_name = "BYTES", default_value = "1", value_parser = parse_size)]
    batch_size: u64,
    #[command(flatten)]
    measured: Measured,
}

pub(super) fn run(common: &Common, arguments: &Arguments) -> anyhow::Result<()> {
    refuse_properties(common)?;
    let Arguments { load, measured, .. } = arguments;
    let produce = load.produce(arguments.rate, arguments.batch_size, Codec::None)?;
    let plan = match arguments.rate {
        None => Plan { idle: produce.connections, ..measured.plan(common, "connections", vec![]) },
        Some(_) => {
            let topics = wait_for(arguments.topics.make(common, &arguments.new))?;
            Plan { produce: Some(produce), ..measured.plan(common, "connections", topics) }
        }
    };
    measure(common, measured, &plan)
}
