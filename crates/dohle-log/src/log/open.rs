//! Opening a log: taking up what is on the disk, after a clean stop in little more than the time that it takes to list it, after any
//! other by reading what may be torn.
//!
//! A list of steps: settle files that were on their way ([`crate::recover`]); take the segments below the recovery point as they are; read the others
//! batch by batch and cut at the first bad one; cut the epochs to what the log has; restore the producers from the newest sound
//! snapshot and replay the rest.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dohle_base::{LeaderEpoch, Offset, Timestamp};
use thiserror::Error;

use super::Log;
use super::progress::Progress;
use super::{flush::Durable, restore};
use crate::disk::{Disk, File, Listing};
use crate::epochs::Epochs;
use crate::failure::Failure;
use crate::options::Options;
use crate::producers::Producers;
use crate::recover::{self, SegmentFiles};
use crate::segment::index::Entries;
use crate::segment::name::Content;
use crate::segment::scan::{CHUNK_LARGE, Damage, Found, Scan, Stopped};
use crate::segment::{self, Active, Indexes, Sealed};
use dohle_records::Header;

/// How a log was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Whether the broker stopped cleanly: then nothing can be torn.
    pub clean: bool,
    /// Up to where all was durable, as the checkpoint says.
    pub recovery_point: Offset,
    /// The first offset that may be read, as the checkpoint says.
    pub start: Offset,
}

/// What had to be done to a log at its opening.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Segments that were read.
    pub segments: usize,
    /// Bytes that were read in them.
    pub bytes: u64,
    /// What was cut off, and why: the segment, the position, how many bytes.
    pub torn: Option<Torn>,
    /// Segments that followed what was cut and are kept aside as `.quarantine`.
    pub quarantined: usize,
    /// Segments whose indexes were made anew.
    pub indexes: usize,
    /// Files that an interrupted removal or compaction had left.
    pub leftovers: usize,
    /// Whether the epochs had to be read from the batches.
    pub epochs: bool,
    /// Producer snapshots that were damaged.
    pub snapshots: usize,
}

/// A tail that was no batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The first offset of the segment.
    pub segment: Offset,
    /// Where the good batches end.
    pub position: u64,
    /// How many bytes were behind that.
    pub bytes: u64,
    /// What was wrong with the first of them.
    pub damage: Damage,
}

/// A log that cannot be taken up from the disk.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] Failure),
    /// Not a batch where one should be.
    #[error("{}: {damage} at {position}", path.display())]
    Damaged {
        /// The segment's file.
        path: PathBuf,
        /// Where in it.
        position: u64,
        /// What is wrong.
        damage: Damage,
    },
}

impl LoadError {
    pub(crate) fn of(path: &Path, stopped: Stopped) -> Self {
        match stopped {
            Stopped::Io(error) => Self::Storage(Failure::of("read", path)(error)),
            Stopped::Damaged { position, damage } => Self::Damaged { path: path.to_owned(), position, damage },
        }
    }
}

impl<D: Disk> Log<D> {
    /// Opens the log in `dir`, or begins one in an empty directory. The directory is there, and nobody else has it.
    pub fn open(
        disk: D,
        dir: &Path,
        options: impl Into<Arc<Options>>,
        opening: &Opening,
        now: Timestamp,
    ) -> Result<(Self, Recovered), LoadError> {
        let listing = recover::list(&disk, dir)?;
        Self::open_listed(disk, dir, listing, options, opening, now, &Progress::default())
    }

