//! What is read, by offset and by time, and truncated.

use dohle_base::{LeaderEpoch, Offset, Rng, Timestamp};

use super::{CLEAN, NOW, Settings, batch_of, disk, idempotent, lead, open, plain, read};
use crate::disk::Memory;
use crate::log::{Log, ReadError};

fn log_of(batches: i64) -> Log<Memory> {
    let (mut log, _) = open(&disk(), &CLEAN);
    for _ in 0..batches {
        lead(&mut log, 0, &plain(2)).unwrap();
    }
    log
}

/// The offsets from the first of the first batch to behind the last whole one.
fn range(log: &Log<Memory>, from: i64, upto: i64, bytes_max: u64, minimum_one: bool) -> Option<(i64, i64)> {
    let slice = log.read(Offset(from), Offset(upto), bytes_max, minimum_one).unwrap()?;
    let bytes = slice.read().unwrap();
    let last = dohle_records::Batches::over(bytes).map(|batch| batch.unwrap().header().next_offset()).last();
    Some((slice.base_offset.0, last?.0))
}

#[test]
fn a_read_begins_with_the_batch_that_holds_the_offset_and_stops_before_the_limit() {
    let log = log_of(100);
    let one = plain(2).bytes().len() as u64;
    let cases = [
        ("from a batch's first", 0, 200, one * 2, true, Some((0, 4))),
        ("from its middle", 1, 200, one * 2, true, Some((0, 4))),
        ("less than one", 4, 200, one - 1, true, Some((4, 6))),
        ("less than one, and none is fine", 4, 200, one - 1, false, None),
        ("two and a half", 4, 200, one * 5 / 2, false, Some((4, 8))),
        ("up to the high watermark", 4, 8, one * 10, true, Some((4, 8))),
        ("a high watermark within a batch", 4, 7, one * 10, true, Some((4, 6))),
        ("at the high watermark", 8, 8, one * 10, true, None),
        ("above it", 10, 8, one * 10, true, None),
        ("at the end", 200, 200, one, true, None),
        ("no bytes", 0, 200, 0, false, None),
        ("a high watermark above the end", 198, 900, one * 10, true, Some((198, 200))),
    ];
    for (name, from, upto, bytes_max, minimum_one, expected) in cases {
        assert_eq!(range(&log, from, upto, bytes_max, minimum_one), expected, "{name}");
    }
    for offset in [-1, 201] {
        assert!(matches!(log.read(Offset(offset), log.end(), 1, true), Err(ReadError::OutOfRange { .. })));
    }
}

#[test]
fn every_offset_and_every_limit_is_found_in_every_segment() {
    let mut log = log_of(60);
    let end = log.end().0;
    for round in 0..2 {
        for from in 0..end {
            for upto in (0..=end).step_by(7) {
                let found = range(&log, from, upto, u64::MAX, true);
                let (first, last) = (from / 2 * 2, upto / 2 * 2);
                let segment = log.segments().find(|segment| segment.end.0 > from).unwrap();
                let expected = (from < upto && first < last).then(|| (first, last.min(segment.end.0)));
                assert_eq!(found, expected, "from {from} to {upto} in round {round}");
            }
        }
        // Once more with the indexes on the disk.
        let flush = log.begin_flush();
        flush.map(|flush| log.flushed(flush.run(), NOW).unwrap());
    }
}

#[test]
fn a_plan_outlives_a_roll_and_tells_when_the_log_has_changed() {
    let mut log = log_of(30);
    let flush = log.begin_flush().unwrap();
    log.flushed(flush.run(), NOW).unwrap();
    let plans: Vec<_> = [0, 30, 58].iter().map(|from| log.plan(Offset(*from), log.end(), 1, true).unwrap()).collect();
    for _ in 0..30 {
        lead(&mut log, 0, &plain(2)).unwrap();
    }
    for (plan, from) in plans.into_iter().zip([0, 30, 58]) {
        assert_eq!(plan.resolve().unwrap().unwrap().base_offset, Offset(from));
    }
    let plan = log.plan(Offset(0), log.end(), 1, true).unwrap();
    let slice = log.read(Offset(100), log.end(), 1, true).unwrap().unwrap();
    log.truncate_fully(Offset(500), NOW).unwrap();
    assert!(matches!(plan.resolve(), Err(ReadError::Moved)));
    assert!(slice.read().is_ok(), "an open file stays readable");
}

