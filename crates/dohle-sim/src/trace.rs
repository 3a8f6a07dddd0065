//! What happened, as a number to compare runs by and as the last lines to read when something went wrong.

use std::collections::VecDeque;

use dohle_base::Instant;

/// How many of the last events are kept to be read.
const LINES_MAX: usize = 200;

/// The trace of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    hash: u64,
    events: u64,
    lines: VecDeque<String>,
}

impl Trace {
    /// Notes what happens.
    pub(crate) fn note(&mut self, at: Instant, what: String) {
        self.events += 1;
        // FNV-1a: the hash need not be good, only the same for the same run.
        for byte in at.0.to_le_bytes().iter().chain(what.as_bytes()) {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{:>12.6} {what}", at.0 as f64 / 1e9));
    }

    /// Equal for equal runs.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// How many events there were.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// The last events.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}
