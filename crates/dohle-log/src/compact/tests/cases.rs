//! Single rules of compaction, each by itself.

use dohle_records::TimestampType;

use super::*;
use crate::log::ReadError;
use crate::scrub::Finding;
use crate::segment::name::Content;

type Written<'a> = (&'a str, Option<&'a str>);

const ALL_KEYS: u64 = 1_000;

fn idempotent(id: i64, base_sequence: i32) -> Settings {
    let producer = Producer { id: ProducerId(id), epoch: ProducerEpoch(0), base_sequence };
    Settings { producer: Some(producer), ..Settings::default() }
}

fn transactional(id: i64, base_sequence: i32) -> Settings {
    Settings { transactional: true, ..idempotent(id, base_sequence) }
}

impl World {
    fn write(&mut self, settings: Settings, records: &[Written<'_>]) {
        let owned = |text: &str| text.as_bytes().to_vec();
        let records: Vec<_> = records.iter().map(|(key, value)| (owned(key), value.map(owned))).collect();
        self.put(settings, &records).unwrap();
    }

    /// Closes the segment that is written to and makes all before it ready to be compacted.
    fn seal(&mut self) {
        let segment = self.log.segments().last().unwrap().base;
        while self.log.segments().last().unwrap().base == segment {
            self.write(Settings::default(), &[("filler", Some(&"x".repeat(500)))]);
        }
        self.flush().unwrap();
        self.recovery_point = self.log.synced();
    }

    fn clean(&mut self) {
        self.cleaned = None;
        self.compact(ALL_KEYS).unwrap();
        self.log.check();
    }

    /// What is left of the keys but the filler: key, value, offset.
    fn left(&self) -> Vec<(String, Option<String>, i64)> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let all = read(&self.log, self.log.end()).into_iter().map(|(fact, _)| fact);
        all.filter(|fact| fact.key != b"filler")
            .map(|fact| (text(fact.key), fact.value.map(text), fact.offset.0))
            .collect()
    }

    fn markers(&self) -> usize {
        batches(&self.log, self.log.end()).iter().filter(|batch| batch.header().attributes.is_control()).count()
    }
}

fn tuple(key: &str, value: Option<&str>, offset: i64) -> (String, Option<String>, i64) {
    (key.to_owned(), value.map(str::to_owned), offset)
}

#[test]
fn of_each_key_the_last_record_stays_where_it_was() {
    let mut world = World::new(0);
    world.write(Settings::default(), &[("a", Some("1")), ("b", Some("2")), ("a", Some("3"))]);
    world.write(Settings::default(), &[("c", Some("4")), ("b", Some("5"))]);
    world.seal();
    world.write(Settings::default(), &[("c", Some("6"))]);
    world.clean();
    let expected =
        [tuple("a", Some("3"), 2), tuple("c", Some("4"), 3), tuple("b", Some("5"), 4), tuple("c", Some("6"), 6)];
    assert_eq!(world.left(), expected, "what is written to is not touched, and does not count yet");
}

#[test]
fn a_batch_of_which_all_stays_is_kept_byte_for_byte() {
    let mut world = World::new(0);
    let zstd = Settings { compression: Compression::of(Codec::Zstd), ..Settings::default() };
    world.write(zstd, &[("a", Some("1")), ("b", Some("2"))]);
    world.write(Settings::default(), &[("c", Some("1"))]);
    world.write(Settings::default(), &[("c", Some("2"))]);
    world.seal();
    let before = batches(&world.log, world.log.end());
    world.clean();
    let after = batches(&world.log, world.log.end());
    assert_eq!(before[0], after[0]);
    assert_eq!(before[2], after[1], "the batch that lost all is gone");
}

#[test]
fn a_tombstone_stays_for_its_time_after_the_pass_that_saw_it_and_not_longer() {
    let mut world = World::new(0);
    world.write(Settings::default(), &[("a", Some("1"))]);
    world.write(Settings::default(), &[("a", None), ("b", Some("2"))]);
    world.seal();
    world.now = Timestamp(BEGIN.0 + 1_000 * HOUR);
    world.clean();
    let both = [tuple("a", None, 1), tuple("b", Some("2"), 2)];
    assert_eq!(world.left(), both, "its age counts from the first pass");
    let horizon = batches(&world.log, world.log.end())[0].header().delete_horizon().unwrap();
    assert_eq!(horizon, Timestamp(world.now.0 + options().delete_retention_ms));
    world.now = Timestamp(horizon.0 - 1);
    world.clean();
    assert_eq!(world.left(), both);
    world.now = horizon;
    world.clean();
    assert_eq!(world.left(), both[1..]);
}

