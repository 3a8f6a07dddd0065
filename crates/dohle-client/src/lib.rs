//! Producer, consumer and admin for Rust, over Kafka's protocol.
//!
//! Does not know the broker: it works against any. The decisions are in [`core`], without sockets, clocks or futures;
//! the rest performs them within a tokio runtime.

pub mod config;
pub mod core;
pub mod producer;

mod record;
mod transport;

pub use config::{AdminConfig, ConfigError, ConsumerConfig, ProducerConfig};
pub use producer::Producer;
pub use record::{Consumed, Record};
pub use transport::{AskError, CallError, ConnectError, Unreachable};
