//! `cargo xtask bench`: Dohle beside Apache Kafka, in turn, workload after workload, each leg on an empty folder and a quiet machine.
//!
//! Owns the run. What is measured is a table of values ([`rows`]); the load is `dohle bench`; the numbers are kept row by row ([`store`]) and
//! told on one page ([`report`]).

mod broker;
mod cold;
mod entrant;
mod fill;
mod first;
mod flat;
mod floor;
mod foreign;
mod gauge;
mod idle;
mod leg;
mod machine;
mod report;
mod row;
mod rows;
mod spread;
mod store;

use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::machine::Circumstances;
use self::row::Row;
use self::rows::ROWS;
use self::store::{Leg, Measured, Outcome, Store};
use crate::kafka::Tree;
use crate::{place, workspace};

/// Both brokers hold a file or two open for each partition, and a socket for each connection.
const OPEN_FILES_WANTED: u64 = 1 << 17;

/// What `cargo xtask bench` is told.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only these rows or groups of rows, with commas between: `1b` is all rows whose names begin with `1b.`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How often each broker has its turn.
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Short warm-ups and windows: a look, not a measurement.
    #[arg(long)]
    quick: bool,
    /// Do not wait until the machine is quiet.
    #[arg(long)]
    no_gate: bool,
    /// Where `benchmarks.md` and the folder `benchmarks` are written; `docs` if not said.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Measure this `dohle`, which is built already.
    #[arg(long, value_name = "FILE")]
    dohle: Option<PathBuf>,
    /// Make the load with this `dohle`; the one that is measured if not said.
    #[arg(long, value_name = "FILE")]
    generator: Option<PathBuf>,
    /// Leave Kafka out: Dohle's figures alone.
    #[arg(long)]
    alone: bool,
    /// Name the rows and end.
    #[arg(long)]
    list: bool,
    /// Write the page again from the numbers and remarks that are there, and measure nothing.
    #[arg(long)]
    page: bool,
}

/// What all legs of a run share.
struct Tools {
    dohle: PathBuf,
    generator: PathBuf,
    /// None when Dohle is measured alone.
    kafka: Option<Tree>,
    is_quick: bool,
    is_gated: bool,
}

/// Measures the rows and writes the page again after each, so that a run that is cut short leaves what it has.
pub fn main(arguments: Arguments) -> Result<()> {
    if arguments.list {
        for row in ROWS {
            println!("{:<12} {}", row.id, row.workload);
        }
        return Ok(());
    }
    ensure!(arguments.pairs > 0, "at least one pair is needed");
    let rows = chosen(ROWS, &arguments.only)?;
    let store = Store::open(&arguments.out.clone().unwrap_or_else(|| place::root().join("docs")))?;
    if arguments.page {
        let page = publish(&store)?;
        eprintln!("bench: {} is written", page.display());
        return Ok(());
    }
    let _alone = claim_machine()?;
    allow_open_files()?;
    let tools = Tools::make(&arguments)?;
    let circumstances = circumstances(&arguments, &tools)?;
    for row in rows {
        let measured = measure(&tools, row, &circumstances)?;
        store.keep(&measured)?;
        let page = publish(&store)?;
        println!("{}", report::table(&[(row, &measured)]));
        eprintln!("bench: {} is in {}", row.id, page.display());
    }
    Ok(())
}

fn publish(store: &Store) -> Result<PathBuf> {
    store.publish(&report::page(ROWS, &store.all()?, &store.remarks()?))
}

/// Two comparisons at once would measure each other, and write into the same folders. Held until dropped.
fn claim_machine() -> Result<File> {
    let path = place::cache("run")?.join("bench.lock");
    let lock = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    lock.try_lock().context("another comparison runs here: wait for its end, or stop it")?;
    Ok(lock)
}

fn measure(tools: &Tools, row: &Row, circumstances: &Circumstances) -> Result<Measured> {
    let mut legs = Vec::new();
    for pair in 1..=circumstances.pairs {
        for entrant in row.entrants().filter(|entrant| tools.kafka.is_some() || !entrant.is_kafka()) {
            fill::fill_page_cache()?;
            if tools.is_gated {
                gauge::await_quiet()?;
            }
            let begun = Instant::now();
            // One leg that fails is told, and must not cost the hours of all others.
            let outcome = match leg::run(tools, row, entrant) {
                Ok(told) => Outcome::Told(told),
                Err(error) => {
                    eprintln!("bench: {} {entrant}: {error:#}", row.id);
                    Outcome::Failed(reason(&error))
                }
            };
            let seconds = begun.elapsed().as_secs_f32();
            eprintln!(
                "bench: {} {pair}/{} {entrant} {seconds:.0} s{}",
                row.id,
                circumstances.pairs,
                glance(row, &outcome)
            );
            legs.push(Leg { entrant, pair, outcome });
        }
    }
    Ok(Measured { row: row.id.to_owned(), circumstances: circumstances.clone(), legs })
}

