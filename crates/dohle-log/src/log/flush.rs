//! Making what was appended durable, outside the partition's lock.
//!
//! [`Log::begin_flush`] says what has to be synced and up to where, [`Flush::run`] does it, and [`Log::flushed`] notes it. One at a
//! time. A sync that failed is never tried again: nobody knows any more what the disk has. Only a file that is made of what is in memory, an
//! index or the epochs, may wait until a full disk has room again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dohle_base::{Offset, Timestamp};

use super::Log;
use super::unsynced::Place;
use crate::directory::{Directory, partition};
use crate::disk::{Disk, File, replace, temporary, write};
use crate::epochs::FILE_NAME as EPOCHS_FILE_NAME;
use crate::failure::Failure;
use crate::options::Durability;
use crate::segment::name::Stage;
use crate::segment::{self, Sealed};

/// A log whose acknowledgements do not wait for the disk is still written to it in pieces of this size: what gathers until the system has
/// to write it holds everybody up then. While a piece is on its way an append may have to wait for the file's blocks and for its last page; so
/// small ones.
const GATHERED_BYTES_MAX: u64 = 2 << 20;

/// What is durable of a log, and what has to become so.
#[derive(Debug)]
pub(super) struct Durable<F> {
    pub(super) synced: Offset,
    /// The furthest place up to which all is durable, in the log's own files or in a journal; none as long as not even
    /// the log's directory is known to be.
    pub(super) reached: Option<Place>,
    /// When `synced` was found.
    pub(super) synced_at: Timestamp,
    /// Files of closed segments that hold more than what is durable.
    pub(super) unsynced: Vec<(Offset, F)>,
    /// Snapshots that were written.
    pub(super) snapshots: Vec<F>,
    /// Which names may not be on the disk.
    pub(super) names: Names,
    /// The version of the epochs that the file has.
    pub(super) epochs: u64,
    /// The version of the epochs in which the file lacks only those that begin at this offset and behind it.
    pub(super) epochs_young: Option<(u64, Offset)>,
    pub(super) flushing: bool,
    /// Bytes written since the last flush began.
    pub(super) gathered: u64,
    /// Raised by every truncation: what a flush reports that was begun before means nothing.
    pub(super) generation: u64,
    pub(super) failed: bool,
}

/// Names that a power cut may take back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Names {
    /// None.
    #[default]
    Kept,
    /// Some of those in the log's directory.
    Changed,
    /// The directory's own as well, and what it says of its topic.
    New,
}

/// What has to be done so that a log is durable up to an offset.
#[derive(Debug)]
#[must_use = "a flush that was begun has to be run and reported"]
pub struct Flush<D: Disk> {
    disk: D,
    dir: Arc<Path>,
    upto: Place,
    revision: u64,
    generation: u64,
    files: Vec<D::File>,
    bytes: u64,
    indexes: Vec<Arc<Sealed>>,
    epochs: Option<Vec<u8>>,
    epochs_version: u64,
    names: Names,
}

/// A flush that was run.
#[derive(Debug)]
pub struct Flushed {
    upto: Place,
    revision: u64,
    generation: u64,
    epochs_version: u64,
    outcome: Result<Done, Failed>,
}

/// What a flush has stored beside the batches.
#[derive(Debug)]
struct Done {
    /// The segments whose indexes are on the disk now.
    indexes: Vec<Offset>,
}

/// Why a flush has not made anything durable.
#[derive(Debug)]
enum Failed {
    /// The disk is full: what is in memory can be written anew, when there is room.
    NoRoom(Failure),
    /// Nobody knows what the disk has.
    Broken(Failure),
}

impl<F> Durable<F> {
    pub(super) fn at(synced: Offset, now: Timestamp) -> Self {
        Self {
            synced,
            reached: None,
            synced_at: now,
            unsynced: Vec::new(),
            snapshots: Vec::new(),
            names: Names::Kept,
            epochs: 0,
            epochs_young: None,
            flushing: false,
            gathered: 0,
            generation: 0,
            failed: false,
        }
    }
}

