//! `cargo xtask crash`: the real binary under load from librdkafka, killed at random moments, started again, and held to every promise
//! that it gave.
//!
//! Owns the run: which fault comes when follows from the seed. The load is a process of its own (`crates/dohle/examples/crash_load`,
//! which says why); the account of what was promised is [`ledger`], which knows neither processes nor files.

mod broker;
mod control;
mod dice;
mod event;
mod fault;
mod ledger;
mod load;
mod small_disk;
mod world;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use self::control::Shim;
use self::dice::Dice;
use self::fault::Fault;
use self::ledger::Tally;
use self::world::World;
use crate::{place, workspace};

/// What `cargo xtask crash` is told.
#[derive(clap::Args)]
pub struct Arguments {
    /// How often the broker suffers a fault and is held to its promises.
    #[arg(long, default_value_t = 25)]
    cycles: u32,
    /// What follows from it: which fault comes when, and after how long. Printed at the start.
    #[arg(long)]
    seed: Option<u64>,
    /// What an acknowledgement waits for.
    #[arg(long, value_enum, default_value = "default")]
    mode: Mode,
    /// Only this fault; may be repeated. Otherwise all that this machine permits, by turns.
    #[arg(long, value_enum)]
    fault: Vec<Fault>,
    /// The release build, which is faster and takes longer to make.
    #[arg(long)]
    release: bool,
}

/// What an acknowledgement waits for.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// The disk.
    Default,
    /// The operating system, which survives the death of a process.
    Relaxed,
}

/// What all worlds of a run share.
struct Tools {
    dohle: PathBuf,
    load: PathBuf,
    /// None where a program cannot be given another C library's calls.
    shim: Option<Shim>,
    mode: Mode,
    folder: PathBuf,
}

/// Runs the cycles; fails when a promise was broken or a process did not do what it must.
pub fn main(arguments: Arguments) -> Result<()> {
    ensure!(arguments.cycles > 0, "at least one cycle is needed");
    let tools = Tools::make(&arguments)?;
    let seed = arguments.seed.unwrap_or_else(dice::any_seed);
    eprintln!("crash: {} cycles, --seed {seed}", arguments.cycles);
    let faults = permitted(&arguments.fault, &tools)?;
    let tally = run(&tools, &faults, &mut Dice::new(seed), arguments.cycles)?;
    for finding in &tally.findings {
        println!("{finding}");
    }
    println!("{} cycles, {tally}", arguments.cycles);
    if !tally.is_clean() {
        bail!("promises were broken; see {} and repeat it with --seed {seed}", tools.folder.display());
    }
    Ok(())
}

fn run(tools: &Tools, faults: &[Fault], dice: &mut Dice, cycles: u32) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut world = World::start(tools, tools.folder.join("world"))?;
    for cycle in 1..=cycles {
        let begun = Instant::now();
        let fault = *dice.choose(faults);
        let told = match fault {
            Fault::Full => small_disk::suffer(tools, dice, cycle, &mut tally)?,
            Fault::Kill | Fault::Burst | Fault::Start | Fault::Stop | Fault::Fsync | Fault::Clock => {
                world.cycle(fault, dice)?
            }
        };
        let so_far = world.tally();
        eprintln!(
            "crash: {cycle}/{cycles} {fault}: {told}; {} acknowledged, {:.1} s",
            so_far.acknowledged + tally.acknowledged,
            begun.elapsed().as_secs_f32()
        );
    }
    tally.add(world.end()?);
    Ok(tally)
}

impl Tools {
    fn make(arguments: &Arguments) -> Result<Self> {
        eprintln!("crash: building dohle and its load");
        let profile: &[&str] = if arguments.release { &["--release"] } else { &[] };
        let build = ["build", "--quiet", "--package", "dohle", "--bin", "dohle", "--example", "crash_load"];
        workspace::cargo(&[&build, profile].concat())?;
        let built = place::target().join(if arguments.release { "release" } else { "debug" });
        let folder = place::fresh("crash")?;
        Ok(Self {
            dohle: built.join("dohle"),
            load: built.join("examples/crash_load"),
            shim: control::build(&folder)?,
            mode: arguments.mode,
            folder,
        })
    }
}

/// The faults of the run, each as often as it shall come; what this machine does not permit is named and left out.
fn permitted(asked: &[Fault], tools: &Tools) -> Result<Vec<Fault>> {
    let asked = if asked.is_empty() { fault::MIX } else { asked };
    let mut faults = Vec::new();
    for fault in asked {
        let refusal = match fault {
            Fault::Kill | Fault::Burst | Fault::Start | Fault::Stop => None,
            Fault::Fsync | Fault::Clock if tools.shim.is_some() => None,
            Fault::Fsync | Fault::Clock => Some("needs Linux and a C compiler"),
            Fault::Full => small_disk::refusal(&tools.folder)?,
        };
        match refusal {
            None => faults.push(*fault),
            Some(why) => eprintln!("crash: skipped {fault}: {why}"),
        }
    }
    ensure!(!faults.is_empty(), "nothing is left to be done");
    Ok(faults)
}