/// The figures of one leg, for who watches.
fn glance(row: &Row, outcome: &Outcome) -> String {
    let Outcome::Told(told) = outcome else { return ", failed".to_owned() };
    let figure = |figure: &row::Figure| {
        let value = figure.of(told).map_or("unknown".to_owned(), spread::digits);
        format!(", {} {value} {}", figure.name, figure.unit)
    };
    row.figures.iter().map(figure).collect()
}

/// The first line of an error, without the folders of this machine.
fn reason(error: &anyhow::Error) -> String {
    let whole = format!("{error:#}");
    let line = whole.lines().next().unwrap_or_default();
    line.replace(&place::target().display().to_string(), "target").replace(&place::root().display().to_string(), ".")
}

/// The rows that were named; all when none was.
fn chosen<'a>(rows: &'a [Row], only: &[String]) -> Result<Vec<&'a Row>> {
    for name in only {
        if !rows.iter().any(|row| row.id == name || row.group() == name) {
            let names: Vec<&str> = rows.iter().map(|row| row.id).collect();
            bail!("no row is named {name}; there are {}", names.join(", "));
        }
    }
    let is_chosen = |row: &&Row| {
        (only.is_empty() && row.hours.is_none()) || only.iter().any(|name| row.id == name || row.group() == name)
    };
    Ok(rows.iter().filter(is_chosen).collect())
}

impl Tools {
    fn make(arguments: &Arguments) -> Result<Tools> {
        let dohle = match &arguments.dohle {
            Some(dohle) => absolute(dohle)?,
            None => {
                eprintln!("bench: building dohle");
                workspace::cargo(&["build", "--quiet", "--release", "--package", "dohle", "--bin", "dohle"])?;
                place::target().join("release/dohle")
            }
        };
        let generator = arguments.generator.as_ref().map_or_else(|| Ok(dohle.clone()), absolute)?;
        let kafka = if arguments.alone { None } else { kafka() };
        Ok(Tools { dohle, generator, kafka, is_quick: arguments.quick, is_gated: !arguments.no_gate })
    }
}

/// Kafka's jars; without them Dohle is measured alone.
fn kafka() -> Option<Tree> {
    match Tree::install() {
        Ok(tree) => Some(tree),
        Err(error) => {
            eprintln!("bench: Kafka cannot be had, so Dohle is measured alone: {error:#}");
            None
        }
    }
}

fn absolute(path: &PathBuf) -> Result<PathBuf> {
    std::fs::canonicalize(path).with_context(|| format!("find {}", path.display()))
}

fn circumstances(arguments: &Arguments, tools: &Tools) -> Result<Circumstances> {
    Ok(Circumstances {
        date: machine::today()?,
        pairs: arguments.pairs,
        is_quick: arguments.quick,
        is_gated: tools.is_gated,
        machine: machine::describe(&place::cache("run")?)?,
        versions: machine::versions(tools.kafka.is_some()),
        command: command(arguments),
    })
}

/// How the run is repeated, whatever folders it was told.
fn command(arguments: &Arguments) -> String {
    let mut command = "cargo xtask bench".to_owned();
    if !arguments.only.is_empty() {
        command += &format!(" --only {}", arguments.only.join(","));
    }
    command += &format!(" --pairs {}", arguments.pairs);
    for (is_said, word) in
        [(arguments.quick, " --quick"), (arguments.no_gate, " --no-gate"), (arguments.alone, " --alone")]
    {
        command += if is_said { word } else { "" };
    }
    command
}

/// As many as the system permits, for us and for all that we start.
fn allow_open_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let maximum = limit.maximum.map_or(OPEN_FILES_WANTED, |most| most.max(OPEN_FILES_WANTED));
    // Only root may go past the maximum; others take what there is.
    if setrlimit(Resource::Nofile, Rlimit { current: Some(maximum), maximum: Some(maximum) }).is_err() {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
            .context("allow more open files")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn rows_are_named_by_themselves_or_by_their_group() {
        let names = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
            chosen(ROWS, &only).map(|rows| rows.iter().map(|row| row.id).collect::<Vec<_>>())
        };
        assert_eq!(names(&["1a"]).unwrap(), ["1a"]);
        assert_eq!(names(&["1b"]).unwrap(), ["1b.1k", "1b.100"]);
        assert_eq!(names(&["1b.100", "1a"]).unwrap(), ["1a", "1b.100"]);
        assert_eq!(names(&["14"]).unwrap(), ["14"]);
        assert!(!names(&[]).unwrap().contains(&"14"), "what takes hours is asked for");
        assert!(names(&["1z"]).unwrap_err().to_string().starts_with("no row is named 1z"));
    }

    #[test]
    fn every_row_has_a_name_of_its_own_and_compares_kafka_with_dohle() {
        let names: BTreeSet<_> = ROWS.iter().map(|row| row.id).collect();
        assert_eq!(names.len(), ROWS.len());
        for row in ROWS {
            assert!(row.pair[0].is_kafka() && !row.pair[1].is_kafka(), "{}", row.id);
            assert!(!row.figures.is_empty(), "{}", row.id);
        }
    }
}
