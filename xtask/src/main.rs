//! The workshop's door: `cargo xtask <task>`.

use clap::{Parser, Subcommand};
use xtask::{bench, codegen, crash, instructions, kafka, layers, place, schema, suites, tidy, verify};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The workshop of Dohle")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check everything that must hold before a change lands; writes nothing
    Verify,
    /// Check the edges between crates against layers.toml
    Layers,
    /// Check what a reader relies on in every file
    Tidy,
    /// Facts about messages, taken from Kafka's jars
    #[command(subcommand)]
    Schema(schema::Task),
    /// Write the messages of `dohle-protocol` from the schema files
    Codegen {
        /// Write nothing; fail when the generated code is stale
        #[arg(long)]
        check: bool,
    },
    /// A real Apache Kafka from its published jars: install it, start one node, stop it
    Kafka(kafka::Arguments),
    /// Dohle beside Apache Kafka, each workload in turn on a quiet machine; writes docs/benchmarks.md
    Bench(bench::Arguments),
    /// Instructions of the hot paths, as callgrind counts them; writes docs/instructions.md
    Instructions(instructions::Arguments),
    /// Kill a broker under load again and again, and hold it to every promise that it gave
    Crash(crash::Arguments),
    /// Foreign clients and suites against a broker that is started for them
    Suites(suites::Arguments),
}

fn main() -> anyhow::Result<()> {
    let root = place::root();
    match Arguments::parse().task {
        Task::Verify => verify::run(),
        Task::Layers => verify::none("layers", layers::breaches()?),
        Task::Tidy => verify::none("tidy", tidy::breaches()?),
        Task::Schema(task) => schema::run(&root, &task),
        Task::Codegen { check } => codegen::run(&root, check),
        Task::Kafka(arguments) => kafka::main(arguments),
        Task::Bench(arguments) => bench::main(arguments),
        Task::Instructions(arguments) => instructions::main(&arguments),
        Task::Crash(arguments) => crash::main(arguments),
        Task::Suites(arguments) => suites::main(arguments),
    }
}