    /// The same where somebody has looked into the directory already and has found `listing`; tells how far it has come.
    pub fn open_listed(
        disk: D,
        dir: &Path,
        listing: Listing,
        options: impl Into<Arc<Options>>,
        opening: &Opening,
        now: Timestamp,
        progress: &Progress,
    ) -> Result<(Self, Recovered), LoadError> {
        let (options, mut recovered) = (options.into(), Recovered::default());
        let mut found = recover::settle(&disk, dir, listing)?;
        recovered.leftovers = found.leftovers;
        if found.segments.is_empty() {
            let mut log = Self::begin(disk, dir, options, opening.start, now)?;
            log.snapshots = found.snapshots;
            log.forget_past()?;
            return Ok((log, recovered));
        }
        let unsure = found.segments.split_off(first_unsure(&found.segments, opening));
        let mut log = Self::empty(disk, dir, options, unsure[0].base, now)?;
        log.snapshots = found.snapshots;
        let unindexed = log.take_sealed(&found.segments, &mut recovered)?;
        let stored = log.read_epochs(&found.listing, &mut recovered)?;
        let read_from = log.read_unsure(&unsure, opening, &mut Reading { recovered: &mut recovered, progress, now })?;
        let read_from = unindexed.map_or(read_from, |unindexed| unindexed.min(read_from));
        if recovered.epochs {
            log.gather_epochs()?;
        }
        log.settle_ends(opening, &mut recovered, now)?;
        log.read_producers(read_from, &mut recovered, now)?;
        if log.options.preallocate {
            log.active.inherit();
        }
        log.active.forget_recent();
        log.trust_epochs(&stored);
        if !opening.clean {
            // Whoever was stopped may have been about to make them durable.
            log.change_names();
        } else if log.synced() == log.end() {
            log.reach(log.end_place());
        }
        Ok((log, recovered))
    }

    /// A new log: one empty segment.
    fn begin(disk: D, dir: &Path, options: Arc<Options>, start: Offset, now: Timestamp) -> Result<Self, Failure> {
        let path = segment::path(dir, start, Content::Log);
        let mut active = Active::create(&disk, dir, start, options.index_interval_bytes, now)
            .map_err(Failure::of("create", &path))?;
        if options.preallocate {
            active.reserve_all(options.segment_bytes);
        }
        let mut log = Self::around(disk, dir, options, active, now);
        log.change_names();
        Ok(log)
    }

    /// What an interrupted truncation may have left of producers and epochs is not this log's.
    fn forget_past(&mut self) -> Result<(), Failure> {
        self.epochs.clear();
        self.remove_snapshots(|_| true)
    }

    fn empty(disk: D, dir: &Path, options: Arc<Options>, base: Offset, now: Timestamp) -> Result<Self, Failure> {
        let path = segment::path(dir, base, Content::Log);
        let file = disk.open(&path).map_err(Failure::of("open", &path))?;
        let active = Active::empty(file, base, options.index_interval_bytes, now);
        Ok(Self::around(disk, dir, options, active, now))
    }

    fn around(disk: D, dir: &Path, options: Arc<Options>, active: Active<D::File>, now: Timestamp) -> Self {
        let base = active.base;
        Self {
            disk,
            dir: dir.into(),
            options,
            start: base,
            sealed: VecDeque::new(),
            active,
            epochs: Epochs::default(),
            producers: Producers::starting_at(base),
            snapshots: Vec::new(),
            durable: Durable::at(base, now),
            rewritings: 0,
            dropped: 0,
            revision: 0,
        }
    }

    /// Takes closed segments as they are, but for indexes that cannot be theirs. Says from where on transactions have to be looked
    /// for, because an abort index is to be made anew.
    fn take_sealed(&mut self, files: &[SegmentFiles], recovered: &mut Recovered) -> Result<Option<Offset>, LoadError> {
        let end = self.active.base;
        let mut unindexed = None;
        for (place, file) in files.iter().enumerate() {
            let end = files.get(place + 1).map_or(end, |next| next.base);
            let sealed = match self.sound_indexes(file)? {
                Some(indexes) => Sealed::stored(self.dir.clone(), file.base..end, file.size, file.modified, indexes),
                None => {
                    recovered.indexes += 1;
                    unindexed = unindexed.or(Some(file.base));
                    self.reindex(file, end)?
                }
            };
            self.sealed.push_back(Arc::new(sealed));
        }
        self.start = self.first_base();
        Ok(unindexed)
    }

    /// The indexes of a closed segment as they are stored; none when they have to be made anew. A wrong abort index would show a reader what
    /// was taken back, and nothing at a read would tell: it is looked at now.
    fn sound_indexes(&self, file: &SegmentFiles) -> Result<Option<Indexes>, Failure> {
        let stored = file.stored_indexes(&self.dir);
        if stored.is_some() && file.aborted && recover::read_aborted(&self.disk, &self.dir, file.base)?.is_none() {
            return Ok(None);
        }
        Ok(stored)
    }

