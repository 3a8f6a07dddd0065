//! The producer: takes records in, sends them in batches, and tells what became of each.
//!
//! A shell around `core::batching` and `core::partitioner`: it waits, locks and connects, and decides nothing.

mod delivery;
mod sender;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dohle_base::{ErrorCode, Partition, ProducerId, Timestamp, TopicName};
use dohle_protocol::message::InitProducerIdRequest;
use dohle_records::batch::encode::Entry;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub use delivery::{Delivered, Delivery, DeliveryError};

use crate::config::ProducerConfig;
use crate::core::TopicPartition;
use crate::core::batching::{Accumulator, BatchId, Limits, Refusal, Settled};
use crate::core::partitioner::{Sticky, keyed};
use crate::record::Record;
use crate::transport::{AskError, Clock, Cluster, refuse_unless_none};
use delivery::{Fate, Ticket};

/// Why a record was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The topic is not there, or may not be written to.
    #[error("topic {topic}: {}; create it with `dohle topic create {topic}`, or check its name", .code.words())]
    Topic {
        /// The topic.
        topic: TopicName,
        /// Why.
        code: ErrorCode,
    },
    /// The topic has no such partition.
    #[error("topic {topic} has partitions 0 to {}, not {partition}", .count - 1)]
    Partition {
        /// The topic.
        topic: TopicName,
        /// The partition that was named.
        partition: Partition,
        /// How many there are.
        count: usize,
    },
    /// The record is larger than a request may be.
    #[error(
        "a record of {bytes} bytes is larger than max.request.size ({limit}); raise it, and max.message.bytes of the topic"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The most.
        limit: usize,
    },
    /// Too many records wait, and none was delivered in time.
    #[error(
        "buffer.memory ({limit} bytes) is full of undelivered records for {waited:?}; the brokers are too slow or unreachable"
    )]
    Full {
        /// The most.
        limit: usize,
        /// How long was waited.
        waited: Duration,
    },
    /// The cluster could not be asked what must be known before.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The producer is closed.
    #[error("the producer is closed")]
    Closed,
}

/// Sends records. Shared by reference; dropping it gives up what is not delivered, [`Producer::close`] does not.
#[derive(Debug)]
pub struct Producer {
    shared: Arc<Shared>,
    sender: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    config: ProducerConfig,
    cluster: Arc<Cluster>,
    state: Mutex<State>,
    /// There is something new for the sender.
    wake: Notify,
    /// Memory came back.
    space: Notify,
    /// One asks for an id at a time.
    identifying: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    accumulator: Accumulator,
    sticky: Sticky,
    tickets: HashMap<BatchId, Arc<Ticket>>,
    closed: bool,
}

impl Producer {
    /// A producer, which connects when the first record comes. Runs within a tokio runtime.
    pub fn new(config: ProducerConfig) -> Self {
        let cluster = Cluster::new(config.common.clone(), true);
        let limits = Limits {
            batch_bytes: config.batch_bytes,
            linger: config.linger,
            memory_bytes: config.memory_bytes,
            request_bytes: config.request_bytes,
            in_flight: config.in_flight,
            delivery_timeout: config.delivery_timeout,
            backoff: config.common.retry,
            compression: config.compression,
            idempotent: config.idempotence,
        };
        let state = State {
            accumulator: Accumulator::new(limits, cluster.clock.rng()),
            sticky: Sticky::new(config.batch_bytes, cluster.clock.rng()),
            tickets: HashMap::new(),
            closed: false,
        };
        let shared = Arc::new(Shared {
            config,
            cluster,
            state: Mutex::new(state),
            wake: Notify::new(),
            space: Notify::new(),
            identifying: tokio::sync::Mutex::default(),
        });
        let sender = tokio::spawn(sender::run(shared.clone()));
        Self { shared, sender: Some(sender) }
    }

