//! Random histories with keys, tombstones and transactions, compacted at random and stopped after every operation on the disk, against the
//! list of records that were written.
//!
//! Whatever happened, whoever reads the log from its start comes to the same values as without compaction; what is read is what was written
//! there; of each key one record is left.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dohle_base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Rng, Timestamp};
use dohle_records::batch::encode::{Builder, Entry, Producer, Settings};
use dohle_records::control::EndTransaction;
use dohle_records::{Batch, Batches, Budget, Codec, Compression};

use super::keys::SLOT_BYTES;
use super::{CompactError, KeyMap};
use crate::disk::{Disk, Fault, Memory};
use crate::log::{Append, AppendError, Log, Opening, Recovered, Swap};
use crate::options::{Cleanup, Options};
use crate::producers::Origin;

mod cases;

const DIR: &str = "/log/t-0";
const BEGIN: Timestamp = Timestamp(1_700_000_000_000);
const HOUR: i64 = 3_600_000;

type Values = BTreeMap<Vec<u8>, Vec<u8>>;

/// A record that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fact {
    offset: Offset,
    time: Timestamp,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    transaction: Option<ProducerId>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Plain,
    Idempotent(i64),
    Transactional(i64),
    End(i64, bool),
    Flush,
    Checkpoint,
    Compact(u64),
    Retain,
    Later(i64),
    Restart,
}

impl Step {
    fn draw(rng: &mut Rng) -> Self {
        let id = rng.below(3) as i64;
        match rng.below(40) {
            0..=9 => Self::Plain,
            10..=13 => Self::Idempotent(id),
            14..=18 => Self::Transactional(id + 10),
            19..=22 => Self::End(id + 10, rng.chance(500)),
            23..=26 => Self::Flush,
            27..=29 => Self::Checkpoint,
            30..=35 => Self::Compact([3, 8, 1_000][rng.below(3) as usize]),
            36 => Self::Retain,
            37..=38 => Self::Later(rng.below(30) as i64 * HOUR),
            _ => Self::Restart,
        }
    }
}

fn options() -> Options {
    Options {
        segment_bytes: 600,
        index_interval_bytes: 100,
        cleanup: Cleanup { delete: false, compact: true },
        ..Options::default()
    }
}

fn disk() -> Memory {
    let disk = Memory::new();
    disk.create_dir(Path::new("/log")).unwrap();
    disk.create_dir(Path::new(DIR)).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk.sync_dir(Path::new("/log")).unwrap();
    disk
}

struct World {
    disk: Memory,
    log: Log<Memory>,
    rng: Rng,
    now: Timestamp,
    facts: Vec<Fact>,
    markers: Vec<(Offset, ProducerId, bool)>,
    sequences: BTreeMap<ProducerId, i32>,
    open: BTreeSet<ProducerId>,
    /// As the broker has written them down.
    recovery_point: Offset,
    cleaned: Option<Offset>,
    /// Up to there nothing may be lost.
    durable: Offset,
}

impl World {
    fn new(seed: u64) -> Self {
        let disk = disk();
        let opening = Opening { clean: false, recovery_point: Offset::ZERO, start: Offset::ZERO };
        let (log, _) = Log::open(disk.clone(), Path::new(DIR), options(), &opening, BEGIN).unwrap();
        Self {
            disk,
            log,
            rng: Rng::new(seed ^ 0xC0FFEE),
            now: BEGIN,
            facts: Vec::new(),
            markers: Vec::new(),
            sequences: BTreeMap::new(),
            open: BTreeSet::new(),
            recovery_point: Offset::ZERO,
            cleaned: None,
            durable: Offset::ZERO,
        }
    }

    /// Takes a step; none when the disk has stopped.
    fn take(&mut self, step: Step) -> Option<()> {
        match step {
            Step::Plain => self.append(None, false),
            Step::Idempotent(id) => self.append(Some(ProducerId(id)), false),
            Step::Transactional(id) => self.append(Some(ProducerId(id)), true),
            Step::End(id, committed) => self.end(ProducerId(id), committed),
            Step::Flush => self.flush(),
            Step::Checkpoint => {
                self.recovery_point = self.log.synced();
                Some(())
            }
            Step::Compact(keys) => self.compact(keys),
            Step::Retain => {
                let removal = self.log.retain(self.now, self.log.synced()).ok()?;
                removal.map_or(Some(()), |removal| removal.run().ok())
            }
            Step::Later(ms) => {
                self.now = Timestamp(self.now.0 + ms);
                Some(())
            }
            Step::Restart => self.restart(),
        }?;
        self.log.check();
        Some(())
    }