    /// Reads a closed segment to make its indexes. What lies behind damage is not found by them, and stays where it is. Its aborted
    /// transactions are those that the replay finds.
    fn reindex(&self, file: &SegmentFiles, end: Offset) -> Result<Sealed, LoadError> {
        let path = segment::path(&self.dir, file.base, Content::Log);
        let open = self.disk.open(&path).map_err(Failure::of("open", &path))?;
        let mut active = Active::empty(open, file.base, self.options.index_interval_bytes, file.modified);
        match active.resume(file.size, Entries::default()) {
            Ok(()) => {}
            Err(Stopped::Io(error)) => return Err(Failure::of("read", &path)(error).into()),
            Err(Stopped::Damaged { position, damage }) => {
                tracing::error!(path = %path.display(), position, %damage, "a closed segment is damaged");
            }
        }
        active.size = file.size;
        active.next = active.next.min(end);
        Ok(Sealed::from_active(active, end, self.dir.clone(), file.modified))
    }

    /// Takes up the segments behind the sure ones, the last of which is written to from now on. After a clean stop that is the last
    /// one, and only its end is looked at. Says from where on batches were read.
    fn read_unsure(
        &mut self,
        unsure: &[SegmentFiles],
        opening: &Opening,
        reading: &mut Reading<'_>,
    ) -> Result<Offset, LoadError> {
        if opening.clean
            && let Some(stored) = self.resume(&unsure[0], reading)?
        {
            self.durable.synced = self.end();
            let (base, stored_aborted) = (unsure[0].base, unsure[0].aborted);
            let read = || recover::read_aborted(&self.disk, &self.dir, base);
            let aborted = if stored_aborted { read()? } else { Some(Vec::new()) };
            let Some(aborted) = aborted else { return Ok(self.active.base) };
            self.active.aborted = aborted;
            if let Some(stored) = stored {
                self.active.note_stored(&stored);
            }
            return Ok(self.end());
        }
        self.durable.synced = opening.recovery_point.max(unsure[0].base);
        // What the file says of them may be of a time before a truncation.
        self.epochs.truncate_from_end(unsure[0].base);
        let progress = reading.progress;
        progress.found(unsure.len() as u64, unsure.iter().map(|file| file.size).sum());
        let mut untouched = unsure.iter();
        while let Some(file) = untouched.next() {
            if file.base > unsure[0].base && !self.go_on_to(file, reading.now)? {
                let rest = &unsure[unsure.len() - untouched.len() - 1..];
                rest.iter().for_each(|file| progress.passed(file.size));
                reading.recovered.quarantined = self.quarantine(rest)?;
                break;
            }
            let mut read = 0;
            let torn = self.read_through(file, reading, &mut read);
            progress.passed(file.size - read);
            if let Some(torn) = torn? {
                tracing::warn!(dir = %self.dir.display(), ?torn, "a torn tail was cut off");
                reading.recovered.torn = Some(torn);
                untouched.as_slice().iter().for_each(|file| progress.passed(file.size));
                self.remove_all(untouched.as_slice())?;
                break;
            }
        }
        self.durable.synced = self.durable.synced.min(self.end());
        Ok(unsure[0].base)
    }

    /// Takes up the last segment by its indexes, and says what they hold, if they do; none when its batches are not as a clean stop
    /// leaves them.
    fn resume(&mut self, file: &SegmentFiles, reading: &mut Reading<'_>) -> Result<Option<Option<Entries>>, LoadError> {
        let indexes = recover::read_indexes(&self.disk, &self.dir, file)?;
        reading.recovered.indexes += usize::from(indexes.is_none() && file.size > 0);
        match self.active.resume(file.size, indexes.clone().unwrap_or_default()) {
            Ok(()) => Ok(Some(indexes)),
            Err(Stopped::Io(error)) => Err(Failure::of("read", &self.active_path())(error).into()),
            Err(Stopped::Damaged { position, damage }) => {
                let path = self.active_path();
                tracing::error!(path = %path.display(), position, %damage, "damaged although the stop was clean");
                self.active = self.fresh(reading.now);
                Ok(None)
            }
        }
    }

