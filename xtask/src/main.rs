//! The workshop's door: `cargo xtask <task>`.

use clap::{Parser, Subcommand};
use xtask::{layers, tidy, verify};

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
    #[command(subcommand)]
    Schema(xtask::schema::Task),
    /// Writes the messages of `dohle-protocol` from the schema files
    Codegen {
        /// Write nothing; fail when the generated code is stale
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<()> {
    let root = xtask::root();
    match Arguments::parse().task {
        Task::Verify => verify::run(),
        Task::Layers => verify::none("layers", layers::breaches()?),
        Task::Tidy => verify::none("tidy", tidy::breaches()?),
        Task::Schema(task) => xtask::schema::run(&root, &task),
        Task::Codegen { check } => xtask::codegen::run(&root, check),
    }
}
