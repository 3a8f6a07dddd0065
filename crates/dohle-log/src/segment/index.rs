//! The two sorted indexes of a segment in Kafka's formats (`OffsetIndex`, `TimeIndex`): `.index` from offset to position, `.timeindex`
//! from time to offset.
//!
//! Owns the entries, the search and the check. Sparse: an entry is written when enough bytes have passed. The segment that is written to
//! has them in memory; of a closed one they stay in the file, where a search reads as many entries as it compares.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Buf, BufMut};
use dohle_base::Timestamp;

use crate::disk::{Disk, File, read_whole};

/// The size of the larger entry.
const ENTRY_BYTES_MAX: usize = 12;

/// An entry of an index: a fixed number of bytes.
pub(crate) trait Entry: Copy + PartialEq + std::fmt::Debug {
    /// Its size in the file.
    const BYTES: usize;
    fn put(self, bytes: &mut Vec<u8>);
    fn get(bytes: &[u8]) -> Self;
    /// Whether it may stand behind `before`.
    fn follows(self, before: Self) -> bool;
}

/// The batch that ends at an offset begins at a position. Offsets count from the segment's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    pub(crate) offset: u32,
    pub(crate) position: u32,
}

/// No record up to an offset is of a later time. Offsets count from the segment's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub(crate) time: Timestamp,
    pub(crate) offset: u32,
}

impl Entry for OffsetEntry {
    const BYTES: usize = 8;

    fn put(self, bytes: &mut Vec<u8>) {
        bytes.put_u32(self.offset);
        bytes.put_u32(self.position);
    }

    fn get(mut bytes: &[u8]) -> Self {
        Self { offset: bytes.get_u32(), position: bytes.get_u32() }
    }

    fn follows(self, before: Self) -> bool {
        self.offset > before.offset && self.position > before.position
    }
}

impl Entry for TimeEntry {
    const BYTES: usize = 12;

    fn put(self, bytes: &mut Vec<u8>) {
        bytes.put_i64(self.time.0);
        bytes.put_u32(self.offset);
    }

    fn get(mut bytes: &[u8]) -> Self {
        Self { time: Timestamp(bytes.get_i64()), offset: bytes.get_u32() }
    }

    fn follows(self, before: Self) -> bool {
        self.time > before.time && self.offset >= before.offset
    }
}

/// What both indexes of a segment hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entries {
    pub(crate) offsets: Vec<OffsetEntry>,
    pub(crate) times: Vec<TimeEntry>,
}

/// The bytes of an index file.
pub(crate) fn to_bytes<E: Entry>(entries: &[E]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * E::BYTES);
    entries.iter().for_each(|entry| entry.put(&mut bytes));
    bytes
}

/// The entries of an index file; none when it is not what an index can be: cut off within an entry, or out of order.
pub(crate) fn parse<E: Entry>(bytes: &[u8]) -> Option<Vec<E>> {
    if !bytes.len().is_multiple_of(E::BYTES) {
        return None;
    }
    let entries: Vec<E> = bytes.chunks_exact(E::BYTES).map(E::get).collect();
    let sorted = entries.windows(2).all(|pair| pair[1].follows(pair[0]));
    sorted.then_some(entries)
}

/// The index of a closed segment: in memory until its file is written, then there.
#[derive(Debug)]
pub(crate) enum Index<E> {
    Held(Arc<[E]>),
    Stored { path: PathBuf, entries: u64 },
}

impl<E> Clone for Index<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Held(entries) => Self::Held(entries.clone()),
            Self::Stored { path, entries } => Self::Stored { path: path.clone(), entries: *entries },
        }
    }
}

