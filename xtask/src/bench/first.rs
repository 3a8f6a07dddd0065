//! Row 8: the time from the start of a process to the first acknowledged record: on an empty folder, with many partitions after a clean
//! stop, and after a kill while all of them had just been written to.
//!
//! Asks by hand, so that no client's own start is measured. Kafka's format step, which Dohle does not have, is not counted.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use super::broker::Broker;
use crate::wire::{Answer, Connection};

/// Topics and partitions of each; Kafka refuses to make a topic of many more at once.
const TOPICS: usize = 10;
const PARTITIONS: i32 = 1000;

const PRODUCE: i16 = 0;
const CREATE_TOPICS: i16 = 19;
const TOPIC_ALREADY_EXISTS: i16 = 36;
const ANSWER_LIMIT: Duration = Duration::from_secs(120);
/// How long a partition that was just made, or just opened, may stay without its leader.
const LEADER_LIMIT: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(1);
const TIMEOUT_MS: i32 = 60_000;

/// A batch of the current format with one record `x` of the year 2020, its checksum included. Its topics keep it for ever: retention, which
/// looks for the first time half a minute after a start, would be at work while a broker should be idle.
#[rustfmt::skip]
const BATCH: [u8; 69] = [
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x39, 0xff, 0xff, 0xff, 0xff, 2, 0xd9, 0x6a, 0xe5, 0x60, 0, 0, 0, 0, 0, 0,
    0, 0, 1, 0x6f, 0x5e, 0x66, 0xe8, 0, 0, 0, 1, 0x6f, 0x5e, 0x66, 0xe8, 0,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1,
    0x0e, 0, 0, 0, 1, 2, b'x', 0,
];

/// Does all three starts and answers with their seconds.
pub(super) fn measure(broker: &mut Broker) -> Result<Value> {
    let started = broker.start()?;
    let empty = first_acknowledgement(broker, started, Begin::WithTopic)?;

    make_many(broker)?;
    broker.stop()?;
    let started = broker.start()?;
    let clean = first_acknowledgement(broker, started, Begin::AtOnce)?;

    write_to_many(broker)?;
    broker.kill()?;
    let started = broker.start()?;
    let killed = first_acknowledgement(broker, started, Begin::AtOnce)?;
    Ok(json!({"start": {"empty_seconds": empty, "clean_seconds": clean, "killed_seconds": killed}}))
}

/// Whether there is a topic to write to.
enum Begin {
    WithTopic,
    AtOnce,
}

fn first_acknowledgement(broker: &Broker, started: Instant, begin: Begin) -> Result<f64> {
    let mut connection = Connection::open(broker.port, ANSWER_LIMIT)?;
    let topic = match begin {
        Begin::WithTopic => {
            create(&mut connection, "first", 1)?;
            "first".to_owned()
        }
        Begin::AtOnce => name(TOPICS - 1),
    };
    write(&mut connection, &topic, 0..1)?;
    Ok(started.elapsed().as_secs_f64())
}

/// Makes many partitions, each with a record.
pub(super) fn make_many(broker: &Broker) -> Result<()> {
    let mut connection = Connection::open(broker.port, ANSWER_LIMIT)?;
    (0..TOPICS).try_for_each(|topic| create(&mut connection, &name(topic), PARTITIONS))?;
    write_to_many(broker)
}

fn write_to_many(broker: &Broker) -> Result<()> {
    let mut connection = Connection::open(broker.port, ANSWER_LIMIT)?;
    (0..TOPICS).try_for_each(|topic| write(&mut connection, &name(topic), 0..PARTITIONS))
}

fn name(topic: usize) -> String {
    format!("many-{topic}")
}

/// Makes a topic with one replica; again while the broker is not let in yet by its own controller.
fn create(connection: &mut Connection, name: &str, partitions: i32) -> Result<()> {
    let begun = Instant::now();
    loop {
        match creation(connection, name, partitions)? {
            // One that is there already was made by a request whose answer was late.
            0 | TOPIC_ALREADY_EXISTS => return Ok(()),
            error if begun.elapsed() > LEADER_LIMIT => {
                bail!("CreateTopics still answers {error} after {LEADER_LIMIT:?}")
            }
            _later => sleep(POLL),
        }
    }
}

/// Asks for a topic and answers with the error code.
fn creation(connection: &mut Connection, name: &str, partitions: i32) -> Result<i16> {
    let mut body = 1i32.to_be_bytes().to_vec();
    put_string(&mut body, name);
    body.extend(partitions.to_be_bytes());
    body.extend(1i16.to_be_bytes());
    // No assignments, one setting.
    body.extend(0i32.to_be_bytes());
    body.extend(1i32.to_be_bytes());
    put_string(&mut body, "retention.ms");
    put_string(&mut body, "-1");
    body.extend(TIMEOUT_MS.to_be_bytes());
    body.push(0);
    let answer = connection.ask(CREATE_TOPICS, 2, &body)?;
    let mut answer = Answer(&answer);
    let (_throttled, topics) = (answer.int32()?, answer.int32()?);
    ensure!(topics == 1, "asked for one topic, {topics} were answered");
    answer.string()?;
    answer.int16()
}

/// One record to each of the partitions; again while one of them has no leader yet.
fn write(connection: &mut Connection, topic: &str, partitions: std::ops::Range<i32>) -> Result<()> {
    let begun = Instant::now();
    let mut missing: Vec<i32> = partitions.collect();
    loop {
        missing = refused(connection, topic, &missing)?;
        if missing.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > LEADER_LIMIT {
            bail!("{} partitions of {topic} took no record within {LEADER_LIMIT:?}", missing.len());
        }
        sleep(POLL);
    }
}

/// Sends a batch to each and answers with those that did not take it.
fn refused(connection: &mut Connection, topic: &str, partitions: &[i32]) -> Result<Vec<i32>> {
    let mut body = (-1i16).to_be_bytes().to_vec();
    body.extend((-1i16).to_be_bytes());
    body.extend(TIMEOUT_MS.to_be_bytes());
    body.extend(1i32.to_be_bytes());
    put_string(&mut body, topic);
    body.extend((partitions.len() as i32).to_be_bytes());
    for partition in partitions {
        body.extend(partition.to_be_bytes());
        body.extend((BATCH.len() as i32).to_be_bytes());
        body.extend(BATCH);
    }
    let answer = connection.ask(PRODUCE, 7, &body)?;
    let mut answer = Answer(&answer);
    let topics = answer.int32()?;
    ensure!(topics == 1, "asked for one topic, {topics} were answered");
    answer.string()?;
    let mut refused = Vec::new();
    for _ in 0..answer.int32()? {
        let (partition, error) = (answer.int32()?, answer.int16()?);
        let (_base, _time, _start) = (answer.int64()?, answer.int64()?, answer.int64()?);
        if error != 0 {
            refused.push(partition);
        }
    }
    Ok(refused)
}

fn put_string(body: &mut Vec<u8>, text: &str) {
    body.extend((text.len() as i16).to_be_bytes());
    body.extend(text.as_bytes());
}
