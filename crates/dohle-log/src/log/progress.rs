//! How far the opening of logs has come, told while it goes on: for a line in the log and a metric.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is left to be read of the logs that are being opened. Shared by all threads that open some; exact when none does.
#[derive(Debug, Default)]
pub struct Progress {
    segments_left: AtomicU64,
    bytes_left: AtomicU64,
    bytes_read: AtomicU64,
}

impl Progress {
    /// Segments that are still to be read whole (Kafka's `remainingSegmentsToRecover`).
    pub fn segments_left(&self) -> u64 {
        self.segments_left.load(Ordering::Relaxed)
    }

    /// Bytes of batches that are still to be read.
    pub fn bytes_left(&self) -> u64 {
        self.bytes_left.load(Ordering::Relaxed)
    }

    /// Bytes of batches that were read and checked so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    pub(super) fn found(&self, segments: u64, bytes: u64) {
        self.segments_left.fetch_add(segments, Ordering::Relaxed);
        self.bytes_left.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn read(&self, bytes: u64) {
        self.bytes_left.fetch_sub(bytes, Ordering::Relaxed);
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A segment is done with, of which `bytes` were not read.
    pub(super) fn passed(&self, bytes: u64) {
        self.segments_left.fetch_sub(1, Ordering::Relaxed);
        self.bytes_left.fetch_sub(bytes, Ordering::Relaxed);
    }
}
