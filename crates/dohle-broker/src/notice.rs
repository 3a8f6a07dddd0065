//! Log lines that a stranger can provoke: one a second of each kind, with the number of those left out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dohle_base::Instant;

const PAUSE: Duration = Duration::from_secs(1);

/// One kind of line.
#[derive(Debug, Default)]
pub(crate) struct Notice {
    /// Nanoseconds of the clock before which the next line stays unwritten.
    quiet_until: AtomicU64,
    left_out: AtomicU64,
}

impl Notice {
    /// Whether the line may be written now, and how many were left out since the last one.
    pub(crate) fn admit(&self, now: Instant) -> Option<u64> {
        let open = |until: u64| (until <= now.0).then_some((now + PAUSE).0);
        if self.quiet_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, open).is_ok() {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_kind_is_one_line_a_second() {
        let notice = Notice::default();
        assert_eq!(notice.admit(Instant(5)), Some(0));
        assert_eq!(notice.admit(Instant(6)), None);
        assert_eq!(notice.admit(Instant(7)), None);
        assert_eq!(notice.admit(Instant(5) + PAUSE), Some(2));
    }
}