#[test]
fn a_marker_goes_after_its_data_and_its_time_and_the_abort_index_follows() {
    for committed in [true, false] {
        let mut world = World::new(0);
        world.write(transactional(7, 0), &[("a", Some("1"))]);
        world.open.insert(ProducerId(7));
        world.end(ProducerId(7), committed).unwrap();
        // Later data of the same producer: the first batch need not be kept for its sequence.
        world.write(idempotent(7, 1), &[("z", Some("0"))]);
        world.write(Settings::default(), &[("a", Some("2"))]);
        world.seal();
        let aborted = |world: &World| {
            let slice = world.log.read(Offset(0), world.log.end(), 10_000, true).unwrap().unwrap();
            world.log.aborts(Offset(0), world.log.end(), &slice).map_or(0, |aborts| aborts.find().unwrap().len())
        };
        assert_eq!(aborted(&world), usize::from(!committed));
        world.clean();
        assert_eq!(world.left()[0], tuple("z", Some("0"), 2), "the data is gone");
        assert_eq!((world.markers(), aborted(&world)), (1, usize::from(!committed)), "readers may still hold it");
        world.clean();
        assert_eq!((world.markers(), aborted(&world)), (1, 0), "its time begins when nothing is left");
        let horizon = batches(&world.log, world.log.end())[0].header().delete_horizon().unwrap();
        world.now = Timestamp(horizon.0 - 1);
        world.clean();
        assert_eq!(world.markers(), 1);
        world.now = horizon;
        world.clean();
        assert_eq!(world.markers(), 0);
    }
}

#[test]
fn the_last_sequence_of_every_producer_is_found_again() {
    let mut world = World::new(0);
    for (sequence, id) in [(0, 7), (0, 8), (1, 7)] {
        world.write(idempotent(id, sequence), &[("a", Some("1"))]);
    }
    world.write(transactional(9, 0), &[("b", Some("1"))]);
    world.open.insert(ProducerId(9));
    world.end(ProducerId(9), false).unwrap();
    world.write(Settings::default(), &[("a", Some("2"))]);
    world.seal();
    let known = |log: &Log<Memory>| -> Vec<_> {
        log.producers().iter().map(|known| (known.id, known.last_sequence(), known.last_offset())).collect()
    };
    let before = known(&world.log);
    world.now = Timestamp(BEGIN.0 + 100 * HOUR);
    (0..3).for_each(|_| world.clean());
    assert_eq!(world.left(), [tuple("a", Some("2"), 5)]);
    let disk = world.disk.copy();
    for entry in disk.list(Path::new(DIR)).unwrap().into_iter().filter(|entry| entry.name.ends_with(".snapshot")) {
        disk.remove(&Path::new(DIR).join(entry.name)).unwrap();
    }
    let opening = Opening { clean: false, recovery_point: Offset::ZERO, start: Offset::ZERO };
    let (log, recovered) = Log::open(disk, Path::new(DIR), options(), &opening, world.now).unwrap();
    assert_eq!(recovered.quarantined, 0, "even without a recovery point there is no gap between segments");
    assert_eq!(known(&log), before);
}

#[test]
fn more_keys_than_fit_take_more_passes_and_every_pass_gets_on() {
    let mut world = World::new(0);
    for round in 0..3 {
        let records: Vec<(String, String)> = (0..40).map(|n| (format!("k{n}"), format!("{round}"))).collect();
        let records: Vec<Written<'_>> = records.iter().map(|(k, v)| (k.as_str(), Some(v.as_str()))).collect();
        world.write(Settings::default(), &records);
    }
    world.seal();
    let mut passes = 0;
    while world.cleaned.is_none_or(|cleaned| cleaned < world.log.segments().last().unwrap().base) {
        world.compact(7).unwrap();
        passes += 1;
    }
    assert!(passes >= 3 * 40 / 7, "{passes}");
    assert_eq!(world.left().len(), 40);
    assert!(world.left().iter().all(|(_, value, _)| value.as_deref() == Some("2")));
}

