//! The process is killed while a partition goes to another directory and is written to.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::{Buf, Bytes};
use dohle_protocol::header::{Head, decode_answer};
use dohle_protocol::message::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};
use dohle_protocol::message::fetch::{FetchPartition, FetchRequest, FetchTopic};
use dohle_protocol::message::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use dohle_protocol::{Message, Reader, Request};
use dohle_records::Batches;
use dohle_records::batch::encode::{Builder, Entry, Settings};

use crate::broker::Broker;

const PATIENCE: Duration = Duration::from_secs(60);

/// A client of one request and one answer, to whom the connection may be lost.
struct Client(TcpStream);

impl Client {
    fn of(broker: &Broker) -> Self {
        let stream = TcpStream::connect(&broker.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    fn ask<Q: Request>(&mut self, request: &Q, version: i16) -> io::Result<Q::Response> {
        let head = Head { api: Q::KEY, version, correlation_id: 7, client_id: None };
        let mut frame = head.frame(request).unwrap();
        self.0.write_all(&frame.copy_to_bytes(frame.remaining()))?;
        let mut length = [0; 4];
        self.0.read_exact(&mut length)?;
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut answer)?;
        let mut reader = Reader::new(Bytes::from(answer));
        decode_answer(&mut reader, Q::KEY, version).unwrap();
        Ok(Q::Response::decode(&mut reader, version).unwrap())
    }

    /// Writes a number in a record of so many bytes, and says whether it was acknowledged.
    fn write(&mut self, number: usize, bytes: usize) -> bool {
        let mut builder = Builder::new(Settings::default());
        let value = format!("{number:0bytes$}");
        builder.append(&Entry { value: Some(value.as_bytes()), ..Entry::default() }).unwrap();
        let records = Some(builder.finish().bytes().clone().into());
        let partition = PartitionProduceData { index: 0, records, ..Default::default() };
        let topic = TopicProduceData { name: "t".into(), partition_data: vec![partition], ..Default::default() };
        let request = ProduceRequest { acks: -1, timeout_ms: 60_000, topic_data: vec![topic], ..Default::default() };
        let answer = self.ask(&request, 12);
        answer.is_ok_and(|answer| answer.responses[0].partition_responses[0].error_code == 0)
    }

    /// Every number that is there.
    fn numbers(&mut self) -> Vec<usize> {
        let mut numbers = vec![];
        loop {
            let fetch_offset = numbers.len() as i64;
            let partition = FetchPartition { fetch_offset, partition_max_bytes: 8 << 20, ..Default::default() };
            let topic = FetchTopic { topic: "t".into(), partitions: vec![partition], ..Default::default() };
            let request = FetchRequest { max_bytes: 8 << 20, topics: vec![topic], ..Default::default() };
            let mut answer = self.ask(&request, 12).unwrap();
            let partition = answer.responses.remove(0).partitions.remove(0);
            assert_eq!(partition.error_code, 0, "at {fetch_offset}");
            let before = numbers.len();
            for batch in Batches::over(partition.records.unwrap().into_held()) {
                for record in batch.unwrap().records(Default::default()).unwrap() {
                    let value = record.unwrap().value.unwrap();
                    numbers.push(std::str::from_utf8(&value).unwrap().parse().unwrap());
                }
            }
            if numbers.len() == before {
                return numbers;
            }
        }
    }
}

/// Writes the numbers from `first` on until the broker is gone; gives the first that was not acknowledged.
fn writer(broker: &Broker, first: usize, written: &Arc<AtomicUsize>) -> JoinHandle<usize> {
    let (mut client, written) = (Client::of(broker), Arc::clone(written));
    thread::spawn(move || {
        let mut number = first;
        while client.write(number, 100) {
            number += 1;
            written.store(number, Ordering::Relaxed);
        }
        number
    })
}

#[test]
fn nothing_that_was_acknowledged_is_lost_when_a_move_is_killed() {
    let dirs = ["one", "two"];
    let mut broker = Broker::over(&dirs);
    assert!(broker.run(&["topic", "create", "t", "--partitions", "1"]).status.success());
    let lies_in =
        |broker: &Broker| dirs.into_iter().filter(|dir| broker.path(dir).join("t-0").is_dir()).collect::<Vec<_>>();
    let mut client = Client::of(&broker);
    let mut next = 0;
    while next < 800 {
        assert!(client.write(next, 60_000));
        next += 1;
    }
    // From a kill at once to one after the move is done.
    for acknowledged in [0, 1, 3, 10, 20, 40, 60, 100, 200] {
        let home = lies_in(&broker)[0];
        let other = if home == "one" { "two" } else { "one" };
        let written = Arc::new(AtomicUsize::new(next));
        let writer = writer(&broker, next, &written);
        let topics = vec![AlterReplicaLogDirTopic { name: "t".into(), partitions: vec![0], ..Default::default() }];
        let dir =
            AlterReplicaLogDir { path: broker.path(other).to_str().unwrap().into(), topics, ..Default::default() };
        let request = AlterReplicaLogDirsRequest { dirs: vec![dir], ..Default::default() };
        let answer = Client::of(&broker).ask(&request, 2).unwrap();
        assert_eq!(answer.results[0].partitions[0].error_code, 0);
        while written.load(Ordering::Relaxed) < next + acknowledged {
            assert!(!writer.is_finished(), "nobody writes");
        }
        broker.kill();
        let promised = writer.join().unwrap();
        broker.start_again();
        let found = Client::of(&broker).numbers();
        assert!(found.len() >= promised, "{} of {promised} after {acknowledged}", found.len());
        assert_eq!(found, (0..found.len()).collect::<Vec<_>>(), "after {acknowledged}");
        next = found.len();
    }
    broker.stop();
    assert_eq!(lies_in(&broker).len(), 1);
}
