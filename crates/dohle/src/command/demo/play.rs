//! The two sides of the demo: sensors that speak through a producer, and a group of readers that listens.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use dohle_base::{Timestamp, TopicName};
use dohle_client::{Consumed, Consumer, ConsumerConfig, Producer, ProducerConfig, Record};
use serde::{Deserialize, Serialize};

use super::screen::MemberView;
use super::sensors::Plant;
use super::tally::{Seen, Tally};
use crate::text::instant;

/// Sensors speak in steps of this length.
const STEP: Duration = Duration::from_millis(10);
/// Readers look at least so often whether they are to end.
const POLL_WAIT: Duration = Duration::from_millis(200);
const GROUP: &str = "watchers";

/// What both sides and the screen share.
pub(super) struct Stage {
    pub(super) bootstrap: String,
    pub(super) topic: TopicName,
    pub(super) began: Instant,
    /// Records that the broker has acknowledged.
    pub(super) delivered: AtomicU64,
    /// The sensors are to be silent.
    pub(super) quiet: AtomicBool,
    /// The readers are to leave.
    pub(super) over: AtomicBool,
    tally: Mutex<Tally>,
    members: Mutex<Vec<MemberView>>,
}

/// What a sensor says. The time within is the demo's own clock: latency must not depend on the wall's.
#[derive(Serialize, Deserialize)]
struct Event {
    celsius: f64,
    sent_us: u64,
}

impl Stage {
    pub(super) fn new(bootstrap: String, topic: TopicName, members: usize) -> Self {
        Self {
            bootstrap,
            topic,
            began: Instant::now(),
            delivered: AtomicU64::new(0),
            quiet: AtomicBool::new(false),
            over: AtomicBool::new(false),
            tally: Mutex::new(Tally::new()),
            members: Mutex::new(vec![MemberView::default(); members]),
        }
    }

    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn members(&self) -> MutexGuard<'_, Vec<MemberView>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed_us(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }
}

/// Lets the sensors speak until they are to be silent, and waits until everything is acknowledged.
pub(super) async fn speak(stage: Arc<Stage>, mut plant: Plant, rate: f64) -> anyhow::Result<()> {
    let config = ProducerConfig::from_properties([
        ("bootstrap.servers", stage.bootstrap.as_str()),
        ("linger.ms", "2"),
        ("compression.type", "lz4"),
    ])?;
    let producer = Producer::new(config);
    let (acknowledged, deliveries) = tokio::sync::mpsc::channel(DELIVERIES_MAX);
    let counting = tokio::spawn(count(stage.clone(), deliveries));
    let mut due = 0.0;
    let mut step = tokio::time::interval(STEP);
    step.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut before = stage.began.elapsed();
    while !stage.quiet.load(Ordering::Relaxed) {
        step.tick().await;
        let at = stage.began.elapsed();
        due += rate * Plant::eagerness(at) * (at - before).as_secs_f64();
        before = at;
        while due >= 1.0 {
            due -= 1.0;
            let Some(reading) = plant.read(at) else { continue };
            let event = Event { celsius: reading.celsius, sent_us: stage.elapsed_us() };
            let record = Record::new(stage.topic.clone(), serde_json::to_vec(&event)?)
                .with_key(Bytes::copy_from_slice(plant.name(reading.device).as_bytes()))
                .with_timestamp(instant::ago(Duration::ZERO));
            let delivery = producer.send(record).await.context("the sensors cannot speak")?;
            acknowledged.send(delivery).await.context("nobody counts what is acknowledged")?;
        }
    }
    producer.close().await;
    drop(acknowledged);
    counting.await?
}

/// Events that are sent and not acknowledged: whoever sends faster waits.
const DELIVERIES_MAX: usize = 100_000;

async fn count(
    stage: Arc<Stage>,
    mut deliveries: tokio::sync::mpsc::Receiver<dohle_client::producer::Delivery>,
) -> anyhow::Result<()> {
    while let Some(delivery) = deliveries.recv().await {
        delivery.wait().await?;
        stage.delivered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Listens as one member of the group until it is to leave.
pub(super) async fn listen(stage: Arc<Stage>, number: usize) -> anyhow::Result<()> {
    let config = ConsumerConfig::from_properties([
        ("bootstrap.servers", stage.bootstrap.as_str()),
        ("group.id", GROUP),
        ("auto.offset.reset", "earliest"),
        ("max.poll.records", "2000"),
        ("auto.commit.interval.ms", "1000"),
    ])?;
    let mut consumer = Consumer::new(config);
    consumer.subscribe([stage.topic.clone()])?;
    while !stage.over.load(Ordering::Relaxed) {
        let records = consumer.poll(POLL_WAIT).await.context("a reader cannot read")?;
        let now_us = stage.elapsed_us();
        let mut tally = stage.tally();
        for record in &records {
            see(&mut tally, record, now_us)?;
        }
        drop(tally);
        let ours = consumer.assignment();
        let lag = ours.iter().filter_map(|place| Some(consumer.end(place)?.since(consumer.position(place)?))).sum();
        stage.members()[number] = MemberView { partitions: ours.len(), lag };
    }
    consumer.close().await?;
    Ok(())
}

fn see(tally: &mut Tally, record: &Consumed, now_us: u64) -> anyhow::Result<()> {
    let event: Event = serde_json::from_slice(record.value.as_deref().unwrap_or_default())?;
    let device = std::str::from_utf8(record.key.as_deref().unwrap_or_default())?;
    let latency_us = now_us.saturating_sub(event.sent_us);
    let at: Timestamp = record.timestamp;
    tally.see(Seen { device, celsius: event.celsius, at, latency_us });
    Ok(())
}
