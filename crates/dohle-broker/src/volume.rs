//! A disk of the broker: a directory of logs, and what is known of it.
//!
//! Law: a disk that failed once is not relied on again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use dohle_base::{Instant, Offset, TopicId, Uuid};
use dohle_log::Failure;
use dohle_log::directory::{Checkpoint, CleanStop, Directory, DirectoryError, Found, Identity, PartitionName};
use dohle_log::disk::{Files, Listing};
use dohle_log::journal::Left;
use dohle_log::log::Opening;

use crate::flusher::Flusher;
use crate::lock::{hold, hold_over_disk};
use crate::marks::Marks;
use crate::notice::Notice;
use crate::partition::Log;
use crate::space::Room;

/// What lies in the directory of a partition.
pub(crate) struct Lying {
    pub(crate) listing: Listing,
    /// The topic that it says that it belongs to, if it says so.
    pub(crate) topic_id: Option<TopicId>,
    /// The directory of logs to which it says that the partition was moved.
    pub(crate) successor: Option<Uuid>,
}

impl Lying {
    /// Whether it can be the partition of this topic: another of the same name is none.
    pub(crate) fn is_of(&self, topic: TopicId) -> bool {
        self.topic_id.is_none_or(|id| id == topic)
    }
}

/// A directory of logs.
pub(crate) struct Volume {
    pub(crate) directory: Arc<Directory<Files>>,
    /// What the cluster knows it by.
    pub(crate) id: Uuid,
    pub(crate) flusher: Flusher,
    /// What the broker before has journaled and not written back.
    pub(crate) left: Mutex<Left<Files>>,
    /// Read while partitions are synced in their own files, from the begin of their flushes to the end. Whoever writes knows that no flush is under
    /// way, and how those before have ended.
    pub(crate) syncing: RwLock<()>,
    /// Held from a sync of the whole until what it tells is noted.
    pub(crate) told_of_all: Mutex<()>,
    /// How much clients' batches may still take.
    pub(crate) room: Room,
    /// How many logs lie here, roughly: for the choice among disks.
    pub(crate) logs: AtomicUsize,
    /// How the broker before has stopped; none when it did not stop in order.
    pub(crate) clean_stop: Option<CleanStop>,
    /// Directories of partitions that were on their way here when the broker before has stopped.
    left_over: Mutex<Vec<(PartitionName, PathBuf)>>,
    /// Logs that this broker itself has closed.
    closed: Mutex<BTreeMap<PartitionName, Opening>>,
    offline: AtomicBool,
    /// Whether its partitions were told that it is offline.
    told: AtomicBool,
    full: Notice,
    pub(crate) marks: Marks,
}

impl Volume {
    /// Takes a claimed directory into service. From now on only a clean stop counts as one.
    pub(crate) fn open(directory: Directory<Files>, identity: &Identity) -> Result<Arc<Self>, DirectoryError> {
        let clean_stop = directory.take_clean_stop()?;
        let directory = Arc::new(directory);
        let left = Left::read(Files, directory.root())?;
        let marks = Marks::read(Arc::clone(&directory))?;
        let volume = Self {
            directory,
            id: identity.directory_id,
            flusher: Flusher::default(),
            left: Mutex::new(left),
            syncing: RwLock::default(),
            told_of_all: Mutex::default(),
            room: Room::default(),
            logs: AtomicUsize::new(0),
            clean_stop,
            left_over: Mutex::default(),
            closed: Mutex::default(),
            offline: AtomicBool::new(false),
            told: AtomicBool::new(false),
            full: Notice::default(),
            marks,
        };
        for found in volume.directory.partitions()? {
            match found {
                Found::Partition(_) => volume.count_log(1),
                Found::Future(name, path) => hold(&volume.left_over).push((name, path)),
                Found::Deleted(_) | Found::Other(_) => {}
            }
        }
        Ok(Arc::new(volume))
    }

    /// Counts a log that has come, or one that has gone.
    pub(crate) fn count_log(&self, more: isize) {
        let counted = |logs: usize| Some(logs.saturating_add_signed(more));
        // There is always a number.
        let _ = self.logs.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
    }

