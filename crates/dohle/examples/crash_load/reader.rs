//! Reads all of a topic and the offsets of its group, as somebody would who comes for the first time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::record::Identity;
use crate::{client, say};

/// Whatever has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(60);
const ASK: Duration = Duration::from_secs(2);
/// Lines are said so many bytes at a time.
const SAID_AT_ONCE: usize = 60_000;

/// Tells everything that stands in the topic below the ends that it has when this begins.
pub(crate) fn check(bootstrap: &str, topic: u32, partitions: i32) {
    say(format_args!("checking {topic}"));
    if let Err(error) = try_check(bootstrap, topic, partitions) {
        say(format_args!("trouble reading topic {topic}: {error}"));
    }
    say(format_args!("checked {topic}"));
}

fn try_check(bootstrap: &str, topic: u32, partitions: i32) -> Result<(), KafkaError> {
    let name = client::topic(topic);
    let consumer: BaseConsumer =
        client::config(bootstrap, &[("group.id", &name), ("enable.auto.commit", "false")]).create()?;
    let deadline = Instant::now() + PATIENCE;
    let mut left = BTreeMap::new();
    let mut all = TopicPartitionList::new();
    for partition in 0..partitions {
        let (low, high) = insist(deadline, || consumer.fetch_watermarks(&name, partition, ASK))?;
        say(format_args!("spans {topic} {partition} {low} {high}"));
        all.add_partition_offset(&name, partition, Offset::Offset(low))?;
        if low < high {
            left.insert(partition, high);
        }
    }
    consumer.assign(&all)?;
    read(&consumer, topic, left, deadline)?;
    consumer.unassign()?;
    let committed = insist(deadline, || consumer.committed_offsets(all.clone(), ASK))?;
    for element in committed.elements() {
        let offset = element.offset().to_raw().filter(|offset| *offset >= 0).unwrap_or(-1);
        say(format_args!("stands {topic} {} {offset}", element.partition()));
    }
    Ok(())
}

/// Reads until no partition is left; `left` has the end of each.
fn read(
    consumer: &BaseConsumer,
    topic: u32,
    mut left: BTreeMap<i32, i64>,
    deadline: Instant,
) -> Result<(), KafkaError> {
    let mut lines = String::new();
    let mut last_error = None;
    while !left.is_empty() {
        if Instant::now() > deadline {
            say(format_args!("trouble topic {topic} does not end: {left:?} left, last error {last_error:?}"));
            break;
        }
        let message = match consumer.poll(ASK) {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                last_error = Some(error);
                continue;
            }
            None => continue,
        };
        let (partition, offset) = (message.partition(), message.offset());
        let Some(end) = left.get(&partition).copied().filter(|end| offset < *end) else { continue };
        let line = match Identity::of(topic, &message) {
            Some(found) => writeln!(lines, "read {topic} {partition} {offset} {} {}", found.writer.text, found.number),
            None => writeln!(lines, "strange {topic} {partition} {offset}"),
        };
        line.expect("text grows as long as there is memory");
        if offset + 1 == end {
            left.remove(&partition);
        }
        if lines.len() > SAID_AT_ONCE {
            say(std::mem::take(&mut lines).trim_end());
        }
    }
    if !lines.is_empty() {
        say(lines.trim_end());
    }
    Ok(())
}

/// Asks again until the deadline, for the broker may have begun to serve only a moment ago.
fn insist<T>(deadline: Instant, mut ask: impl FnMut() -> Result<T, KafkaError>) -> Result<T, KafkaError> {
    loop {
        match ask() {
            Err(_) if Instant::now() < deadline => {}
            answered => return answered,
        }
    }
}