impl<D: Disk> Log<D> {
    /// Whether the topic wants a flush now: always when an acknowledgement waits for it, else by `flush.messages` and `flush.ms`, and
    /// when something else than records has changed: a closed segment costs memory and an open file until then, retention waits for the
    /// names, and epochs are worth no less than what they are about.
    pub fn wants_flush(&self, now: Timestamp) -> bool {
        let waiting = self.end().since(self.synced());
        let aged = now.0.saturating_sub(self.durable.synced_at.0) >= self.options.flush_ms;
        let asked = match self.options.durability {
            Durability::Synced => self.awaits_disk(),
            Durability::Relaxed => waiting > 0 && (waiting >= self.options.flush_messages || aged),
        };
        asked || !self.durable.unsynced.is_empty() || self.names_changed() || self.epochs_changed()
    }

    /// Whether an acknowledgement may wait until something more is durable.
    pub fn awaits_disk(&self) -> bool {
        self.options.durability == Durability::Synced && self.durable() < self.end()
    }

    /// Whether so much was written since the last flush that one should begin, although nobody waits for it.
    pub fn has_gathered(&self) -> bool {
        self.durable.gathered >= GATHERED_BYTES_MAX
    }

    /// Whether names are to be made durable.
    pub(super) fn names_changed(&self) -> bool {
        self.durable.names != Names::Kept
    }

    /// Notes that names in the directory have changed.
    pub(super) fn change_names(&mut self) {
        self.durable.names = self.durable.names.max(Names::Changed);
    }

    /// Notes that the log's directory was made just now, and nobody has made that durable: the next flush does.
    pub fn doubt_directory(&mut self) {
        self.durable.names = Names::New;
        self.durable.reached = None;
    }

    /// Whether the file of epochs is to be written. What begins in the segment that is written to, may wait until that is closed: whoever opens the
    /// log reads that segment, unless the stop was clean.
    pub(super) fn epochs_changed(&self) -> bool {
        let version = self.epochs.version();
        let wait = self.durable.epochs_young.is_some_and(|(young, from)| young == version && from >= self.active.base);
        self.durable.epochs != version && !wait
    }

    /// What has to be done so that all is durable that is in the log now; none when nothing is to be done, when a flush is under
    /// way, and when one has failed.
    pub fn begin_flush(&mut self) -> Option<Flush<D>> {
        let epochs_changed = self.epochs_changed();
        let held = self.sealed.iter().any(|segment| segment.is_held());
        let anything = self.durable.synced < self.end() || self.names_changed() || epochs_changed || held;
        if !anything || self.durable.flushing || self.durable.failed {
            return None;
        }
        self.durable.flushing = true;
        let bytes = std::mem::take(&mut self.durable.gathered);
        let mut files: Vec<D::File> = self.durable.unsynced.drain(..).map(|(_, file)| file).collect();
        files.append(&mut self.durable.snapshots);
        if self.durable.synced < self.end() {
            files.push(self.active.file.clone());
        }
        Some(Flush {
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            upto: self.end_place(),
            revision: self.revision,
            generation: self.durable.generation,
            files,
            bytes,
            indexes: self.sealed.iter().filter(|segment| segment.is_held()).cloned().collect(),
            epochs: epochs_changed.then(|| self.epochs.to_bytes()),
            // What is not written is not on the disk afterwards.
            epochs_version: if epochs_changed { self.epochs.version() } else { self.durable.epochs },
            names: std::mem::take(&mut self.durable.names),
        })
    }

    /// Notes what a flush has done, and says up to where all is durable now. After a failure the log is offline; on a full disk nothing
    /// more is durable than before, and the next flush does it all again.
    pub fn flushed(&mut self, flushed: Flushed, now: Timestamp) -> Result<Offset, Failure> {
        match self.note_flush(flushed, now) {
            Ok(synced) => Ok(synced),
            Err(Failed::NoRoom(failure)) => {
                tracing::warn!("the disk has no room to go on: {failure}");
                Ok(self.durable())
            }
            Err(Failed::Broken(failure)) => Err(failure),
        }
    }

