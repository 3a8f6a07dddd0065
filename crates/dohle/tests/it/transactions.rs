//! librdkafka's transactions against the binary: what is committed is read once, what is aborted never.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::broker::Broker;
use crate::librdkafka::{PATIENCE, config, create, member, read_one};

/// A producer that has begun its life.
fn producer(broker: &Broker, transactional_id: &str) -> BaseProducer {
    let properties = [("transactional.id", transactional_id), ("transaction.timeout.ms", "60000")];
    let producer: BaseProducer = config(broker, &properties).create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, value: &str) {
    let record = BaseRecord::<(), str>::to(topic).partition(partition).payload(value);
    producer.send(record).map_err(|(error, _)| error).unwrap();
}

fn values(consumer: &BaseConsumer, count: usize) -> Vec<String> {
    let value = |_| String::from_utf8(read_one(consumer).payload().unwrap().to_vec()).unwrap();
    let mut values: Vec<String> = (0..count).map(value).collect();
    values.sort_unstable();
    values
}

/// Nothing more comes, although the consumer stands at the end.
fn is_at_end(consumer: &BaseConsumer) -> bool {
    let begun = Instant::now();
    let at_end = || {
        let Ok(positions) = consumer.position() else { return false };
        positions.elements().iter().all(|place| {
            let (_, high) = consumer.fetch_watermarks(place.topic(), place.partition(), PATIENCE).unwrap();
            high == 0 || place.offset() == Offset::Offset(high)
        })
    };
    while begun.elapsed() < PATIENCE {
        assert!(consumer.poll(Duration::from_millis(10)).is_none(), "a record that does not count");
        if at_end() {
            return true;
        }
    }
    false
}

#[test]
fn what_is_aborted_is_never_read() {
    let broker = Broker::start();
    create(&broker, "orders", 3);
    let producer = producer(&broker, "shop");
    for (round, commits) in [true, false, true, false].into_iter().enumerate() {
        producer.begin_transaction().unwrap();
        for number in 0..30 {
            send(&producer, "orders", number % 3, &format!("{round}-{number:02}"));
        }
        if commits {
            producer.commit_transaction(PATIENCE).unwrap();
        } else {
            producer.flush(PATIENCE).unwrap();
            producer.abort_transaction(PATIENCE).unwrap();
        }
    }
    let consumer = member(&broker, "billing", &["orders"]);
    let expected: Vec<String> = [0, 2].into_iter().flat_map(|r| (0..30).map(move |n| format!("{r}-{n:02}"))).collect();
    assert_eq!(values(&consumer, 60), expected);
    assert!(is_at_end(&consumer));
}

#[test]
fn a_second_producer_of_the_same_name_fences_the_first() {
    let broker = Broker::start();
    create(&broker, "orders", 1);
    let first = producer(&broker, "shop");
    first.begin_transaction().unwrap();
    send(&first, "orders", 0, "zombie");
    first.flush(PATIENCE).unwrap();
    let second = producer(&broker, "shop");
    second.begin_transaction().unwrap();
    send(&second, "orders", 0, "a");
    second.commit_transaction(PATIENCE).unwrap();
    assert!(first.commit_transaction(PATIENCE).is_err());
    let consumer = member(&broker, "billing", &["orders"]);
    assert_eq!(values(&consumer, 1), ["a"]);
    assert!(is_at_end(&consumer));
}

#[test]
fn what_is_read_and_written_in_one_transaction_happens_once_though_the_broker_is_killed() {
    const ROUNDS: usize = 6;
    const EACH: usize = 10;
    let mut broker = Broker::start();
    create(&broker, "orders", 1);
    create(&broker, "bills", 1);
    let shop = producer(&broker, "shop");
    shop.begin_transaction().unwrap();
    (0..ROUNDS * EACH).for_each(|number| send(&shop, "orders", 0, &format!("{number:02}")));
    shop.commit_transaction(PATIENCE).unwrap();

    let mut consumer = member(&broker, "billing", &["orders"]);
    let biller = producer(&broker, "biller");
    for round in 0..ROUNDS {
        biller.begin_transaction().unwrap();
        let mut next = 0;
        for _ in 0..EACH {
            let order = read_one(&consumer);
            next = order.offset() + 1;
            send(&biller, "bills", 0, std::str::from_utf8(order.payload().unwrap()).unwrap());
        }
        if round == ROUNDS / 2 {
            biller.flush(PATIENCE).unwrap();
            broker.kill();
            broker.start_again();
        }
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset("orders", 0, Offset::Offset(next)).unwrap();
        let group = consumer.group_metadata().unwrap();
        biller.send_offsets_to_transaction(&offsets, &group, PATIENCE).unwrap();
        // Every other round is in vain, and is done again by whoever reads from where the group stands.
        if round % 2 == 0 {
            biller.commit_transaction(PATIENCE).unwrap();
        } else {
            biller.flush(PATIENCE).unwrap();
            biller.abort_transaction(PATIENCE).unwrap();
            drop(consumer);
            consumer = member(&broker, "billing", &["orders"]);
        }
    }
    let bills = member(&broker, "readers", &["bills"]);
    let expected: Vec<String> = (0..ROUNDS / 2 * EACH).map(|number| format!("{number:02}")).collect();
    assert_eq!(values(&bills, expected.len()), expected);
    assert!(is_at_end(&bills));
}
