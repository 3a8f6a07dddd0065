//! A disk of the broker: a directory of logs, and the one thread that makes them durable.
//!
//! Owns the group commit: all partitions that were written to while the disk was busy are confirmed in its next round. A disk that
//! failed once is not relied on again.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use dohle_base::Uuid;

use crate::clock::Clock;
use crate::lock::hold;
use crate::partition::Partition;

/// A directory of logs.
pub(crate) struct Volume {
    pub(crate) dir: PathBuf,
    /// What the cluster knows it by.
    pub(crate) id: Uuid,
    pub(crate) flusher: Flusher,
    offline: AtomicBool,
}

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

impl Volume {
    /// A directory whose logs are about to be opened.
    pub(crate) fn new(dir: PathBuf, id: Uuid) -> Arc<Self> {
        Arc::new(Self { dir, id, flusher: Flusher::default(), offline: AtomicBool::new(false) })
    }

    /// Whether the disk has failed.
    pub(crate) fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Acquire)
    }

    /// Takes the whole disk out of service: what it has of the last writes, nobody knows.
    pub(crate) fn fail(&self, error: &dyn std::error::Error) {
        if !self.offline.swap(true, Ordering::AcqRel) {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            tracing::error!(dir = %self.dir.display(), cause, "disk failed, nothing more is written to it: {error}");
        }
    }

    /// Starts the thread that makes partitions durable; it ends after [`Flusher::close`].
    pub(crate) fn start_flusher(self: &Arc<Self>, clock: Clock) -> std::io::Result<JoinHandle<()>> {
        let volume = Arc::clone(self);
        std::thread::Builder::new().name("flusher".to_owned()).spawn(move || {
            while let Some(dirty) = volume.flusher.next() {
                for partition in dirty {
                    partition.flush(|| clock.now());
                }
            }
        })
    }
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
