//! One partition on one disk that fails: producers write to it, and what they were told is held against what the disk gives back.
//!
//! Owns no machine: the log, its directory and the leader run as they run in the broker, one step after the other. Each run has one kind
//! of [`Fault`], which comes again and again, and one rule of durability. Knows neither groups nor the network.

mod ledger;
mod shelf;

use std::collections::BTreeMap;
use std::fmt;

use dohle_base::Rng;
use dohle_replication::partition::Durability;

use ledger::Ledger;
use shelf::{Shelf, Stop, Wrote};

/// How many steps a run has.
const STEPS: u64 = 400;
/// A fault comes once in so many steps, about.
const FAULT_EVERY: u64 = 40;

/// What the disk does wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The power goes between two operations: what was not synced is lost, kept or torn, sector by sector.
    PowerCut,
    /// The power goes in the middle of an operation, that of a recovery included.
    TornOperation,
    /// The process dies; the operating system keeps what was written.
    Kill,
    /// A write fails.
    WriteError,
    /// A sync fails, and its pages are gone although the next one succeeds.
    SyncError,
    /// A write stops half way.
    ShortWrite,
    /// The disk is full for a while.
    NoSpace,
    /// A sync takes as long as dozens of batches.
    SlowSync,
    /// A byte changes in a closed segment while nobody looks.
    BitRot,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::PowerCut,
        Self::TornOperation,
        Self::Kill,
        Self::WriteError,
        Self::SyncError,
        Self::ShortWrite,
        Self::NoSpace,
        Self::SlowSync,
        Self::BitRot,
    ];
}

/// What came of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Batches that a producer was told are safe.
    pub acknowledged: u64,
    /// Of those, the ones that were not there after a stop. None may be, unless the rule is relaxed and the power went.
    pub lost: u64,
    /// Records that the broker itself said are lost, when it started again.
    pub reported: u64,
    /// How often the fault came.
    pub faults: u64,
    /// How often the broker started again.
    pub restarts: u64,
    /// Refusals for want of room.
    pub refused: u64,
    /// Batches in which rot was found by whoever read them.
    pub rotten: u64,
}

impl Tally {
    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.lost += other.lost;
        self.reported += other.reported;
        self.faults += other.faults;
        self.restarts += other.restarts;
        self.refused += other.refused;
        self.rotten += other.rotten;
    }
}

/// A law that was broken, and in which run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    seed: u64,
    fault: Fault,
    durability: Durability,
    what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, fault, durability, what } = self;
        write!(f, "seed {seed}, {fault:?}, {durability:?}: {what}")
    }
}

/// Runs a seed.
pub fn run(seed: u64, fault: Fault, durability: Durability) -> Result<Tally, Broken> {
    let mut run = Run {
        rng: Rng::new(seed),
        fault,
        durability,
        ledger: Ledger::default(),
        flush_at: None,
        room_at: None,
        tally: Tally::default(),
    };
    run.play().map_err(|what| Broken { seed, fault, durability, what })?;
    Ok(run.tally)
}

struct Run {
    rng: Rng,
    fault: Fault,
    durability: Durability,
    ledger: Ledger,
    /// The step at which the flush that is under way ends.
    flush_at: Option<u64>,
    /// The step at which a full disk has room again.
    room_at: Option<u64>,
    tally: Tally,
}

impl Run {
    fn play(&mut self) -> Result<(), String> {
        let mut shelf = Shelf::new(self.durability, &mut self.rng)?;
        for step in 0..STEPS {
            shelf.pass_time(&mut self.rng);
            if self.rng.below(FAULT_EVERY) == 0 {
                shelf = self.strike(shelf, step)?;
            }
            if self.room_at.is_some_and(|at| at <= step) {
                self.room_at = None;
                shelf.give_room();
            }
            let alive = self.produce(&mut shelf)? && self.sync(&mut shelf, step)? && self.note(&mut shelf);
            if !alive {
                shelf = self.start_again(shelf)?;
            }
        }
        shelf.give_room();
        self.finish(shelf)
    }

    /// A producer writes the next batch, or the last one again until it is acknowledged.
    fn produce(&mut self, shelf: &mut Shelf) -> Result<bool, String> {
        let batch = self.ledger.next(&mut self.rng);
        match shelf.append(&batch) {
            Wrote::At(offset) => self.ledger.written(&batch, offset)?,
            Wrote::Again(offset) => self.ledger.repeated(&batch, offset)?,
            Wrote::NoRoom => self.tally.refused += 1,
            Wrote::Failed => {
                // It may be on the disk all the same.
                self.ledger.unsure(&batch, shelf.end());
                return Ok(false);
            }
        }
        self.tally.acknowledged += self.ledger.acknowledge(shelf.high_watermark());
        Ok(true)
    }

