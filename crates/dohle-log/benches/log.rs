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

fn append(log: &mut Log<Files>, batch: &Batch) {
    let append = Append { leader_epoch: LeaderEpoch(0), origin: Origin::Client(None), largest: None };
    log.append(batch, &append, NOW).unwrap();
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
            append(&mut log, black_box(&batch));
        });
    });
    group.finish();
}

fn looking_up(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, batch) = (open(&dir), batch());
    while log.size() < LOG_BYTES_MAX {
        append(&mut log, &batch);
    }
    let end = log.end();
    let mut group = c.benchmark_group("look_up");
    for (name, from) in [("tail", end.0 - 1), ("last_segment", end.0 - 500), ("first_segment", 500)] {
        group.bench_function(name, |b| {
            b.iter(|| black_box(log.read(black_box(Offset(from)), end, 1 << 20, true).unwrap().map(|it| it.len())));
        });
    }
    group.finish();
}

criterion_group!(benches, appending, looking_up);
criterion_main!(benches);