    /// The segment that is written to, as if nothing were known of it.
    fn fresh(&self, now: Timestamp) -> Active<D::File> {
        Active::empty(self.active.file.clone(), self.active.base, self.options.index_interval_bytes, now)
    }

    /// Closes the segment that was read and goes on to the next; false when that does not begin where this one ends: then the
    /// tail of this one is lost.
    fn go_on_to(&mut self, file: &SegmentFiles, now: Timestamp) -> Result<bool, LoadError> {
        if self.active.next != file.base {
            tracing::error!(dir = %self.dir.display(), end = self.active.next.0, next = file.base.0, "a gap between segments");
            return Ok(false);
        }
        let path = segment::path(&self.dir, file.base, Content::Log);
        let open = self.disk.open(&path).map_err(Failure::of("open", &path))?;
        let next = Active::empty(open, file.base, self.options.index_interval_bytes, now);
        let read = std::mem::replace(&mut self.active, next);
        self.durable.unsynced.push((read.base, read.file.clone()));
        self.sealed.push_back(Arc::new(Sealed::from_active(read, file.base, self.dir.clone(), file.modified)));
        Ok(true)
    }

    /// Reads every batch of the segment that is written to, up to the first that is not sound, where the file is cut.
    fn read_through(
        &mut self,
        file: &SegmentFiles,
        reading: &mut Reading<'_>,
        read: &mut u64,
    ) -> Result<Option<Torn>, LoadError> {
        reading.recovered.segments += 1;
        reading.recovered.bytes += file.size;
        let path = self.active_path();
        let mut tell = |bytes| {
            *read += bytes;
            reading.progress.read(bytes);
        };
        let judged = self.read_upto(file.size, &mut tell)?;
        let Some((damage, suspect)) = judged else {
            if file.size == 0 && file.has_index() {
                // The stop may have come when it had just been cut. With nothing in it, it is closed without indexes of its own.
                self.remove_active_indexes()?;
            }
            return Ok(None);
        };
        if let Some(suspect) = suspect {
            // Offset and epoch are not under the checksum. Where the batch before is what the damaged one contradicts, it goes too.
            self.active = self.fresh(self.durable.synced_at);
            self.epochs.truncate_from_end(file.base);
            self.read_upto(suspect, &mut |_| {})?;
        }
        let (segment, position) = (file.base, self.active.size);
        let cut = self.active.file.truncate(position).and_then(|()| self.active.file.sync());
        cut.map_err(Failure::of("truncate", &path))?;
        self.remove_active_indexes()?;
        Ok(Some(Torn { segment, position, bytes: file.size - position, damage }))
    }

    fn remove_active_indexes(&mut self) -> Result<(), Failure> {
        self.change_names();
        segment::remove_indexes(&self.disk, &self.dir, self.active.base)
    }

    /// Reads and notes the batches of the segment that is written to, of which nothing is known yet, up to `size` or the first that is
    /// damaged: says what is wrong with it, and where the batch before it begins if that is as likely the wrong one.
    fn read_upto(&mut self, size: u64, told: &mut dyn FnMut(u64)) -> Result<Option<(Damage, Option<u64>)>, LoadError> {
        let path = self.active_path();
        let mut scan = Scan::new(self.active.file.clone(), 0, size, CHUNK_LARGE);
        let mut before: Option<Before> = None;
        loop {
            let found = match scan.next() {
                Ok(None) => return Ok(None),
                Ok(Some(found)) => found,
                Err(Stopped::Damaged { damage, .. }) => return Ok(Some((damage, None))),
                Err(Stopped::Io(error)) => return Err(Failure::of("read", &path)(error).into()),
            };
            let (next, epoch) = (self.active.next, self.epochs.latest());
            let judged = self.judge_found(&mut scan, &found).map_err(Failure::of("read", &path))?;
            if let Err(damage) = judged {
                let suspect = before.filter(|before| before.explains(&found.header, damage, self.active.next));
                return Ok(Some((damage, suspect.map(|before| before.position))));
            }
            told(found.header.size_in_bytes() as u64);
            before = Some(Before { position: found.position, base: found.header.base_offset, next, epoch });
        }
    }

