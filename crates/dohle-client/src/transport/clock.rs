//! The clocks, as the core wants them.

use std::time::{SystemTime, UNIX_EPOCH};

use dohle_base::{Instant, Rng, Timestamp};

/// Monotonic time since the client began, and the wall clock's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: std::time::Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: std::time::Instant::now() }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant(self.start.elapsed().as_nanos() as u64)
    }

    /// When `at` comes, as the runtime's timers want it.
    pub(crate) fn timer(&self, at: Instant) -> tokio::time::Instant {
        // A moment beyond the timer's range is as good as never.
        let wait = std::time::Duration::from_nanos(at.0.min(i64::MAX as u64 / 4));
        (self.start + wait).into()
    }

    pub(crate) fn wall() -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(since.as_millis() as i64)
    }

    /// Chance for waits and choices; not for secrets.
    pub(crate) fn rng(&self) -> Rng {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Rng::new(since.as_nanos() as u64 ^ u64::from(std::process::id()) << 32)
    }
}
