//! The facts about messages: their model, our compact notation, and the import from Kafka's jars.
//!
//! Owns the files under `crates/dohle-protocol/schema`. Knows nothing of the Rust that is made of them.

mod import;
mod model;
mod notation;

use std::path::{Path, PathBuf};

use anyhow::Context;

pub use import::import;
pub use model::{Field, Kind, Message, Primitive, Schema, Struct, Tagged, Type, Versions};

/// Where the schema files lie, from the root of the workspace.
pub const FOLDER: &str = "crates/dohle-protocol/schema";

#[derive(clap::Subcommand)]
/// Works on the schema files.
pub enum Task {
    /// Reads the message definitions out of Kafka's jars and writes their facts in our notation
    Import {
        /// kafka-clients, -metadata, -group-coordinator, -transaction-coordinator, -share-coordinator, -storage
        #[arg(required = true)]
        jars: Vec<PathBuf>,
    },
}

/// Runs one task on the schema files of the workspace at `root`.
pub fn run(root: &Path, task: &Task) -> anyhow::Result<()> {
    match task {
        Task::Import { jars } => import(&root.join(FOLDER), jars),
    }
}

/// Reads every schema file below `folder`, sorted by path.
pub fn read(folder: &Path) -> anyhow::Result<Vec<Schema>> {
    let mut schemas = Vec::new();
    read_below(folder, "", &mut schemas)?;
    schemas.sort_by(|a, b| (&a.family, &a.name).cmp(&(&b.family, &b.name)));
    Ok(schemas)
}

fn read_below(folder: &Path, family: &str, schemas: &mut Vec<Schema>) -> anyhow::Result<()> {
    for entry in folder.read_dir().with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).context("a schema file has no name")?;
        if path.is_dir() {
            read_below(&path, stem, schemas)?;
        } else {
            let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            let messages = notation::parse(&text).with_context(|| path.display().to_string())?;
            schemas.push(Schema { family: family.to_owned(), name: stem.to_owned(), messages });
        }
    }
    Ok(())
}