    /// Notes a batch that is sound and in order; says what is wrong with any other.
    fn judge_found(&mut self, scan: &mut Scan<D::File>, found: &Found) -> io::Result<Result<(), Damage>> {
        let header = &found.header;
        if !self.active.in_order(header) {
            return Ok(Err(Damage::Order(header.base_offset)));
        }
        if self.is_stale(header) {
            return Ok(Err(Damage::Epoch(header.leader_epoch.0)));
        }
        if !scan.is_intact(found)? {
            return Ok(Err(Damage::Checksum));
        }
        self.active.note(header);
        restore::assign(&mut self.epochs, header);
        Ok(Ok(()))
    }

    /// Whether a batch is of an older epoch than those before it: what a truncation had cut off, come back.
    fn is_stale(&self, header: &Header) -> bool {
        let latest = self.epochs.latest();
        header.leader_epoch >= LeaderEpoch(0) && latest.is_some_and(|latest| header.leader_epoch < latest)
    }

    /// Puts segments aside that nobody can say belong to this log; returns how many.
    fn quarantine(&mut self, files: &[SegmentFiles]) -> Result<usize, Failure> {
        let bases: Vec<Offset> = files.iter().map(|file| file.base).collect();
        self.change_names();
        recover::set_aside(&self.disk, &self.dir, &bases)
    }

    fn remove_all(&mut self, files: &[SegmentFiles]) -> Result<(), Failure> {
        // The last first: what a crash leaves is then a shorter log, not one with a gap.
        for file in files.iter().rev() {
            self.doom_segment(file.base)?.remove()?;
            self.change_names();
        }
        Ok(())
    }

    /// Brings the start, the epochs and the end into agreement.
    fn settle_ends(&mut self, opening: &Opening, recovered: &mut Recovered, now: Timestamp) -> Result<(), LoadError> {
        if self.end() < opening.start {
            tracing::error!(dir = %self.dir.display(), end = self.end().0, start = opening.start.0, "the log ends before it starts");
            let bases: Vec<Offset> = self.segments().map(|segment| segment.base).collect();
            recovered.quarantined += recover::set_aside(&self.disk, &self.dir, &bases)?;
            self.truncate_fully(opening.start, now)?;
        }
        self.start = self.first_base().max(opening.start);
        let (start, end) = (self.start, self.end());
        self.epochs.truncate_from_end(end);
        self.epochs.truncate_from_start(start);
        Ok(())
    }
}

/// What a walk through unsure segments goes by.
struct Reading<'a> {
    recovered: &'a mut Recovered,
    progress: &'a Progress,
    now: Timestamp,
}

/// A batch that was noted, and what was known before it.
#[derive(Clone, Copy)]
struct Before {
    position: u64,
    base: Offset,
    next: Offset,
    epoch: Option<LeaderEpoch>,
}

impl Before {
    /// Whether this batch is the one that is wrong, when `header` behind it does not fit: it has left a gap or begun an epoch, and
    /// `header` goes on from before it.
    fn explains(&self, header: &Header, damage: Damage, end: Offset) -> bool {
        match damage {
            Damage::Order(found) => self.base > self.next && found >= self.next && found < end,
            Damage::Epoch(epoch) => {
                self.epoch.is_none_or(|known| LeaderEpoch(epoch) >= known) && header.base_offset >= end
            }
            Damage::Unreadable(_) | Damage::CutOff(_) | Damage::Checksum => false,
        }
    }
}

/// The place of the first segment that has to be read: after a clean stop the last one, of which only the end is. One that ends at the recovery point
/// is read too: it may have been closed after that was noted, and then its indexes are not stored.
fn first_unsure(segments: &[SegmentFiles], opening: &Opening) -> usize {
    let last = segments.len() - 1;
    if opening.clean {
        return last;
    }
    segments.partition_point(|segment| segment.base < opening.recovery_point).saturating_sub(1).min(last)
}
