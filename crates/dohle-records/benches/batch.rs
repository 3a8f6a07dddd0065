//! What a broker does to a batch that it appends: it looks at the header and the checksum, and stamps two fields beside it.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot go on has failed")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dohle_base::{LeaderEpoch, Offset, Timestamp};
use dohle_records::Batch;
use dohle_records::batch::check::{Limits, check};
use dohle_records::batch::encode::{Builder, Entry, Settings};
use dohle_records::batch::stamp::{Stamp, Stamped, Time};

type Check = fn(&Bytes) -> Batch;

const SIZES: [(&str, usize, Check); 3] = [
    ("1KiB", 1 << 10, counted::check_1_kib),
    ("16KiB", 16 << 10, counted::check_16_kib),
    ("1MiB", 1 << 20, counted::check_1_mib),
];
const LIMITS: Limits = Limits { batch_bytes_max: 2 << 20, segment_bytes_max: 1 << 30, zstd: true };

/// What is measured, under names that are found again in a count of instructions (`cargo xtask instructions`).
mod counted {
    use super::*;

    #[inline(never)]
    pub(super) fn check_1_kib(bytes: &Bytes) -> Batch {
        check(bytes, &LIMITS).unwrap()
    }

    #[inline(never)]
    pub(super) fn check_16_kib(bytes: &Bytes) -> Batch {
        check(bytes, &LIMITS).unwrap()
    }

    #[inline(never)]
    pub(super) fn check_1_mib(bytes: &Bytes) -> Batch {
        check(bytes, &LIMITS).unwrap()
    }

    #[inline(never)]
    pub(super) fn stamp(batch: &Batch, stamp: &Stamp) -> Stamped {
        batch.stamp(stamp)
    }
}

/// Records of 100 bytes up to a size.
fn batch(bytes: usize) -> Bytes {
    let mut builder = Builder::new(Settings::default());
    let value: Vec<u8> = (0..100).map(|byte| byte * 7).collect();
    while builder.bytes_unpacked() + value.len() < bytes {
        let entry = Entry { timestamp: Timestamp(1), value: Some(&value), ..Entry::default() };
        builder.append(&entry).unwrap();
    }
    builder.finish().bytes().clone()
}

fn batch_check(c: &mut Criterion) {
    let mut group = c.benchmark_group("batch_check");
    for (name, size, check) in SIZES {
        let bytes = batch(size);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |b| b.iter(|| black_box(check(black_box(&bytes)))));
    }
    group.finish();
}

fn batch_stamp(c: &mut Criterion) {
    let batch = check(&batch(16 << 10), &LIMITS).unwrap();
    let stamp = |time| Stamp { base_offset: Offset(77), leader_epoch: LeaderEpoch(3), time };
    let mut group = c.benchmark_group("batch_stamp");
    for (name, time) in [("kept", Time::Kept), ("append", Time::Append(Timestamp(9)))] {
        group.bench_function(name, |b| b.iter(|| black_box(counted::stamp(&batch, black_box(&stamp(time))))));
    }
    group.finish();
}

criterion_group!(benches, batch_check, batch_stamp);
criterion_main!(benches);
