//! A transactional producer of few words, and a reader of what is committed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use bytes::Bytes;
use dohle_base::{ErrorCode, ProducerEpoch, ProducerId};
use dohle_protocol::message::add_partitions_to_txn::{AddPartitionsToTxnRequest, AddPartitionsToTxnTopic};
use dohle_protocol::message::end_txn::{EndTxnRequest, EndTxnResponse};
use dohle_protocol::message::fetch::{FetchRequest, PartitionData};
use dohle_protocol::message::find_coordinator::FindCoordinatorRequest;
use dohle_protocol::message::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use dohle_protocol::message::produce::{PartitionProduceResponse, ProduceRequest};
use dohle_records::batch::encode::{Producer, Settings};
use dohle_records::{Batch, Record};

use crate::broker::Broker;
use crate::client::{Client, PATIENCE, batch_with, fetch, produce};

/// The versions in which clients of the newer protocol end transactions and write, and those before.
pub(crate) const END: i16 = 5;
pub(crate) const END_BEFORE: i16 = 4;
pub(crate) const PRODUCE: i16 = 12;
pub(crate) const PRODUCE_BEFORE: i16 = 11;

/// One life of a transactional producer.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) transactional_id: String,
    pub(crate) id: i64,
    pub(crate) epoch: i16,
    /// How many records of the current transaction each topic has.
    pub(crate) written: BTreeMap<String, i32>,
}

/// A broker whose transactions and groups are spoken for.
pub(crate) fn broker(extra: &[(&'static str, &'static str)]) -> Broker {
    let mut settings = vec![("transaction.state.log.num.partitions", "4"), ("offsets.topic.num.partitions", "4")];
    settings.extend(extra);
    let broker = Broker::with(&settings);
    coordinated(&mut broker.client());
    crate::groups::coordinated(&mut broker.client());
    broker
}

/// Waits until the coordinators of transactions are found. They may still read their log.
pub(crate) fn coordinated(client: &mut Client) {
    let coordinator_keys = (0..20).map(|number| format!("producer-{number}").into()).collect();
    let request = FindCoordinatorRequest { key_type: 1, coordinator_keys, ..Default::default() };
    wait("transactions are coordinated", || {
        client.ask(&request).coordinators.iter().all(|coordinator| coordinator.error_code == 0)
    });
}

pub(crate) fn wait(what: &str, mut happens: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !happens() {
        assert!(begun.elapsed() < PATIENCE, "it never came so far that {what}");
        std::thread::yield_now();
    }
}

pub(crate) fn init_once(client: &mut Client, transactional_id: &str, timeout_ms: i32) -> InitProducerIdResponse {
    let request = InitProducerIdRequest {
        transactional_id: Some(transactional_id.into()),
        transaction_timeout_ms: timeout_ms,
        ..Default::default()
    };
    client.ask(&request)
}

/// Whether a client asks again when it is told this.
fn is_passing(code: i16) -> bool {
    ErrorCode::from_code(code).is_retriable()
}

impl Life {
    /// Begins a life, as often as it has to ask.
    pub(crate) fn begin(client: &mut Client, transactional_id: &str) -> Self {
        Self::begin_with(client, transactional_id, 60_000)
    }

    pub(crate) fn begin_with(client: &mut Client, transactional_id: &str, timeout_ms: i32) -> Self {
        let mut told = InitProducerIdResponse::default();
        wait("a producer begins", || {
            told = init_once(client, transactional_id, timeout_ms);
            !is_passing(told.error_code)
        });
        assert_eq!(told.error_code, 0);
        let transactional_id = transactional_id.to_owned();
        Self { transactional_id, id: told.producer_id, epoch: told.producer_epoch, written: BTreeMap::new() }
    }

    pub(crate) fn sequence(&self, topic: &str) -> i32 {
        self.written.get(topic).copied().unwrap_or(0)
    }

    pub(crate) fn goes_on(&mut self, topic: &str, count: usize) {
        *self.written.entry(topic.to_owned()).or_default() += count as i32;
    }

    pub(crate) fn batch(&self, topic: &str, values: &[&str]) -> Bytes {
        let (id, epoch) = (ProducerId(self.id), ProducerEpoch(self.epoch));
        let producer = Some(Producer { id, epoch, base_sequence: self.sequence(topic) });
        batch_with(Settings { producer, transactional: true, ..Settings::default() }, values).bytes().clone()
    }

    pub(crate) fn request(&self, topic: &str, values: &[&str]) -> ProduceRequest {
        let transactional_id = Some(self.transactional_id.as_str().into());
        ProduceRequest { transactional_id, ..produce(topic, self.batch(topic, values), -1) }
    }

