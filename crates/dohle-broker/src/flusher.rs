//! The one thread of a disk that makes its logs durable.
//!
//! Owns the group commit: all partitions that were written to while the disk was busy are confirmed in its next round, and whether the files
//! of a round are synced one by one or as a whole.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use dohle_log::disk::Files;
use dohle_log::log::Flush;

use crate::clock::Clock;
use crate::lock::hold;
use crate::partition::Partition;
use crate::vital;
use crate::volume::Volume;

/// Partitions that wait for their disk.
#[derive(Default)]
pub(crate) struct Flusher {
    queue: Mutex<Queue>,
    filled: Condvar,
}

#[derive(Default)]
struct Queue {
    dirty: Vec<Arc<Partition>>,
    closed: bool,
}

impl Flusher {
    /// Puts a partition into the next round.
    pub(crate) fn ask(&self, partition: Arc<Partition>) {
        hold(&self.queue).dirty.push(partition);
        self.filled.notify_one();
    }

    /// Lets the thread end when all that asked so far is durable.
    pub(crate) fn close(&self) {
        hold(&self.queue).closed = true;
        self.filled.notify_one();
    }

    /// Waits until somebody asks; none when the broker stops.
    fn next(&self) -> Option<Vec<Arc<Partition>>> {
        let waiting = |queue: &mut Queue| queue.dirty.is_empty() && !queue.closed;
        let woken = self.filled.wait_while(hold(&self.queue), waiting);
        let dirty = std::mem::take(&mut woken.unwrap_or_else(PoisonError::into_inner).dirty);
        if dirty.is_empty() { None } else { Some(dirty) }
    }
}

impl Volume {
    /// Starts the thread that makes partitions durable; it ends after [`Flusher::close`].
    pub(crate) fn start_flusher(self: &Arc<Self>, clock: Clock) -> std::io::Result<JoinHandle<()>> {
        let volume = Arc::clone(self);
        vital::spawn("flusher", move || {
            let mut costs = Costs::default();
            while let Some(dirty) = volume.flusher.next() {
                volume.flush(dirty, clock, &mut costs);
            }
        })
    }

    /// One round.
    fn flush(&self, dirty: Vec<Arc<Partition>>, clock: Clock, costs: &mut Costs) {
        let begun = dirty.into_iter().filter_map(|partition| Some((partition.begin_flush(self)?, partition)));
        let (flushes, partitions): (Vec<Flush<Files>>, Vec<_>) = begun.unzip();
        let files = flushes.iter().map(Flush::files).sum();
        let (way, begun) = (costs.choose(files), clock.instant());
        match way {
            Way::OneByOne => {
                for (partition, flush) in partitions.iter().zip(flushes) {
                    partition.end_flush(flush.run(), clock.now());
                }
            }
            Way::Together => {
                let flushed = Flush::run_together(flushes, &self.directory);
                let now = clock.now();
                partitions.iter().zip(flushed).for_each(|(partition, flushed)| partition.end_flush(flushed, now));
            }
        }
        costs.note(way, files, clock.instant() - begun);
    }
}

/// How the files of a round are synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    OneByOne,
    /// With one sync of the whole file system. It costs little more than one file does, and far less than ten, unless others have much unwritten on
    /// the same file system: then their writing is waited for as well.
    Together,
}

/// What the two ways have cost lately.
#[derive(Debug)]
struct Costs {
    file: Duration,
    whole: Duration,
    /// What the rounds since the whole was last tried have cost together.
    since: Duration,
}

impl Costs {
    /// Fewer files are synced one by one.
    const FILES_MIN: usize = 4;
    /// The whole, where it was dearer, is tried again when the disk has been busy for so many times as long.
    const TRY_AGAIN: u32 = 50;
    /// What is new counts for this part.
    const WEIGHT: u32 = 8;

    fn choose(&self, files: usize) -> Way {
        if files < Self::FILES_MIN {
            return Way::OneByOne;
        }
        let one_by_one = self.file.saturating_mul(u32::try_from(files).unwrap_or(u32::MAX));
        if self.whole <= one_by_one || self.since >= self.whole * Self::TRY_AGAIN {
            Way::Together
        } else {
            Way::OneByOne
        }
    }

    fn note(&mut self, way: Way, files: usize, took: Duration) {
        let (known, new) = match way {
            Way::OneByOne => {
                self.since += took;
                (&mut self.file, took / u32::try_from(files).unwrap_or(u32::MAX).max(1))
            }
            Way::Together => {
                self.since = Duration::ZERO;
                (&mut self.whole, took)
            }
        };
        *known = (*known * (Self::WEIGHT - 1) + new) / Self::WEIGHT;
    }
}

impl Default for Costs {
    fn default() -> Self {
        Self { file: Duration::from_micros(250), whole: Duration::ZERO, since: Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_files_are_synced_together_as_long_as_that_is_cheaper() {
        let mut costs = Costs::default();
        assert_eq!(costs.choose(Costs::FILES_MIN - 1), Way::OneByOne);
        for _ in 0..50 {
            assert_eq!(costs.choose(100), Way::Together);
            costs.note(Way::Together, 100, Duration::from_millis(10));
        }
        costs.note(Way::Together, 100, Duration::from_secs(10));
        let mut busy = Duration::ZERO;
        while costs.choose(100) == Way::OneByOne {
            busy += Duration::from_millis(25);
            costs.note(Way::OneByOne, 100, Duration::from_millis(25));
        }
        assert!(busy > Duration::from_secs(50), "{busy:?}: somebody writes much on the same disk, and may do so still");
        for _ in 0..100 {
            costs.note(Way::Together, 100, Duration::from_millis(10));
        }
        assert_eq!(costs.choose(100), Way::Together);
    }
}