#[test]
fn a_record_is_found_by_its_time() {
    let mut rng = Rng::new(5);
    let (mut log, _) = open(&disk(), &CLEAN);
    let mut times: Vec<i64> = Vec::new();
    for _ in 0..120 {
        let batch: Vec<i64> =
            (0..1 + rng.below(3)).map(|_| NOW.0 + times.len() as i64 * 3 + rng.below(40) as i64).collect();
        times.extend(&batch);
        lead(&mut log, 3, &batch_of(Settings::default(), &batch)).unwrap();
    }
    let (least, most) = (*times.iter().min().unwrap(), *times.iter().max().unwrap());
    for round in 0..2 {
        for time in least - 2..=most + 2 {
            let found = log.by_time(Timestamp(time)).find().unwrap();
            let expected = times
                .iter()
                .position(|other| *other >= time)
                .map(|place| (Offset(place as i64), Timestamp(times[place])));
            assert_eq!(found.map(|moment| (moment.offset, moment.time)), expected, "{time} in round {round}");
            assert!(found.is_none_or(|moment| moment.epoch == LeaderEpoch(3)));
        }
        let largest = log.by_largest_time().find().unwrap().unwrap();
        let place = times.iter().position(|time| *time == most).unwrap() as i64;
        assert_eq!((largest.offset, largest.time), (Offset(place), Timestamp(most)));
        let flush = log.begin_flush();
        flush.map(|flush| log.flushed(flush.run(), NOW).unwrap());
    }
    log.advance_start(Offset(100)).unwrap();
    let found = log.by_time(Timestamp(0)).find().unwrap().unwrap();
    assert_eq!((found.offset, found.time), (Offset(100), Timestamp(times[100])), "not below the start");
}

#[test]
fn a_truncated_log_goes_on_from_the_batch_that_was_cut() {
    for target in 0..=60 {
        let (mut log, _) = open(&disk(), &CLEAN);
        for n in 0..30 {
            lead(&mut log, n / 10, &idempotent(1, n * 2, 2)).unwrap();
        }
        if target % 2 == 0 {
            let flush = log.begin_flush().unwrap();
            log.flushed(flush.run(), NOW).unwrap();
        }
        let expected = i64::from(target) / 2 * 2;
        assert_eq!(log.truncate_to(Offset(i64::from(target)), NOW).unwrap(), Offset(expected));
        log.check();
        assert_eq!(read(&log, 0).last().map_or(0, |(_, last)| last + 1), expected);
        assert!(log.synced() <= log.end());
        let epochs = log.epochs().starts().len() as i32;
        assert_eq!(epochs, (expected as i32 + 19) / 20, "{target}");
        let last = log.producers().iter().next().map_or(-1, |producer| producer.last_sequence());
        assert_eq!(i64::from(last), expected - 1, "{target}");
        lead(&mut log, 5, &idempotent(1, last + 1, 1)).unwrap();
        assert_eq!(read(&log, expected), [(expected, expected)]);
    }
}

#[test]
fn an_epoch_that_has_not_written_is_forgotten_by_a_truncation_to_its_start() {
    let mut log = log_of(3);
    log.begin_epoch(LeaderEpoch(7));
    assert_eq!(log.epochs().latest(), Some(LeaderEpoch(7)));
    assert_eq!(log.truncate_to(Offset(6), NOW).unwrap(), Offset(6));
    assert_eq!(log.epochs().latest(), Some(LeaderEpoch(0)));
}

#[test]
fn a_full_truncation_begins_anew_elsewhere() {
    let mut log = log_of(30);
    log.truncate_fully(Offset(7), NOW).unwrap();
    log.check();
    assert_eq!((log.start(), log.end(), log.size(), log.synced()), (Offset(7), Offset(7), 0, Offset(7)));
    assert_eq!(log.epochs().latest(), None);
    lead(&mut log, 0, &plain(2)).unwrap();
    assert_eq!(read(&log, 7), [(7, 8)]);
}