    fn note_flush(&mut self, flushed: Flushed, now: Timestamp) -> Result<Offset, Failed> {
        if flushed.revision != self.revision {
            // It was begun on the log from which this one has taken over, and all of that was durable here.
            return Ok(self.durable());
        }
        assert!(self.durable.flushing, "a flush ends once");
        self.durable.flushing = false;
        let done = flushed.outcome.inspect_err(|failed| match failed {
            Failed::NoRoom(_) => self.change_names(),
            Failed::Broken(_) => self.durable.failed = true,
        })?;
        self.durable.epochs = flushed.epochs_version;
        if flushed.generation == self.durable.generation {
            let upto = flushed.upto.offset;
            assert!(upto >= self.durable.synced && upto <= self.end());
            self.durable.synced = upto;
            self.durable.synced_at = now;
            self.reach(flushed.upto);
            self.release(&done.indexes);
        }
        Ok(self.durable())
    }

    /// Gives back what an open file costs, where nothing is under way. The next call that needs it takes it again.
    pub fn rest(&self) {
        let quiet = self.durable.synced == self.end() && self.durable.unsynced.is_empty() && !self.durable.flushing;
        if quiet && !self.durable.failed {
            self.active.file.rest();
        }
    }

    /// Lets go of the indexes that are on the disk now.
    fn release(&mut self, stored: &[Offset]) {
        for segment in &mut self.sealed {
            if segment.is_held() && stored.contains(&segment.base) {
                *segment = Arc::new(segment.released());
            }
        }
    }

    /// Makes everything durable, as at a clean stop: batches, indexes, producers, epochs. Waits for the disk. Nothing is appended
    /// behind it.
    pub fn close(&mut self, now: Timestamp) -> Result<(), Failure> {
        if self.durable.failed {
            let source = io::Error::other("an earlier write or sync has failed");
            return Err(Failure::of("close", &self.dir)(source));
        }
        let end = self.end();
        self.take_snapshot(end)?;
        if self.active.has_reserved() {
            let path = self.active_path();
            self.active.trim().map_err(Failure::of("trim", &path))?;
        }
        if self.durable.epochs_young.is_some_and(|(_, from)| from < end) {
            self.durable.epochs_young = None;
        }
        // Nobody tells any more how a flush under way has ended.
        assert!(!self.durable.flushing, "a log is closed at rest");
        if let Some(flush) = self.begin_flush() {
            // Nothing comes later that could do again what found no room now.
            self.note_flush(flush.run(), now)?;
        }
        self.active.finish();
        let active = &self.active;
        if active.is_stored() {
            return Ok(());
        }
        let dir = self.dir.clone();
        segment::write(&self.disk, &dir, active.base, Stage::Live, &active.offsets, &active.times, &active.aborted)
            .and_then(|files| files.iter().try_for_each(File::sync))
            .and_then(|()| self.disk.sync_dir(&dir))
            .map_err(Failure::of("store the indexes of", &dir))
    }
}

impl<D: Disk> Flush<D> {
    /// Up to where the log will be durable. Exclusive.
    pub fn upto(&self) -> Offset {
        self.upto.offset
    }

    /// How many files have to be synced.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// About how many bytes of batches that are.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Waits for the disk.
    pub fn run(self) -> Flushed {
        let outcome = self.sync_each();
        self.conclude(outcome)
    }

    /// The same for many logs of one directory, whose files are synced with one call where the disk knows such a thing: dozens of files cost
    /// little more than one then.
    pub fn run_together(flushes: Vec<Self>, directory: &Directory<D>) -> Vec<Flushed> {
        let written: Vec<_> = flushes.iter().map(Self::write_beside).collect();
        let beside = written.iter().flatten().flatten();
        let files: Vec<D::File> = flushes.iter().flat_map(|flush| &flush.files).chain(beside).cloned().collect();
        let Some(synced) = directory.sync_together(&files) else {
            return flushes.into_iter().map(Self::run).collect();
        };
        let mut outcomes: Vec<_> = flushes.iter().zip(written).map(|(flush, it)| flush.settle(&synced, it)).collect();
        if flushes.iter().any(|flush| flush.epochs.is_some()) {
            // A second time, for the names of epochs: before, what bears them was not durable.
            let synced = directory.sync_together(&files).unwrap_or_else(|| Err(io::ErrorKind::Unsupported.into()));
            let all = flushes.iter().zip(outcomes);
            outcomes = all.map(|(flush, outcome)| outcome.and_then(|()| flush.confirm(&synced))).collect();
        }
        flushes.into_iter().zip(outcomes).map(|(flush, outcome)| flush.conclude(outcome)).collect()
    }

