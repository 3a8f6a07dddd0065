//! The log of one partition: segments in order, and what is known about them.
//!
//! Owns the order of offsets, what is durable up to where, and every file in the partition's directory. Knows neither who may append
//! nor what others have of it. Calls are short and made under the partition's lock; what may wait for a disk (a flush, a read, a removal)
//! comes out as a value that is run outside of it.
//!
//! Laws: `start <= end`; segments follow each other without overlap; `synced <= end`; after a failed write or sync nothing is appended.

mod append;
mod compact;
mod flush;
mod open;
mod progress;
mod read;
mod relocate;
mod remove;
mod restore;
mod roll;
mod scrub;
mod time;
mod transactions;
mod truncate;
mod unsynced;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use dohle_base::{LeaderEpoch, Offset, Timestamp};

use crate::disk::Disk;
use crate::epochs::Epochs;
use crate::options::Options;
use crate::producers::Producers;
use crate::segment::{Active, Sealed};

pub(crate) use append::marker_of;
pub use append::{Append, AppendError, Appended};
pub use compact::{Swap, Swapped};
pub use flush::{Flush, Flushed};
pub use open::{LoadError, Opening, Recovered, Torn};
pub use progress::Progress;
pub use read::{Plan, ReadError, Slice};
pub use time::{ByTime, Moment};
pub use transactions::Aborts;
pub use truncate::TruncateError;
pub use unsynced::Unsynced;

/// A partition's log on one disk.
#[derive(Debug)]
pub struct Log<D: Disk> {
    disk: D,
    dir: Arc<Path>,
    options: Arc<Options>,
    start: Offset,
    sealed: VecDeque<Arc<Sealed>>,
    active: Active<D::File>,
    epochs: Epochs,
    producers: Producers,
    /// The offsets at which snapshots of the producers lie on the disk, in order.
    snapshots: Vec<Offset>,
    durable: flush::Durable<D::File>,
    /// How often segments were rewritten.
    rewritings: u64,
    /// How many segments were dropped.
    dropped: u64,
    /// The revision of segments that were not: above all of the log from which this one has taken over.
    revision: u64,
}

/// One segment, as others may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentView {
    /// Its first offset.
    pub base: Offset,
    /// The offset behind its last. Exclusive.
    pub end: Offset,
    /// Its bytes of batches.
    pub size: u64,
}

impl<D: Disk> Log<D> {
    /// The partition's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The first offset that may be read. Records below it may still be on the disk.
    pub fn start(&self) -> Offset {
        self.start
    }

    /// The offset that the next record gets. Exclusive.
    pub fn end(&self) -> Offset {
        self.active.next
    }

    /// Up to where all is durable in the log's own files. Exclusive; never falls but by truncation.
    pub fn synced(&self) -> Offset {
        self.durable.synced
    }

    /// Whether a write or a sync has failed: the log can be read and not written any more.
    pub fn is_offline(&self) -> bool {
        self.durable.failed
    }

    /// Bytes of batches on the disk.
    pub fn size(&self) -> u64 {
        self.sealed.iter().map(|segment| segment.size).sum::<u64>() + self.active.size
    }

    /// The segments, oldest first; the last is the one that is written to.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = SegmentView> {
        (0..self.sealed.len() + 1).map(|place| match self.sealed.get(place) {
            Some(sealed) => SegmentView { base: sealed.base, end: sealed.end, size: sealed.size },
            None => SegmentView { base: self.active.base, end: self.active.next, size: self.active.size },
        })
    }

    /// What its topic asks for.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Changes what its topic asks for; what concerns segments is obeyed from the next one on.
    pub fn set_options(&mut self, options: impl Into<Arc<Options>>) {
        self.options = options.into();
    }

    /// Which leader wrote what.
    pub fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    /// Notes that a leader begins its epoch at the end of the log, before it has written anything (KIP-101). Durable with its first
    /// record: it is read from there, or stands in the file of epochs.
    pub fn begin_epoch(&mut self, epoch: LeaderEpoch) {
        let (end, version, changed) = (self.end(), self.epochs.version(), self.epochs_changed());
        let is_stored = self.durable.epochs == version;
        let young = self.durable.epochs_young.filter(|(young, _)| !is_stored && *young == version);
        self.epochs.assign(epoch, end);
        if !changed {
            self.durable.epochs_young = Some((self.epochs.version(), young.map_or(end, |(_, from)| from)));
        }
    }

    /// Its producers: what DescribeProducers shows.
    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    /// Forgets the producers that were silent for too long (`producer.id.expiration.ms`), and says how many.
    pub fn expire_producers(&mut self, now: Timestamp) -> usize {
        self.producers.expire(now, self.options.producer_expiration)
    }

    /// Its laws, one a line: for tests and the simulator.
    pub fn check(&self) {
        assert!(self.start <= self.end());
        assert!(self.synced() <= self.durable() && self.durable() <= self.end());
        assert!(self.sealed.iter().zip(self.sealed.iter().skip(1)).all(|(before, after)| before.end == after.base));
        assert!(self.sealed.back().is_none_or(|last| last.end == self.active.base));
        assert!(self.active.base <= self.active.next);
        assert!(self.epochs.starts().last().is_none_or(|last| last.start <= self.end()));
        assert!(self.producers.end() <= self.end(), "{} {}", self.producers.end(), self.end());
    }
}
