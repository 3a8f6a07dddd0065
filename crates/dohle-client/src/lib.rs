//! Producer, consumer and admin for Rust, over Kafka's protocol.
//!
//! Does not know the broker: it works against any.

pub mod core;
