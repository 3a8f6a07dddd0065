//! What is counted of compaction and scrubbing.

use dohle_base::metric::{Counter, Gauge};

/// Cells of the cleaner.
#[derive(Debug, Default)]
pub(crate) struct CleanerCells {
    pub(crate) passes: Counter,
    pub(crate) bytes_read: Counter,
    pub(crate) bytes_removed: Counter,
    pub(crate) records_removed: Counter,
    /// Threads that died.
    pub(crate) deaths: Counter,
    /// Partitions that cannot be compacted.
    pub(crate) uncleanable: Gauge,
    /// How much of the dirtiest log is dirty, in percent.
    pub(crate) dirtiest_percent: Gauge,
}

/// Cells of the scrubber.
#[derive(Debug, Default)]
pub(crate) struct ScrubCells {
    pub(crate) bytes: Counter,
    pub(crate) rounds: Counter,
    /// Places that were found damaged.
    pub(crate) damaged: Counter,
    /// Threads that died.
    pub(crate) deaths: Counter,
}
