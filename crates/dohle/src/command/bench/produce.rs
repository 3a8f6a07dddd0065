//! `dohle bench produce`.

use clap::Args;
use dohle_bench::Plan;
use dohle_records::Codec;

use super::load::{Load, parse_codec, parse_size};
use super::{Common, Measured, NewTopics, Rate, Topics, measure, parse_rate, refuse_properties, wait_for};

pub(super) const EXAMPLES: &str = "\
Examples:
  dohle bench produce --batch-size 1MiB                               # as fast as one connection can
  dohle bench produce --partitions 100 --connections 50 --rate 200k   # 200,000 records a second, and how long each took
  dohle bench produce --record-size 100 --batch-size 1 --rate 5000    # one record in each request
  dohle bench produce --compression zstd --payload text --pid $(pgrep -f 'dohle server')
  dohle bench produce --idempotent --config retention.bytes=256MiB --config segment.bytes=64MiB --json | jq .latency_us

With a rate, requests start when they are due whatever became of those before, and their latency is counted from then. A
topic that is not there is made. JSON (with --json), one object: {\"command\", \"seconds\", \"records\", \"bytes\", \"requests\",
\"errors\", \"errors_by_name\", \"records_per_second\", \"mb_per_second\", \"latency_us\": {\"p50\", \"p90\", \"p99\", \"p99_9\", \"max\",
\"mean\"} or null, \"end_to_end_us\", \"late_us\", \"relay_late_us\", \"unsent\", \"generator_cpu_seconds\", \"broker_cpu_seconds\",
\"machine_cpu_seconds\", \"stolen_cpu_seconds\", \"broker_resident_bytes\": {\"begin\", \"end\", \"max\"}}";

#[derive(Args)]
pub(in crate::command) struct Arguments {
    #[command(flatten)]
    topics: Topics,
    #[command(flatten)]
    new: NewTopics,
    #[command(flatten)]
    load: Load,
    /// Records a second of all connections together, such as 50k; or max
    #[arg(long, default_value = "max", value_parser = parse_rate)]
    rate: Rate,
    /// The most bytes of a batch before it is packed, headers included; one record is in it whatever its size
    #[arg(long, value_name = "BYTES", default_value = "16KiB", value_parser = parse_size)]
    batch_size: u64,
    /// How batches are packed, once and beforehand: none, gzip, snappy, lz4 or zstd
    #[arg(long, value_name = "CODEC", default_value = "none", value_parser = parse_codec)]
    compression: Codec,
    #[command(flatten)]
    measured: Measured,
}

pub(super) fn run(common: &Common, arguments: &Arguments) -> anyhow::Result<()> {
    refuse_properties(common)?;
    let Arguments { load, measured, .. } = arguments;
    let rate = match arguments.rate {
        Rate::Max => None,
        Rate::Records(rate) => Some(rate),
    };
    let produce = load.produce(rate, arguments.batch_size, arguments.compression)?;
    let topics = wait_for(arguments.topics.make(common, &arguments.new))?;
    let plan = Plan { produce: Some(produce), ..measured.plan(common, "produce", topics) };
    measure(common, measured, &plan)
}
