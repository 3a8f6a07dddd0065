//! What a client is told: Kafka's names and defaults, read once into values that are right.
//!
//! Owns the keys and their reading. A key that no client of this release knows is named in the log and otherwise ignored,
//! because properties of other clients are brought along.

mod address;
mod duration;
mod keys;
mod read;

use std::collections::BTreeMap;
use std::time::Duration;

use dohle_records::Compression;

pub use address::{Address, InvalidAddress};
pub use keys::{COMMON, CONSUMER, PRODUCER};
pub use read::ConfigError;

use crate::core::assign::Assignor;
use crate::core::positions::Reset;
use crate::core::retry::Backoff;
use read::Given;

/// What every client is told.
#[derive(Clone, Debug)]
pub struct Common {
    /// Where to ask first (`bootstrap.servers`).
    pub bootstrap: Vec<Address>,
    /// What the client calls itself (`client.id`).
    pub client_id: String,
    /// An answer is waited for so long (`request.timeout.ms`).
    pub request_timeout: Duration,
    /// A connection must stand after so long (`socket.connection.setup.timeout.ms`).
    pub setup_timeout: Duration,
    /// Waits before a broker that could not be reached is tried again (`reconnect.backoff.ms`, `.max.ms`).
    pub reconnect: Backoff,
    /// Waits before a request is made again (`retry.backoff.ms`, `.max.ms`).
    pub retry: Backoff,
    /// What is known of the cluster is asked for again after so long (`metadata.max.age.ms`).
    pub metadata_max_age: Duration,
    /// An operation that is made of several requests may take so long (`default.api.timeout.ms`).
    pub api_timeout: Duration,
}

/// How many must have a record before it counts as delivered (`acks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Nobody: a record is delivered when it is sent.
    None,
    /// The leader.
    Leader,
    /// All that are in step.
    All,
}

/// What a producer is told.
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    /// What every client is told.
    pub common: Common,
    /// `acks`.
    pub acks: Acks,
    /// `batch.size`.
    pub batch_bytes: usize,
    /// `linger.ms`.
    pub linger: Duration,
    /// `buffer.memory`.
    pub memory_bytes: usize,
    /// `max.request.size`.
    pub request_bytes: usize,
    /// How long a record may wait to be taken in (`max.block.ms`).
    pub block_max: Duration,
    /// `max.in.flight.requests.per.connection`.
    pub in_flight: usize,
    /// `enable.idempotence`.
    pub idempotence: bool,
    /// `compression.type` and its level.
    pub compression: Compression,
    /// `delivery.timeout.ms`.
    pub delivery_timeout: Duration,
    /// Whether keys have no say in where records go (`partitioner.ignore.keys`).
    pub ignore_keys: bool,
}

/// What a consumer may see of transactions (`isolation.level`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Everything, also what may be aborted later.
    ReadUncommitted,
    /// Only what was committed, up to the first open transaction.
    ReadCommitted,
}

/// What a consumer is told.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// What every client is told.
    pub common: Common,
    /// `group.id`; without one nothing can be subscribed to or committed.
    pub group: Option<String>,
    /// `group.instance.id`.
    pub instance: Option<String>,
    /// `auto.offset.reset`.
    pub reset: Reset,
    /// `enable.auto.commit` and `auto.commit.interval.ms`.
    pub auto_commit: Option<Duration>,
    /// `fetch.min.bytes`.
    pub fetch_bytes_min: usize,
    /// `fetch.max.bytes`.
    pub fetch_bytes_max: usize,
    /// `fetch.max.wait.ms`.
    pub fetch_wait_max: Duration,
    /// `max.partition.fetch.bytes`.
    pub partition_bytes_max: usize,
    /// `max.poll.records`.
    pub poll_records_max: usize,
    /// `max.poll.interval.ms`.
    pub poll_interval_max: Duration,
    /// `session.timeout.ms`.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
    /// `partition.assignment.strategy`.
    pub assignors: Vec<Assignor>,
    /// `isolation.level`.
    pub isolation: Isolation,
    /// `check.crcs`.
    pub check_crcs: bool,
    /// `allow.auto.create.topics`.
    pub create_topics: bool,
}

/// What an admin is told.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// What every client is told.
    pub common: Common,
}

impl ProducerConfig {
    /// Kafka's defaults, for the cluster behind `bootstrap` (`host:port`, several between commas).
    pub fn new(bootstrap: &str) -> Result<Self, ConfigError> {
        Self::from_properties([("bootstrap.servers", bootstrap)])
    }

