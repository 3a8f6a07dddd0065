//! Random histories of a log, stopped after every operation on the disk, against the list of batches that it should have.
//!
//! Whatever is on the disk then, opening it gives a beginning of that list which has at least what was durable, with the producers and
//! epochs that belong to it; and the log goes on from there.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use dohle_base::{LeaderEpoch, Offset, ProducerId, Rng};
use dohle_records::{Batch, Batches, Header};

use super::{DIR, NOW, disk, idempotent, marker, options, plain, transactional};
use crate::disk::{Fault, Memory};
use crate::log::{Append, AppendError, Appended, Flush, Log, Opening};
use crate::producers::{Origin, Producers};

/// A batch that the log should have.
#[derive(Clone, Debug)]
struct Written {
    header: Header,
    body: Bytes,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Plain(usize),
    Idempotent(i64, usize),
    Transactional(i64, usize),
    End(i64, bool),
    NextEpoch,
    BeginFlush,
    EndFlush,
    Checkpoint,
    Truncate(u64),
    TruncateFully,
    AdvanceStart(u64),
    Retain,
    Restart,
}

impl Step {
    fn draw(rng: &mut Rng) -> Self {
        let records = 1 + rng.below(3) as usize;
        let id = rng.below(3) as i64;
        match rng.below(40) {
            0..=9 => Self::Plain(records),
            10..=15 => Self::Idempotent(id, records),
            16..=18 => Self::Transactional(id + 10, records),
            19..=20 => Self::End(id + 10, rng.chance(500)),
            21 => Self::NextEpoch,
            22..=25 => Self::BeginFlush,
            26..=29 => Self::EndFlush,
            30..=31 => Self::Checkpoint,
            32..=33 => Self::Truncate(rng.below(1_000)),
            34 => Self::TruncateFully,
            35 => Self::AdvanceStart(rng.below(1_000)),
            36..=37 => Self::Retain,
            _ => Self::Restart,
        }
    }
}

/// The log, what it should hold, and what the broker has written down about it beside.
struct World {
    disk: Memory,
    log: Log<Memory>,
    flush: Option<Flush<Memory>>,
    epoch: i32,
    sequences: BTreeMap<i64, i32>,
    /// All that was ever appended and not truncated.
    written: Vec<Written>,
    /// At least up to there it has to survive.
    durable: Offset,
    /// At least up to there it has to survive when only the process dies.
    appended: Offset,
    /// Where the log would begin if a full truncation under way came through.
    emptied: Option<Offset>,
    opening: Opening,
}

impl World {
    fn new(disk: Memory) -> Self {
        let opening = Opening { clean: false, recovery_point: Offset::ZERO, start: Offset::ZERO };
        let (log, _) = Log::open(disk.clone(), Path::new(DIR), options(), &opening, NOW).unwrap();
        let (flush, sequences, written) = (None, BTreeMap::new(), Vec::new());
        Self {
            disk,
            log,
            flush,
            epoch: 0,
            sequences,
            written,
            durable: Offset::ZERO,
            appended: Offset::ZERO,
            emptied: None,
            opening,
        }
    }

    /// Takes a step; false when the disk has stopped.
    fn take(&mut self, step: Step) -> bool {
        let went_on = self.try_take(step).is_some();
        if went_on {
            self.log.check();
        }
        went_on
    }

    fn try_take(&mut self, step: Step) -> Option<()> {
        match step {
            Step::Plain(records) => self.append(&plain(records), Origin::Client(None)),
            Step::Idempotent(id, records) => {
                let next = *self.sequences.entry(id).or_default();
                self.sequences.insert(id, next + records as i32);
                self.append(&idempotent(id, next, records), Origin::Client(None))
            }
            Step::Transactional(id, records) => {
                let next = *self.sequences.entry(id).or_default();
                self.sequences.insert(id, next + records as i32);
                self.append(&transactional(id, next, records), Origin::Client(None))
            }
            Step::End(id, committed) => {
                self.append(&marker(id, committed), Origin::Coordinator { transaction_version: 0 })
            }
            Step::NextEpoch => {
                self.epoch += 1;
                self.log.begin_epoch(LeaderEpoch(self.epoch));
                Some(())
            }
            Step::BeginFlush => {
                if self.flush.is_none() {
                    self.flush = self.log.begin_flush();
                }
                Some(())
            }
            Step::EndFlush => self.end_flush(),
            Step::Checkpoint => {
                self.opening.recovery_point = self.log.synced();
                Some(())
            }
            Step::Truncate(permille) => self.truncate(permille),
            Step::TruncateFully => self.truncate_fully(),
            Step::AdvanceStart(permille) => {
                let offset = self.at(permille).min(self.durable);
                self.opening.start = self.log.advance_start(offset).unwrap();
                Some(())
            }
            Step::Retain => {
                let removal = self.log.retain(NOW, self.log.synced()).ok()?;
                removal.map_or(Some(()), |removal| removal.run().ok())
            }
            Step::Restart => self.restart(),
        }
    }