    /// Directories of such partitions that were on their way here when the broker before has stopped; each is told of once.
    pub(crate) fn take_left_over(&self, is_it: impl Fn(&PartitionName) -> bool) -> Vec<PathBuf> {
        hold(&self.left_over).extract_if(.., |(left, _)| is_it(left)).map(|(_, path)| path).collect()
    }

    /// Where it is.
    pub(crate) fn root(&self) -> &Path {
        self.directory.root()
    }

    /// Notes a log that was closed in order and begins at `start`, for whoever opens it again.
    pub(crate) fn note_closed(&self, name: PartitionName, start: Offset, end: Offset) {
        hold(&self.closed).insert(name, Opening { clean: true, recovery_point: end, start });
    }

    /// How a log was left.
    pub(crate) fn opening(&self, name: &PartitionName) -> Opening {
        if let Some(closed) = hold(&self.closed).remove(name) {
            return closed;
        }
        let offset = |kind| self.marks.get(kind, name).unwrap_or(Offset::ZERO);
        Opening {
            clean: self.clean_stop.is_some(),
            recovery_point: offset(Checkpoint::RecoveryPoint),
            start: offset(Checkpoint::LogStart),
        }
    }

    /// Up to where clients had been shown a log, as was written down: it may be late, never early.
    pub(crate) fn shown(&self, name: &PartitionName) -> Offset {
        self.marks.get(Checkpoint::HighWatermark, name).unwrap_or(Offset::ZERO)
    }

    /// Forgets all of a log that is given up: one of the same name is another log.
    pub(crate) fn forget(&self, name: &PartitionName) -> Result<(), Failure> {
        hold(&self.closed).remove(name);
        self.marks.forget(name)
    }

    /// Directories of partitions that were deleted and whose files are still there.
    pub(crate) fn deleted(&self) -> Result<Vec<PathBuf>, Failure> {
        let found = self.directory.partitions()?.into_iter();
        Ok(found.filter_map(|found| if let Found::Deleted(path) = found { Some(path) } else { None }).collect())
    }

    /// What lies here under the name of a partition; none when nothing does.
    pub(crate) fn look_for(&self, name: &PartitionName) -> Result<Option<Lying>, Failure> {
        let Some(listing) = self.directory.look_into(name)? else { return Ok(None) };
        let topic_id = self.directory.topic_id_in(name, &listing)?;
        let successor = self.directory.successor_in(name, &listing)?;
        Ok(Some(Lying { listing, topic_id, successor }))
    }

    /// Notes that a log was opened, for which something may have been left in the journal.
    pub(crate) fn settle_left(&self, log: &Log) {
        if log.synced() < log.end() {
            return;
        }
        let name = log.dir().file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        if let Err(failure) = hold_over_disk(&self.left).settle(&name) {
            tracing::warn!("an old journal stays, which nobody needs: {failure}");
        }
    }

    /// Says that everything is durable and nothing will be written any more.
    pub(crate) fn mark_clean_stop(&self, broker_epoch: i64) -> Result<(), Failure> {
        hold_over_disk(&self.left).remove_others()?;
        self.directory.mark_clean_stop(broker_epoch)
    }

    /// Whether the disk has failed.
    pub(crate) fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Acquire)
    }

    /// Whether the disk has failed and its partitions are still to be told: yes, once.
    pub(crate) fn must_tell(&self) -> bool {
        self.is_offline() && !self.told.swap(true, Ordering::AcqRel)
    }

    /// Takes the whole disk out of service: what it has of the last writes, nobody knows.
    pub(crate) fn fail(&self, error: &dyn std::error::Error) {
        if !self.offline.swap(true, Ordering::AcqRel) {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            tracing::error!(dir = %self.root().display(), cause, "disk failed, nothing more is written to it: {error}");
        }
    }

    /// The same, unless all that is missing is room: what could not be written says the same later.
    pub(crate) fn fail_unless_full(&self, failure: &Failure, now: Instant) {
        if !failure.is_for_room() {
            return self.fail(failure);
        }
        if let Some(left_out) = self.full.admit(now) {
            tracing::warn!(dir = %self.root().display(), left_out, "the disk is full: {failure}");
        }
    }
}
