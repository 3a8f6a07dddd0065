//! Compaction, on threads of its own: of the logs that are led here and want it, the dirtiest first.
//!
//! Owns the threads and who does what; which log is next and what stays of it, `dohle-log` knows. A pass reads and writes outside of the
//! partition's lock, and takes it for the swap of names only.
//! Laws: no two threads on one log; a log that cannot be compacted is told of once and left alone until the next start; a thread that dies is told of and
//! followed by another.

pub(crate) mod cells;
pub(crate) mod rate;

mod desk;
mod pass;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use dohle_log::compact::{CompactError, KeyMap};

use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::config::settings;
use crate::partition::Partition;
use crate::removals::Removals;

use cells::CleanerCells;
use desk::Work;
use rate::Rate;

pub(crate) use desk::Desk;

/// What all threads share.
pub(crate) struct Cleaner {
    pub(crate) clock: Clock,
    pub(crate) settings: settings::Cleaner,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) removals: Arc<Removals>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) cells: Arc<CleanerCells>,
    pub(crate) rate: Rate,
}

impl Cleaner {
    /// Starts the threads; they end after [`Desk::close`].
    pub(crate) fn start(self) -> std::io::Result<Vec<JoinHandle<()>>> {
        let threads = if self.settings.enabled { self.settings.threads } else { 0 };
        let cleaner = Arc::new(self);
        (0..threads).map(|number| Self::start_one(&cleaner, number)).collect()
    }

    fn start_one(cleaner: &Arc<Self>, number: usize) -> std::io::Result<JoinHandle<()>> {
        let cleaner = Arc::clone(cleaner);
        std::thread::Builder::new().name(format!("cleaner-{number}")).spawn(move || {
            while catch_unwind(AssertUnwindSafe(|| cleaner.work(number))).is_err() {
                cleaner.cells.deaths.add(1);
                // Whatever killed it lies in the log that it was at: the others are to be compacted nevertheless.
                let left = cleaner.give_up(number);
                tracing::error!(thread = number, partition = ?left, "a cleaner thread died, another takes its place");
                if !cleaner.desk.wait(cleaner.settings.backoff) {
                    return;
                }
            }
        })
    }

    fn work(&self, number: usize) {
        let mut keys = KeyMap::new(self.settings.keys_bytes / self.settings.threads as u64, self.settings.load_percent);
        while !self.desk.is_closed() {
            match self.next(number) {
                Some(work) => self.compact(number, work, &mut keys),
                None if self.desk.wait(self.settings.backoff) => {}
                None => return,
            }
        }
    }

    fn compact(&self, number: usize, work: Work, keys: &mut KeyMap) {
        let partition = Arc::clone(&work.partition);
        let outcome = self.pass(work, keys);
        keys.release();
        match outcome {
            Ok(()) => self.desk.put_back(number),
            Err(error) => self.failed(number, &partition, &error),
        }
    }

    fn failed(&self, number: usize, partition: &Partition, error: &CompactError) {
        match error {
            CompactError::Stopped | CompactError::Moved => {
                self.desk.put_back(number);
                // The log is as dirty as before: it has to be looked at again, but not at once.
                self.desk.wait(self.settings.backoff);
            }
            CompactError::Storage(failure) if failure.is_for_room() => {
                tracing::warn!(?partition, "not compacted, the disk is full: {failure}");
                self.desk.put_back(number);
                self.desk.wait(self.settings.backoff);
            }
            CompactError::Storage(failure) => {
                partition.volume().fail(failure);
                self.give_up(number);
            }
            CompactError::Damaged { .. } | CompactError::Malformed { .. } | CompactError::TooLarge { .. } => {
                self.give_up(number);
                tracing::error!(?partition, "not compacted any more until the next start: {error}");
            }
        }
    }

    /// The thread's log is left alone from now on; says which.
    fn give_up(&self, number: usize) -> Option<desk::Id> {
        let left = self.desk.give_up(number);
        self.cells.uncleanable.set(self.desk.given_up() as i64);
        left
    }
}
