//! A segment that is closed: it never changes, and costs neither an open file nor an index in memory once its indexes are stored.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use dohle_base::{Offset, Timestamp};

use super::index::{Entry, Index, OffsetEntry, TimeEntry};
use super::name::{Content, Name, Stage};
use super::scan::{CHUNK_SMALL, Found, Scan, Stopped};
use super::{Aborted, Active, Largest, abort_index, index, path};
use crate::disk::{self, Disk, File, read_whole, remove_if_there};

/// A closed segment.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// Its first offset, and its name.
    pub(crate) base: Offset,
    /// The first offset of the next segment.
    pub(crate) end: Offset,
    pub(crate) size: u64,
    pub(crate) indexes: Indexes,
    /// When it was last written to: its age where its records have no time.
    pub(crate) modified: Timestamp,
    /// Which rewriting made it; 0 for none. Tells it apart from others that had its name.
    pub(crate) revision: u64,
    /// Ranges of positions where no sound batch is, in order: none as long as nobody has found any.
    pub(crate) damaged: Arc<[Range<u64>]>,
    dir: Arc<Path>,
    largest: OnceLock<Option<Largest>>,
}

/// Where the indexes of a closed segment are.
#[derive(Clone, Debug)]
pub(crate) struct Indexes {
    pub(crate) offsets: Index<OffsetEntry>,
    pub(crate) times: Index<TimeEntry>,
    pub(crate) aborted: Aborts,
}

/// Where the aborted transactions of a closed segment are.
#[derive(Clone, Debug)]
pub(crate) enum Aborts {
    None,
    Held(Arc<[Aborted]>),
    Stored,
}

impl Sealed {
    /// Closes a segment: its indexes stay in memory until they are stored.
    pub(crate) fn from_active<F: File>(mut active: Active<F>, end: Offset, dir: Arc<Path>, now: Timestamp) -> Self {
        assert!(active.next <= end, "a segment ends before the next begins");
        active.finish();
        let aborted = if active.aborted.is_empty() { Aborts::None } else { Aborts::Held(active.aborted.into()) };
        let indexes =
            Indexes { offsets: Index::Held(active.offsets.into()), times: Index::Held(active.times.into()), aborted };
        let largest = OnceLock::from(active.largest);
        Self {
            base: active.base,
            end,
            size: active.size,
            indexes,
            modified: now,
            revision: 0,
            damaged: Arc::default(),
            dir,
            largest,
        }
    }

    /// One whose files are all there.
    pub(crate) fn stored(
        dir: Arc<Path>,
        range: Range<Offset>,
        size: u64,
        modified: Timestamp,
        indexes: Indexes,
    ) -> Self {
        let (damaged, largest) = (Arc::default(), OnceLock::new());
        Self { base: range.start, end: range.end, size, indexes, modified, revision: 0, damaged, dir, largest }
    }

    /// One that compaction has written in the place of others, whose files get their names when it is swapped in.
    pub(crate) fn rewritten(
        dir: Arc<Path>,
        range: Range<Offset>,
        size: u64,
        modified: Timestamp,
        indexes: Indexes,
        largest: Option<Largest>,
        revision: u64,
    ) -> Self {
        let largest = OnceLock::from(largest);
        Self {
            base: range.start,
            end: range.end,
            size,
            indexes,
            modified,
            revision,
            damaged: Arc::default(),
            dir,
            largest,
        }
    }

    /// Its file of batches.
    pub(crate) fn open<D: Disk>(&self, disk: &D) -> io::Result<D::File> {
        disk.open(&path(&self.dir, self.base, Content::Log))
    }

    /// The largest time in it: none where no record has one. Retention goes by it, so the last entry of the time index is believed only
    /// where its batch bears it out, and what lies behind that is looked at; commonly nothing does.
    pub(crate) fn largest<D: Disk>(&self, disk: &D) -> io::Result<Option<Largest>> {
        if let Some(known) = self.largest.get() {
            return Ok(*known);
        }
        let file = self.open(disk)?;
        let (last, _) = self.indexes.times.around(disk, |_| true)?;
        let from = match last {
            Some(entry) if self.bears_out(disk, &file, entry)? => {
                self.hint(disk, &file, self.base + i64::from(entry.offset))?
            }
            Some(_) | None => 0,
        };
        let largest = self.largest_from(&file, from)?;
        Ok(*self.largest.get_or_init(|| largest))
    }

