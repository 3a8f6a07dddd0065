//! The member of a group: it reads and commits, and tells what it was promised.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::{client, say};

const POLL: Duration = Duration::from_millis(50);
/// After so many records the offsets are committed.
const COMMIT_EVERY: usize = 100;

/// A consumer and its thread.
pub(crate) struct Member {
    leave: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Member {
    pub(crate) fn start(bootstrap: &str, topic: u32) -> Self {
        let consumer: BaseConsumer = client::config(
            bootstrap,
            &[
                ("group.id", &client::topic(topic)),
                ("auto.offset.reset", "earliest"),
                ("enable.auto.commit", "false"),
                ("session.timeout.ms", "6000"),
                ("heartbeat.interval.ms", "500"),
            ],
        )
        .create()
        .expect("the properties are known");
        let leave = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let leave = leave.clone();
            move || read(&consumer, topic, &leave)
        });
        Self { leave, thread }
    }

    pub(crate) fn leave(self) {
        self.leave.store(true, Ordering::SeqCst);
        self.thread.join().expect("a member does not fail");
    }
}

fn read(consumer: &BaseConsumer, topic: u32, leave: &AtomicBool) {
    let name = client::topic(topic);
    consumer.subscribe(&[&name]).expect("the topic has a name");
    let mut positions: BTreeMap<i32, i64> = BTreeMap::new();
    let mut uncommitted = 0;
    while !leave.load(Ordering::SeqCst) {
        // Errors are the broker's deaths: it is tried again.
        if let Some(Ok(message)) = consumer.poll(POLL) {
            positions.insert(message.partition(), message.offset() + 1);
            uncommitted += 1;
        }
        if uncommitted >= COMMIT_EVERY {
            commit(consumer, topic, &positions);
            (uncommitted, positions) = (0, BTreeMap::new());
        }
    }
}

fn commit(consumer: &BaseConsumer, topic: u32, positions: &BTreeMap<i32, i64>) {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in positions {
        say(format_args!("committing {topic} {partition} {offset}"));
        list.add_partition_offset(&client::topic(topic), *partition, Offset::Offset(*offset))
            .expect("an offset that was read is one");
    }
    if consumer.commit(&list, CommitMode::Sync).is_ok() {
        for (partition, offset) in positions {
            say(format_args!("committed {topic} {partition} {offset}"));
        }
    }
}