    /// Reads properties under Kafka's names; a name that comes twice counts as it came last.
    pub fn from_properties<K: Into<String>, V: Into<String>>(
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ConfigError> {
        let given = Given::new(properties, &[COMMON, PRODUCER]);
        let idempotence_wanted = given.is_set("enable.idempotence");
        let config = Self {
            common: given.common()?,
            acks: given.acks()?,
            batch_bytes: given.whole("batch.size")?,
            linger: given.millis("linger.ms")?,
            memory_bytes: given.whole("buffer.memory")?,
            request_bytes: given.whole("max.request.size")?,
            block_max: given.millis("max.block.ms")?,
            in_flight: given.whole("max.in.flight.requests.per.connection")?,
            idempotence: given.flag("enable.idempotence")?,
            compression: given.compression()?,
            delivery_timeout: given.millis("delivery.timeout.ms")?,
            ignore_keys: given.flag("partitioner.ignore.keys")?,
        };
        config.checked(idempotence_wanted)
    }

    /// Keys that contradict each other. As in Kafka, idempotence that nobody asked for gives way.
    fn checked(mut self, idempotence_wanted: bool) -> Result<Self, ConfigError> {
        let contradiction = match (self.acks, self.in_flight) {
            (Acks::None | Acks::Leader, _) => Some("it needs acks=all"),
            (Acks::All, 6..) => Some("it needs max.in.flight.requests.per.connection of at most 5"),
            (Acks::All, _) => None,
        };
        match contradiction {
            Some(advice) if self.idempotence && idempotence_wanted => {
                return Err(ConfigError::Contradiction { key: "enable.idempotence", advice });
            }
            Some(_) => self.idempotence = false,
            None => {}
        }
        let shortest = self.linger + self.common.request_timeout;
        if self.delivery_timeout < shortest {
            let advice = "it must be at least linger.ms and request.timeout.ms together";
            return Err(ConfigError::Contradiction { key: "delivery.timeout.ms", advice });
        }
        Ok(self)
    }
}

impl ConsumerConfig {
    /// Kafka's defaults, for the cluster behind `bootstrap` (`host:port`, several between commas).
    pub fn new(bootstrap: &str) -> Result<Self, ConfigError> {
        Self::from_properties([("bootstrap.servers", bootstrap)])
    }

    /// Reads properties under Kafka's names; a name that comes twice counts as it came last.
    pub fn from_properties<K: Into<String>, V: Into<String>>(
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ConfigError> {
        let given = Given::new(properties, &[COMMON, CONSUMER]);
        let interval = given.millis("auto.commit.interval.ms")?;
        let config = Self {
            common: given.common()?,
            group: given.text_if_any("group.id"),
            instance: given.text_if_any("group.instance.id"),
            reset: given.reset()?,
            auto_commit: given.flag("enable.auto.commit")?.then_some(interval),
            fetch_bytes_min: given.whole("fetch.min.bytes")?,
            fetch_bytes_max: given.whole("fetch.max.bytes")?,
            fetch_wait_max: given.millis("fetch.max.wait.ms")?,
            partition_bytes_max: given.whole("max.partition.fetch.bytes")?,
            poll_records_max: given.whole("max.poll.records")?,
            poll_interval_max: given.millis("max.poll.interval.ms")?,
            session_timeout: given.millis("session.timeout.ms")?,
            heartbeat_interval: given.millis("heartbeat.interval.ms")?,
            assignors: given.assignors()?,
            isolation: given.isolation()?,
            check_crcs: given.flag("check.crcs")?,
            create_topics: given.flag("allow.auto.create.topics")?,
        };
        if config.heartbeat_interval >= config.session_timeout {
            let advice = "it must be shorter than session.timeout.ms, a third of it at most";
            return Err(ConfigError::Contradiction { key: "heartbeat.interval.ms", advice });
        }
        Ok(config)
    }
}

impl AdminConfig {
    /// Kafka's defaults, for the cluster behind `bootstrap` (`host:port`, several between commas).
    pub fn new(bootstrap: &str) -> Result<Self, ConfigError> {
        Self::from_properties([("bootstrap.servers", bootstrap)])
    }

    /// Reads properties under Kafka's names; a name that comes twice counts as it came last.
    pub fn from_properties<K: Into<String>, V: Into<String>>(
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ConfigError> {
        Ok(Self { common: Given::new(properties, &[COMMON]).common()? })
    }
}

/// Properties as they were written, by name.
pub type Properties = BTreeMap<String, String>;

#[cfg(test)]
mod tests;
