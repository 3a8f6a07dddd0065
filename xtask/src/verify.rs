//! Everything that must hold before a change lands. Writes nothing.

use std::time::Instant;

use anyhow::bail;

use crate::{codegen, layers, place, tidy, workspace};

/// Runs every check in order and stops at the first that fails.
pub fn run() -> anyhow::Result<()> {
    step("format", || workspace::cargo(&["fmt", "--all", "--check"]))?;
    step("layers", || none("layers", layers::breaches()?))?;
    step("generated code", || codegen::run(&place::root(), true))?;
    step("tidy", || none("tidy", tidy::breaches()?))?;
    step("lints and purity", || {
        workspace::cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])
    })?;
    step("tests and seeds", || workspace::cargo(&["test", "--quiet", "--workspace"]))
}

fn step(name: &str, check: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    println!("verify: {name}");
    let begun = Instant::now();
    check()?;
    println!("verify: {name} holds ({:.0?})", begun.elapsed());
    Ok(())
}

/// Fails with every breach on a line of its own.
pub fn none(what: &str, breaches: Vec<String>) -> anyhow::Result<()> {
    if breaches.is_empty() {
        return Ok(());
    }
    for breach in &breaches {
        eprintln!("{breach}");
    }
    bail!("{what}: {} to mend", breaches.len())
}