    /// The largest time of the batches with records from a position on.
    fn largest_from<F: File>(&self, file: &F, position: u64) -> io::Result<Option<Largest>> {
        let mut largest: Option<Largest> = None;
        let mut scan = Scan::new(file.clone(), position, self.size, CHUNK_SMALL);
        loop {
            match scan.next() {
                Ok(Some(Found { header, .. })) => {
                    let time = header.max_timestamp;
                    if header.record_count > 0 && time > largest.map_or(Timestamp::NONE, |largest| largest.time) {
                        largest = Some(Largest { time, offset: header.last_offset() });
                    }
                }
                Ok(None) | Err(Stopped::Damaged { .. }) => return Ok(largest),
                Err(Stopped::Io(error)) => return Err(error),
            }
        }
    }

    /// Whether the batch that an entry of the time index leads to has records and the time that the entry says.
    fn bears_out<D: Disk>(&self, disk: &D, file: &D::File, entry: TimeEntry) -> io::Result<bool> {
        let offset = self.base + i64::from(entry.offset);
        let mut scan = Scan::new(file.clone(), self.hint(disk, file, offset)?, self.size, CHUNK_SMALL);
        loop {
            match scan.next() {
                Ok(Some(found)) if found.header.last_offset() < offset => {}
                Ok(Some(Found { header, .. })) => {
                    return Ok(header.record_count > 0 && header.max_timestamp == entry.time);
                }
                Ok(None) | Err(Stopped::Damaged { .. }) => return Ok(false),
                Err(Stopped::Io(error)) => return Err(error),
            }
        }
    }

    /// A position from which a walk comes to the batch that holds `offset`, or the first behind it. An entry that leads nowhere is a
    /// reason to read from the start, not to fail.
    pub(crate) fn hint<D: Disk>(&self, disk: &D, file: &D::File, offset: Offset) -> io::Result<u64> {
        let (before, _) = self.indexes.offsets.around(disk, |entry| self.base + i64::from(entry.offset) <= offset)?;
        let Some(entry) = before else { return Ok(0) };
        let named = Scan::new(file.clone(), u64::from(entry.position), self.size, CHUNK_SMALL).next();
        match named {
            Ok(Some(named)) if named.header.last_offset() == self.base + i64::from(entry.offset) => Ok(named.position),
            Ok(_) | Err(_) => {
                tracing::warn!(dir = %self.dir.display(), base = self.base.0, offset = offset.0, "an index leads nowhere");
                Ok(0)
            }
        }
    }

    /// A position from which a walk comes to the first batch with a time not below `time`.
    pub(crate) fn hint_by_time<D: Disk>(&self, disk: &D, file: &D::File, time: Timestamp) -> io::Result<u64> {
        let (before, _) = self.indexes.times.around(disk, |entry| entry.time <= time)?;
        match before {
            Some(entry) if self.bears_out(disk, file, entry)? => {
                self.hint(disk, file, self.base + i64::from(entry.offset))
            }
            Some(_) | None => Ok(0),
        }
    }

    /// The transactions that were aborted in it, oldest marker first.
    pub(crate) fn aborted<D: Disk>(&self, disk: &D) -> io::Result<Arc<[Aborted]>> {
        match &self.indexes.aborted {
            Aborts::None => Ok(Arc::default()),
            Aborts::Held(entries) => Ok(entries.clone()),
            Aborts::Stored => {
                let file = path(&self.dir, self.base, Content::Aborted);
                // It was there when it was stored: a segment that was dropped, rewritten or moved meanwhile has no fewer aborts for that.
                let bytes = read_whole(disk, &file)?.ok_or(io::ErrorKind::NotFound)?;
                let entries = abort_index::parse(&bytes);
                let damaged = || io::Error::new(io::ErrorKind::InvalidData, "damaged abort index");
                entries.map(Arc::from).ok_or_else(damaged)
            }
        }
    }

    /// The same segment with these aborted transactions behind those that it has, while its indexes are in memory.
    pub(crate) fn with_aborted(&self, more: &[Aborted]) -> Self {
        let mut aborted = match &self.indexes.aborted {
            Aborts::Held(entries) => entries.to_vec(),
            Aborts::None | Aborts::Stored => Vec::new(),
        };
        abort_index::extend(&mut aborted, more);
        self.with_indexes(Indexes { aborted: Aborts::Held(aborted.into()), ..self.indexes.clone() })
    }

