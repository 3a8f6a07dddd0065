//! A producer that never gives up: it sends at a pace, to all partitions in turn, and tells what became of each record.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer};

use crate::record::{Identity, Name};
use crate::{client, say};

/// So many records are sent at once, so often.
const BURST: usize = 10;
const PACE: Duration = Duration::from_millis(6);
/// So many may wait for their answer: what a death leaves open is bounded.
const WAITING_MAX: usize = 400;

/// A producer and its thread.
pub(crate) struct Writer {
    name: Name,
    topic: u32,
    lanes: Arc<[AtomicI64]>,
    window: Arc<Window>,
    /// Closed to end it.
    go_on: Sender<()>,
    thread: JoinHandle<ThreadedProducer<Deliveries>>,
}

impl Writer {
    pub(crate) fn start(bootstrap: &str, name: Name, topic: u32, partitions: i32) -> Self {
        let window = Arc::new(Window::default());
        let mut properties =
            vec![("acks", "all"), ("linger.ms", "2"), ("batch.num.messages", "40"), ("compression.codec", name.codec)];
        // Zero is for ever: whatever is sent is acknowledged in the end.
        properties.push(("message.timeout.ms", "0"));
        if name.idempotent {
            properties.push(("enable.idempotence", "true"));
        } else {
            // With more on the way a retry would overtake.
            properties.push(("max.in.flight.requests.per.connection", "1"));
        }
        let config = client::config(bootstrap, &properties);
        let producer: ThreadedProducer<Deliveries> =
            config.create_with_context(Deliveries(window.clone())).expect("the properties are known");
        let lanes: Arc<[AtomicI64]> = (0..partitions).map(|_| AtomicI64::new(0)).collect();
        let (go_on, orders) = mpsc::channel();
        let thread = thread::spawn({
            let (lanes, window) = (lanes.clone(), window.clone());
            move || {
                write(&producer, name, topic, &lanes, &window, &orders);
                producer
            }
        });
        Self { name, topic, lanes, window, go_on, thread }
    }

    /// Says which number each partition gets next: whatever was taken for granted until now bears a lower one.
    pub(crate) fn mark(&self) {
        for (partition, lane) in (0..).zip(self.lanes.iter()) {
            let number = lane.load(Ordering::SeqCst);
            say(format_args!("next {}", Identity { topic: self.topic, partition, writer: self.name, number }));
        }
    }

    /// Sends nothing more, and comes back when everything is acknowledged.
    pub(crate) fn drain(self) {
        drop(self.go_on);
        let producer = self.thread.join().expect("a writer does not fail");
        self.window.await_empty();
        drop(producer);
    }
}

fn write(
    producer: &ThreadedProducer<Deliveries>,
    name: Name,
    topic: u32,
    lanes: &[AtomicI64],
    window: &Window,
    orders: &Receiver<()>,
) {
    let topic_name = client::topic(topic);
    let mut turns = (0..lanes.len()).cycle();
    while orders.recv_timeout(PACE) == Err(RecvTimeoutError::Timeout) {
        for lane in turns.by_ref().take(BURST) {
            window.enter();
            let number = lanes[lane].fetch_add(1, Ordering::SeqCst);
            let identity = Identity { topic, partition: lane as i32, writer: name, number };
            let (key, value) = (identity.key(), identity.value());
            let record = BaseRecord::with_opaque_to(&topic_name, Box::new(identity))
                .partition(identity.partition)
                .key(&key)
                .payload(&value)
                .timestamp(identity.timestamp())
                .headers(identity.headers());
            if let Err((error, record)) = producer.send(record) {
                say(format_args!("refused {} {error}", record.delivery_opaque));
                window.leave();
                return;
            }
        }
    }
}

/// Tells what became of each record.
pub(crate) struct Deliveries(Arc<Window>);

impl ClientContext for Deliveries {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        eprintln!("{facility} {message}");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Identity>;

    fn delivery(&self, delivered: &DeliveryResult<'_>, identity: Box<Identity>) {
        match delivered {
            Ok(message) => say(format_args!("acked {identity} {}", message.offset())),
            Err((error, _)) => say(format_args!("refused {identity} {error}")),
        }
        self.0.leave();
    }
}

/// How many records wait for their answer.
#[derive(Default)]
pub(crate) struct Window {
    waiting: Mutex<usize>,
    changed: Condvar,
}

impl Window {
    fn enter(&self) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |waiting: &mut usize| *waiting >= WAITING_MAX;
        *self.changed.wait_while(waiting, full).unwrap_or_else(PoisonError::into_inner) += 1;
    }

    fn leave(&self) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.changed.notify_all();
    }

    fn await_empty(&self) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(waiting, |waiting| *waiting > 0).unwrap_or_else(PoisonError::into_inner));
    }
}