    fn append(&mut self, producer: Option<ProducerId>, transactional: bool) -> Option<()> {
        let codec = [Codec::None, Codec::None, Codec::Lz4, Codec::Zstd][self.rng.below(4) as usize];
        let base_sequence = producer.map_or(-1, |id| self.sequences.get(&id).copied().unwrap_or(0));
        let producer = producer.map(|id| Producer { id, epoch: ProducerEpoch(0), base_sequence });
        let mut records = Vec::new();
        for _ in 0..1 + self.rng.below(4) {
            let key = vec![b'a' + self.rng.below(6) as u8];
            let value = (!self.rng.chance(250)).then(|| format!("{}", self.rng.below(1_000_000)).into_bytes());
            records.push((key, value));
        }
        let compression = Compression::of(codec);
        self.put(Settings { compression, producer, transactional, ..Settings::default() }, &records)
    }

    /// Writes one batch with these keys and values.
    fn put(&mut self, settings: Settings, records: &[(Vec<u8>, Option<Vec<u8>>)]) -> Option<()> {
        let Settings { producer, transactional, .. } = settings;
        let mut builder = Builder::new(settings);
        let mut facts = Vec::new();
        for (place, (key, value)) in records.iter().enumerate() {
            let (offset, time) = (self.log.end() + place as i64, Timestamp(self.now.0 + place as i64));
            let headers = &[("h", Some(&b"x"[..]))];
            builder.append(&Entry { timestamp: time, key: Some(key), value: value.as_deref(), headers }).unwrap();
            let transaction = producer.filter(|_| transactional).map(|producer| producer.id);
            facts.push(Fact { offset, time, key: key.clone(), value: value.clone(), transaction });
        }
        let count = facts.len() as i32;
        // A write that fails may have reached the disk.
        self.facts.extend(facts);
        let append = Append { leader_epoch: LeaderEpoch(1), origin: Origin::Client(None), largest: None };
        self.log.append(&builder.finish(), &append, self.now).ok()?;
        if let Some(producer) = producer {
            self.sequences.insert(producer.id, producer.base_sequence + count);
            self.open.extend(transactional.then_some(producer.id));
        }
        Some(())
    }

    fn end(&mut self, id: ProducerId, committed: bool) -> Option<()> {
        if !self.open.remove(&id) {
            return Some(());
        }
        let marker = EndTransaction { committed, coordinator_epoch: 1 };
        let origin = Origin::Coordinator { transaction_version: 0 };
        let append = Append { leader_epoch: LeaderEpoch(1), origin, largest: None };
        self.markers.push((self.log.end(), id, committed));
        match self.log.append(&marker.to_batch(self.now, id, ProducerEpoch(0)), &append, self.now) {
            Ok(_) => Some(()),
            Err(AppendError::Producer(refusal)) => panic!("{refusal}"),
            Err(_) => None,
        }
    }

    fn flush(&mut self) -> Option<()> {
        let Some(flush) = self.log.begin_flush() else { return Some(()) };
        self.durable = self.log.flushed(flush.run(), self.now).ok()?;
        Some(())
    }

