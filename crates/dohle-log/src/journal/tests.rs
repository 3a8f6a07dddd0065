//! Random histories of a few logs with one journal, stopped after every operation on the disk, against what each log should have.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use dohle_base::{LeaderEpoch, Offset, Partition, Rng, Timestamp, TopicName, Uuid};
use dohle_records::batch::encode::{Builder, Entry, Settings};
use dohle_records::{Batch, Batches};

use super::*;
use crate::directory::Directory;
use crate::disk::{Fault, Memory};
use crate::log::{Append, Flush, Log, Opening};
use crate::options::Options;
use crate::producers::Origin;

const ROOT: &str = "/data";
const NOW: Timestamp = Timestamp(1_700_000_000_000);
const LOGS: usize = 3;
/// Some files are written several times in one history.
const FILE_BYTES: u64 = 12 << 10;

fn name(log: usize) -> PartitionName {
    PartitionName { topic: TopicName::parse("t").unwrap(), partition: Partition(log as i32) }
}

fn topic(log: usize) -> TopicId {
    Uuid([log as u8 + 1; 16])
}

fn dir(log: usize) -> PathBuf {
    Path::new(ROOT).join(name(log).to_string())
}

fn batch(value: u64, records: u64) -> Batch {
    let mut builder = Builder::new(Settings::default());
    for place in 0..records {
        let value = format!("{value} {place} {}", "x".repeat(100));
        builder.append(&Entry { timestamp: NOW, value: Some(value.as_bytes()), ..Entry::default() }).unwrap();
    }
    builder.finish()
}

fn open(disk: &Memory, log: usize, recovery_point: Offset) -> Log<Memory> {
    let options = Options { segment_bytes: 1_500, index_interval_bytes: 100, ..Options::default() };
    let opening = Opening { clean: false, recovery_point, start: Offset::ZERO };
    Log::open(disk.clone(), &dir(log), options, &opening, NOW).unwrap().0
}

/// All batches of a log.
fn read_all(log: &Log<Memory>) -> Vec<(Offset, Bytes)> {
    let (mut from, mut found) = (log.start(), vec![]);
    while let Some(slice) = log.read(from, log.end(), 10_000, true).unwrap() {
        for batch in Batches::over(slice.read().unwrap()) {
            let batch = batch.unwrap();
            assert!(batch.is_intact());
            from = batch.header().next_offset();
            found.push((batch.header().base_offset, batch.body()));
        }
    }
    found
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Append(usize, u64),
    BeginFlush(usize),
    EndFlush(usize),
    Journal,
    /// All that was journaled so far goes to the logs' own files.
    BeginRelease,
    EndRelease,
}

impl Step {
    fn draw(rng: &mut Rng) -> Self {
        let log = rng.below(LOGS as u64) as usize;
        match rng.below(20) {
            0..=9 => Self::Append(log, 1 + rng.below(4)),
            10 => Self::BeginFlush(log),
            11 => Self::EndFlush(log),
            12..=17 => Self::Journal,
            18 => Self::BeginRelease,
            _ => Self::EndRelease,
        }
    }
}

struct World {
    disk: Memory,
    journal: Journal<Memory>,
    logs: Vec<Led>,
    releasing: Option<Written<Memory>>,
    values: u64,
}

struct Led {
    log: Log<Memory>,
    flush: Option<Flush<Memory>>,
    written: Vec<(Offset, Bytes)>,
    durable: Offset,
    recovery_point: Offset,
}

impl World {
    fn new() -> Self {
        let disk = Memory::new();
        let directory = Directory::open(disk.clone(), Path::new(ROOT)).unwrap();
        let logs = (0..LOGS).map(|place| {
            directory.begin_partition(&name(place), topic(place)).unwrap();
            let mut log = open(&disk, place, Offset::ZERO);
            log.doubt_directory();
            Led { log, flush: None, written: vec![], durable: Offset::ZERO, recovery_point: Offset::ZERO }
        });
        let logs = logs.collect();
        let left = Left::read(disk.clone(), Path::new(ROOT)).unwrap();
        let journal = Journal::beside(disk.clone(), Path::new(ROOT), &left, Rng::new(7));
        Self { disk, journal, logs, releasing: None, values: 0 }
    }

    /// None when the disk has stopped.
    fn take(&mut self, step: Step) -> Option<()> {
        match step {
            Step::Append(log, records) => {
                self.values += 1;
                self.logs[log].append(&batch(self.values, records))
            }
            Step::BeginFlush(log) => {
                self.logs[log].begin_flush();
                Some(())
            }
            Step::EndFlush(log) => self.logs[log].end_flush(),
            Step::Journal => self.write(),
            Step::BeginRelease => {
                if self.releasing.is_none() {
                    // What is journaled from here on is in another file, and these flushes have all that is in this one.
                    self.logs.iter_mut().try_for_each(Led::end_flush)?;
                    self.releasing = self.journal.turn();
                    self.logs.iter_mut().for_each(Led::begin_flush);
                }
                Some(())
            }
            Step::EndRelease => {
                if let Some(written) = self.releasing.take() {
                    self.logs.iter_mut().try_for_each(Led::end_flush)?;
                    self.journal.take_back(written.release().ok()?);
                }
                Some(())
            }
        }
    }