#[test]
fn small_segments_become_one_and_their_files_are_gone() {
    let mut world = World::new(0);
    for n in 0..100 {
        world.write(Settings::default(), &[("a", Some(&n.to_string()))]);
    }
    world.seal();
    let before = world.log.segments().count();
    // What is joined is known by the sizes before.
    (0..2).for_each(|_| world.clean());
    assert!(before > 6 && world.log.segments().count() < before);
    let names: Vec<String> = world.disk.list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name).collect();
    let logs = names.iter().filter(|name| name.ends_with(".log")).count();
    assert_eq!(logs, world.log.segments().count());
    assert!(!names.iter().any(|name| [".deleted", ".swap", ".cleaned"].iter().any(|end| name.ends_with(end))));
    world.restart().unwrap();
    assert_eq!(world.left().len(), 1);
}

/// A log with something to compact, and a rewritten segment that is not swapped in yet.
fn half_way() -> (World, crate::compact::Rewritten<Memory>) {
    let mut world = World::new(0);
    for n in 0..10 {
        world.write(Settings::default(), &[("a", Some(&n.to_string()))]);
    }
    world.seal();
    let survey = world.log.survey(world.log.synced());
    let dirt = survey.dirt(None, world.recovery_point, world.now).unwrap();
    let mut keys = KeyMap::new(1_000, 90);
    let mut pass = survey.job(&dirt).map(&mut keys, &mut |_| true).unwrap();
    let rewritten = pass.next(&keys, world.now, &mut |_| true).unwrap().unwrap();
    (world, rewritten)
}

#[test]
fn what_was_dropped_or_cut_meanwhile_is_not_swapped_in() {
    let (mut world, rewritten) = half_way();
    world.log.advance_start(world.log.end()).unwrap();
    world.log.retain(world.now, world.log.end()).unwrap().unwrap().remove().unwrap();
    let Swap::Refused(rewritten) = world.log.swap(rewritten).unwrap() else { panic!("it was dropped") };
    rewritten.discard(Path::new(DIR)).unwrap();

    let (mut world, rewritten) = half_way();
    world.log.truncate_to(Offset(2), world.now).unwrap();
    let Swap::Refused(rewritten) = world.log.swap(rewritten).unwrap() else { panic!("it was cut") };
    rewritten.discard(Path::new(DIR)).unwrap();
    let names = world.disk.list(Path::new(DIR)).unwrap();
    assert!(!names.iter().any(|entry| entry.name.ends_with(".cleaned")));
    assert_eq!(world.left().len(), 2);
}

#[test]
fn whoever_reads_across_a_swap_gets_records_or_is_told_to_look_again() {
    let (mut world, rewritten) = half_way();
    let slice = world.log.read(Offset(1), world.log.end(), 300, true).unwrap().unwrap();
    let bytes = slice.read().unwrap();
    let plans: Vec<_> = (0..10).map(|n| world.log.plan(Offset(n), world.log.end(), 300, true).unwrap()).collect();
    let Swap::Done(swapped) = world.log.swap(rewritten).unwrap() else { panic!("nothing has changed") };
    let removal = swapped.confirm().unwrap();
    assert_eq!(slice.read().unwrap(), bytes, "an open file is what it was");
    for (from, plan) in plans.into_iter().enumerate() {
        match plan.resolve() {
            Ok(Some(slice)) => {
                let batch = Batches::over(slice.read().unwrap()).next().unwrap().unwrap();
                assert!(batch.header().last_offset() >= Offset(from as i64));
            }
            Err(ReadError::Moved) => {}
            other => panic!("{other:?}"),
        }
    }
    removal.remove().unwrap();
    assert!(world.left().len() < 10);
    assert_eq!(world.left().last(), Some(&tuple("a", Some("9"), 9)));
}

#[test]
fn a_segment_that_is_removed_while_it_is_read_is_not_taken_for_damaged() {
    let mut world = World::new(0);
    let opening = Opening { clean: true, recovery_point: Offset::ZERO, start: Offset::ZERO };
    let options = Options { segment_bytes: 1 << 20, ..options() };
    world.log = Log::open(world.disk.clone(), Path::new(DIR), options, &opening, BEGIN).unwrap().0;
    // A segment is read in chunks: this is more than one.
    while world.log.segments().count() == 1 {
        world.write(Settings::default(), &[("a", Some(&"x".repeat(100 << 10)))]);
    }
    world.flush().unwrap();
    let survey = world.log.survey(world.log.synced());
    let dirt = survey.dirt(None, world.log.synced(), BEGIN).unwrap();
    let mut go_on = |_| {
        if world.log.segments().count() > 1 {
            world.log.advance_start(world.log.end()).unwrap();
            world.log.retain(BEGIN, world.log.end()).unwrap().unwrap().run().unwrap();
        }
        true
    };
    let ended = survey.job(&dirt).map(&mut KeyMap::new(1_000, 90), &mut go_on);
    assert!(matches!(ended, Err(CompactError::Moved)), "{ended:?}");
}

