//! The segment that a log is written to.

use std::io;
use std::path::Path;

use dohle_base::{Offset, Timestamp};
use dohle_records::Header;
use dohle_records::batch::stamp::Stamped;

use super::index::{self, Entries, OffsetEntry, TimeEntry};
use super::name::Content;
use super::recent::{Place, Recent};
use super::scan::{CHUNK_LARGE, CHUNK_SMALL, Damage, Scan, Stopped};
use super::{Aborted, Largest, path};
use crate::disk::{Disk, File};

/// A segment cannot reach further than this from its first offset: its indexes count in 31 bits.
const REACH_MAX: i64 = i32::MAX as i64;

/// The segment in which a log ends. The indexes are in memory; their files are written when it is closed.
#[derive(Debug)]
pub(crate) struct Active<F> {
    /// Its first offset, and its name.
    pub(crate) base: Offset,
    pub(crate) file: F,
    /// Where the next batch goes.
    pub(crate) size: u64,
    /// The offset behind the last batch.
    pub(crate) next: Offset,
    pub(crate) offsets: Vec<OffsetEntry>,
    pub(crate) times: Vec<TimeEntry>,
    pub(crate) aborted: Vec<Aborted>,
    pub(crate) largest: Option<Largest>,
    pub(crate) recent: Recent,
    /// From here on the bytes were written by this process.
    pub(crate) written_from: u64,
    /// The largest timestamp of its first batch: its age is counted from there.
    first_time: Option<Timestamp>,
    /// Up to where space was asked for, or may have been by a process before.
    reserved: u64,
    created: Timestamp,
    /// How many entries its index files hold, where they are known to be the first of those in memory.
    stored: Option<Stored>,
    index_interval: u64,
    bytes_unindexed: u64,
}

/// How many entries of each index are on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stored {
    offsets: usize,
    times: usize,
    aborted: usize,
}

/// When a segment is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// The most bytes of batches.
    pub(crate) bytes: u64,
    /// The most bytes of an index.
    pub(crate) index_bytes: u64,
    /// The longest that it is written to, in milliseconds.
    pub(crate) age_ms: i64,
}

impl<F: File> Active<F> {
    /// A new one: its file is created, and its name is not durable yet.
    pub(crate) fn create<D: Disk<File = F>>(
        disk: &D,
        dir: &Path,
        base: Offset,
        index_interval: u64,
        now: Timestamp,
    ) -> io::Result<Self> {
        let file = disk.create(&path(dir, base, Content::Log))?;
        Ok(Self::empty(file, base, index_interval, now))
    }

    /// One whose file is there; nothing is known of what is in it.
    pub(crate) fn empty(file: F, base: Offset, index_interval: u64, now: Timestamp) -> Self {
        Self {
            base,
            file,
            size: 0,
            next: base,
            offsets: Vec::new(),
            times: Vec::new(),
            aborted: Vec::new(),
            largest: None,
            recent: Recent::default(),
            written_from: 0,
            first_time: None,
            reserved: 0,
            created: now,
            stored: None,
            index_interval,
            bytes_unindexed: 0,
        }
    }

    /// Takes up a file of `size` bytes where it was left, with what its indexes say, when nothing is known of it yet. Reads the batches behind
    /// the last entry; a damaged one is the error, and what lies before it is known. Indexes that do not fit the file are left aside
    /// and all of it is read.
    pub(crate) fn resume(&mut self, size: u64, entries: Entries) -> Result<(), Stopped> {
        self.take_indexes(size, entries);
        if self.size > 0 {
            let first = Scan::new(self.file.clone(), 0, size, CHUNK_SMALL).next();
            self.first_time = first.ok().flatten().map(|first| first.header.max_timestamp);
        }
        let mut scan = Scan::new(self.file.clone(), self.size, size, CHUNK_LARGE);
        while let Some(found) = scan.next()? {
            if !self.in_order(&found.header) {
                let damage = Damage::Order(found.header.base_offset);
                return Err(Stopped::Damaged { position: found.position, damage });
            }
            self.note(&found.header);
        }
        self.written_from = self.size;
        Ok(())
    }

