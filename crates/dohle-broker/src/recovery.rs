//! What the opening of logs finds, and how far it has come: a line each second while it lasts, and cells for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use dohle_base::Offset;
use dohle_base::metric::Counter;
use dohle_log::directory::PartitionName;
use dohle_log::log::{Progress, Recovered};

/// All that was opened since the start.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    pub(crate) progress: Progress,
    logs_left: AtomicU64,
    /// Logs whose tail was no batch and was cut.
    pub(crate) torn: Counter,
    /// Batches that were in a journal alone.
    pub(crate) restored: Counter,
    /// Segments that were put aside because nobody can say that they belong to their log.
    pub(crate) quarantined: Counter,
    /// Records that clients had been shown and that are not there.
    pub(crate) missing: Counter,
}

impl Recovery {
    /// So many logs are to be opened.
    pub(crate) fn begin(&self, logs: usize) {
        self.logs_left.fetch_add(logs as u64, Ordering::Relaxed);
    }

    /// One of them is, or cannot be.
    pub(crate) fn end_one(&self) {
        self.logs_left.fetch_sub(1, Ordering::Relaxed);
    }

    /// Logs that are still to be opened (Kafka's `remainingLogsToRecover`).
    pub(crate) fn logs_left(&self) -> u64 {
        self.logs_left.load(Ordering::Relaxed)
    }

    /// Says how far it has come: whoever waits for a start wants to know why, at the level that is shown by default.
    pub(crate) fn tell(&self) {
        let progress = &self.progress;
        tracing::warn!(
            logs_left = self.logs_left(),
            segments_left = progress.segments_left(),
            bytes_left = progress.bytes_left(),
            bytes_read = progress.bytes_read(),
            "opening logs"
        );
    }

    /// Notes what had to be done to a log.
    pub(crate) fn note(&self, name: &PartitionName, recovered: &Recovered) {
        self.torn.add(u64::from(recovered.torn.is_some()));
        self.quarantined.add(recovered.quarantined as u64);
        if recovered.torn.is_some() || recovered.quarantined > 0 {
            tracing::warn!(partition = %name, ?recovered, "log recovered");
        }
    }

    /// Notes what a log was given back from a journal.
    pub(crate) fn note_restored(&self, name: &PartitionName, batches: u64) {
        self.restored.add(batches);
        if batches > 0 {
            tracing::warn!(partition = %name, batches, "given back from the journal");
        }
    }

    /// Says what clients had been shown, up to `shown`, and is not in a log that ends at `end`: what a power cut takes of a topic whose
    /// acknowledgements do not wait for the disk, and what a disk takes that lies. There may be more, of the last seconds.
    pub(crate) fn miss(&self, name: &PartitionName, end: Offset, shown: Offset) {
        if shown > end {
            let records = shown.since(end);
            self.missing.add(records);
            tracing::error!(partition = %name, records, from = end.0, upto = shown.0, "acknowledged records are lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use dohle_base::{Partition, TopicName};

    use super::*;

    #[test]
    fn what_was_shown_and_is_not_there_is_counted() {
        let recovery = Recovery::default();
        let name = PartitionName { topic: TopicName::parse("t").unwrap(), partition: Partition(0) };
        recovery.miss(&name, Offset(10), Offset(10));
        recovery.miss(&name, Offset(10), Offset(7));
        assert_eq!(recovery.missing.get(), 0, "a high watermark that was written late is no loss");
        recovery.miss(&name, Offset(10), Offset(25));
        assert_eq!(recovery.missing.get(), 15);
    }
}
