//! `dohle bench latency`.

use clap::Args;
use dohle_bench::Plan;
use dohle_bench::plan::{From, Produce};
use dohle_records::Codec;

use super::consume::Wanted;
use super::load::{Load, parse_size};
use super::{Common, Measured, NewTopics, Topics, measure, parse_records, refuse_properties, wait_for};

pub(super) const EXAMPLES: &str = "\
Examples:
  dohle bench latency                                             # 1,000 records a second, one in each request
  dohle bench latency --rate 50k --batch-size 4KiB --connections 10 --partitions 10
  dohle bench latency --rate 10k --consumers 5 --histogram e2e.hgrm

Records carry the time at which their request was meant to start, and consumers in the same process read it: end to end is
from then until the answer that holds the record has arrived. The latency of acknowledgements stands beside it. JSON as of
`dohle bench produce`, and \"delivered\": {\"records\", \"bytes\", \"requests\", \"mb_per_second\"}, what all consumers read.";

#[derive(Args)]
pub(in crate::command) struct Arguments {
    #[command(flatten)]
    topics: Topics,
    #[command(flatten)]
    new: NewTopics,
    #[command(flatten)]
    load: Load,
    /// Records a second of all connections together, such as 50k
    #[arg(long, default_value = "1000", value_parser = parse_records)]
    rate: u64,
    /// The most bytes of a batch, headers included; one record is in it whatever its size
    #[arg(long, value_name = "BYTES", default_value = "1", value_parser = parse_size)]
    batch_size: u64,
    /// Consumers, each of which reads all partitions
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    consumers: u32,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    measured: Measured,
}

pub(super) fn run(common: &Common, arguments: &Arguments) -> anyhow::Result<()> {
    refuse_properties(common)?;
    let Arguments { load, measured, .. } = arguments;
    let produce = load.produce(Some(arguments.rate), arguments.batch_size, Codec::None)?;
    let topics = wait_for(arguments.topics.make(common, &arguments.new))?;
    let plan = Plan {
        produce: Some(Produce { stamped: true, ..produce }),
        consume: Some(arguments.wanted.consume(arguments.consumers, From::Latest)),
        ..measured.plan(common, "latency", topics)
    };
    measure(common, measured, &plan)
}
