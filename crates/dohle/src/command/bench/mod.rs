//! `dohle bench`: a load generator, against any broker that speaks Kafka's protocol.
//!
//! Reads what is to be run, makes the topics, shows what happens and writes what came of it. What is measured, and how, is
//! `dohle-bench`'s.

mod connections;
mod consume;
mod disturb;
mod groups;
mod latency;
mod load;
mod produce;
mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use dohle_base::{ErrorCode, TopicName, parse_duration};
use dohle_bench::histogram::Times;
use dohle_bench::{Plan, Results};
use dohle_client::Admin;
use dohle_client::admin::NewTopic;

use super::{Common, topic_name, wait_for};
use crate::text::{config_value, pair};

/// So long is measured unless something else is said.
const LENGTH: Duration = Duration::from_secs(30);
/// New topics have their leaders by then.
const LEADERS_WAIT: Duration = Duration::from_secs(60);
const LEADERS_LOOK: Duration = Duration::from_millis(100);
/// Topics of one request, so that no broker needs long for one.
const TOPICS_AT_ONCE: usize = 100;
/// Partitions of one request, but for a topic that has more: Kafka's controller refuses what would become more than 10,000 records.
const PARTITIONS_AT_ONCE: i32 = 5_000;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Produce, at a rate or as fast as the brokers take it
    #[command(after_help = produce::EXAMPLES)]
    Produce(produce::Arguments),
    /// Consume what is there, or what arrives
    #[command(after_help = consume::EXAMPLES)]
    Consume(consume::Arguments),
    /// Measure the time from the producer to the consumer at a rate
    #[command(after_help = latency::EXAMPLES)]
    Latency(latency::Arguments),
    /// Open many connections: what an idle one costs, or how long a record takes over each in turn
    #[command(after_help = connections::EXAMPLES)]
    Connections(connections::Arguments),
    /// Be a bad neighbour: consumers that read slowly or not at all, and connections that come and go
    #[command(after_help = disturb::EXAMPLES)]
    Disturb(disturb::Arguments),
    /// Let a group gather, one member leave and one die: how long each takes to settle
    #[command(after_help = groups::EXAMPLES)]
    Groups(groups::Arguments),
}

/// What all measurements have in common.
#[derive(Args)]
struct Measured {
    /// How long is measured; 30 s if not said
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    length: Option<Duration>,
    /// What precedes the measured time and does not count
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    warm_up: Duration,
    /// A process on this machine, the broker's, whose processor time and memory are told
    #[arg(long)]
    pid: Option<u32>,
    /// Loops, each on a thread of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Never sleep: keeps a core busy, and no wake-up of the generator is measured
    #[arg(long)]
    spin: bool,
    /// Where the whole distribution of latencies is written, as HdrHistogram's tools read and plot it
    #[arg(long, value_name = "FILE")]
    histogram: Option<PathBuf>,
}

/// The topics that are written to or read.
#[derive(Args)]
struct Topics {
    /// The topic
    #[arg(long, default_value = "bench", value_parser = topic_name)]
    topic: TopicName,
    /// So many topics instead of one, with a number at the end of the name
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    topics: u32,
}

/// How topics are made that are not there.
#[derive(Args)]
struct NewTopics {
    /// Partitions of a topic that is made
    #[arg(long, short, default_value_t = 1)]
    partitions: i32,
    /// Copies of a topic that is made; the broker's default.replication.factor if not said
    #[arg(long)]
    replication_factor: Option<i16>,
    /// A key of a topic that is made, such as retention.bytes=256MiB
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = pair::parse)]
    config: Vec<(String, String)>,
}

pub(super) fn run(common: &Common, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Produce(arguments) => produce::run(common, arguments),
        Command::Consume(arguments) => consume::run(common, arguments),
        Command::Latency(arguments) => latency::run(common, arguments),
        Command::Connections(arguments) => connections::run(common, arguments),
        Command::Disturb(arguments) => disturb::run(common, arguments),
        Command::Groups(arguments) => groups::run(common, arguments),
    }
}

impl Measured {
    /// A run of `command` in which nothing is produced and nothing consumed yet.
    fn plan(&self, common: &Common, command: &'static str, topics: Vec<String>) -> Plan {
        Plan {
            command,
            bootstrap: bootstrap(common),
            topics,
            threads: self.threads.into(),
            warm_up: self.warm_up,
            length: self.length(),
            pid: self.pid,
            spin: self.spin,
            produce: None,
            consume: None,
            idle: 0,
        }
    }
}

/// Runs a plan, shows it, and writes what came of it.
fn measure(common: &Common, measured: &Measured, plan: &Plan) -> anyhow::Result<()> {
    let mut progress = show::Progress::new(plan);
    let results = dohle_bench::run(plan, &mut |news| progress.take(news))?;
    if let Some(file) = &measured.histogram {
        write_histograms(&results, file)?;
    }
    common.output().one(&results.report, show::text)
}