    /// One pass with room for so many keys.
    fn compact(&mut self, keys: u64) -> Option<()> {
        match self.try_compact(keys) {
            Ok(()) => Some(()),
            Err(CompactError::Storage(_) | CompactError::Moved) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn try_compact(&mut self, keys: u64) -> Result<(), CompactError> {
        let survey = self.log.survey(self.log.synced());
        let dirt = survey.dirt(self.cleaned, self.recovery_point, self.now)?;
        if dirt.dirty_bytes == 0 {
            return Ok(());
        }
        let mut keys = KeyMap::new((keys * 2).max(2) * SLOT_BYTES, 50);
        let mut pass = survey.job(&dirt).map(&mut keys, &mut |_| true)?;
        assert!(pass.reaches() > dirt.dirty.start, "every pass gets on");
        while let Some(rewritten) = pass.next(&keys, self.now, &mut |_| true)? {
            match self.log.swap(rewritten)? {
                Swap::Done(swapped) => swapped.confirm()?.run()?,
                Swap::Refused(_) => panic!("nobody else touches the log"),
            }
            self.log.check();
        }
        self.cleaned = Some(pass.reaches());
        Ok(())
    }

    fn restart(&mut self) -> Option<()> {
        self.log.close(self.now).ok()?;
        self.durable = self.log.end();
        let opening = Opening { clean: true, recovery_point: self.recovery_point, start: Offset::ZERO };
        let (log, recovered) = Log::open(self.disk.clone(), Path::new(DIR), options(), &opening, self.now).ok()?;
        assert_eq!((recovered.indexes, recovered.segments, recovered.quarantined), (0, 0, 0));
        self.log = log;
        self.recovery_point = self.log.end();
        Some(())
    }

    /// What a reader of committed records comes to, who reads all of a log that ends at `end`; and up to where he may read.
    fn expected(&self, end: Offset) -> (Values, Offset) {
        let mut stable = end;
        let mut values = Values::new();
        let outcome = |fact: &Fact| match fact.transaction {
            None => Some(true),
            Some(id) => {
                let ended = self.markers.iter().find(|(at, whose, _)| *at > fact.offset && *at < end && *whose == id);
                ended.map(|(_, _, committed)| *committed)
            }
        };
        for fact in self.facts.iter().filter(|fact| fact.offset < end) {
            if outcome(fact).is_none() {
                stable = stable.min(fact.offset);
            }
        }
        for fact in self.facts.iter().filter(|fact| fact.offset < stable && outcome(fact) == Some(true)) {
            match &fact.value {
                Some(value) => drop(values.insert(fact.key.clone(), value.clone())),
                None => drop(values.remove(&fact.key)),
            }
        }
        (values, stable)
    }

    /// Holds a log to what was written.
    fn check(&self, log: &mut Log<Memory>) {
        let end = log.end();
        let (values, stable) = self.expected(end);
        assert_eq!(log.last_stable(end), stable);
        let found = read(log, end);
        let mut facts = self.facts.iter();
        for (fact, _) in &found {
            assert!(facts.any(|known| known == fact), "{fact:?} was never written there");
        }
        let untouched = self.cleaned.unwrap_or(Offset::ZERO).max(log.segments().last().unwrap().base);
        let tail = |offset: Offset| offset >= untouched && offset < end;
        let expected = self.facts.iter().filter(|fact| tail(fact.offset)).count();
        assert_eq!(found.iter().filter(|(fact, _)| tail(fact.offset)).count(), expected, "nothing is lost behind");
        assert_eq!(replay(log, stable), values);
    }
}

/// All records that are there, with whether their batch is transactional.
fn read(log: &Log<Memory>, upto: Offset) -> Vec<(Fact, Option<ProducerId>)> {
    let mut found = Vec::new();
    for batch in batches(log, upto).into_iter().filter(|batch| !batch.header().attributes.is_control()) {
        let header = *batch.header();
        let transaction = header.attributes.is_transactional().then_some(header.producer_id);
        for record in batch.records(Budget::default()).unwrap() {
            let record = record.unwrap();
            assert_eq!(record.headers.len(), 1);
            let (key, value) = (record.key.unwrap().to_vec(), record.value.map(|value| value.to_vec()));
            found.push((Fact { offset: record.offset, time: record.timestamp, key, value, transaction }, transaction));
        }
    }
    found
}

fn batches(log: &Log<Memory>, upto: Offset) -> Vec<Batch> {
    let mut from = log.start();
    let mut found = Vec::new();
    while let Some(slice) = log.read(from, upto, 300, true).unwrap() {
        for batch in Batches::over(slice.read().unwrap()) {
            let batch = batch.unwrap();
            assert!(batch.is_intact());
            from = batch.header().next_offset();
            found.push(batch);
        }
    }
    found
}

/// Reads as a consumer of committed records does: with what the log says of aborted transactions.
fn replay(log: &Log<Memory>, upto: Offset) -> Values {
    let mut values = Values::new();
    let mut from = log.start();
    let mut doomed: BTreeSet<ProducerId> = BTreeSet::new();
    while let Some(slice) = log.read(from, upto, 300, true).unwrap() {
        let mut aborted = log.aborts(from, upto, &slice).map(|aborts| aborts.find().unwrap()).unwrap_or_default();
        aborted.sort_by_key(|entry| entry.first);
        let mut aborted = aborted.into_iter().peekable();
        for batch in Batches::over(slice.read().unwrap()) {
            let batch = batch.unwrap();
            let header = *batch.header();
            from = header.next_offset();
            while let Some(entry) = aborted.next_if(|entry| entry.first <= header.last_offset()) {
                doomed.insert(entry.producer);
            }
            if header.attributes.is_control() {
                doomed.remove(&header.producer_id);
            } else if !(header.attributes.is_transactional() && doomed.contains(&header.producer_id)) {
                apply(&batch, &mut values);
            }
        }
        doomed.clear();
    }
    values
}

fn apply(batch: &Batch, values: &mut Values) {
    for record in batch.records(Budget::default()).unwrap() {
        let record = record.unwrap();
        match record.value {
            Some(value) => drop(values.insert(record.key.unwrap().to_vec(), value.to_vec())),
            None => drop(values.remove(&record.key.unwrap()[..])),
        }
    }
}

fn history(seed: u64) -> Vec<Step> {
    let mut rng = Rng::new(seed);
    (0..60).map(|_| Step::draw(&mut rng)).collect()
}

/// Plays a history, with the power going at an operation or not at all.
fn play(seed: u64, steps: &[Step], stop: Option<u64>) -> World {
    let mut world = World::new(seed);
    if let Some(stop) = stop {
        world.disk.fail(stop, Fault::Crash);
    }
    let _ = steps.iter().try_for_each(|step| world.take(*step));
    world
}

#[test]
fn whoever_replays_a_compacted_log_comes_to_the_same_values_after_every_step() {
    let (mut rewritten, mut removed) = (0, 0);
    for seed in 0..300 {
        let mut world = World::new(seed);
        for step in history(seed) {
            world.take(step).unwrap();
            let mut copy = world.disk.copy();
            std::mem::swap(&mut copy, &mut world.disk);
            let mut log = std::mem::replace(&mut world.log, World::new(0).log);
            world.check(&mut log);
            world.log = log;
            world.disk = copy;
        }
        rewritten += u64::from(world.cleaned.is_some());
        removed += (world.facts.len() - read(&world.log, world.log.end()).len()) as u64;
    }
    assert!(rewritten > 100 && removed > 1_000, "{rewritten} {removed}");
}

#[test]
fn a_power_cut_at_any_operation_of_a_compaction_is_harmless() {
    let mut points = 0;
    for seed in 1_000..1_040 {
        let steps = history(seed);
        let last = play(seed, &steps, None).disk.operations();
        for stop in 1..=last {
            let world = play_from_begin(seed, &steps, stop);
            points += 1;
            for crash in 0..2 {
                let after = world.disk.crash(&mut Rng::new(crash * 7_919 + stop));
                let _ = check_after(&world, &after, world.durable);
            }
        }
    }
    assert!(points >= 5_000, "{points} operations are too few to mean anything");
}

#[test]
fn a_kill_at_any_operation_of_a_compaction_is_harmless() {
    for seed in 2_000..2_010 {
        let steps = history(seed);
        let last = play(seed, &steps, None).disk.operations();
        for stop in 1..=last {
            let world = play_from_begin(seed, &steps, stop);
            let recovered = check_after(&world, &world.disk.kill(), world.durable);
            assert_eq!(recovered.quarantined, 0, "{recovered:?}");
        }
    }
}

/// Operations before the log was opened first are not interesting.
fn play_from_begin(seed: u64, steps: &[Step], stop: u64) -> World {
    let first = World::new(seed).disk.operations();
    play(seed, steps, Some(stop.max(first + 1)))
}

fn check_after(world: &World, disk: &Memory, least: Offset) -> Recovered {
    let opening = Opening { clean: false, recovery_point: world.recovery_point, start: Offset::ZERO };
    let (mut log, recovered) = Log::open(disk.clone(), Path::new(DIR), options(), &opening, world.now).unwrap();
    log.check();
    assert!(log.end() >= least, "{} of at least {least}", log.end());
    world.check(&mut log);
    let append = Append { leader_epoch: LeaderEpoch(2), origin: Origin::Client(None), largest: None };
    let mut builder = Builder::new(Settings::default());
    builder.append(&Entry { key: Some(b"k"), value: Some(b"v"), ..Entry::default() }).unwrap();
    log.append(&builder.finish(), &append, world.now).unwrap();
    log.check();
    recovered
}