    /// An offset between the start and the end.
    fn at(&self, permille: u64) -> Offset {
        let (start, end) = (self.log.start(), self.log.end());
        start + (end.since(start) * permille / 1_000) as i64
    }

    fn append(&mut self, batch: &Batch, origin: Origin) -> Option<()> {
        let append = Append { leader_epoch: LeaderEpoch(self.epoch), origin, largest: None };
        let end = self.log.end();
        let mut header = *batch.header();
        header.base_offset = end;
        header.leader_epoch = append.leader_epoch;
        match self.log.append(batch, &append, NOW) {
            Ok(Appended { duplicate: true, .. }) => Some(()),
            Ok(appended) => {
                assert_eq!(appended.base_offset, end);
                self.appended = self.log.end();
                self.written.push(Written { header, body: batch.body() });
                Some(())
            }
            // Sequences and transactions that a truncation has cut are refused, as they should be.
            Err(AppendError::Producer(_)) => Some(()),
            Err(_) => {
                // It may have reached the disk.
                self.written.push(Written { header, body: batch.body() });
                None
            }
        }
    }

    fn end_flush(&mut self) -> Option<()> {
        let Some(flush) = self.flush.take() else { return Some(()) };
        self.durable = self.durable.max(self.log.flushed(flush.run(), NOW).ok()?);
        assert_eq!(self.durable, self.log.synced());
        Some(())
    }

    fn truncate(&mut self, permille: u64) -> Option<()> {
        let offset = self.at(permille);
        let cut = self.written.iter().find(|written| written.header.last_offset() >= offset);
        let end = cut.map_or(offset, |cut| cut.header.base_offset.min(offset));
        self.durable = self.durable.min(end);
        self.appended = self.appended.min(end);
        assert_eq!(self.log.truncate_to(offset, NOW).ok()?, end);
        self.written.retain(|written| written.header.last_offset() < end);
        self.opening.recovery_point = self.opening.recovery_point.min(end);
        self.epoch += 1;
        self.sequences.clear();
        Some(())
    }

    fn truncate_fully(&mut self) -> Option<()> {
        let offset = self.log.end() + 5;
        (self.durable, self.appended) = (Offset::ZERO, Offset::ZERO);
        self.emptied = Some(offset);
        self.log.truncate_fully(offset, NOW).ok()?;
        self.emptied = None;
        self.written.clear();
        self.opening.recovery_point = offset;
        self.opening.start = offset;
        (self.durable, self.appended) = (offset, offset);
        Some(())
    }

    fn restart(&mut self) -> Option<()> {
        self.end_flush()?;
        self.log.close(NOW).ok()?;
        self.durable = self.log.end();
        let clean = Opening { clean: true, ..self.opening };
        let before = (self.log.end(), self.log.segments().collect::<Vec<_>>(), self.log.epochs().starts().to_vec());
        let (log, recovered) = Log::open(self.disk.clone(), Path::new(DIR), options(), &clean, NOW).ok()?;
        assert_eq!(
            (recovered.torn, recovered.indexes, recovered.segments),
            (None, 0, 0),
            "a clean stop leaves nothing to do"
        );
        let after = (log.end(), log.segments().collect::<Vec<_>>(), log.epochs().starts().to_vec());
        assert_eq!((before.0, before.1), (after.0, after.1));
        self.log = log;
        self.opening.recovery_point = self.log.end();
        Some(())
    }
}

/// Everything that a log has, by its reader.
fn read_all(log: &Log<Memory>) -> Vec<Written> {
    let mut found = Vec::new();
    let mut from = log.start();
    while let Some(slice) = log.read(from, log.end(), 300, true).unwrap() {
        for batch in Batches::over(slice.read().unwrap()) {
            let batch = batch.unwrap();
            assert!(batch.is_intact());
            from = batch.header().next_offset();
            found.push(Written { header: *batch.header(), body: batch.body() });
        }
    }
    found
}

/// Opens what a stop has left and holds it to what was written.
fn check_after(world: &World, disk: &Memory, least: Offset) {
    let (mut log, _) = Log::open(disk.clone(), Path::new(DIR), options(), &world.opening, NOW).unwrap();
    log.check();
    if world.emptied.is_some() && log.start() == log.end() {
        return go_on(disk, log, world);
    }
    let (start, end) = (log.start(), log.end());
    assert!(end >= least, "{end} of at least {least}");
    let expected: Vec<&Written> = world
        .written
        .iter()
        .filter(|written| written.header.last_offset() >= start && written.header.last_offset() < end)
        .collect();
    let found = read_all(&log);
    assert_eq!(found.len(), expected.len(), "from {start} to {end}");
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!((found.header, &found.body), (expected.header, &expected.body));
        assert_eq!(log.epochs().at(found.header.last_offset()), Some(found.header.leader_epoch));
    }
    assert_eq!(known(log.producers()), known(&replayed(&world.written, end)));
    let mut stable = replayed(&world.written, end);
    assert_eq!(log.last_stable(end), stable.last_stable(end).max(start));
    go_on(disk, log, world);
}