    fn conclude(self, outcome: Result<(), Failed>) -> Flushed {
        let Self { upto, revision, generation, epochs_version, indexes, .. } = self;
        let outcome = outcome.map(|()| Done { indexes: indexes.iter().map(|segment| segment.base).collect() });
        Flushed { upto, revision, generation, epochs_version, outcome }
    }

    /// Syncs the batches, and then stores what goes with them.
    fn sync_each(&self) -> Result<(), Failed> {
        self.confirm(&self.files.iter().try_for_each(File::sync))?;
        if self.names == Names::New {
            partition::confirm(&self.disk, &self.dir).map_err(Failed::Broken)?;
        }
        // Before anything for which there may be no room: a segment without its name is none.
        if self.names != Names::Kept {
            self.sync_names()?;
        }
        let indexes = self.write_indexes()?;
        indexes.iter().try_for_each(File::sync).map_err(|error| self.unstored(error))?;
        if self.epochs.is_none() && !indexes.is_empty() {
            self.sync_names()?;
        }
        self.store_epochs()
    }

    fn sync_names(&self) -> Result<(), Failed> {
        self.disk.sync_dir(&self.dir).map_err(Failure::of("sync", &self.dir)).map_err(Failed::Broken)
    }

    /// Writes what goes with the batches, to be synced with them. The epochs have another name until they are durable.
    fn write_beside(&self) -> Result<Vec<D::File>, Failed> {
        let mut files = self.write_indexes()?;
        if let Some(bytes) = &self.epochs {
            let path = self.epochs_path();
            files.push(write(&self.disk, &temporary(&path), bytes).map_err(|error| Failed::of("write", &path, error))?);
        }
        Ok(files)
    }

    /// Says how a sync of the whole has ended for this log, of which `written` is what goes with the batches, and gives the epochs their name.
    fn settle(&self, synced: &io::Result<()>, written: Result<Vec<D::File>, Failed>) -> Result<(), Failed> {
        self.confirm(synced)?;
        written?;
        if self.epochs.is_none() {
            return Ok(());
        }
        let path = self.epochs_path();
        self.disk.rename(&temporary(&path), &path).map_err(|error| Failed::of("replace", &path, error))
    }

    /// Whatever the reason for an error: pages that were not written are gone, and a second sync would not say so.
    fn confirm(&self, synced: &io::Result<()>) -> Result<(), Failed> {
        let told = synced.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()));
        told.copied().map_err(Failure::of("sync a file of", &self.dir)).map_err(Failed::Broken)
    }

    /// Writes the indexes of closed segments. They may become durable before their batches do: where a crash has left batches in doubt nobody
    /// reads the indexes.
    fn write_indexes(&self) -> Result<Vec<D::File>, Failed> {
        let mut files = vec![];
        for segment in &self.indexes {
            files.append(&mut segment.write(&self.disk).map_err(|error| self.unstored(error))?);
        }
        Ok(files)
    }

    fn unstored(&self, error: io::Error) -> Failed {
        Failed::of("store the indexes of", &self.dir, error)
    }

    fn epochs_path(&self) -> PathBuf {
        self.dir.join(EPOCHS_FILE_NAME)
    }

    /// The directory is synced with the file.
    fn store_epochs(&self) -> Result<(), Failed> {
        let Some(bytes) = &self.epochs else { return Ok(()) };
        let path = self.epochs_path();
        replace(&self.disk, &path, bytes).map_err(|error| Failed::of("replace", &path, error))
    }
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::NoRoom(failure) | Failed::Broken(failure) => failure,
        }
    }
}

impl Failed {
    fn of(action: &'static str, path: &Path, error: io::Error) -> Self {
        let full = error.kind() == io::ErrorKind::StorageFull;
        let failure = Failure::of(action, path)(error);
        if full { Self::NoRoom(failure) } else { Self::Broken(failure) }
    }
}