    /// Trusts indexes whose last entries lead to the batches that they name. What lies behind the last of offsets is still to be read.
    fn take_indexes(&mut self, size: u64, entries: Entries) {
        let (Some(last), Some(latest)) = (entries.offsets.last().copied(), entries.times.last().copied()) else {
            return;
        };
        let position = u64::from(last.position);
        let named = Scan::new(self.file.clone(), position, size, CHUNK_LARGE).next();
        let Ok(Some(named)) = named else { return };
        if named.header.last_offset() != self.base + i64::from(last.offset) || !self.is_latest(size, &entries, latest) {
            return;
        }
        self.size = position;
        self.next = named.header.base_offset;
        self.largest = Some(Largest { time: latest.time, offset: self.base + i64::from(latest.offset) });
        self.offsets = entries.offsets;
        self.times = entries.times;
    }

    /// Whether the last entry of the time index names a batch of that time, and none behind it that is indexed is later: an index
    /// that has lost its end would hide records from whoever looks for their time.
    fn is_latest(&self, size: u64, entries: &Entries, latest: TimeEntry) -> bool {
        let (before, indexed) = index::around(&entries.offsets, |entry: OffsetEntry| entry.offset <= latest.offset);
        let upto = if indexed.is_some() { entries.offsets.last().map_or(0, |last| last.position) } else { 0 };
        let from = before.map_or(0, |entry| u64::from(entry.position));
        let mut scan = Scan::new(self.file.clone(), from, size, CHUNK_SMALL);
        let offset = self.base + i64::from(latest.offset);
        let mut named = false;
        while let Ok(Some(found)) = scan.next() {
            if found.header.last_offset() < offset {
                continue;
            }
            if !named && found.header.max_timestamp != latest.time || found.header.max_timestamp > latest.time {
                return false;
            }
            named = true;
            if found.end() >= u64::from(upto) {
                return true;
            }
        }
        false
    }

    /// Notes that the index files hold `entries` and the abort index what is known: then they are written again only when something is
    /// added.
    pub(crate) fn note_stored(&mut self, entries: &Entries) {
        let finished = self.times.iter().copied().chain(self.latest_time());
        if entries.offsets == self.offsets && finished.eq(entries.times.iter().copied()) {
            let aborted = self.aborted.len();
            self.stored = Some(Stored { offsets: entries.offsets.len(), times: entries.times.len(), aborted });
        }
    }

    /// Whether its index files are as they should be, once it is [finished](Self::finish). Nothing has to be known of an empty one.
    pub(crate) fn is_stored(&self) -> bool {
        let here = Stored { offsets: self.offsets.len(), times: self.times.len(), aborted: self.aborted.len() };
        self.stored == Some(here) || self.size == 0
    }

    /// Whether a batch can stand behind the last one.
    pub(crate) fn in_order(&self, header: &Header) -> bool {
        header.base_offset >= self.next
            && header.last_offset() >= header.base_offset
            && header.last_offset() - self.base.0 <= Offset(REACH_MAX)
    }

    /// Writes a batch behind the last one: one call to the disk. When it fails, the segment is as it was but for bytes behind its end.
    pub(crate) fn write(&mut self, batch: &Stamped) -> io::Result<()> {
        assert!(self.in_order(&batch.header), "a batch is written in order");
        self.file.write_at(self.size, &batch.head, &batch.tail)?;
        self.note(&batch.header);
        Ok(())
    }

    /// Reckons with space behind the end that a process before has reserved.
    pub(crate) fn inherit(&mut self) {
        self.reserved = self.reserved.max(self.size);
    }

    /// Forgets where its newest batches lie, which whoever reads them finds out: most logs that were opened are not read soon.
    pub(crate) fn forget_recent(&mut self) {
        self.recent = Recent::default();
    }