/// What replicas agree on about producers, and snapshots keep.
fn known(producers: &Producers) -> Vec<(ProducerId, i32, Offset, i32, Option<Offset>)> {
    let known = producers.iter();
    known.map(|p| (p.id, p.last_sequence(), p.last_offset(), p.coordinator_epoch, p.transaction_start)).collect()
}

fn replayed(written: &[Written], end: Offset) -> Producers {
    let mut producers = Producers::starting_at(Offset::ZERO);
    for written in written.iter().filter(|written| written.header.last_offset() < end) {
        let bytes = [&written.header.to_bytes()[..], &written.body].concat();
        let batch = Batch::first(&Bytes::from(bytes)).unwrap().unwrap();
        producers.apply(&written.header, super::super::append::marker_of(&batch).unwrap(), NOW);
    }
    producers
}

/// Appends, flushes, and stops the process once more.
fn go_on(disk: &Memory, mut log: Log<Memory>, world: &World) {
    let append = Append { leader_epoch: LeaderEpoch(world.epoch + 1), origin: Origin::Client(None), largest: None };
    for n in 0..6 {
        let appended = log.append(&idempotent(99, n * 3, 3), &append, NOW).unwrap();
        let slice = log.read(appended.base_offset, log.end(), 1, true).unwrap().unwrap();
        assert_eq!(slice.base_offset, appended.base_offset);
    }
    if let Some(flush) = log.begin_flush() {
        assert_eq!(log.flushed(flush.run(), NOW).unwrap(), log.end());
    }
    log.check();
    let opening = Opening { start: world.opening.start.max(log.start()), ..world.opening };
    let after = disk.crash(&mut Rng::new(log.end().0 as u64));
    let (again, _) = Log::open(after, Path::new(DIR), options(), &opening, NOW).unwrap();
    again.check();
    assert_eq!((again.start(), again.end()), (log.start(), log.end()));
    assert_eq!(known(again.producers()), known(log.producers()));
    assert_eq!(again.epochs().starts(), log.epochs().starts());
}

/// Plays a history, with the power going at an operation or not at all.
fn play(steps: &[Step], stop: Option<u64>) -> World {
    let disk = disk();
    let mut world = World::new(disk.clone());
    if let Some(stop) = stop {
        disk.fail(stop, Fault::Crash);
    }
    let _ = steps.iter().all(|step| world.take(*step));
    world
}

fn history(seed: u64) -> Vec<Step> {
    let mut rng = Rng::new(seed);
    (0..30).map(|_| Step::draw(&mut rng)).collect()
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_that_was_durable() {
    let mut points = 0;
    for seed in 0..100 {
        let steps = history(seed);
        let first = World::new(disk()).disk.operations();
        let last = play(&steps, None).disk.operations();
        for stop in first + 1..=last {
            let world = play(&steps, Some(stop));
            points += 1;
            for crash in 0..3 {
                let after = world.disk.crash(&mut Rng::new(crash * 1_000 + stop));
                check_after(&world, &after, world.durable);
            }
        }
    }
    assert!(points >= 5_000, "{points} operations are too few to mean anything");
}

#[test]
fn a_kill_at_any_operation_loses_nothing_that_was_appended() {
    for seed in 100..130 {
        let steps = history(seed);
        let first = World::new(disk()).disk.operations();
        let last = play(&steps, None).disk.operations();
        for stop in first + 1..=last {
            let world = play(&steps, Some(stop));
            check_after(&world, &world.disk.kill(), world.appended);
        }
    }
}

/// Takes the log up as a broker does, which makes durable what it found; tells nothing where the disk stops.
fn recover(disk: &Memory, opening: &Opening) {
    let Ok((mut log, _)) = Log::open(disk.clone(), Path::new(DIR), options(), opening, NOW) else { return };
    if let Some(flush) = log.begin_flush() {
        let _ = log.flushed(flush.run(), NOW);
    }
}

#[test]
fn a_power_cut_at_any_operation_of_a_recovery_loses_nothing_either() {
    let mut points = 0;
    for seed in 200..260 {
        let steps = history(seed);
        let last = play(&steps, None).disk.operations();
        for stop in (World::new(disk()).disk.operations() + 1..=last).step_by(5) {
            let world = play(&steps, Some(stop));
            let left = world.disk.crash(&mut Rng::new(stop));
            let whole = left.copy();
            recover(&whole, &world.opening);
            for again in 1..=whole.operations() {
                let torn = left.copy();
                torn.fail(again, Fault::Crash);
                recover(&torn, &world.opening);
                points += 1;
                check_after(&world, &torn.crash(&mut Rng::new(again)), world.durable);
            }
        }
    }
    assert!(points >= 2_000, "{points} operations are too few to mean anything");
}

#[test]
fn the_same_history_twice_is_the_same_disk() {
    let steps = history(7);
    let (one, other) = (play(&steps, None), play(&steps, None));
    assert_eq!(one.disk.operations(), other.disk.operations());
    assert_eq!(read_all(&one.log).len(), read_all(&other.log).len());
}