    /// Takes a record in; waits for the topic to be known and for memory, `max.block.ms` at the most. Records that one
    /// caller sends to one partition, one after the other, stay in that order.
    pub async fn send(&self, record: Record) -> Result<Delivery, SendError> {
        let shared = &self.shared;
        let deadline = shared.cluster.now() + shared.config.block_max;
        let timestamp = record.timestamp.unwrap_or_else(Clock::wall);
        let mut failures = 0;
        loop {
            let memory = shared.space.notified();
            match shared.try_send(&record, timestamp)? {
                Taken::Yes(delivery) => return Ok(delivery),
                Taken::NoMemory => {
                    let waited = tokio::time::timeout_at(shared.cluster.clock.timer(deadline), memory).await;
                    waited.map_err(|_| SendError::Full {
                        limit: shared.config.memory_bytes,
                        waited: shared.config.block_max,
                    })?;
                }
                Taken::NoId => shared.identify(deadline).await?,
                Taken::NoTopic => {
                    let refreshed = shared.cluster.refresh().await;
                    if shared.cluster.routing().topic(&record.topic).is_some() {
                        continue;
                    }
                    failures += 1;
                    let wait = shared.cluster.retry_wait(failures);
                    if shared.cluster.now() + wait >= deadline {
                        refreshed?;
                        return Err(shared.unknown(&record.topic));
                    }
                    shared.refused_for_good(&record.topic)?;
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// How many partitions a topic has, once that is known.
    pub async fn partitions(&self, topic: &TopicName) -> Result<usize, SendError> {
        let cluster = &self.shared.cluster;
        self.shared.follow(topic)?;
        let count = cluster
            .persist(|| async {
                cluster.refresh().await?;
                let routing = cluster.routing();
                match (routing.topic(topic), routing.refusal(topic)) {
                    (Some(known), _) => Ok(known.partitions.len()),
                    (None, code) => Err(AskError::Refused {
                        what: format!("topic {topic}"),
                        code: code.unwrap_or(ErrorCode::UnknownTopicOrPartition),
                        message: None,
                    }),
                }
            })
            .await?;
        Ok(count)
    }

    /// Waits until everything that was taken in is delivered or has failed.
    pub async fn flush(&self) {
        let tickets: Vec<Arc<Ticket>> = {
            let mut state = self.shared.state();
            state.accumulator.flush();
            state.tickets.values().cloned().collect()
        };
        self.shared.wake.notify_one();
        for ticket in tickets {
            settled(ticket).await;
        }
    }

    /// Delivers what was taken in, and ends.
    pub async fn close(mut self) {
        self.shared.state().closed = true;
        self.flush().await;
        self.shared.wake.notify_one();
        if let Some(sender) = self.sender.take() {
            // It ends by itself when nothing is left; it does not panic.
            let _ = sender.await;
        }
    }

    /// The memory that undelivered records take.
    pub fn memory_used(&self) -> usize {
        self.shared.state().accumulator.memory_used()
    }
}

/// Waits for a batch and for what it was split into.
async fn settled(ticket: Arc<Ticket>) {
    let mut waiting = vec![ticket];
    while let Some(ticket) = waiting.pop() {
        if let Fate::Split { into, .. } = ticket.wait().await {
            waiting.extend([into.0.clone(), into.1.clone()]);
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            sender.abort();
        }
        let mut state = self.shared.state();
        state.closed = true;
        let mut settled = vec![];
        state.accumulator.abandon(&mut settled);
        state.settle(settled);
    }
}

enum Taken {
    Yes(Delivery),
    NoMemory,
    NoId,
    NoTopic,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, topic: &TopicName) -> Result<(), SendError> {
        let followed = self.cluster.routing().want(topic);
        if followed { Ok(()) } else { Err(self.unknown(topic)) }
    }

    fn unknown(&self, topic: &TopicName) -> SendError {
        let code = self.cluster.routing().refusal(topic).unwrap_or(ErrorCode::UnknownTopicOrPartition);
        SendError::Topic { topic: topic.clone(), code }
    }

    fn refused_for_good(&self, topic: &TopicName) -> Result<(), SendError> {
        let code = self.cluster.routing().refusal(topic).filter(|code| !code.is_retriable());
        code.map_or(Ok(()), |code| Err(SendError::Topic { topic: topic.clone(), code }))
    }

    fn try_send(&self, record: &Record, timestamp: Timestamp) -> Result<Taken, SendError> {
        let routing = self.cluster.routing();
        let Some(topic) = routing.topic(&record.topic) else {
            drop(routing);
            self.follow(&record.topic)?;
            return Ok(Taken::NoTopic);
        };
        let mut state = self.state();
        if state.closed {
            return Err(SendError::Closed);
        }
        if state.accumulator.needs_id() {
            return Ok(Taken::NoId);
        }
        let headers: Vec<(&str, Option<&[u8]>)> =
            record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        let entry = Entry { timestamp, key: record.key.as_deref(), value: record.value.as_deref(), headers: &headers };
        let count = topic.partitions.len();
        let partition = match (record.partition, &record.key) {
            (Some(partition), _) if (0..count as i32).contains(&partition.0) => partition,
            (Some(partition), _) => {
                return Err(SendError::Partition { topic: record.topic.clone(), partition, count });
            }
            (None, Some(key)) if !self.config.ignore_keys => keyed(key, count),
            (None, _) => state.sticky.place(&record.topic, entry.size_upper_bound(), count, |at| topic.is_led(at)),
        };
        drop(routing);
        self.append(state, TopicPartition::new(record.topic.clone(), partition), &entry)
    }

    fn append(
        &self,
        mut state: MutexGuard<'_, State>,
        place: TopicPartition,
        entry: &Entry,
    ) -> Result<Taken, SendError> {
        let placed = match state.accumulator.append(self.cluster.now(), &place, entry) {
            Ok(placed) => placed,
            Err(Refusal::Full) => return Ok(Taken::NoMemory),
            Err(Refusal::TooLarge { bytes }) => {
                return Err(SendError::TooLarge { bytes, limit: self.config.request_bytes });
            }
        };
        let ticket = state.tickets.entry(placed.batch).or_default().clone();
        drop(state);
        if placed.wakes {
            self.wake.notify_one();
        }
        Ok(Taken::Yes(Delivery { place, ticket, index: placed.index }))
    }

    /// Gets the id under which records are numbered, unless somebody just did.
    async fn identify(&self, deadline: dohle_base::Instant) -> Result<(), SendError> {
        let asked = async {
            let _turn = self.identifying.lock().await;
            if !self.state().accumulator.needs_id() {
                return Ok(());
            }
            let id = self.cluster.persist(|| self.ask_for_id()).await?;
            self.state().accumulator.identify(id);
            self.wake.notify_one();
            Ok(())
        };
        match tokio::time::timeout_at(self.cluster.clock.timer(deadline), asked).await {
            Ok(identified) => identified,
            Err(_) => Err(AskError::Nobody { what: "a producer id".to_owned() }.into()),
        }
    }

    async fn ask_for_id(&self) -> Result<ProducerId, AskError> {
        // No transaction, no timeout of one: this is what Kafka's client sends.
        let request = InitProducerIdRequest { transaction_timeout_ms: i32::MAX, ..InitProducerIdRequest::default() };
        let request = InitProducerIdRequest { transactional_id: None, ..request };
        let answer = self.cluster.ask_any(&request).await?;
        refuse_unless_none(answer.error_code, None, || "a producer id".to_owned())?;
        Ok(ProducerId(answer.producer_id))
    }
}

impl State {
    fn settle(&mut self, settled: Vec<Settled>) {
        for fate in settled {
            match fate {
                Settled::Delivered { batch, base_offset, append_time } => {
                    self.end(batch, Fate::Delivered { base_offset, append_time });
                }
                Settled::Failed { batch, reason } => self.end(batch, Fate::Failed(reason)),
                Settled::Split { batch, into, first } => {
                    let tickets = (Arc::<Ticket>::default(), Arc::<Ticket>::default());
                    self.tickets.insert(into.0, tickets.0.clone());
                    self.tickets.insert(into.1, tickets.1.clone());
                    self.end(batch, Fate::Split { first, into: tickets });
                }
            }
        }
    }

    fn end(&mut self, batch: BatchId, fate: Fate) {
        if let Some(ticket) = self.tickets.remove(&batch) {
            ticket.settle(fate);
        }
    }
}
