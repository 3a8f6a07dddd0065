//! What a topic can be asked for: the table of its configuration keys, and the values as the log obeys them.
//!
//! Owns names, defaults, ranges and the way from text to values. A value is looked for with the topic, then under the broker's keys in
//! the order of the key's synonyms, then it is the default (KIP-226). Knows neither where values are kept nor who may change them.

mod resolve;
mod table;

#[cfg(test)]
mod tests;

use std::time::Duration;

use dohle_records::batch::Budget;
use dohle_records::{Compression, TimestampType};

pub use resolve::{Resolved, Source, check, resolve};
pub use table::TOPIC_KEYS;

/// When an acknowledgement leaves that waits for nothing but this log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When the batch is on the disk: a power cut loses nothing that was acknowledged.
    #[default]
    Synced,
    /// When the operating system has it: a power cut may lose it.
    Relaxed,
}

/// What `cleanup.policy` asks for; nothing means that all is kept (KIP-1161).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanup {
    /// Old segments go.
    pub delete: bool,
    /// Of each key the last record stays.
    pub compact: bool,
}

/// A topic's values, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// `segment.bytes`: a segment is closed when it would grow past this.
    pub segment_bytes: u64,
    /// `segment.ms`
    pub segment_ms: i64,
    /// `segment.jitter.ms`
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`
    pub index_bytes_max: u64,
    /// `index.interval.bytes`
    pub index_interval_bytes: u64,
    /// `preallocate`
    pub preallocate: bool,
    /// `flush.messages`: obeyed where acknowledgements do not wait for the disk anyway.
    pub flush_messages: u64,
    /// `flush.ms`
    pub flush_ms: i64,
    /// `durability`
    pub durability: Durability,
    /// `cleanup.policy`
    pub cleanup: Cleanup,
    /// `retention.bytes`; none for no bound.
    pub retention_bytes: Option<u64>,
    /// `retention.ms`; none for ever.
    pub retention_ms: Option<i64>,
    /// `file.delete.delay.ms`
    pub file_delete_delay: Duration,
    /// `delete.retention.ms`
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`
    pub compaction_lag_min_ms: i64,
    /// `max.compaction.lag.ms`
    pub compaction_lag_max_ms: i64,
    /// `min.cleanable.dirty.ratio`
    pub dirty_ratio_min: f64,
    /// `max.message.bytes`: the largest batch.
    pub batch_bytes_max: usize,
    /// What a batch may unpack to, where it has to be; its records as `max.decompressed.message.bytes` says.
    pub budget: Budget,
    /// `compression.type` with its level; none where the producer's choice stays.
    pub compression: Option<Compression>,
    /// `message.timestamp.type`
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`
    pub timestamp_after_max_ms: i64,
    /// `min.insync.replicas`
    pub in_sync_min: usize,
    /// `unclean.leader.election.enable`
    pub unclean_election: bool,
    /// The broker's `producer.id.expiration.ms`
    pub producer_expiration: Duration,
}

impl Default for Options {
    /// What a topic gets when nobody asks for anything.
    fn default() -> Self {
        let nothing = |_: &str| None;
        Self::resolve(&nothing, &nothing).expect("every default is a value that its key accepts")
    }
}