#[test]
fn a_pass_ends_when_it_is_told_to_and_leaves_nothing() {
    let (world, rewritten) = half_way();
    rewritten.discard(Path::new(DIR)).unwrap();
    for most in 0..20 {
        let mut world = World { log: reopen(&world), ..World::new(0) };
        let survey = world.log.survey(world.log.end());
        let dirt = survey.dirt(None, world.log.end(), BEGIN).unwrap();
        let mut keys = KeyMap::new(1_000, 90);
        let mut asked = 0;
        let mut go_on = |_| {
            asked += 1;
            asked <= most
        };
        let ended =
            survey.job(&dirt).map(&mut keys, &mut go_on).and_then(|mut pass| pass.next(&keys, BEGIN, &mut go_on));
        match ended {
            Err(CompactError::Stopped) => {}
            Ok(Some(rewritten)) => rewritten.discard(Path::new(DIR)).unwrap(),
            other => panic!("{other:?}"),
        }
    }
    let names = world.disk.list(Path::new(DIR)).unwrap();
    assert!(!names.iter().any(|entry| entry.name.ends_with(".cleaned")));
}

fn reopen(world: &World) -> Log<Memory> {
    let opening = Opening { clean: false, recovery_point: world.recovery_point, start: Offset::ZERO };
    Log::open(world.disk.clone(), Path::new(DIR), options(), &opening, world.now).unwrap().0
}

/// A log of several segments.
fn sealed() -> World {
    let mut world = World::new(0);
    for n in 0..20 {
        world.write(Settings::default(), &[(&format!("k{n}"), Some("value"))]);
    }
    world.seal();
    world
}

/// A log of several segments, with one byte of the batch in the middle of its first segment flipped; says at which offset.
fn rotten() -> (World, Offset) {
    let world = sealed();
    let found = batches(&world.log, world.log.end());
    let position: usize = found[..2].iter().map(|batch| batch.bytes().len()).sum();
    let path = crate::segment::path(Path::new(DIR), Offset(0), Content::Log);
    world.disk.edit(&path, |bytes| bytes[position + 70] ^= 1).unwrap();
    (world, found[2].header().base_offset)
}

#[test]
fn a_damaged_batch_stops_the_compaction_and_the_log_stays_as_it_is() {
    let (mut world, _) = rotten();
    let survey = world.log.survey(world.log.synced());
    let dirt = survey.dirt(None, world.recovery_point, world.now).unwrap();
    let mut keys = KeyMap::new(1_000, 90);
    let mapped = survey.job(&dirt).map(&mut keys, &mut |_| true);
    assert!(matches!(mapped, Err(CompactError::Damaged { segment: Offset(0), .. })), "{mapped:?}");
}

#[test]
fn a_segment_cut_within_a_batch_is_damaged_and_no_failure_of_the_disk() {
    let mut world = sealed();
    let first = batches(&world.log, Offset(1))[0].bytes().len();
    let path = crate::segment::path(Path::new(DIR), Offset(0), Content::Log);
    world.disk.edit(&path, |bytes| bytes.truncate(first - 1)).unwrap();
    let size = world.log.segments().next().unwrap().size;
    let Finding::Damaged(damages) = world.log.scrub().read(0, &mut |_| true).unwrap() else { panic!("it is cut") };
    assert_eq!(damages.places, std::iter::once(0..size).collect::<Vec<_>>());
    let survey = world.log.survey(world.log.synced());
    let dirt = survey.dirt(None, world.recovery_point, world.now).unwrap();
    let mapped = survey.job(&dirt).map(&mut KeyMap::new(1_000, 90), &mut |_| true);
    assert!(matches!(mapped, Err(CompactError::Damaged { segment: Offset(0), position: 0, .. })), "{mapped:?}");
}

#[test]
fn of_a_segment_that_is_rotten_and_cut_the_sound_batches_are_served() {
    let (mut world, rotten) = rotten();
    let size = world.log.segments().next().unwrap().size;
    let batch = batches(&world.log, Offset(1))[0].bytes().len() as u64;
    let path = crate::segment::path(Path::new(DIR), Offset(0), Content::Log);
    world.disk.edit(&path, |bytes| bytes.truncate(batch as usize * 5 - 1)).unwrap();
    let Finding::Damaged(damages) = world.log.scrub().read(0, &mut |_| true).unwrap() else { panic!("it is damaged") };
    assert_eq!(damages.places, [2 * batch..3 * batch, 4 * batch..size]);
    assert!(world.log.note_damage(&damages));
    let read = |at: Offset| world.log.read(at, world.log.end(), 10_000, true);
    assert_eq!(read(Offset(0)).unwrap().unwrap().range, 0..2 * batch);
    assert_eq!(read(rotten.next()).unwrap().unwrap().range, 3 * batch..4 * batch);
    for at in [rotten, rotten + 2, rotten + 3] {
        let refused = read(at);
        assert!(matches!(refused, Err(ReadError::Damaged { .. })), "{at} {refused:?}");
    }
}

