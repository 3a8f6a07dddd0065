//! Cells of one API.

use std::time::Duration;

use dohle_base::ErrorCode;
use dohle_base::metric::{Counter, Histogram};

/// Requests, what became of them, and how long they took.
#[derive(Debug)]
pub(crate) struct ApiCells {
    /// From the first look at a request to its answer, in microseconds.
    pub(crate) time_us: Histogram,
    outcomes: Box<[Counter]>,
}

impl Default for ApiCells {
    fn default() -> Self {
        Self { time_us: Histogram::default(), outcomes: ErrorCode::ALL.iter().map(|_| Counter::default()).collect() }
    }
}

impl ApiCells {
    /// Counts an error or, under [`ErrorCode::None`], a success: a request may have many of either.
    pub(crate) fn count(&self, outcome: ErrorCode) {
        // The first code is -1.
        self.outcomes[(outcome.code() + 1) as usize].add(1);
    }

    /// A request took this long.
    pub(crate) fn took(&self, time: Duration) {
        self.time_us.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// Outcomes that were seen, and how often.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (ErrorCode, u64)> {
        let counts = ErrorCode::ALL.iter().zip(&self.outcomes).map(|(code, count)| (*code, count.get()));
        counts.filter(|(_, count)| *count > 0)
    }
}
