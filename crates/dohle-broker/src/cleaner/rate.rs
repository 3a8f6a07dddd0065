//! A rate of bytes that several threads keep together.

use std::sync::Mutex;
use std::time::Duration;

use dohle_base::Instant;

use crate::lock::hold;

/// Nobody is sent to sleep for less.
const SLEEP_MIN: Duration = Duration::from_millis(20);

/// So many bytes in a second.
pub(crate) struct Rate {
    bytes_per_second: f64,
    /// When all that was moved so far has had its time.
    paid: Mutex<Instant>,
}

impl Rate {
    pub(crate) fn new(bytes_per_second: f64) -> Self {
        Self { bytes_per_second, paid: Mutex::new(Instant::ZERO) }
    }

    /// Counts bytes that were moved; how long to rest for it.
    pub(crate) fn pay(&self, now: Instant, bytes: u64) -> Duration {
        let cost = Duration::try_from_secs_f64(bytes as f64 / self.bytes_per_second).unwrap_or(Duration::MAX);
        let mut paid = hold(&self.paid);
        *paid = (*paid).max(now) + cost;
        let rest = paid.saturating_since(now);
        if rest < SLEEP_MIN { Duration::ZERO } else { rest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_moves_more_than_the_rate_rests_for_it() {
        let rate = Rate::new(1_000.0);
        let at = |ms: u64| Instant(ms * 1_000_000);
        assert_eq!(rate.pay(at(0), 10), Duration::ZERO, "too little to rest for");
        assert_eq!(rate.pay(at(0), 90), Duration::from_millis(100), "but not forgotten");
        assert_eq!(rate.pay(at(50), 50), Duration::from_millis(100));
        assert_eq!(rate.pay(at(10_000), 100), Duration::from_millis(100), "what was not used is not saved");
        assert_eq!(Rate::new(f64::MAX).pay(at(0), u64::MAX), Duration::ZERO);
        assert!(Rate::new(0.0).pay(at(0), 1) > Duration::from_secs(1 << 20), "a rate of nothing moves nothing");
    }
}
