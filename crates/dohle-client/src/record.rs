//! Records as callers give and get them.

use bytes::Bytes;
use dohle_base::{LeaderEpoch, Offset, Partition, Timestamp, TopicName};
use dohle_records::Headers;

/// A record to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where to.
    pub topic: TopicName,
    /// Which partition of it; when none, the key decides, and without a key the producer does.
    pub partition: Option<Partition>,
    /// Records of one key stay in order.
    pub key: Option<Bytes>,
    /// What is said; nothing marks a deletion in a compacted topic.
    pub value: Option<Bytes>,
    /// Names and values, in order.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// When it happened; now when nobody says.
    pub timestamp: Option<Timestamp>,
}

impl Record {
    /// A value for a topic.
    pub fn new(topic: TopicName, value: impl Into<Bytes>) -> Self {
        Self { topic, partition: None, key: None, value: Some(value.into()), headers: vec![], timestamp: None }
    }

    /// The same with a key.
    #[must_use]
    pub fn with_key(self, key: impl Into<Bytes>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    /// The same at a time.
    #[must_use]
    pub fn with_timestamp(self, timestamp: Timestamp) -> Self {
        Self { timestamp: Some(timestamp), ..self }
    }
}

/// A record that was read. Its parts are slices of the answer that it came in: copy what is to be kept long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumed {
    /// Where it was.
    pub topic: TopicName,
    /// The partition.
    pub partition: Partition,
    /// Its place there.
    pub offset: Offset,
    /// The reign in which it was written.
    pub leader_epoch: LeaderEpoch,
    /// When it happened, or was written: as the topic wants.
    pub timestamp: Timestamp,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its headers.
    pub headers: Headers,
}