    fn write(&mut self) -> Option<()> {
        let unsynced: Vec<_> = self.logs.iter().map(|led| led.log.unsynced()).collect();
        let names: Vec<_> = (0..LOGS).map(name).collect();
        let pieces: Vec<_> = unsynced
            .iter()
            .enumerate()
            .filter_map(|(log, batches)| {
                Some(Piece { name: &names[log], topic: topic(log), batches: batches.as_ref()? })
            })
            .collect();
        if pieces.is_empty() {
            return Some(());
        }
        self.journal.write(&pieces).ok()?;
        for (led, batches) in self.logs.iter_mut().zip(&unsynced) {
            let Some(batches) = batches else { continue };
            led.durable = led.log.note_journaled(batches);
            assert_eq!(led.durable, led.log.end());
            led.log.check();
        }
        // Files of this size take long to fill; the last of a history is turned when it holds some entries.
        if self.journal.size() > FILE_BYTES && self.releasing.is_none() {
            self.take(Step::BeginRelease)?;
        }
        Some(())
    }
}

impl Led {
    fn append(&mut self, batch: &Batch) -> Option<()> {
        self.written.push((self.log.end(), batch.body()));
        let append = Append { leader_epoch: LeaderEpoch(0), origin: Origin::Client(None), largest: None };
        self.log.append(batch, &append, NOW).ok().map(|_| ())
    }

    fn begin_flush(&mut self) {
        if self.flush.is_none() {
            self.flush = self.log.begin_flush();
        }
    }

    fn end_flush(&mut self) -> Option<()> {
        let Some(flush) = self.flush.take() else { return Some(()) };
        self.durable = self.durable.max(self.log.flushed(flush.run(), NOW).ok()?);
        self.recovery_point = self.log.synced();
        Some(())
    }
}

fn history(seed: u64) -> Vec<Step> {
    let mut rng = Rng::new(seed);
    (0..40).map(|_| Step::draw(&mut rng)).collect()
}

fn play(steps: &[Step], stop: Option<u64>) -> World {
    let mut world = World::new();
    if let Some(stop) = stop {
        world.disk.fail(stop, Fault::Crash);
    }
    let _ = steps.iter().all(|step| world.take(*step).is_some());
    world
}

/// Opens the logs as a broker does, and makes them durable; none where the disk stops.
fn recover(disk: &Memory, world: &World) -> Option<Vec<Log<Memory>>> {
    let root = Path::new(ROOT);
    let directory = Directory::open(disk.clone(), root).ok()?;
    let mut left = Left::read(disk.clone(), root).ok()?;
    let (mut logs, mut restored) = (vec![], 0);
    for (place, led) in world.logs.iter().enumerate() {
        // A directory that was never durable holds nothing that was.
        if disk.list(&dir(place)).is_err() {
            assert_eq!(led.durable, Offset::ZERO);
        }
        directory.begin_partition(&name(place), topic(place)).ok()?;
        let options = Options { segment_bytes: 1_500, index_interval_bytes: 100, ..Options::default() };
        let opening = Opening { clean: false, recovery_point: led.recovery_point, start: Offset::ZERO };
        let mut log = Log::open(disk.clone(), &dir(place), options, &opening, NOW).ok()?.0;
        if let Some(pieces) = left.of(&name(place).to_string()) {
            restored += pieces.restore(topic(place), &mut log, NOW).ok()?;
        }
        log.doubt_directory();
        let flush = log.begin_flush()?;
        log.flushed(flush.run(), NOW).ok()?;
        left.settle(&name(place).to_string()).ok()?;
        logs.push(log);
    }
    assert!(left.is_empty());
    RESTORED.with(|all| all.set(all.get() + restored));
    Some(logs)
}