    /// Hands what waits to the disk, and hears of it some steps later.
    fn sync(&mut self, shelf: &mut Shelf, step: u64) -> Result<bool, String> {
        if self.flush_at.is_none() && shelf.begin_flush() {
            let slow = self.fault == Fault::SlowSync && self.rng.chance(100);
            self.tally.faults += u64::from(slow);
            self.flush_at = Some(step + if slow { 20 + self.rng.below(40) } else { self.rng.below(4) });
        }
        if self.flush_at.is_none_or(|at| at > step) {
            return Ok(true);
        }
        self.flush_at = None;
        let alive = shelf.end_flush();
        self.tally.acknowledged += self.ledger.acknowledge(shelf.high_watermark());
        Ok(alive)
    }

    /// Writes the checkpoints down now and then.
    fn note(&mut self, shelf: &mut Shelf) -> bool {
        !self.rng.chance(100) || shelf.write_checkpoints()
    }

    fn strike(&mut self, mut shelf: Shelf, step: u64) -> Result<Shelf, String> {
        self.tally.faults += u64::from(self.fault != Fault::SlowSync);
        match self.fault {
            Fault::PowerCut | Fault::Kill => return self.start_again(shelf),
            Fault::TornOperation | Fault::WriteError | Fault::SyncError | Fault::ShortWrite => {
                shelf.spoil(self.fault, &mut self.rng);
            }
            Fault::NoSpace => {
                shelf.fill(&mut self.rng);
                self.room_at = Some(step + 1 + self.rng.below(30));
            }
            Fault::SlowSync => {}
            Fault::BitRot => return self.rot(shelf),
        }
        Ok(shelf)
    }

    /// The broker goes down as the fault has it, comes back, and is held to what it said.
    fn start_again(&mut self, shelf: Shelf) -> Result<Shelf, String> {
        self.flush_at = None;
        let power = !matches!(self.fault, Fault::Kill | Fault::NoSpace | Fault::SlowSync | Fault::ShortWrite);
        let (synced, end) = (shelf.synced(), shelf.end());
        let torn = self.fault == Fault::TornOperation;
        let (shelf, reported) = shelf.restart(Stop { power, torn }, self.durability, &mut self.rng)?;
        self.tally.restarts += 1;
        self.tally.reported += reported;
        let found = shelf.read()?;
        let may_lose = power && self.durability == Durability::Relaxed;
        let lost = self.ledger.compare(&found, if power { synced } else { end }, may_lose)?;
        if reported > lost.records {
            return Err(format!("{reported} records are reported lost, and {} are", lost.records));
        }
        self.tally.lost += lost.batches;
        Ok(shelf)
    }

    /// Stops in order, lets a byte rot, and starts: whoever reads must find it out.
    fn rot(&mut self, mut shelf: Shelf) -> Result<Shelf, String> {
        self.flush_at = None;
        if !shelf.close() {
            return Err("a clean stop fails".to_owned());
        }
        let Some(rotten) = shelf.rotten_copy(&mut self.rng) else { return shelf.reopen(self.durability) };
        self.tally.rotten += self.ledger.find_rot(&rotten.open_and_read(self.durability)?)?;
        shelf.reopen(self.durability)
    }

    /// Everything becomes durable, the power goes once more, and all is there in its place.
    fn finish(&mut self, mut shelf: Shelf) -> Result<(), String> {
        if shelf.begin_flush() && !shelf.end_flush() {
            shelf = self.start_again(shelf)?;
        }
        shelf.calm();
        let flushed = !shelf.begin_flush() || shelf.end_flush();
        if !flushed {
            return Err("a sound disk fails".to_owned());
        }
        self.tally.acknowledged += self.ledger.acknowledge(shelf.high_watermark());
        let (shelf, _) = shelf.restart(Stop { power: true, torn: false }, self.durability, &mut self.rng)?;
        let lost = self.ledger.compare(&shelf.read()?, shelf.end(), false)?;
        if lost.batches > 0 { Err(format!("{} batches are lost at the end", lost.batches)) } else { Ok(()) }
    }
}

/// Runs many seeds of every fault and adds up what came of them, by fault.
pub fn run_all(seeds: std::ops::Range<u64>, durability: Durability) -> Result<BTreeMap<Fault, Tally>, Broken> {
    let mut tallies = BTreeMap::new();
    for fault in Fault::ALL {
        let tally: &mut Tally = tallies.entry(fault).or_default();
        for seed in seeds.clone() {
            tally.add(&run(seed, fault, durability)?);
        }
    }
    Ok(tallies)
}
