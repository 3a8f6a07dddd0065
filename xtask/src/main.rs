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
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Verify => verify::run(),
        Task::Layers => verify::none("layers", layers::breaches()?),
        Task::Tidy => verify::none("tidy", tidy::breaches()?),
    }
}