    /// Reserves all of a segment that was just begun. Only a wish: a disk without the space says so again at the write that needs it.
    pub(crate) fn reserve_all(&mut self, bytes: u64) {
        self.reserved = bytes;
        drop(self.file.reserve(0..bytes));
    }

    /// Gives back the space that was reserved and not used.
    pub(crate) fn trim(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.reserved) > 0 { self.file.trim(self.size) } else { Ok(()) }
    }

    /// Whether there is space to give back that this process has reserved.
    pub(crate) fn has_reserved(&self) -> bool {
        self.reserved > self.size
    }

    /// Notes the batch that begins at the end.
    pub(crate) fn note(&mut self, header: &Header) {
        let relative = (header.last_offset() - self.base.0).0 as u32;
        self.first_time.get_or_insert(header.max_timestamp);
        // What compaction has left without records keeps its time, and nobody who looks for that time finds anything there.
        if self.largest.is_none_or(|largest| header.max_timestamp > largest.time)
            && header.max_timestamp > Timestamp::NONE
            && header.record_count > 0
        {
            self.largest = Some(Largest { time: header.max_timestamp, offset: header.last_offset() });
        }
        if self.bytes_unindexed > self.index_interval {
            self.offsets.push(OffsetEntry { offset: relative, position: self.size as u32 });
            self.note_time();
            self.bytes_unindexed = 0;
        }
        self.recent.push(Place::of(header, self.size));
        self.size += header.size_in_bytes() as u64;
        self.bytes_unindexed += header.size_in_bytes() as u64;
        self.next = header.next_offset();
    }

    fn note_time(&mut self) {
        let latest = self.latest_time();
        self.times.extend(latest);
    }

    /// The entry that the time index lacks, if any.
    fn latest_time(&self) -> Option<TimeEntry> {
        let largest = self.largest?;
        let is_later = self.times.last().is_none_or(|last| largest.time > last.time);
        is_later.then(|| TimeEntry { time: largest.time, offset: (largest.offset - self.base.0).0 as u32 })
    }

    /// Completes the indexes: nothing more is written.
    pub(crate) fn finish(&mut self) {
        self.note_time();
    }

    /// Whether a batch of `bytes` that ends at `last` and is of time `time` has to go to a new segment (`LogSegment.shouldRoll`).
    pub(crate) fn is_full(&self, room: &Room, bytes: u64, last: Offset, time: Timestamp, now: Timestamp) -> bool {
        let offsets_full = (self.offsets.len() + 1) * 8 > room.index_bytes as usize;
        let times_full = (self.times.len() + 2) * 12 > room.index_bytes as usize;
        let full = self.size + bytes > room.bytes || offsets_full || times_full || self.age_ms(time, now) > room.age_ms;
        // An empty segment takes any batch that it can reach: a new one would take no more.
        (self.size > 0 && full) || last - self.base.0 > Offset(REACH_MAX)
    }

    /// How long it is written to, by the clock of the records where they have one, else by ours.
    fn age_ms(&self, time: Timestamp, now: Timestamp) -> i64 {
        match self.first_time {
            Some(first) if first > Timestamp::NONE => time.0.saturating_sub(first.0),
            Some(_) | None => now.0.saturating_sub(self.created.0),
        }
    }

    /// A position from which a walk comes to the batch that holds `offset`, or the first behind it.
    pub(crate) fn hint(&self, offset: Offset) -> u64 {
        let (before, _) =
            index::around(&self.offsets, |entry: OffsetEntry| self.base + i64::from(entry.offset) <= offset);
        before.map_or(0, |entry| u64::from(entry.position))
    }

    /// A position from which a walk comes to the first batch with a time not below `time`.
    pub(crate) fn hint_by_time(&self, time: Timestamp) -> u64 {
        let (before, _) = index::around(&self.times, |entry: TimeEntry| entry.time <= time);
        before.map_or(0, |entry| self.hint(self.base + i64::from(entry.offset)))
    }
}
