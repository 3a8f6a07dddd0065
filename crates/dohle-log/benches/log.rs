//! Appending to a log on the disk, without a sync, and finding what is to be read.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot go on has failed")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dohle_base::{LeaderEpoch, Offset, Timestamp};
use dohle_log::disk::Files;
use dohle_log::log::{Append, Log, Opening};
use dohle_log::options::Options;
use dohle_log::producers::Origin;
use dohle_records::Batch;
use dohle_records::batch::encode::{Builder, Entry, Settings};
use tempfile::TempDir;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const SEGMENT_BYTES: u64 = 16 << 20;
/// A log that only grows meets memory that the kernel must fetch back first.
const LOG_BYTES_MAX: u64 = 4 * SEGMENT_BYTES;
const BATCH_BYTES: usize = 16 << 10;

fn batch() -> Batch {
    let mut builder = Builder::new(Settings::default());
    while builder.bytes_unpacked() + 1_100 < BATCH_BYTES {
        builder.append(&Entry { timestamp: NOW, value: Some(&[7; 1_024]), ..Entry::default() }).unwrap();
    }
    builder.finish()
}

fn open(dir: &TempDir) -> Log<Files> {
    let options = Options { segment_bytes: SEGMENT_BYTES, ..Options::default() };
    let opening = Opening { clean: true, recovery_point: Offset(0), start: Offset(0) };
    Log::open(Files, dir.path(), options, &opening, NOW).unwrap().0
}

/// What is measured, under names that are found again in a count of instructions (`cargo xtask instructions`).
mod counted {
    use super::*;

    #[inline(never)]
    pub(super) fn append_16_kib(log: &mut Log<Files>, batch: &Batch) {
        let append = Append { leader_epoch: LeaderEpoch(0), origin: Origin::Client(None), largest: None };
        log.append(batch, &append, NOW).unwrap();
    }

    #[inline(never)]
    pub(super) fn look_up_at_the_tail(log: &Log<Files>, from: Offset) -> u64 {
        look_up(log, from, 1 << 20)
    }

    #[inline(never)]
    pub(super) fn look_up_in_the_last_segment(log: &Log<Files>, from: Offset) -> u64 {
        look_up(log, from, 1 << 19)
    }

    #[inline(never)]
    pub(super) fn look_up_in_the_first_segment(log: &Log<Files>, from: Offset) -> u64 {
        look_up(log, from, 1 << 18)
    }
}

type LookUp = fn(&Log<Files>, Offset) -> u64;

/// The bytes that a reader who takes `most` is to be sent.
fn look_up(log: &Log<Files>, from: Offset, most: u64) -> u64 {
    log.read(from, log.end(), most, true).unwrap().map_or(0, |slice| slice.len())
}

fn appending(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, batch) = (open(&dir), batch());
    let mut group = c.benchmark_group("append");
    group.throughput(Throughput::Bytes(batch.bytes().len() as u64));
    group.bench_function("16KiB", |b| {
        b.iter(|| {
            if log.size() > LOG_BYTES_MAX {
                log.truncate_fully(Offset(0), NOW).unwrap();
            }
            counted::append_16_kib(&mut log, black_box(&batch));
        });
    });
    group.finish();
}

fn looking_up(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, batch) = (open(&dir), batch());
    while log.size() < LOG_BYTES_MAX {
        counted::append_16_kib(&mut log, &batch);
    }
    let end = log.end();
    let mut group = c.benchmark_group("look_up");
    let cases: [(&str, i64, LookUp); 3] = [
        ("tail", end.0 - 1, counted::look_up_at_the_tail),
        ("last_segment", end.0 - 500, counted::look_up_in_the_last_segment),
        ("first_segment", 500, counted::look_up_in_the_first_segment),
    ];
    for (name, from, look_up) in cases {
        group.bench_function(name, |b| b.iter(|| black_box(look_up(&log, black_box(Offset(from))))));
    }
    group.finish();
}

criterion_group!(benches, appending, looking_up);
criterion_main!(benches);
