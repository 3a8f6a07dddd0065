//! The workshop's door: `cargo xtask <task>`.

use clap::{Parser, Subcommand};
use xtask::{kafka, suites};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The workshop of Dohle")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// A real Apache Kafka from its published jars: install it, start one node, stop it.
    Kafka(kafka::Arguments),
    /// Foreign clients and suites against a broker that is started for them.
    Suites(suites::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Kafka(arguments) => kafka::main(arguments),
        Task::Suites(arguments) => suites::main(arguments),
    }
}
