//! Turns the schema files into the Rust of `dohle-protocol`.
//!
//! Owns `src/message` and the folders of record families under `src/record` there: what it does not write in them, it
//! removes. The text that it makes is formatted by rustfmt and is committed.

mod apis;
mod guard;
mod names;
mod number;
mod records;
mod shape;
mod structs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::schema::{self, Schema};

/// The crate that is written, from the root of the workspace.
const CRATE: &str = "crates/dohle-protocol/src";
/// Where the text is formatted before it is compared, from the root of the workspace.
const DRAFT: &str = "target/codegen";

/// Text by path below the crate's `src`.
type Files = BTreeMap<PathBuf, String>;

/// Writes the generated code of the workspace at `root`, or with `check` only says whether it is up to date.
pub fn run(root: &Path, check: bool) -> anyhow::Result<()> {
    let schemas = schema::read(&root.join(schema::FOLDER))?;
    let files = format(root, generate(&schemas)?)?;
    let stale = stale(&root.join(CRATE), &files)?;
    if check {
        ensure!(stale.is_empty(), "generated code is stale, run `cargo xtask codegen`: {stale:?}");
        return Ok(());
    }
    for path in &stale {
        replace(&root.join(CRATE).join(path), files.get(path))?;
    }
    println!("{} files, {} changed", files.len(), stale.len());
    Ok(())
}

fn generate(schemas: &[Schema]) -> anyhow::Result<Files> {
    let mut files = Files::new();
    let apis: Vec<&Schema> = schemas.iter().filter(|schema| schema.family.is_empty()).collect();
    apis::generate(&apis, &mut files).context("apis")?;
    let mut families: BTreeMap<&str, Vec<&Schema>> = BTreeMap::new();
    for schema in schemas.iter().filter(|schema| !schema.family.is_empty()) {
        families.entry(&schema.family).or_default().push(schema);
    }
    for (family, schemas) in families {
        records::generate(family, &schemas, &mut files).with_context(|| family.to_owned())?;
    }
    Ok(files)
}

/// Formats all files in a folder of drafts.
fn format(root: &Path, files: Files) -> anyhow::Result<Files> {
    let draft = root.join(DRAFT);
    if draft.exists() {
        std::fs::remove_dir_all(&draft)?;
    }
    for (path, text) in &files {
        replace(&draft.join(path), Some(text))?;
    }
    let doors = files.keys().filter(|path| path.ends_with("mod.rs")).map(|path| draft.join(path));
    let status = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root.join("rustfmt.toml"))
        .args(doors)
        .status()
        .context("run rustfmt")?;
    if !status.success() {
        bail!("rustfmt refused the generated code in {}", draft.display());
    }
    files.into_keys().map(|path| Ok((path.clone(), std::fs::read_to_string(draft.join(path))?))).collect()
}

/// The files that differ, are missing, or should not be there.
fn stale(source: &Path, files: &Files) -> anyhow::Result<Vec<PathBuf>> {
    let mut stale = Vec::new();
    for (path, text) in files {
        if std::fs::read_to_string(source.join(path)).ok().as_deref() != Some(text) {
            stale.push(path.clone());
        }
    }
    let mut folders: Vec<&Path> = files.keys().filter_map(|path| path.parent()).collect();
    folders.dedup();
    for folder in folders {
        let Ok(entries) = source.join(folder).read_dir() else { continue };
        for entry in entries {
            let path = folder.join(entry?.file_name());
            if !files.contains_key(&path) {
                stale.push(path);
            }
        }
    }
    Ok(stale)
}

/// Writes a file and the folders to it, or removes it.
fn replace(path: &Path, text: Option<&String>) -> anyhow::Result<()> {
    let Some(text) = text else { return Ok(std::fs::remove_file(path)?) };
    std::fs::create_dir_all(path.parent().expect("a file lies in a folder"))?;
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
