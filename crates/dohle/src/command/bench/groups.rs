//! `dohle bench groups`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use dohle_base::{TopicName, parse_duration};
use dohle_bench::plan::Group;

use super::{Common, NewTopics, Topics, bootstrap, refuse_properties, show, topic_name, wait_for};

pub(super) const EXAMPLES: &str = "\
Examples:
  dohle bench groups --members 100
  dohle bench groups --members 1000 --session-timeout 10s --pid $(pgrep -f 'dohle server')

Members of one group, each on a connection of its own, join at once; when all have their share of the topic one leaves; when
the others have theirs one dies without a word. How long the group took to settle is told for each, in milliseconds; the last
has the session's timeout in it. JSON as of `dohle bench produce`, and \"settle_ms\": {\"join\", \"leave\", \"death\"}.";

#[derive(Args)]
pub(in crate::command) struct Arguments {
    /// How many members
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(3..=100_000))]
    members: u32,
    /// Which protocol they speak
    #[arg(long, value_enum, default_value_t = Protocol::Classic)]
    protocol: Protocol,
    /// The group; a new one if not said
    #[arg(long)]
    group: Option<String>,
    /// The topic that they share; made with a partition for each member if it is not there
    #[arg(long, default_value = "bench-groups", value_parser = topic_name)]
    topic: TopicName,
    /// Partitions of the topic, if it is made
    #[arg(long, short)]
    partitions: Option<i32>,
    /// A member that is not heard for so long is dead
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    session_timeout: Duration,
    /// How often members say that they are there
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = parse_duration)]
    heartbeat: Duration,
    /// A process on this machine, the broker's, whose processor time and memory are told
    #[arg(long)]
    pid: Option<u32>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Protocol {
    /// The leader among the members assigns
    Classic,
    /// The coordinator assigns (KIP-848)
    Consumer,
}

pub(super) fn run(common: &Common, arguments: &Arguments) -> anyhow::Result<()> {
    refuse_properties(common)?;
    match arguments.protocol {
        Protocol::Classic => {}
        Protocol::Consumer => {
            dohle_bench::require_consumer_protocol(&bootstrap(common))?;
            anyhow::bail!("the broker serves the newer protocol, and this generator speaks the classic one only");
        }
    }
    let topics = Topics { topic: arguments.topic.clone(), topics: 1 };
    let partitions = arguments.partitions.unwrap_or(arguments.members as i32);
    let new = NewTopics { partitions, replication_factor: None, config: vec![] };
    wait_for(topics.make(common, &new))?;
    let plan = Group {
        bootstrap: bootstrap(common),
        topic: arguments.topic.to_string(),
        group: arguments.group.clone().unwrap_or_else(new_group),
        members: arguments.members as usize,
        session_timeout: arguments.session_timeout,
        heartbeat: arguments.heartbeat,
        pid: arguments.pid,
    };
    let results = dohle_bench::run_group(&plan, &mut |news| show::Progress::silent().take(news))?;
    common.output().one(&results.report, show::text)
}

/// A name that no group has yet.
fn new_group() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("bench-{}-{}", std::process::id(), now.as_millis())
}
