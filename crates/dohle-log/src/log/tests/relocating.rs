//! A log that goes on in another directory.

use std::path::Path;

use dohle_base::{LeaderEpoch, Offset};
use dohle_records::Batches;

use super::{CLEAN, DIR, NOW, UNCLEAN, disk, lead, marker, open, options, plain, read, transactional};
use crate::disk::{Disk, Memory};
use crate::epochs::EpochStart;
use crate::log::{Append, Log, Opening};
use crate::producers::Origin;
use crate::segment::Aborted;

const FUTURE: &str = "/log/t-0.1-future";
const ELSEWHERE: &str = "/log/u-0";

fn end_transaction(log: &mut Log<Memory>, id: i64, committed: bool) {
    let origin = Origin::Coordinator { transaction_version: 0 };
    log.append(&marker(id, committed), &Append { leader_epoch: LeaderEpoch(4), origin, largest: None }, NOW).unwrap();
}

/// Two epochs, several segments, aborted and committed transactions, one that is open, and a start within a batch.
fn source(disk: &Memory) -> Log<Memory> {
    let (mut log, _) = open(disk, &CLEAN);
    for _ in 0..20 {
        lead(&mut log, 3, &plain(3)).unwrap();
    }
    for (id, committed) in [(7, false), (8, true), (9, false)] {
        lead(&mut log, 4, &transactional(id, 0, 2)).unwrap();
        lead(&mut log, 4, &plain(5)).unwrap();
        end_transaction(&mut log, id, committed);
    }
    lead(&mut log, 4, &transactional(10, 0, 2)).unwrap();
    log.begin_epoch(LeaderEpoch(6));
    log.advance_start(Offset(4)).unwrap();
    log
}

fn copy(log: &Log<Memory>, copy: &mut Log<Memory>) {
    while let Some(slice) = log.read(copy.end().max(log.start()), log.end(), 500, true).unwrap() {
        for batch in Batches::over(slice.read().unwrap()) {
            copy.append_as_follower(&batch.unwrap(), NOW).unwrap();
        }
    }
}

fn flush(log: &mut Log<Memory>) {
    if let Some(flush) = log.begin_flush() {
        log.flushed(flush.run(), NOW).unwrap();
    }
}

fn aborted(log: &Log<Memory>) -> Vec<Aborted> {
    let slice = log.read(log.start(), log.end(), 100_000, true).unwrap().unwrap();
    log.aborts(log.start(), log.end() + 1, &slice).unwrap().find().unwrap()
}

/// The epochs that have a record: no other outlives a stop.
fn begun(log: &Log<Memory>) -> Vec<EpochStart> {
    log.epochs().starts().iter().copied().filter(|epoch| epoch.start < log.end()).collect()
}

#[test]
fn a_copy_becomes_the_log_in_another_directory_and_stays_it_over_a_stop() {
    for rolled in [false, true] {
        let disk = disk();
        let mut log = source(&disk);
        if rolled {
            log.roll(log.end(), NOW).unwrap();
        }
        disk.create_dir(Path::new(FUTURE)).unwrap();
        let opening = Opening { start: Offset(3), ..CLEAN };
        let small = crate::options::Options { segment_bytes: 700, ..options() };
        let (mut future, _) = Log::open(disk.clone(), Path::new(FUTURE), small, &opening, NOW).unwrap();
        copy(&log, &mut future);
        future.take_over(&log).unwrap();
        flush(&mut future);
        disk.rename(Path::new(FUTURE), Path::new(ELSEWHERE)).unwrap();
        disk.sync_dir(Path::new("/log")).unwrap();
        future.relocate(Path::new(ELSEWHERE)).unwrap();
        future.check();
        let same = |future: &Log<Memory>, when: &str| {
            assert_eq!(
                (future.start(), future.end(), future.dir()),
                (log.start(), log.end(), Path::new(ELSEWHERE)),
                "{when}"
            );
            assert_eq!(read(future, 4), read(&log, 4), "{when}");
            assert_eq!(begun(future), begun(&log), "{when}");
            assert_eq!(
                aborted(future).iter().map(|it| (it.first, it.last)).collect::<Vec<_>>(),
                aborted(&log).iter().map(|it| (it.first, it.last)).collect::<Vec<_>>(),
                "{when}"
            );
        };
        same(&future, "at once");
        assert_eq!((future.epochs().starts(), future.producers()), (log.epochs().starts(), log.producers()));
        assert_eq!(future.options().segment_bytes, options().segment_bytes);
        let reopen = |disk: Memory| {
            let opening = Opening { recovery_point: future.synced(), start: Offset(4), ..UNCLEAN };
            Log::open(disk, Path::new(ELSEWHERE), options(), &opening, NOW).unwrap().0
        };
        same(&reopen(disk.copy()), "after a kill");
        for seed in 0..8 {
            same(&reopen(disk.copy().crash(&mut dohle_base::Rng::new(seed))), "after a power cut");
        }
        lead(&mut future, 6, &plain(2)).unwrap();
        assert_eq!(*read(&future, 4).last().unwrap(), (log.end().0, log.end().0 + 1));
    }
}

#[test]
fn what_was_planned_before_a_log_was_moved_is_read_whole_or_refused() {
    let disk = disk();
    let mut log = source(&disk);
    flush(&mut log);
    let slice = log.read(log.start(), log.end(), 100_000, true).unwrap().unwrap();
    let (planned, plan) = (log.aborts(log.start(), log.end(), &slice), log.plan(Offset(4), log.end(), 100, true));
    disk.create_dir(Path::new(FUTURE)).unwrap();
    let opening = Opening { start: Offset(3), ..CLEAN };
    let (mut future, _) = Log::open(disk.clone(), Path::new(FUTURE), options(), &opening, NOW).unwrap();
    copy(&log, &mut future);
    future.take_over(&log).unwrap();
    flush(&mut future);
    let scrubbed = log.scrub().sealed[0].clone();
    assert_eq!((scrubbed.base, scrubbed.revision), (Offset(0), 0));
    future.relocate(Path::new(FUTURE)).unwrap();
    assert!(
        future.scrub().sealed.iter().all(|segment| segment.revision == 1),
        "no segment is taken for one that was there before"
    );
    assert!(!slice.read().unwrap().is_empty());
    let (start, end) = (future.start(), future.end());
    let found = future.aborts(start, end, &slice).unwrap().find().unwrap();
    assert_eq!(found.len(), 2, "whose slice it is nobody knows: all are told");
    disk.rename(Path::new(DIR), Path::new("/log/t-0.1-delete")).unwrap();
    assert!(planned.unwrap().find().is_err(), "an abort index that is gone is not an empty one");
    assert!(plan.unwrap().resolve().is_err());
}

#[test]
fn the_last_offsets_are_given_out_once_though_their_records_are_gone() {
    let disk = disk();
    let (mut log, _) = open(&disk, &CLEAN);
    lead(&mut log, 0, &plain(3)).unwrap();
    disk.create_dir(Path::new(FUTURE)).unwrap();
    let (mut future, _) = Log::open(disk.clone(), Path::new(FUTURE), options(), &CLEAN, NOW).unwrap();
    future.take_over(&log).unwrap();
    future.check();
    assert_eq!((future.end(), future.start()), (Offset(3), Offset(0)));
    assert_eq!(lead(&mut future, 0, &plain(1)).unwrap().base_offset, Offset(3));
}
