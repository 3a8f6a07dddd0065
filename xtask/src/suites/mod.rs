//! Foreign clients and suites against one fresh broker, Dohle or a real Apache Kafka, with the same programs and settings.
//!
//! Each suite is one module and ends with one line alone: `N passed, N failed` (and `, N skipped`). What Kafka itself passes is the bar.

mod broker;
mod clients;
mod dump_log;
mod golden;
mod kafka_python;
pub(crate) mod librdkafka;
mod log;
mod packages;
pub(crate) mod ready;
mod start;
mod tally;

use anyhow::Result;

pub use broker::Subject;

/// What `cargo xtask suites` is told.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    suite: Suite,
}

#[derive(clap::Subcommand)]
enum Suite {
    /// Client libraries and command-line tools write and read the real data, join groups, lose a member.
    Clients(clients::Arguments),
    /// Kafka's own dump tool reads every file that the broker wrote.
    DumpLog(dump_log::Arguments),
    /// What real clients and brokers send, captured for the tests of the protocol.
    Golden(golden::Arguments),
    /// `dohle log` and Kafka's dump tool agree on files of both.
    Log(log::Arguments),
    /// librdkafka's own tests, stage by stage.
    Librdkafka(librdkafka::Arguments),
    /// kafka-python's own integration tests.
    KafkaPython(kafka_python::Arguments),
    /// Time to a ready broker and idle memory, beside Kafka's in the same run.
    Start(start::Arguments),
}

/// Runs one suite; fails when something in it did.
pub fn main(arguments: Arguments) -> Result<()> {
    match arguments.suite {
        Suite::Clients(arguments) => clients::main(arguments),
        Suite::DumpLog(arguments) => dump_log::main(arguments),
        Suite::Golden(arguments) => golden::main(arguments),
        Suite::Log(arguments) => log::main(arguments),
        Suite::Librdkafka(arguments) => librdkafka::main(arguments),
        Suite::KafkaPython(arguments) => kafka_python::main(arguments),
        Suite::Start(arguments) => start::main(arguments),
    }
}