impl<E: Entry> Index<E> {
    /// The last entry that lies before what is sought, and the first that does not.
    pub(crate) fn around<D: Disk>(&self, disk: &D, before: impl Fn(E) -> bool) -> io::Result<(Option<E>, Option<E>)> {
        match self {
            Self::Held(entries) => Ok(around(entries, before)),
            Self::Stored { path, entries } => search(&disk.open(path)?, *entries, before),
        }
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Held(entries) => entries.len() as u64,
            Self::Stored { entries, .. } => *entries,
        }
    }

    /// All entries, for whoever goes on writing to the segment; none when the file is damaged or gone.
    pub(crate) fn all<D: Disk>(&self, disk: &D) -> io::Result<Option<Vec<E>>> {
        match self {
            Self::Held(entries) => Ok(Some(entries.to_vec())),
            Self::Stored { path, .. } => Ok(read_whole(disk, path)?.and_then(|bytes| parse(&bytes))),
        }
    }
}

/// The last of these entries that lies before what is sought, and the first that does not.
pub(crate) fn around<E: Entry>(entries: &[E], before: impl Fn(E) -> bool) -> (Option<E>, Option<E>) {
    let after = entries.partition_point(|entry| before(*entry));
    (after.checked_sub(1).map(|place| entries[place]), entries.get(after).copied())
}

/// The same in a file of `entries` entries: halves what is left until the rest is worth one read.
fn search<E: Entry, F: File>(file: &F, entries: u64, before: impl Fn(E) -> bool) -> io::Result<(Option<E>, Option<E>)> {
    const READ_AT_ONCE: u64 = 64;
    let mut buffer = [0; READ_AT_ONCE as usize * ENTRY_BYTES_MAX];
    // All entries below `low` lie before, none from `high` on.
    let (mut low, mut high) = (0, entries);
    let (mut last, mut first) = (None, None);
    while high - low > READ_AT_ONCE {
        let middle = low + (high - low) / 2;
        let entry = E::get(read_entries(file, middle * E::BYTES as u64, &mut buffer[..E::BYTES])?);
        if before(entry) {
            (low, last) = (middle + 1, Some(entry));
        } else {
            (high, first) = (middle, Some(entry));
        }
    }
    let rest = (high - low) as usize * E::BYTES;
    let bytes = read_entries(file, low * E::BYTES as u64, &mut buffer[..rest])?;
    for entry in bytes.chunks_exact(E::BYTES).map(E::get) {
        if !before(entry) {
            return Ok((last, Some(entry)));
        }
        last = Some(entry);
    }
    Ok((last, first))
}

fn read_entries<'b, F: File>(file: &F, at: u64, into: &'b mut [u8]) -> io::Result<&'b [u8]> {
    if file.read_at(at, into)? < into.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Memory;

    fn offsets(count: u32) -> Vec<OffsetEntry> {
        (1..=count).map(|n| OffsetEntry { offset: n * 10, position: n * 100 }).collect()
    }

    #[test]
    fn a_search_in_the_file_finds_what_a_search_in_memory_finds() {
        for count in [0, 1, 2, 63, 64, 65, 129, 1_000] {
            let entries = offsets(count);
            let (disk, path) = (Memory::new(), PathBuf::from("/i"));
            disk.create(&path).unwrap().write_at(0, &to_bytes(&entries), &[]).unwrap();
            let stored = Index::<OffsetEntry>::Stored { path, entries: u64::from(count) };
            for sought in (0..count * 10 + 20).step_by(3) {
                let before = |entry: OffsetEntry| entry.offset <= sought;
                assert_eq!(stored.around(&disk, before).unwrap(), around(&entries, before), "{sought} of {count}");
            }
        }
    }

    #[test]
    fn an_index_is_read_as_it_was_written_and_damage_is_seen() {
        let entries = offsets(3);
        let bytes = to_bytes(&entries);
        assert_eq!(bytes[..8], [0, 0, 0, 10, 0, 0, 0, 100]);
        assert_eq!(parse(&bytes), Some(entries));
        assert_eq!(parse::<OffsetEntry>(&bytes[..23]), None, "cut off");
        let mut unsorted = bytes.clone();
        unsorted[11] = 1;
        assert_eq!(parse::<OffsetEntry>(&unsorted), None);
        let times = [TimeEntry { time: Timestamp(5), offset: 1 }, TimeEntry { time: Timestamp(6), offset: 1 }];
        assert_eq!(to_bytes(&times).len(), 24);
        assert_eq!(parse(&to_bytes(&times)), Some(times.to_vec()));
    }
}