    /// Writes in the transaction, and goes on counting where that worked.
    pub(crate) fn write_in(
        &mut self,
        client: &mut Client,
        topic: &str,
        values: &[&str],
        version: i16,
    ) -> PartitionProduceResponse {
        let told =
            client.ask_in(&self.request(topic, values), version).responses.remove(0).partition_responses.remove(0);
        if told.error_code == 0 {
            self.goes_on(topic, values.len());
        }
        told
    }

    /// The same in the newer protocol, which must work.
    pub(crate) fn write(&mut self, client: &mut Client, topic: &str, values: &[&str]) {
        let mut code = -1;
        wait("a batch is taken", || {
            code = self.write_in(client, topic, values, PRODUCE).error_code;
            !is_passing(code)
        });
        assert_eq!(code, 0);
    }

    /// Adds partition 0 of a topic, in the older protocol.
    pub(crate) fn add(&self, client: &mut Client, topic: &str) -> ErrorCode {
        let topics = vec![AddPartitionsToTxnTopic { name: topic.into(), partitions: vec![0], ..Default::default() }];
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.transactional_id.as_str().into(),
            v3_and_below_producer_id: self.id,
            v3_and_below_producer_epoch: self.epoch,
            v3_and_below_topics: topics,
            ..Default::default()
        };
        let topics = client.ask_in(&request, 3).results_by_topic_v3_and_below;
        ErrorCode::from_code(topics[0].results_by_partition[0].partition_error_code)
    }

    pub(crate) fn end_in(&self, client: &mut Client, committed: bool, version: i16) -> EndTxnResponse {
        let request = EndTxnRequest {
            transactional_id: self.transactional_id.as_str().into(),
            producer_id: self.id,
            producer_epoch: self.epoch,
            committed,
            ..Default::default()
        };
        client.ask_in(&request, version)
    }

    /// Ends the transaction in the newer protocol and goes on as the producer that it makes.
    pub(crate) fn end(&mut self, client: &mut Client, committed: bool) {
        let told = self.end_in(client, committed, END);
        assert_eq!(told.error_code, 0);
        (self.id, self.epoch, self.written) = (told.producer_id, told.producer_epoch, BTreeMap::new());
    }
}

/// What a reader of committed data is told of partition 0.
pub(crate) fn partition(client: &mut Client, topic: &str) -> PartitionData {
    read(client, topic, 0)
}

fn read(client: &mut Client, topic: &str, offset: i64) -> PartitionData {
    let request = FetchRequest { isolation_level: 1, ..fetch(topic, offset, 0) };
    client.ask_in(&request, 12).responses.remove(0).partitions.remove(0)
}

/// Which transactions a reader from `offset` on must leave out, by producer and first offset.
pub(crate) fn aborted(client: &mut Client, topic: &str, offset: i64) -> Vec<(i64, i64)> {
    let aborted = read(client, topic, offset).aborted_transactions.unwrap();
    aborted.iter().map(|aborted| (aborted.producer_id, aborted.first_offset)).collect()
}

/// The values that count. An answer ends with its segment, and a marker of today begins a new one behind records of 1970.
pub(crate) fn committed(client: &mut Client, topic: &str) -> Vec<String> {
    let mut reader = Reader::default();
    loop {
        let told = read(client, topic, reader.next);
        assert_eq!(told.error_code, 0);
        let end = told.last_stable_offset;
        if reader.next >= end {
            return reader.values;
        }
        reader.take(told);
    }
}

#[derive(Default)]
struct Reader {
    next: i64,
    values: Vec<String>,
    /// By producer and first offset.
    aborted: BTreeSet<(i64, i64)>,
    /// Aborted transactions whose marker has passed, by producer.
    over: BTreeMap<i64, usize>,
}

impl Reader {
    fn take(&mut self, told: PartitionData) {
        let aborted = told.aborted_transactions.unwrap_or_default();
        self.aborted.extend(aborted.iter().map(|aborted| (aborted.producer_id, aborted.first_offset)));
        for batch in dohle_records::Batches::over(told.records.unwrap_or_default().into_held()) {
            self.take_batch(&batch.unwrap());
        }
    }

    fn take_batch(&mut self, batch: &Batch) {
        let header = batch.header();
        let (id, base) = (header.producer_id.0, header.base_offset.0);
        let over = self.over.entry(id).or_default();
        let is_aborted = self.aborted.range((id, i64::MIN)..=(id, base)).count() > *over;
        self.next = header.next_offset().0;
        if header.attributes.is_control() {
            *over += usize::from(is_aborted);
        } else if !is_aborted {
            let records = batch.records(Default::default()).unwrap();
            let value = |record: Record| String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            self.values.extend(records.map(|record| value(record.unwrap())));
        }
    }
}

/// Waits until a reader of committed data sees all that there is.
pub(crate) fn settled(client: &mut Client, topic: &str) {
    wait("every transaction is over", || {
        let told = partition(client, topic);
        told.error_code == 0 && told.last_stable_offset == told.high_watermark
    });
}