    fn with_indexes(&self, indexes: Indexes) -> Self {
        Self { indexes, damaged: self.damaged.clone(), dir: self.dir.clone(), largest: self.largest.clone(), ..*self }
    }

    /// The same segment in another directory, in which its files are now. It is another one for whoever has looked at it before.
    pub(crate) fn relocated(&self, dir: Arc<Path>, revision: u64) -> Self {
        let (offsets, times) = (self.indexes.offsets.len(), self.indexes.times.len());
        let indexes = if self.is_held() {
            self.indexes.clone()
        } else {
            Indexes::stored(&dir, self.base, offsets, times, self.indexes.aborted.clone())
        };
        Self { dir, revision, ..self.with_indexes(indexes) }
    }

    /// The same segment, known to be damaged in these places.
    pub(crate) fn with_damaged(&self, places: Vec<Range<u64>>) -> Self {
        Self { damaged: places.into(), ..self.with_indexes(self.indexes.clone()) }
    }

    /// The first damaged place that ends behind `position`.
    pub(crate) fn damaged_from(&self, position: u64) -> Option<&Range<u64>> {
        self.damaged.iter().find(|place| place.end > position)
    }

    /// Where the part begins that is damaged up to the end of the segment, if any: the file may end there.
    pub(crate) fn damaged_tail(&self) -> Option<u64> {
        self.damaged.last().filter(|place| place.end == self.size).map(|place| place.start)
    }

    /// Whether a transaction was aborted in it, as far as can be told without reading.
    pub(crate) fn may_have_aborted(&self) -> bool {
        !matches!(self.indexes.aborted, Aborts::None)
    }

    /// Whether its indexes have to be written yet.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self.indexes.offsets, Index::Held(_))
    }

    /// Writes the indexes that are in memory, into files that are then to be synced.
    pub(crate) fn write<D: Disk>(&self, disk: &D) -> io::Result<Vec<D::File>> {
        if let (Index::Held(offsets), Index::Held(times)) = (&self.indexes.offsets, &self.indexes.times) {
            let aborted = match &self.indexes.aborted {
                Aborts::Held(entries) => &entries[..],
                Aborts::None | Aborts::Stored => &[],
            };
            return write(disk, &self.dir, self.base, Stage::Live, offsets, times, aborted);
        }
        Ok(vec![])
    }

    /// The same segment with its indexes on disk, where [`Sealed::write`] has put them.
    pub(crate) fn released(&self) -> Self {
        let aborted = match self.indexes.aborted {
            Aborts::None => Aborts::None,
            Aborts::Held(_) | Aborts::Stored => Aborts::Stored,
        };
        let (offsets, times) = (self.indexes.offsets.len(), self.indexes.times.len());
        self.with_indexes(Indexes::stored(&self.dir, self.base, offsets, times, aborted))
    }
}

impl Indexes {
    /// The bytes of the larger of the two.
    pub(crate) fn bytes_max(&self) -> u64 {
        let (offsets, times) = (OffsetEntry::BYTES as u64, TimeEntry::BYTES as u64);
        (self.offsets.len() * offsets).max(self.times.len() * times)
    }

    /// Indexes in their files, with so many entries.
    pub(crate) fn stored(dir: &Path, base: Offset, offsets: u64, times: u64, aborted: Aborts) -> Self {
        Self {
            offsets: Index::Stored { path: path(dir, base, Content::Offsets), entries: offsets },
            times: Index::Stored { path: path(dir, base, Content::Times), entries: times },
            aborted,
        }
    }
}

/// Writes the index files of a segment, which are then to be synced. No file where nothing was aborted, as Kafka has it.
pub(crate) fn write<D: Disk>(
    disk: &D,
    dir: &Path,
    base: Offset,
    stage: Stage,
    offsets: &[OffsetEntry],
    times: &[TimeEntry],
    aborted: &[Aborted],
) -> io::Result<Vec<D::File>> {
    let path = |content| dir.join(Name::live(base, content).at(stage).to_string());
    let mut files = vec![
        disk::write(disk, &path(Content::Offsets), &index::to_bytes(offsets))?,
        disk::write(disk, &path(Content::Times), &index::to_bytes(times))?,
    ];
    let path = path(Content::Aborted);
    // One that a truncated past has left would name transactions that were never here.
    if aborted.is_empty() {
        remove_if_there(disk, &path)?;
    } else {
        files.push(disk::write(disk, &path, &abort_index::to_bytes(aborted))?);
    }
    Ok(files)
}
