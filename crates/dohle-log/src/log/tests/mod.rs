//! The log as a whole, on the memory disk.

mod appending;
mod crash;
mod damage;
mod reading;
mod rebuilding;
mod recalling;
mod relocating;
mod table;

use std::path::Path;

use dohle_base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use dohle_records::batch::encode::{Builder, Entry, Producer, Settings};
use dohle_records::control::EndTransaction;
use dohle_records::{Batch, Batches};

use super::{Append, AppendError, Appended, Log, Opening, Recovered};
use crate::disk::{Disk, Memory};
use crate::options::Options;
use crate::producers::Origin;

const DIR: &str = "/log/t-0";
const NOW: Timestamp = Timestamp(1_700_000_000_000);

pub(super) fn disk() -> Memory {
    let disk = Memory::new();
    disk.create_dir(Path::new("/log")).unwrap();
    disk.create_dir(Path::new(DIR)).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk.sync_dir(Path::new("/log")).unwrap();
    disk
}

/// Small segments and an index entry for every other batch.
fn options() -> Options {
    Options { segment_bytes: 1_000, index_interval_bytes: 100, ..Options::default() }
}

const CLEAN: Opening = Opening { clean: true, recovery_point: Offset(0), start: Offset(0) };
const UNCLEAN: Opening = Opening { clean: false, recovery_point: Offset(0), start: Offset(0) };

fn open(disk: &Memory, opening: &Opening) -> (Log<Memory>, Recovered) {
    let (log, recovered) = Log::open(disk.clone(), Path::new(DIR), options(), opening, NOW).unwrap();
    log.check();
    (log, recovered)
}

fn batch_of(settings: Settings, times: &[i64]) -> Batch {
    let mut builder = Builder::new(settings);
    for (place, time) in times.iter().enumerate() {
        let value = format!("value {place}");
        let entry = Entry { timestamp: Timestamp(*time), value: Some(value.as_bytes()), ..Entry::default() };
        builder.append(&entry).unwrap();
    }
    builder.finish()
}

fn plain(records: usize) -> Batch {
    batch_of(Settings::default(), &vec![NOW.0; records])
}

fn idempotent(id: i64, sequence: i32, records: usize) -> Batch {
    let producer = Producer { id: ProducerId(id), epoch: ProducerEpoch(0), base_sequence: sequence };
    batch_of(Settings { producer: Some(producer), ..Settings::default() }, &vec![NOW.0; records])
}

fn transactional(id: i64, sequence: i32, records: usize) -> Batch {
    let producer = Producer { id: ProducerId(id), epoch: ProducerEpoch(0), base_sequence: sequence };
    batch_of(Settings { producer: Some(producer), transactional: true, ..Settings::default() }, &vec![NOW.0; records])
}

fn marker(id: i64, committed: bool) -> Batch {
    EndTransaction { committed, coordinator_epoch: 1 }.to_batch(NOW, ProducerId(id), ProducerEpoch(0))
}

fn lead(log: &mut Log<Memory>, epoch: i32, batch: &Batch) -> Result<Appended, AppendError> {
    let append = Append { leader_epoch: LeaderEpoch(epoch), origin: Origin::Client(None), largest: None };
    let appended = log.append(batch, &append, NOW);
    log.check();
    appended
}

fn read(log: &Log<Memory>, from: i64) -> Vec<(i64, i64)> {
    let mut from = Offset(from);
    let mut found = Vec::new();
    while let Some(slice) = log.read(from, log.end(), 10_000, true).unwrap() {
        for batch in Batches::over(slice.read().unwrap()) {
            let header = *batch.unwrap().header();
            found.push((header.base_offset.0, header.last_offset().0));
            from = header.next_offset();
        }
    }
    found
}

#[test]
fn what_is_appended_is_read_across_segments_and_after_a_clean_stop() {
    let disk = disk();
    let (mut log, _) = open(&disk, &CLEAN);
    for n in 0..40 {
        let appended = lead(&mut log, 3, &plain(2)).unwrap();
        assert_eq!((appended.base_offset, appended.last_offset), (Offset(n * 2), Offset(n * 2 + 1)));
    }
    assert!(log.segments().count() > 3);
    let all: Vec<(i64, i64)> = (0..40).map(|n| (n * 2, n * 2 + 1)).collect();
    assert_eq!(read(&log, 0), all);
    assert_eq!(read(&log, 31), all[15..], "from the middle of a batch the whole batch");
    log.close(NOW).unwrap();
    assert_eq!(log.synced(), log.end());
    let (log, recovered) = open(&disk.copy(), &CLEAN);
    assert_eq!(recovered, Recovered::default());
    assert_eq!(read(&log, 0), all);
    assert_eq!(log.epochs().latest(), Some(LeaderEpoch(3)));
}

#[test]
fn a_kill_loses_nothing_that_was_written() {
    let disk = disk();
    let (mut log, _) = open(&disk, &CLEAN);
    for n in 0..40 {
        lead(&mut log, 0, &idempotent(7, n * 2, 2)).unwrap();
    }
    let producers = log.producers().clone();
    let (log, recovered) = open(&disk.copy(), &UNCLEAN);
    assert_eq!(read(&log, 0).len(), 40);
    assert_eq!(recovered.torn, None);
    assert_eq!(recovered.segments, log.segments().count());
    assert_eq!(log.producers(), &producers);
}

#[test]
fn a_segment_closed_after_the_recovery_point_was_noted_keeps_its_aborted_transactions() {
    let disk = disk();
    let (mut log, _) = open(&disk, &CLEAN);
    lead(&mut log, 0, &transactional(7, 0, 2)).unwrap();
    let origin = Origin::Coordinator { transaction_version: 0 };
    log.append(&marker(7, false), &Append { leader_epoch: LeaderEpoch(0), origin, largest: None }, NOW).unwrap();
    let flush = log.begin_flush().unwrap();
    let recovery_point = log.flushed(flush.run(), NOW).unwrap();
    log.roll(recovery_point, NOW).unwrap();
    let (log, _) = open(&disk.kill(), &Opening { recovery_point, ..UNCLEAN });
    let slice = log.read(Offset(0), log.end(), 10_000, true).unwrap().unwrap();
    assert_eq!(log.aborts(Offset(0), log.end(), &slice).map_or(0, |aborts| aborts.find().unwrap().len()), 1);
}

#[test]
fn a_stop_on_a_full_disk_is_no_clean_one() {
    let close_within = |room: u64| {
        let disk = disk();
        let (mut log, _) = open(&disk, &CLEAN);
        lead(&mut log, 0, &transactional(7, 0, 2)).unwrap();
        let origin = Origin::Coordinator { transaction_version: 0 };
        log.append(&marker(7, false), &Append { leader_epoch: LeaderEpoch(0), origin, largest: None }, NOW).unwrap();
        log.roll(log.end(), NOW).unwrap();
        disk.limit(Some(disk.used() + room));
        let closed = log.close(NOW);
        disk.limit(None);
        let (log, _) = open(&disk, if closed.is_ok() { &CLEAN } else { &UNCLEAN });
        let slice = log.read(Offset(0), log.end(), 10_000, true).unwrap().unwrap();
        let aborts = log.aborts(Offset(0), log.end(), &slice);
        assert_eq!(aborts.map_or(0, |aborts| aborts.find().unwrap().len()), 1, "{room} bytes of room");
        closed.is_ok()
    };
    let (time_index, abort_index) = (12, 34);
    assert!((0..time_index + abort_index).all(|room| !close_within(room)));
    assert!(close_within(1_000));
}
