//! What a broker does to the bytes of a request before it knows what they mean, and to those of an answer after.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot go on has failed")]

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use dohle_base::Uuid;
use dohle_protocol::frame::Splitter;
use dohle_protocol::header::{Head, answer};
use dohle_protocol::message::fetch::{FetchableTopicResponse, PartitionData};
use dohle_protocol::message::produce::{PartitionProduceData, TopicProduceData};
use dohle_protocol::message::{FetchResponse, ProduceRequest};
use dohle_protocol::{ApiKey, Message, Records};

const FRAME_BYTES_MAX: usize = 100 << 20;
const BATCH_BYTES: usize = 16 << 10;
const VERSION: i16 = 13;
const FETCH_VERSION: i16 = 17;

fn produce(partitions: usize) -> Bytes {
    let records = Records::Held(Bytes::from(vec![7; BATCH_BYTES]));
    let partition =
        |index| PartitionProduceData { index, records: Some(records.clone()), ..PartitionProduceData::default() };
    let topic = TopicProduceData {
        topic_id: Uuid([7; 16]),
        partition_data: (0..partitions as i32).map(partition).collect(),
        ..TopicProduceData::default()
    };
    let request = ProduceRequest { acks: -1, topic_data: vec![topic], ..ProduceRequest::default() };
    let head = Head { api: ApiKey::Produce, version: VERSION, correlation_id: 7, client_id: Some("bench".into()) };
    head.frame(&request).unwrap().into_bytes()
}

fn fetched(partitions: usize) -> FetchResponse {
    let partition = |partition_index| PartitionData {
        partition_index,
        records: Some(Records::Elsewhere(BATCH_BYTES as u32)),
        ..PartitionData::default()
    };
    let topic = FetchableTopicResponse {
        topic_id: Uuid([7; 16]),
        partitions: (0..partitions as i32).map(partition).collect(),
        ..FetchableTopicResponse::default()
    };
    FetchResponse { session_id: 7, responses: vec![topic], ..FetchResponse::default() }
}

fn frame_decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame_decode");
    for partitions in [1, 100] {
        let frame = produce(partitions);
        group.throughput(Throughput::Elements(partitions as u64));
        group.bench_function(format!("produce_of_{partitions}"), |b| {
            b.iter_batched(
                || BytesMut::from(&frame[..]),
                |mut buffer| {
                    let frame = Splitter::new(FRAME_BYTES_MAX).split(&mut buffer).unwrap().unwrap();
                    let (head, mut reader) = Head::decode(frame).unwrap();
                    black_box(ProduceRequest::decode(&mut reader, head.version).unwrap())
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn fetch_assembly(c: &mut Criterion) {
    let mut group = c.benchmark_group("fetch_assembly");
    for partitions in [0, 1, 100] {
        let response = fetched(partitions);
        group.bench_function(format!("of_{partitions}"), |b| {
            b.iter(|| {
                let mut rope = answer(ApiKey::Fetch, FETCH_VERSION, 7).unwrap();
                black_box(&response).encode(&mut rope, FETCH_VERSION).unwrap();
                black_box(rope.seal_with_gaps().unwrap())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, frame_decode, fetch_assembly);
criterion_main!(benches);
