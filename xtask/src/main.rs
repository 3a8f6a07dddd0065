//! The workshop's door: `cargo xtask <task>`.

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The workshop of Dohle")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
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
        Task::Schema(task) => xtask::schema::run(&root, &task),
        Task::Codegen { check } => xtask::codegen::run(&root, check),
    }
}
