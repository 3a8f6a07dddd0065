//! What a request costs the generator itself, apart from the socket.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot go on has failed")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use dohle_base::{Timestamp, Uuid};
use dohle_bench::payload::Payload;
use dohle_bench::request::produce::{Frame, Layout};
use dohle_bench::template::{Sequenced, Shape, Template};
use dohle_records::Compression;

fn stamping(c: &mut Criterion) {
    let shape =
        Shape { record_size: 1_024, batch_size: 16 << 10, compression: Compression::NONE, payload: Payload::Random };
    let template = Template::build(&shape, Timestamp(1)).unwrap();
    let layout = Layout { version: 13, acks: -1, timeout_ms: 1, batches: 1, batch_size: template.size() };
    let mut frame = Frame::new(&layout, "bench", Uuid([7; 16])).unwrap();
    let mut group = c.benchmark_group("stamp");
    group.bench_function("plain", |b| {
        b.iter(|| {
            frame.address(black_box(7), &[7; 16]);
            frame.place(0, 3, &template.head());
        });
    });
    group.bench_function("sequenced", |b| {
        b.iter(|| {
            let by = Sequenced { id: 7, epoch: 0, sequence: black_box(9) };
            frame.address(black_box(7), &[7; 16]);
            frame.place(0, 3, &template.sequenced_head_over(template.body(), by));
        });
    });
    group.finish();
}

criterion_group!(benches, stamping);
criterion_main!(benches);