/// The distribution that the command is about, and beside it that of acknowledgements where there are two.
fn write_histograms(results: &Results, file: &Path) -> anyhow::Result<()> {
    if results.end_to_end.count() == 0 {
        return write_histogram(&results.acknowledged, file);
    }
    write_histogram(&results.end_to_end, file)?;
    let mut beside = file.as_os_str().to_owned();
    beside.push(".acknowledged");
    write_histogram(&results.acknowledged, Path::new(&beside))
}

fn write_histogram(times: &Times, file: &Path) -> anyhow::Result<()> {
    let written = File::create(file).and_then(|file| times.write_distribution(&mut BufWriter::new(file)));
    written.with_context(|| format!("cannot write {}", file.display()))
}

impl Measured {
    fn length(&self) -> Duration {
        self.length.unwrap_or(LENGTH)
    }
}

impl Topics {
    fn names(&self) -> anyhow::Result<Vec<TopicName>> {
        if self.topics == 1 {
            return Ok(vec![self.topic.clone()]);
        }
        // All of one length.
        let width = (self.topics - 1).to_string().len();
        let name = |number| TopicName::parse(&format!("{}-{number:0width$}", self.topic));
        let names: Result<_, _> = (0..self.topics).map(name).collect();
        names.map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// Makes those that are not there, and waits until all of their partitions have leaders.
    async fn make(&self, common: &Common, new: &NewTopics) -> anyhow::Result<Vec<String>> {
        let names = self.names()?;
        let admin = common.admin().await?;
        let there = admin.describe_topics(&names).await?;
        let missing: Vec<&TopicName> = names.iter().filter(|name| !matches!(there.get(*name), Some(Ok(_)))).collect();
        let pairs = new.config.iter().cloned();
        let configs: BTreeMap<String, String> =
            pairs.map(|(key, value)| (key.clone(), config_value::plain(&key, value))).collect();
        let at_once = (PARTITIONS_AT_ONCE / new.partitions.max(1)).max(1) as usize;
        for some in missing.chunks(at_once.min(TOPICS_AT_ONCE)) {
            let new = |name: &&TopicName| NewTopic {
                partitions: Some(new.partitions),
                replication_factor: new.replication_factor,
                configs: configs.clone(),
                ..NewTopic::new((*name).clone())
            };
            let new: Vec<NewTopic> = some.iter().map(new).collect();
            for created in admin.create_topics(&new, false).await?.into_values() {
                match created {
                    Err(error) if error.code() != Some(ErrorCode::TopicAlreadyExists) => return Err(error.into()),
                    Ok(_) | Err(_) => {}
                }
            }
        }
        wait_for_leaders(&admin, &names).await?;
        Ok(names.iter().map(ToString::to_string).collect())
    }
}

async fn wait_for_leaders(admin: &Admin, names: &[TopicName]) -> anyhow::Result<()> {
    let mut waiting: BTreeSet<TopicName> = names.iter().cloned().collect();
    let deadline = tokio::time::Instant::now() + LEADERS_WAIT;
    loop {
        let asked: Vec<TopicName> = waiting.iter().cloned().collect();
        for (name, topic) in admin.describe_topics(&asked).await? {
            if topic.is_ok_and(|topic| topic.partitions.iter().all(|partition| partition.leader.is_some())) {
                waiting.remove(&name);
            }
        }
        let Some(first) = waiting.first() else { return Ok(()) };
        ensure!(tokio::time::Instant::now() < deadline, "{first} has partitions without a leader");
        tokio::time::sleep(LEADERS_LOOK).await;
    }
}

/// The brokers that the command line names.
fn bootstrap(common: &Common) -> Vec<String> {
    common.bootstrap.split(',').map(|address| address.trim().to_owned()).filter(|address| !address.is_empty()).collect()
}

/// How fast is produced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rate {
    /// As fast as answers come.
    Max,
    /// Records a second.
    Records(u64),
}

/// `max`, or records a second.
fn parse_rate(text: &str) -> Result<Rate, String> {
    if text == "max" { Ok(Rate::Max) } else { parse_records(text).map(Rate::Records) }
}

/// Records a second.
fn parse_records(text: &str) -> Result<u64, String> {
    let refuse = || format!("`{text}` is no rate: write records a second, such as 50000 or 50k");
    let (number, scale) = match text.strip_suffix(['k', 'K']) {
        Some(number) => (number, 1e3),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1.0), |number| (number, 1e6)),
    };
    let rate = number.parse::<f64>().map_err(|_| refuse())? * scale;
    if (1.0..1e12).contains(&rate) { Ok(rate as u64) } else { Err(refuse()) }
}

fn refuse_properties(common: &Common) -> anyhow::Result<()> {
    if let Some((key, _)) = common.properties.first() {
        bail!("{key}: the generator is no client and obeys no properties");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Rate, parse_rate};

    #[test]
    fn rates_are_read_as_people_write_them() {
        let cases = [("1000", 1_000), ("50k", 50_000), ("1.5M", 1_500_000)];
        for (text, rate) in cases {
            assert_eq!(parse_rate(text), Ok(Rate::Records(rate)));
        }
        assert_eq!(parse_rate("max"), Ok(Rate::Max));
        for text in ["", "0", "-1", "fast"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }
}
