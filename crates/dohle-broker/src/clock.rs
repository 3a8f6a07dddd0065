//! The only place where the broker reads a clock; everything below is handed the moment.

use std::time::{SystemTime, UNIX_EPOCH};

use dohle_base::{Instant, Now, Timestamp};

/// Both clocks, the monotonic one counted from the start of the broker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    /// Starts counting.
    pub(crate) fn start() -> Self {
        Self { origin: std::time::Instant::now() }
    }

    /// The moment on the monotonic clock.
    pub(crate) fn instant(&self) -> Instant {
        Instant(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// The moment on the wall clock; a clock before 1970 reads as 1970.
    pub(crate) fn wall(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// The moment on both.
    pub(crate) fn now(&self) -> Now {
        Now { instant: self.instant(), wall: self.wall() }
    }

    /// The same moment as the runtime's timers count it.
    pub(crate) fn timer(&self, moment: Instant) -> tokio::time::Instant {
        const FAR: std::time::Duration = std::time::Duration::from_secs(365 * 24 * 3_600);
        let from_start = std::time::Duration::from_nanos(moment.0).min(self.origin.elapsed() + FAR);
        tokio::time::Instant::from_std(self.origin + from_start)
    }
}
