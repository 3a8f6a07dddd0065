//! The commands: one file each, which reads its arguments, asks the client, and writes what came of it.

mod bench;
mod cluster;
mod completions;
mod config;
mod consume;
mod demo;
mod group;
mod log;
mod produce;
mod server;
mod topic;

use std::future::Future;
use std::io::{IsTerminal, Write};

use anyhow::bail;
use clap::{Args, Parser, Subcommand};
use dohle_base::TopicName;
use dohle_client::{Admin, AdminConfig};

use crate::output::Output;
use crate::text::pair;

const EXAMPLES: &str = "\
Examples:
  dohle demo
  dohle server --data-dir data &
  dohle topic create orders --partitions 3
  seq 10 | dohle produce orders
  dohle consume orders --from beginning --until-end
  dohle consume orders --group billing --format '{key}\\t{value}'
  dohle group describe billing
  dohle topic list --json | jq .name
  dohle log verify data
  dohle bench produce --rate 50k --record-size 100

Every command but `server`, `demo` and `log` works against any broker that speaks Kafka's protocol.
Exit codes: 0 done, 1 something failed, 2 the arguments make no sense.";

/// An event streaming platform that speaks Apache Kafka's protocol, in one binary.
#[derive(Parser)]
#[command(name = "dohle", version, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Common {
    /// Brokers to ask first for the others
    #[arg(
        long,
        short,
        visible_alias = "bootstrap-server",
        global = true,
        env = "DOHLE_BOOTSTRAP",
        default_value = "127.0.0.1:9092",
        value_name = "HOST:PORT,…"
    )]
    bootstrap: String,
    /// Write JSON, an object a line, for programs
    #[arg(long, global = true)]
    json: bool,
    /// A property of the client under Kafka's name, such as request.timeout.ms=5000
    #[arg(short = 'X', long = "property", global = true, value_name = "KEY=VALUE", value_parser = pair::parse)]
    properties: Vec<(String, String)>,
}

#[derive(Subcommand)]
enum Command {
    /// Run a broker
    Server(server::Arguments),
    /// See it work: a broker, sensors that speak, and a group that listens, in a temporary directory
    Demo(demo::Arguments),
    /// Create, list, describe, alter and delete topics
    #[command(subcommand)]
    Topic(topic::Command),
    /// Send records: lines of files or of standard input
    Produce(produce::Arguments),
    /// Read records
    Consume(consume::Arguments),
    /// List, describe, reset and delete consumer groups
    #[command(subcommand)]
    Group(group::Command),
    /// Look at the cluster
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Describe and change configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Dump, verify and repair the files of logs, ours or Apache Kafka's, while no broker has them
    #[command(subcommand)]
    Log(log::Command),
    /// Measure a broker: a load generator with open loops
    #[command(subcommand)]
    Bench(bench::Command),
    /// Write the completions of a shell to standard output
    Completions(completions::Arguments),
}

/// Does what was asked for.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let common = arguments.common;
    match arguments.command {
        Command::Server(arguments) => server::run(&common, arguments),
        Command::Demo(arguments) => demo::run(&common, &arguments),
        Command::Topic(command) => wait_for(topic::run(&common, command)),
        Command::Produce(arguments) => wait_for(produce::run(&common, arguments)),
        Command::Consume(arguments) => wait_for(consume::run(&common, arguments)),
        Command::Group(command) => wait_for(group::run(&common, command)),
        Command::Cluster(command) => wait_for(cluster::run(&common, command)),
        Command::Config(command) => wait_for(config::run(&common, command)),
        Command::Log(command) => log::run(&common, &command),
        Command::Bench(command) => bench::run(&common, &command),
        Command::Completions(arguments) => completions::run(&arguments),
    }
}

fn wait_for<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

impl Common {
    fn output(&self) -> Output {
        Output { json: self.json }
    }

    /// The client's properties; what the command line says wins over what the command wants.
    fn properties(&self, wanted: &[(&str, String)]) -> Vec<(String, String)> {
        let bootstrap = ("bootstrap.servers".to_owned(), self.bootstrap.clone());
        let wanted = wanted.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        [bootstrap].into_iter().chain(wanted).chain(self.properties.iter().cloned()).collect()
    }

    /// An admin that has reached a broker.
    async fn admin(&self) -> anyhow::Result<Admin> {
        let admin = Admin::new(AdminConfig::from_properties(self.properties(&[]))?);
        if let Err(error) = admin.reach().await {
            bail!("{error}; start a broker with `dohle server`, or name one with --bootstrap");
        }
        Ok(admin)
    }
}

fn topic_name(text: &str) -> Result<TopicName, String> {
    TopicName::parse(text).map_err(|error| error.to_string())
}

/// Asks before something that cannot be undone, unless that was answered on the command line.
fn confirm(yes: bool, question: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        bail!("{question} Nothing was done; say --yes to do it");
    }
    let mut err = std::io::stderr().lock();
    write!(err, "{question} [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => bail!("nothing was done"),
    }
}
