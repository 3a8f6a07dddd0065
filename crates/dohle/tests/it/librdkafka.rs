//! A client that others wrote, librdkafka, against the binary: what it was told is written is read again, in order.

use std::collections::BTreeMap;
use std::fs;
use std::iter;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer};

use crate::broker::Broker;

/// Whatever has not come by then does not come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const PARTITIONS: i32 = 3;
/// Where the attributes of a batch are, of which the lowest bits name the codec.
const ATTRIBUTES_AT: usize = 22;
const CODEC_MASK: u8 = 0b111;
/// By the number that batches bear.
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// A record as a user sees it.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp: i64,
}

impl Row {
    /// Every kind of row: some lack a key, some a value, some have headers, and a header may lack a value.
    fn numbered(number: i64) -> Self {
        let text = format!("row {number} {}", "of a text that can be packed ".repeat(5));
        let headers = [("n".to_owned(), Some(number.to_string().into_bytes())), ("none".to_owned(), None)];
        Self {
            key: (number % 4 != 0).then(|| format!("key {}", number % 7).into_bytes()),
            value: (number % 11 != 0).then(|| text.into_bytes()),
            headers: headers.into_iter().take(number as usize % 3).collect(),
            timestamp: 1_700_000_000_000 + number,
        }
    }

    fn read(message: &BorrowedMessage) -> Self {
        let header = |header: Header<&[u8]>| (header.key.to_owned(), header.value.map(<[u8]>::to_vec));
        Self {
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: message.headers().map(|headers| headers.iter().map(header).collect()).unwrap_or_default(),
            timestamp: message.timestamp().to_millis().unwrap(),
        }
    }
}

/// Passes on what became of each record.
struct Deliveries(mpsc::Sender<Result<i64, String>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &DeliveryResult<'_>, _opaque: ()) {
        let told = delivered.as_ref().map(Message::offset).map_err(|(error, _)| error.to_string());
        self.0.send(told).expect("the test waits for all deliveries");
    }
}

struct Producer {
    client: ThreadedProducer<Deliveries>,
    deliveries: mpsc::Receiver<Result<i64, String>>,
}

impl Producer {
    fn new(broker: &Broker, properties: &[(&str, &str)]) -> Self {
        let (sender, deliveries) = mpsc::channel();
        let client = config(broker, properties).create_with_context(Deliveries(sender)).unwrap();
        Self { client, deliveries }
    }

    fn send(&self, topic: &str, partition: i32, row: &Row) {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &row.headers {
            headers = headers.insert(Header { key, value: value.as_ref() });
        }
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition).timestamp(row.timestamp);
        record.key = row.key.as_deref();
        record.payload = row.value.as_deref();
        if !row.headers.is_empty() {
            record = record.headers(headers);
        }
        self.client.send(record).map_err(|(error, _)| error).unwrap();
    }

    /// Waits until so many more are acknowledged.
    fn await_acknowledged(&self, count: usize) {
        for _ in 0..count {
            self.deliveries.recv_timeout(PATIENCE).expect("every record is acknowledged in time").unwrap();
        }
    }
}

pub(crate) fn config(broker: &Broker, properties: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &broker.address);
    config.set("reconnect.backoff.ms", "10").set("reconnect.backoff.max.ms", "50").set("retry.backoff.ms", "10");
    config.extend(properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    config
}

/// A member of a group, which begins with the first record.
pub(crate) fn member(broker: &Broker, group: &str, topics: &[&str]) -> BaseConsumer {
    let properties = [
        ("group.id", group),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
        // Who leaves while its broker is away is missed no sooner.
        ("session.timeout.ms", "6000"),
    ];
    let consumer: BaseConsumer = config(broker, &properties).create().unwrap();
    consumer.subscribe(topics).unwrap();
    consumer
}

pub(crate) fn read_one(consumer: &BaseConsumer) -> BorrowedMessage<'_> {
    let deadline = Instant::now() + PATIENCE;
    // What happens to the group ends a poll too.
    let message = iter::from_fn(|| (Instant::now() < deadline).then(|| consumer.poll(PATIENCE))).flatten().next();
    message.expect("a record comes in time").unwrap()
}

/// Rows by topic and partition, in the order of their offsets, which must have no gaps.
type Rows = BTreeMap<(String, i32), Vec<Row>>;