thread_local! {
    /// Batches that were given back.
    static RESTORED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

fn check(world: &World, logs: &[Log<Memory>]) {
    for (log, led) in logs.iter().zip(&world.logs) {
        log.check();
        assert!(log.end() >= led.durable, "{} of {}", log.end(), led.durable);
        let expected = led.written.iter().filter(|(base, _)| *base < log.end());
        assert!(read_all(log).iter().eq(expected), "what is there is what was written");
    }
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_that_was_journaled() {
    let first = World::new().disk.operations();
    let mut points = 0;
    for seed in 0..60 {
        let steps = history(seed);
        let last = play(&steps, None).disk.operations();
        for stop in first + 1..=last {
            let world = play(&steps, Some(stop));
            for crash in 0..3 {
                points += 1;
                let after = world.disk.crash(&mut Rng::new(crash * 1_000 + stop));
                check(&world, &recover(&after, &world).unwrap());
            }
        }
    }
    let restored = RESTORED.with(std::cell::Cell::get);
    assert!(points >= 10_000 && restored >= 10_000, "{points} power cuts and {restored} batches are too few");
}

#[test]
fn a_power_cut_at_any_operation_of_giving_back_loses_nothing_either() {
    let first = World::new().disk.operations();
    for seed in 100..120 {
        let steps = history(seed);
        let last = play(&steps, None).disk.operations();
        for stop in (first + 1..=last).step_by(7) {
            let world = play(&steps, Some(stop));
            let left = world.disk.crash(&mut Rng::new(stop));
            let whole = left.copy();
            let logs = recover(&whole, &world).unwrap();
            for again in 1..=whole.operations() {
                let torn = left.copy();
                torn.fail(again, Fault::Crash);
                let _ = recover(&torn, &world);
                let once_more = torn.crash(&mut Rng::new(again));
                check(&world, &recover(&once_more, &world).unwrap());
            }
            drop(logs);
        }
    }
}

/// Every log has a batch in its own files, and one more in the journal.
fn journaled() -> World {
    let mut world = World::new();
    for log in 0..LOGS {
        for step in [Step::Append(log, 1), Step::BeginFlush(log), Step::EndFlush(log), Step::Append(log, 2)] {
            world.take(step).unwrap();
        }
    }
    world.take(Step::Journal).unwrap();
    world
}

/// Power cuts that leave nothing that was not synced.
fn bare(disk: &Memory) -> Memory {
    (0..)
        .map(|seed| disk.copy().crash(&mut Rng::new(seed)))
        .find(|after| open(after, 0, Offset::ZERO).end() == Offset(1))
        .unwrap()
}

#[test]
fn another_topic_of_the_same_name_gets_nothing() {
    let disk = bare(&journaled().disk);
    let left = Left::read(disk.clone(), Path::new(ROOT)).unwrap();
    let mut log = open(&disk, 0, Offset::ZERO);
    let pieces = left.of(&name(0).to_string()).unwrap();
    assert_eq!(pieces.restore(topic(1), &mut log, NOW).unwrap(), 0);
    assert_eq!(pieces.restore(topic(0), &mut log, NOW).unwrap(), 1);
    assert_eq!(log.end(), Offset(3));
}

#[test]
fn a_file_is_written_past_the_cache_when_it_is_new_and_when_it_is_written_anew() {
    let mut world = journaled();
    let takes_no_bytes =
        |journal: &mut Journal<Memory>| journal.open().unwrap().file.write_at(0, b"bytes", &[]).is_err();
    for _ in 0..3 {
        assert!(takes_no_bytes(&mut world.journal));
        let written = world.journal.turn().unwrap();
        world.journal.take_back(written.release().unwrap());
    }
}

#[test]
fn what_is_left_stays_until_the_last_log_is_durable() {
    let world = journaled();
    let read = || Left::read(world.disk.clone(), Path::new(ROOT)).unwrap();
    let mut left = read();
    for log in 0..LOGS {
        assert_eq!((read().len(), left.len()), (LOGS, LOGS - log));
        assert!(left.of(&name(log).to_string()).is_some());
        left.settle(&name(log).to_string()).unwrap();
    }
    assert_eq!((read().len(), read().next_number()), (0, 0));
}

#[test]
fn a_journal_that_finds_no_room_has_done_nothing_and_goes_on_when_there_is_some() {
    let mut world = journaled();
    let durable = world.logs[0].durable;
    // More than a block, so that a part of it is written.
    (0..20).for_each(|_| world.take(Step::Append(0, 3)).unwrap());
    let batches = world.logs[0].log.unsynced().unwrap();
    let pieces = [Piece { name: &name(0), topic: topic(0), batches: &batches }];
    let size = world.journal.size();
    world.disk.limit(Some(world.disk.used() + 4_096));
    assert!(world.journal.write(&pieces).unwrap_err().is_for_room());
    assert_eq!(world.disk.open(&path(Path::new(ROOT), 0)).unwrap().size().unwrap(), size + 4_096);
    let after = world.disk.copy().crash(&mut Rng::new(1));
    check(&world, &recover(&after, &world).unwrap());
    world.disk.limit(None);
    world.journal.write(&pieces).unwrap();
    world.logs[0].durable = world.logs[0].log.note_journaled(&batches);
    assert_eq!((durable, world.logs[0].durable), (Offset(3), Offset(63)));
    check(&world, &recover(&bare(&world.disk), &world).unwrap());
}
