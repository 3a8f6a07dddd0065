//! The nouns that every other room speaks in: ids, offsets, epochs, sizes, time values, Kafka's error
//! codes, a seeded generator of random numbers, configuration keys and metric cells.
//!
//! Knows no IO, no clock and nothing above it: values in, values out.

pub mod config;
pub mod metric;
pub mod size;

mod code;
mod epoch;
mod id;
mod offset;
mod rng;
mod time;

pub use code::ErrorCode;
pub use epoch::{LeaderEpoch, ProducerEpoch};
pub use id::{BrokerId, InvalidTopicName, InvalidUuid, Partition, ProducerId, Token, TopicId, TopicName, Uuid};
pub use offset::Offset;
pub use rng::Rng;
pub use time::{Instant, InvalidDuration, Now, Timestamp, parse_duration};
