//! What is to be run.

use std::time::Duration;

use crate::template::Shape;

/// A run: producers, consumers or both over the same topics.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The name that the report bears.
    pub command: &'static str,
    /// Brokers to ask first for the others, as `host:port`.
    pub bootstrap: Vec<String>,
    /// The topics, which are there. Their names are of one length, unless the brokers know topics by their ids.
    pub topics: Vec<String>,
    /// Loops, each on a thread of its own.
    pub threads: usize,
    /// What precedes the measured window.
    pub warm_up: Duration,
    /// The measured window.
    pub length: Duration,
    /// The process whose time and memory are told.
    pub pid: Option<u32>,
    /// Ask for events without ever sleeping: a core is busy, and no wake-up of the generator is measured.
    pub spin: bool,
    /// What is produced.
    pub produce: Option<Produce>,
    /// What is consumed.
    pub consume: Option<Consume>,
    /// Connections beside these, which are greeted and then do nothing.
    pub idle: usize,
}

/// What is produced.
#[derive(Clone, Debug)]
pub struct Produce {
    /// Records a second of all connections together; without it as fast as answers come.
    pub rate: Option<u64>,
    /// Producers, each with a connection to one broker.
    pub connections: usize,
    /// Requests of one connection that may wait for their answers.
    pub in_flight: usize,
    /// 0, 1, or -1 for all.
    pub acks: i16,
    /// With an id and sequence numbers.
    pub idempotent: bool,
    /// Batches of one request, each for a partition of the same topic.
    pub batches_per_request: usize,
    /// What a batch is like.
    pub shape: Shape,
    /// Whether records carry the time at which their request was meant to start, for consumers of the same run.
    pub stamped: bool,
}

/// Where consumers begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At the first record that is there.
    Earliest,
    /// Behind the last.
    Latest,
}

/// What is consumed.
#[derive(Clone, Debug)]
pub struct Consume {
    /// Consumers, each of which reads all partitions.
    pub consumers: usize,
    /// Where they begin.
    pub from: From,
    /// The run ends when all have read what was there when they began, and is measured from its begin.
    pub until_end: bool,
    /// The most of an answer.
    pub max_bytes: i32,
    /// The most of a partition in an answer.
    pub partition_max_bytes: i32,
    /// What is worth an answer.
    pub min_bytes: i32,
    /// How long the broker may wait for that.
    pub max_wait: Duration,
    /// Whether checksums are verified.
    pub check: bool,
}

/// A group that gathers, loses one member by its word and one without.
#[derive(Clone, Debug)]
pub struct Group {
    /// Brokers to ask first for the others, as `host:port`.
    pub bootstrap: Vec<String>,
    /// The topic that it reads, which is there.
    pub topic: String,
    /// Its id.
    pub group: String,
    /// How many members it has at first; at least 3.
    pub members: usize,
    /// A member that is not heard for so long is dead.
    pub session_timeout: Duration,
    /// How often members say that they are there.
    pub heartbeat: Duration,
    /// The process whose time and memory are told.
    pub pid: Option<u32>,
}

/// Clients that a broker should not let others feel.
#[derive(Clone, Debug)]
pub struct Disturb {
    /// Brokers to ask first for the others, as `host:port`.
    pub bootstrap: Vec<String>,
    /// The topics that are read, which are there.
    pub topics: Vec<String>,
    /// Consumers that take their answers slowly, each from the first record on.
    pub slow: usize,
    /// Bytes a second that each of them takes.
    pub slow_rate: u64,
    /// Consumers that ask, and take nothing.
    pub stalled: usize,
    /// Connections a second that are made and given up.
    pub storm: u32,
    /// How long.
    pub length: Duration,
}
