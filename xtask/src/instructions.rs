//! `cargo xtask instructions`: what the hot paths take in instructions, as callgrind counts them.
//!
//! Unlike a time, a count is the same on every machine with the same compiler and the same processor features, so a change can be held
//! against the page that is kept. Measured are the functions in a module `counted` of the benches, each run once by criterion's `--test`; what
//! a function calls is in its count, what the kernel does for it is not.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{place, process, workspace};

/// The crates with benches of hot paths, and the benches' names.
const BENCHES: [(&str, &str); 3] = [("dohle-protocol", "wire"), ("dohle-records", "batch"), ("dohle-log", "log")];
const PAGE: &str = "docs/instructions.md";
/// What callgrind slows down by.
const LIMIT: Duration = Duration::from_secs(600);
const HEAD: &str = "\
# Instructions of the hot paths

Written by `cargo xtask instructions`, which runs the benches under `valgrind --tool=callgrind`. A count holds what the function calls, not
what the kernel does for it. A function that runs several times is told by its mean. Compare with the same compiler; valgrind hides the widest
vector instructions of newer processors, so that checksums count dearer here than they are.

";

/// What `cargo xtask instructions` is told.
#[derive(clap::Args)]
pub struct Arguments {
    /// Print the table and leave docs/instructions.md as it is.
    #[arg(long)]
    dry_run: bool,
}

/// Counts, and writes the page.
pub fn main(arguments: &Arguments) -> Result<()> {
    let folder = place::fresh("instructions")?;
    let mut counts = BTreeMap::new();
    for (package, bench) in BENCHES {
        eprintln!("instructions: {package}, bench {bench}");
        counts.extend(count(&build(package, bench)?, bench, &folder)?);
    }
    let page = format!("{HEAD}{}\n{}", table(&counts), compiler()?);
    print!("{page}");
    if !arguments.dry_run {
        fs::write(place::root().join(PAGE), page).with_context(|| format!("write {PAGE}"))?;
    }
    Ok(())
}

/// Builds a bench, and finds it.
fn build(package: &str, bench: &str) -> Result<PathBuf> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let arguments = ["bench", "--no-run", "--message-format", "json", "--package", package, "--bench", bench];
    let output = workspace::command(&cargo, &arguments).output().context("run cargo")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut executables = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_bench = message.pointer("/target/name")? == bench;
        is_bench.then(|| message.get("executable")?.as_str().map(PathBuf::from)).flatten()
    });
    executables.next_back().with_context(|| format!("cargo built no bench {bench}"))
}

/// Instructions of each counted function, for one call.
fn count(executable: &Path, bench: &str, folder: &Path) -> Result<BTreeMap<String, u64>> {
    let profile = folder.join(format!("{bench}.callgrind"));
    let mut valgrind = Command::new("valgrind");
    valgrind.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", profile.display()));
    // Names of the libraries are looked up before the count begins.
    valgrind.env("LD_BIND_NOW", "1").arg(executable).args(["--test", "--bench"]).current_dir(folder);
    process::run_into(&mut valgrind, &folder.join(format!("{bench}.log")), LIMIT)
        .context("valgrind counts the instructions; is it installed?")?;
    let counts = parse(&fs::read_to_string(&profile)?)?;
    ensure!(!counts.is_empty(), "no function of a module `counted` was called in {bench}");
    Ok(counts.into_iter().map(|(name, calls)| (format!("{bench}: {name}"), calls.cost / calls.count)).collect())
}

/// Calls of one function.
#[derive(Debug, Default, PartialEq)]
struct Calls {
    count: u64,
    /// Instructions of all of them, and of what they called.
    cost: u64,
}

/// Reads a profile (the format is described in valgrind's manual): a line `cfn=` names who is called, `calls=` says how often, and the last
/// number of the next line is what that cost. A name in parentheses stands for one that was given before.
fn parse(profile: &str) -> Result<BTreeMap<String, Calls>> {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    let mut counts: BTreeMap<String, Calls> = BTreeMap::new();
    let mut called = None;
    let mut lines = profile.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn=")) {
            let (number, name) = name.split_once(' ').unwrap_or((name, ""));
            if !name.is_empty() {
                names.insert(number, name);
            }
            if line.starts_with("cfn=") {
                called = names.get(number).and_then(|name| name.split_once("::counted::"));
            }
        }
        let Some(calls) = line.strip_prefix("calls=") else { continue };
        let cost = lines.next().and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        let (Some(count), Some(cost)) = (calls.split(' ').next().and_then(|count| count.parse::<u64>().ok()), cost)
        else {
            bail!("callgrind wrote something else than calls: {line}");
        };
        if let Some((_, name)) = called.filter(|(_, name)| !name.contains("::")) {
            let calls = counts.entry(name.to_owned()).or_default();
            calls.count += count;
            calls.cost += cost;
        }
    }
    Ok(counts)
}

fn table(counts: &BTreeMap<String, u64>) -> String {
    let mut text = String::from("| bench | instructions |\n|---|---:|\n");
    for (name, count) in counts {
        let _ = writeln!(text, "| {} | {count} |", name.replace('_', " "));
    }
    text
}

fn compiler() -> Result<String> {
    let output = Command::new("rustc").arg("--version").output().context("run rustc")?;
    Ok(format!("Compiled by {}.\n", String::from_utf8_lossy(&output.stdout).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "\
fn=(1) main
0 5
cfn=(2) batch::counted::check_1_kib
calls=2 0
0 300
cfn=(3) core::fmt::write
calls=1 0
0 9

fn=(2)
0 100
cfn=(3)
calls=2 0
0 200

fn=(4) batch::other
0 1
cfn=(2)
calls=1 0
0 150
";

    #[test]
    fn the_cost_of_a_counted_function_is_what_its_calls_cost() {
        let counts = parse(PROFILE).unwrap();
        assert_eq!(counts, BTreeMap::from([("check_1_kib".to_owned(), Calls { count: 3, cost: 450 })]));
    }

    #[test]
    fn what_is_no_profile_is_refused() {
        assert!(parse("cfn=(1) a::counted::b\ncalls=x\n").is_err());
    }

    #[test]
    fn the_table_names_the_functions_in_words() {
        let counts = BTreeMap::from([("batch: check_1_kib".to_owned(), 150)]);
        assert!(table(&counts).ends_with("| batch: check 1 kib | 150 |\n"));
    }
}
