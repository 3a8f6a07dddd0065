//! The threads of a disk that make its logs durable.
//!
//! Owns the group commit: all partitions that were written to while the disk was busy are confirmed in its next round. A few are synced as they
//! are. Of many the batches go into the journal, which is one write, and their own files are written back by a second thread when the journal's
//! file is full or some seconds old; what no acknowledgement waits for goes there as well.
//!
//! Laws: the flusher alone writes the journal. What was journaled before a file was turned is in the flushes that begin after it; the file is given up when
//! those of the thread that writes back have ended, and those that others had begun before ([`Volume::syncing`]), and none has failed.

mod costs;
mod rounds;

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use dohle_base::{ErrorCode, Instant};
use dohle_log::disk::{Disk, Files};
use dohle_log::journal::{Ready, Written};
use dohle_log::log::Flush;

use self::costs::{Costs, Way};
use self::rounds::Rounds;
use crate::clock::Clock;
use crate::lock::{hold, hold_over_disk, read_over_disk, write_over_disk};
use crate::partition::Partition;
use crate::vital;
use crate::volume::Volume;

/// Files that have so much to be written back, one with another, are synced one by one.
const ALONE_BYTES_MIN: u64 = 64 << 10;

/// A journal is at most this part of its disk.
const JOURNAL_MOST_PART: u64 = 32;

/// Partitions that wait for their disk.
#[derive(Default)]
pub(crate) struct Flusher {
    queue: Mutex<Queue>,
    filled: Condvar,
}

#[derive(Default)]
struct Queue {
    dirty: Vec<Arc<Partition>>,
    /// Whether the flusher sleeps, and nobody has woken it yet. A call to the system for everyone who asks while it works would wake nobody.
    sleeps: bool,
    /// Whether a lot was written back since the last round.
    nudged: bool,
    closed: bool,
}

/// Partitions whose own files are to be written, and the file of the journal that is not needed then.
struct Lot {
    partitions: Vec<Arc<Partition>>,
    written: Option<Written<Files>>,
}

/// A lot that was written back. Where the disk or a log has failed, what was journaled stays where it is.
struct Done {
    free: Option<Ready<<Files as Disk>::File>>,
}

impl Flusher {
    /// Puts a partition into the next round.
    pub(crate) fn ask(&self, partition: Arc<Partition>) {
        self.tell(|queue| queue.dirty.push(partition));
    }

    /// Lets the threads end when all that asked so far is durable.
    pub(crate) fn close(&self) {
        self.tell(|queue| queue.closed = true);
    }

    /// Begins a round although nobody asks.
    fn nudge(&self) {
        self.tell(|queue| queue.nudged = true);
    }

    fn tell(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = hold(&self.queue);
        change(&mut queue);
        // With the lock, because whoever is held up between the two would hold up all who ask after him.
        if std::mem::take(&mut queue.sleeps) {
            self.filled.notify_one();
        }
    }

    /// Waits until somebody asks, or until `due`; none when the broker stops.
    fn next(&self, clock: Clock, due: Option<Instant>) -> Option<Vec<Arc<Partition>>> {
        let mut queue = hold(&self.queue);
        while queue.dirty.is_empty() && !queue.closed && !std::mem::take(&mut queue.nudged) {
            queue.sleeps = true;
            let Some(due) = due else {
                queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = due - clock.instant();
            if left.is_zero() {
                break;
            }
            queue = self.filled.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.sleeps = false;
        let dirty = std::mem::take(&mut queue.dirty);
        if dirty.is_empty() && queue.closed { None } else { Some(dirty) }
    }
}

/// Starts the threads of a disk, whose journal takes `journal_bytes` or what the disk is large enough for; they end after [`Flusher::close`].
pub(crate) fn start(volume: &Arc<Volume>, clock: Clock, journal_bytes: u64) -> io::Result<[JoinHandle<()>; 2]> {
    let (lots, asked) = mpsc::channel();
    let (done, released) = mpsc::channel();
    let back = Arc::clone(volume);
    let writes_back = vital::spawn("write-back", move || write_back(&back, clock, &asked, &done))?;
    let most = volume.space().map_or(u64::MAX, |space| space.total / JOURNAL_MOST_PART);
    let mut rounds = Rounds::new(Arc::clone(volume), clock, journal_bytes.min(most), lots, released);
    let flusher = vital::spawn("flusher", move || rounds.run())?;
    Ok([flusher, writes_back])
}

/// Writes back until nobody can ask any more.
fn write_back(volume: &Volume, clock: Clock, asked: &Receiver<Lot>, done: &Sender<Done>) {
    while let Ok(lot) = asked.recv() {
        // Where the flusher has ended, the broker stops and makes everything durable itself.
        let _ = done.send(lot.write_back(volume, clock));
        volume.flusher.nudge();
    }
}

impl Lot {
    /// Makes all partitions durable in their own files, and gives the file of the journal back.
    fn write_back(self, volume: &Volume, clock: Clock) -> Done {
        {
            let _syncing = read_over_disk(&volume.syncing);
            let begin = |partition: &Arc<Partition>| Some((partition.begin_flush(volume)?, Arc::clone(partition)));
            volume.write_back(self.partitions.iter().filter_map(begin).unzip(), clock);
        }
        let Some(written) = self.written else { return Done { free: None } };
        // Those which had nothing for us: they are being synced by others, or served no more and on their way to the disk.
        drop(write_over_disk(&volume.syncing));
        if volume.is_offline() || self.partitions.iter().any(|partition| partition.has_failed()) {
            return Done { free: None };
        }
        Done { free: written.release().inspect_err(|failure| volume.fail(failure)).ok() }
    }
}

impl Volume {
    /// The same where others write to the disk meanwhile, and wait for all that was given to it before: it is given as little at a time as that
    /// does not cost too much.
    fn write_back(&self, (flushes, partitions): (Vec<Flush<Files>>, Vec<Arc<Partition>>), clock: Clock) {
        let files: usize = flushes.iter().map(Flush::files).sum();
        let bytes: u64 = flushes.iter().map(Flush::bytes).sum();
        let way = if bytes >= ALONE_BYTES_MIN * files as u64 { Way::OneByOne } else { Way::Together };
        self.run(flushes, &partitions, way, clock);
    }

    /// Makes partitions durable in their own files, and tells those who wait for it.
    fn flush(&self, (flushes, partitions): (Vec<Flush<Files>>, Vec<Arc<Partition>>), clock: Clock, costs: &mut Costs) {
        if flushes.is_empty() {
            return;
        }
        let files = flushes.iter().map(Flush::files).sum();
        let (way, begun) = (costs.choose(files), clock.instant());
        self.run(flushes, &partitions, way, clock);
        costs.note(way, files, clock.instant() - begun);
    }

    fn run(&self, flushes: Vec<Flush<Files>>, partitions: &[Arc<Partition>], way: Way, clock: Clock) {
        match way {
            Way::OneByOne => {
                for (partition, flush) in partitions.iter().zip(flushes) {
                    partition.end_flush(flush.run(), clock.now());
                }
            }
            Way::Together => {
                // The system tells of an error once: whoever comes after the one who was told finds the disk out of service.
                let _told = hold_over_disk(&self.told_of_all);
                if self.is_offline() {
                    return partitions.iter().for_each(|partition| drop(partition.stop(ErrorCode::KafkaStorageError)));
                }
                let flushed = Flush::run_together(flushes, &self.directory);
                let now = clock.now();
                partitions.iter().zip(flushed).for_each(|(partition, flushed)| partition.end_flush(flushed, now));
            }
        }
    }
}
