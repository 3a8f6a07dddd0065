//! Producer, consumer and admin for Rust, over Kafka's protocol.
//!
//! Does not know the broker: it works against any. The decisions are in [`core`], without sockets, clocks or futures;
//! the rest performs them within a tokio runtime.

pub mod admin;
pub mod config;
pub mod consumer;
pub mod core;
pub mod producer;

mod list_offsets;
mod offsets;
mod record;
mod transport;

pub use admin::Admin;
pub use config::{AdminConfig, ConfigError, ConsumerConfig, ProducerConfig};
pub use consumer::Consumer;
pub use list_offsets::{Found, OffsetSpec};
pub use producer::Producer;
pub use record::{Consumed, Record};
pub use transport::{AskError, CallError, ConnectError, Unreachable};