#[test]
fn what_scrubbing_finds_damaged_is_served_no_more_and_all_else_is() {
    let (mut world, rotten) = rotten();
    let scrub = world.log.scrub();
    let Finding::Damaged(damages) = scrub.read(0, &mut |_| true).unwrap() else { panic!("a bit is flipped") };
    assert_eq!(damages.places.len(), 1);
    assert!((1..scrub.segments().len()).all(|place| matches!(scrub.read(place, &mut |_| true), Ok(Finding::Sound))));
    assert!(world.log.note_damage(&damages));
    let end = world.log.end();
    let before = world.log.read(Offset(0), end, 10_000, true).unwrap().unwrap();
    assert_eq!(before.range.end, damages.places[0].start, "up to the damage all is served");
    let at = world.log.read(rotten, end, 10_000, true);
    assert!(matches!(at, Err(ReadError::Damaged { .. })), "{at:?}");
    let behind = world.log.read(rotten.next(), end, 10_000, true).unwrap().unwrap();
    assert_eq!(behind.base_offset, rotten.next());
    assert!(!world.log.note_damage(&crate::scrub::Damages { segment: Offset(1), ..damages }), "no such segment");
    assert_eq!(world.log.damaged(), 1);
}

#[test]
fn whatever_is_done_to_a_segment_scrubbing_says_so() {
    let (world, _) = rotten();
    let path = crate::segment::path(Path::new(DIR), Offset(0), Content::Log);
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        world.disk.edit(&path, |bytes| change(bytes)).unwrap();
        match world.log.scrub().read(0, &mut |_| true).unwrap() {
            Finding::Damaged(damages) => damages.places.len(),
            Finding::Sound | Finding::Gone | Finding::Stopped => 0,
        }
    };
    assert!(damaged(&|bytes| bytes[16] = 7) > 0, "a header that is none");
    assert!(damaged(&|bytes| bytes.truncate(100)) > 0, "a file cut short");
    assert!(damaged(&|bytes| bytes.clear()) > 0, "nothing left");
    world.disk.remove(&path).unwrap();
    assert!(matches!(world.log.scrub().read(0, &mut |_| true), Ok(Finding::Gone)));
}

/// A log in whose first segment the batch with the latest time has lost its record and stays for its producer's sequence.
fn emptied() -> World {
    let mut world = World::new(0);
    world.write(Settings::default(), &[("b", Some("1"))]);
    world.now = Timestamp(BEGIN.0 + HOUR);
    world.write(idempotent(7, 0), &[("a", Some("1"))]);
    world.now = BEGIN;
    world.write(Settings::default(), &[("a", Some("2"))]);
    world.seal();
    world.clean();
    assert_eq!(batches(&world.log, Offset(2))[1].header().record_count, 0);
    world
}

#[test]
fn a_compacted_directory_is_sound() {
    let mut world = emptied();
    world.log.close(world.now).unwrap();
    let report = crate::inspect::verify(&world.disk, Path::new(DIR), true).unwrap();
    assert_eq!(report.findings, []);
}

#[test]
fn a_batch_without_records_is_not_found_by_its_time() {
    let mut world = emptied();
    world.restart().unwrap();
    let largest = world.log.by_largest_time().find().unwrap();
    assert_eq!(largest.map(|moment| (moment.time, moment.offset)), Some((BEGIN, Offset(0))));

    let mut world = World::new(0);
    world.log.set_options(Options { timestamp_type: TimestampType::LogAppend, ..options() });
    world.write(idempotent(7, 0), &[("a", Some("1"))]);
    world.now = Timestamp(BEGIN.0 + HOUR);
    world.write(Settings::default(), &[("a", Some("2"))]);
    world.seal();
    world.clean();
    let first = world.log.by_time(BEGIN).find().unwrap();
    assert_eq!(first.map(|moment| (moment.time, moment.offset)), Some((world.now, Offset(1))));
}
