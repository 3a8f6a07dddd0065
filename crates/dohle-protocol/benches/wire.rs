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
use dohle_protocol::{ApiKey, Message, Pieces, Records};

const FRAME_BYTES_MAX: usize = 100 << 20;
const BATCH_BYTES: usize = 16 << 10;
const VERSION: i16 = 13;
const FETCH_VERSION: i16 = 17;

type Decode = fn(BytesMut) -> ProduceRequest;
type Assemble = fn(&FetchResponse) -> Vec<Pieces>;

/// What is measured, under names that are found again in a count of instructions (`cargo xtask instructions`).
mod counted {
    use super::*;

    #[inline(never)]
    pub(super) fn decode_produce_of_1(buffer: BytesMut) -> ProduceRequest {
        decode(buffer, 1)
    }

    #[inline(never)]
    pub(super) fn decode_produce_of_100(buffer: BytesMut) -> ProduceRequest {
        decode(buffer, 100)
    }

    #[inline(never)]
    pub(super) fn assemble_fetch_of_0(response: &FetchResponse) -> Vec<Pieces> {
        assemble(response, 0)
    }

    #[inline(never)]
    pub(super) fn assemble_fetch_of_1(response: &FetchResponse) -> Vec<Pieces> {
        assemble(response, 1)
    }

    #[inline(never)]
    pub(super) fn assemble_fetch_of_100(response: &FetchResponse) -> Vec<Pieces> {
        assemble(response, 100)
    }
}

fn decode(mut buffer: BytesMut, partitions: usize) -> ProduceRequest {
    let frame = Splitter::new(FRAME_BYTES_MAX).split(&mut buffer).unwrap().unwrap();
    let (head, mut reader) = Head::decode(frame).unwrap();
    let request = ProduceRequest::decode(&mut reader, head.version).unwrap();
    assert_eq!(request.topic_data[0].partition_data.len(), partitions);
    request
}

fn assemble(response: &FetchResponse, partitions: usize) -> Vec<Pieces> {
    let mut rope = answer(ApiKey::Fetch, FETCH_VERSION, 7).unwrap();
    response.encode(&mut rope, FETCH_VERSION).unwrap();
    let pieces = rope.seal_with_gaps().unwrap();
    assert_eq!(pieces.len(), partitions + 1, "records lie between the pieces");
    pieces
}

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
    let cases: [(usize, Decode); 2] = [(1, counted::decode_produce_of_1), (100, counted::decode_produce_of_100)];
    for (partitions, decode) in cases {
        let frame = produce(partitions);
        group.throughput(Throughput::Elements(partitions as u64));
        group.bench_function(format!("produce_of_{partitions}"), |b| {
            b.iter_batched(|| BytesMut::from(&frame[..]), |buffer| black_box(decode(buffer)), BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn fetch_assembly(c: &mut Criterion) {
    let mut group = c.benchmark_group("fetch_assembly");
    let cases: [(usize, Assemble); 3] =
        [(0, counted::assemble_fetch_of_0), (1, counted::assemble_fetch_of_1), (100, counted::assemble_fetch_of_100)];
    for (partitions, assemble) in cases {
        let response = fetched(partitions);
        group.bench_function(format!("of_{partitions}"), |b| b.iter(|| black_box(assemble(black_box(&response)))));
    }
    group.finish();
}

criterion_group!(benches, frame_decode, fetch_assembly);
criterion_main!(benches);