fn read(consumer: &BaseConsumer, count: usize) -> Rows {
    let mut rows = Rows::new();
    for _ in 0..count {
        let message = read_one(consumer);
        let rows = rows.entry((message.topic().to_owned(), message.partition())).or_default();
        assert_eq!(message.offset(), rows.len() as i64);
        rows.push(Row::read(&message));
    }
    rows
}

pub(crate) fn create(broker: &Broker, topic: &str, partitions: i32) {
    let output = broker.run(&["topic", "create", topic, "--partitions", &partitions.to_string()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn rows_come_back_equal_in_partition_order_with_every_codec() {
    const COUNT: i64 = 300;
    let broker = Broker::start();
    let mut written = Rows::new();
    for codec in CODECS {
        create(&broker, codec, PARTITIONS);
        let producer = Producer::new(&broker, &[("compression.codec", codec), ("linger.ms", "20")]);
        for number in 0..COUNT {
            let (partition, row) = (number as i32 % PARTITIONS, Row::numbered(number));
            producer.send(codec, partition, &row);
            written.entry((codec.to_owned(), partition)).or_default().push(row);
        }
        producer.await_acknowledged(COUNT as usize);
    }
    let read = read(&member(&broker, "readers", &CODECS), COUNT as usize * CODECS.len());
    assert!(read == written, "rows differ");
}

#[test]
fn batches_are_kept_as_their_producer_packed_them() {
    let broker = Broker::start();
    for (number, codec) in (0..).zip(CODECS) {
        create(&broker, codec, 1);
        let producer = Producer::new(&broker, &[("compression.codec", codec), ("linger.ms", "20")]);
        (1..100).for_each(|number| producer.send(codec, 0, &Row::numbered(number)));
        producer.await_acknowledged(99);
        let segment = broker.data().join(format!("{codec}-0/00000000000000000000.log"));
        let attributes = fs::read(segment).unwrap()[ATTRIBUTES_AT];
        assert_eq!(attributes & CODEC_MASK, number, "{codec}");
    }
}

#[test]
fn committed_offsets_survive_a_restart() {
    let mut broker = Broker::start();
    create(&broker, "orders", 1);
    let producer = Producer::new(&broker, &[]);
    (0..30).for_each(|number| producer.send("orders", 0, &Row::numbered(number)));
    producer.await_acknowledged(30);
    let consumer = member(&broker, "billing", &["orders"]);
    for _ in 0..9 {
        read_one(&consumer);
    }
    consumer.commit_message(&read_one(&consumer), CommitMode::Sync).unwrap();
    drop(consumer);

    broker.stop();
    broker.start_again();

    let consumer = member(&broker, "billing", &["orders"]);
    for offset in 10..30 {
        let message = read_one(&consumer);
        assert_eq!(message.offset(), offset);
        assert_eq!(Row::read(&message), Row::numbered(offset));
    }
}

#[test]
fn what_was_acknowledged_before_a_kill_is_there_after_it() {
    let mut broker = Broker::start();
    create(&broker, "orders", 1);
    let producer = Producer::new(&broker, &[]);
    (0..200).for_each(|number| producer.send("orders", 0, &Row::numbered(number)));
    producer.await_acknowledged(200);

    broker.kill();
    broker.start_again();

    let read = read(&member(&broker, "billing", &["orders"]), 200);
    let written: Vec<Row> = (0..200).map(Row::numbered).collect();
    assert!(read.into_values().eq([written]), "rows differ");
}

#[test]
fn an_idempotent_producer_writes_every_row_once_though_the_broker_is_killed() {
    const COUNT: i64 = 2_000;
    let mut broker = Broker::start();
    create(&broker, "orders", 1);
    // Small batches, so that the kill finds some on their way.
    let producer = Producer::new(&broker, &[("enable.idempotence", "true"), ("batch.num.messages", "5")]);
    (0..COUNT / 2).for_each(|number| producer.send("orders", 0, &Row::numbered(number)));
    producer.await_acknowledged(1);

    broker.kill();
    (COUNT / 2..COUNT).for_each(|number| producer.send("orders", 0, &Row::numbered(number)));
    broker.start_again();

    producer.await_acknowledged(COUNT as usize - 1);
    let end = broker.run(&["topic", "describe", "orders", "--json"]);
    let end: serde_json::Value = serde_json::from_slice(&end.stdout).unwrap();
    assert_eq!(end["partitions"][0]["end"], COUNT);
    let read = read(&member(&broker, "billing", &["orders"]), COUNT as usize);
    let written: Vec<Row> = (0..COUNT).map(Row::numbered).collect();
    assert!(read.into_values().eq([written]), "rows differ");
}
