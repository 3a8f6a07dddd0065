//! The loops: sockets, the clock and one thread each, around the pure parts.

mod consumer;
mod course;
mod disturb;
mod engine;
mod group;
mod minutes;
mod open;
mod producer;
mod relay;
mod watch;

use std::time::Instant;

use dohle_base::Timestamp;

pub use disturb::disturb;
pub use group::{require_consumer_protocol, run_group};
pub use watch::{News, run};

/// The run's time: nanoseconds since it began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// The wall's time, for the timestamps of records.
fn wall() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_millis() as i64)
}
