//! A client of few words: one request, one answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use dohle_base::{ProducerEpoch, ProducerId, Timestamp, TopicId};
use dohle_protocol::header::{Head, decode_answer};
use dohle_protocol::message::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use dohle_protocol::message::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponseTopic};
use dohle_protocol::message::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData,
};
use dohle_protocol::{Message, Reader, Request};
use dohle_records::Batch;
use dohle_records::batch::encode::{Builder, Entry, Producer, Settings};

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Client {
    stream: TcpStream,
    correlation_id: i32,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, correlation_id: 0 }
    }

    /// Asks in the newest stable version.
    pub(crate) fn ask<Q: Request>(&mut self, request: &Q) -> Q::Response {
        self.ask_in(request, *Q::KEY.stable_versions().end())
    }

    pub(crate) fn ask_in<Q: Request>(&mut self, request: &Q, version: i16) -> Q::Response {
        self.send(request, version);
        self.receive::<Q>(version)
    }

    /// Sends without waiting for the answer.
    pub(crate) fn send<Q: Request>(&mut self, request: &Q, version: i16) {
        self.correlation_id += 1;
        let head = Head { api: Q::KEY, version, correlation_id: self.correlation_id, client_id: Some("test".into()) };
        let mut frame = head.frame(request).unwrap();
        let bytes = frame.copy_to_bytes(frame.remaining());
        self.stream.write_all(&bytes).unwrap();
    }

    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn receive<Q: Request>(&mut self, version: i16) -> Q::Response {
        let mut reader = Reader::new(self.receive_raw().expect("the broker answers"));
        decode_answer(&mut reader, Q::KEY, version).unwrap();
        let response = Q::Response::decode(&mut reader, version).unwrap();
        reader.finish().unwrap();
        response
    }

    /// The next frame; none when the broker has closed the connection.
    pub(crate) fn receive_raw(&mut self) -> Option<Bytes> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).ok()?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut frame).ok()?;
        Some(frame.into())
    }

    pub(crate) fn is_closed(&mut self) -> bool {
        self.receive_raw().is_none()
    }

    /// What the cluster says about a topic; asking creates it.
    pub(crate) fn topic(&mut self, name: &str) -> MetadataResponseTopic {
        let topic = MetadataRequestTopic { name: Some(name.into()), ..Default::default() };
        let request = MetadataRequest { topics: Some(vec![topic]), ..Default::default() };
        self.ask(&request).topics.remove(0)
    }

    /// Waits until the topic exists and is led.
    pub(crate) fn created(&mut self, name: &str) -> TopicId {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let topic = self.topic(name);
            if topic.error_code == 0 && topic.partitions.iter().all(|p| p.error_code == 0) {
                return topic.topic_id;
            }
        }
        panic!("{name} was never created");
    }

    pub(crate) fn produce(&mut self, topic: &str, values: &[&str]) -> PartitionProduceResponse {
        self.produce_bytes(topic, batch(values).bytes().clone())
    }

    pub(crate) fn produce_bytes(&mut self, topic: &str, records: Bytes) -> PartitionProduceResponse {
        let request = produce(topic, records, -1);
        self.ask_in(&request, 12).responses.remove(0).partition_responses.remove(0)
    }

    pub(crate) fn fetch(&mut self, topic: &str, offset: i64) -> FetchResponse {
        self.ask_in(&fetch(topic, offset, 0), 12)
    }

    /// The values of the records from `offset` on.
    pub(crate) fn values(&mut self, topic: &str, offset: i64) -> Vec<String> {
        values(self.fetch(topic, offset))
    }
}

pub(crate) fn produce(topic: &str, records: Bytes, acks: i16) -> ProduceRequest {
    let partition = PartitionProduceData { index: 0, records: Some(records.into()), ..Default::default() };
    let topic = TopicProduceData { name: topic.into(), partition_data: vec![partition], ..Default::default() };
    ProduceRequest { acks, timeout_ms: 10_000, topic_data: vec![topic], ..Default::default() }
}

pub(crate) fn fetch(topic: &str, offset: i64, max_wait_ms: i32) -> FetchRequest {
    let partition =
        FetchPartition { partition: 0, fetch_offset: offset, partition_max_bytes: 1 << 20, ..Default::default() };
    let topic = FetchTopic { topic: topic.into(), partitions: vec![partition], ..Default::default() };
    FetchRequest { max_wait_ms, min_bytes: 1, max_bytes: 50 << 20, topics: vec![topic], ..Default::default() }
}

pub(crate) fn batch(values: &[&str]) -> Batch {
    batch_with(Settings::default(), values)
}

/// A batch of an idempotent producer.
pub(crate) fn batch_of(id: i64, epoch: i16, base_sequence: i32, values: &[&str]) -> Bytes {
    let producer = Producer { id: ProducerId(id), epoch: ProducerEpoch(epoch), base_sequence };
    batch_with(Settings { producer: Some(producer), ..Settings::default() }, values).bytes().clone()
}

pub(crate) fn batch_with(settings: Settings, values: &[&str]) -> Batch {
    let mut builder = Builder::new(settings);
    for value in values {
        let entry = Entry { timestamp: Timestamp(1_111), value: Some(value.as_bytes()), ..Default::default() };
        builder.append(&entry).unwrap();
    }
    builder.finish()
}

pub(crate) fn values(response: FetchResponse) -> Vec<String> {
    let mut found = vec![];
    for partition in response.responses.into_iter().flat_map(|topic| topic.partitions) {
        for batch in dohle_records::Batches::over(partition.records.expect("never none").into_held()) {
            for record in batch.unwrap().records(Default::default()).unwrap() {
                found.push(String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap());
            }
        }
    }
    found
}
