//! The files of a log as a stop has left them, whatever stopped it (`LogLoader`).
//!
//! Owns which file is whose: finishes or undoes what was under way, finds the segments and what indexes they have. Reads no batch but to see
//! how far a swapped segment reaches.
//!
//! Law for whoever rewrites segments: what it takes the place of lies below the recovery point that is on the disk, because above it a gap between
//! two segments is taken for a lost tail.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use dohle_base::{Offset, Timestamp};

use crate::disk::{Disk, Kind, Listing, beside, read_sized, read_whole};
use crate::failure::Failure;
use crate::segment::index::{self, Entries, OffsetEntry, TimeEntry};
use crate::segment::name::{Content, Name, Stage};
use crate::segment::scan::{CHUNK_LARGE, Scan};
use crate::segment::{self, Aborted, Aborts, Indexes, abort_index};

/// What is put aside bears this behind its name, and is never read again by a broker.
pub(crate) const QUARANTINE_SUFFIX: &str = ".quarantine";

/// What a directory holds once nothing is under way any more.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// Oldest first.
    pub(crate) segments: Vec<SegmentFiles>,
    pub(crate) snapshots: Vec<Offset>,
    /// How many files were under way.
    pub(crate) leftovers: usize,
    /// All that lies there now.
    pub(crate) listing: Listing,
}

/// The files of one segment, by their sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentFiles {
    pub(crate) base: Offset,
    pub(crate) size: u64,
    pub(crate) modified: Timestamp,
    offsets: Option<u64>,
    times: Option<u64>,
    /// Whether there is an abort index.
    pub(crate) aborted: bool,
}

impl SegmentFiles {
    /// Whether there is an index beside the batches.
    pub(crate) fn has_index(&self) -> bool {
        self.offsets.is_some() || self.times.is_some() || self.aborted
    }

    /// Its indexes, where their files can be the indexes of this segment.
    pub(crate) fn stored_indexes(&self, dir: &Path) -> Option<Indexes> {
        let offsets = entries::<OffsetEntry>(self.offsets?)?;
        let times = entries::<TimeEntry>(self.times?)?;
        // No batch is smaller than its header: a longer index was written for something else, or by nobody.
        let possible = offsets <= self.size / dohle_records::batch::header::BYTES as u64;
        let aborted = if self.aborted { Aborts::Stored } else { Aborts::None };
        possible.then(|| Indexes::stored(dir, self.base, offsets, times, aborted))
    }
}

fn entries<E: index::Entry>(size: u64) -> Option<u64> {
    let bytes = E::BYTES as u64;
    size.is_multiple_of(bytes).then_some(size / bytes)
}

/// Finishes what was under way in `dir`, in which `listing` was found, and says what is there.
pub(crate) fn settle<D: Disk>(disk: &D, dir: &Path, listing: Listing) -> Result<Settled, Failure> {
    let mut settled = Settled { listing, ..Settled::default() };
    let mut names = named(&settled.listing);
    settled.leftovers = names.keys().filter(|name| name.stage != Stage::Live).count();
    if settled.leftovers > 0 {
        finish(disk, dir, &names)?;
        settled.listing = list(disk, dir)?;
        names = named(&settled.listing);
    }
    for (name, (size, modified)) in names.iter().filter(|(name, _)| name.content == Content::Log) {
        let size_of = |content| names.get(&Name::live(name.base, content)).map(|(size, _)| *size);
        settled.segments.push(SegmentFiles {
            base: name.base,
            size: *size,
            modified: *modified,
            offsets: size_of(Content::Offsets),
            times: size_of(Content::Times),
            aborted: size_of(Content::Aborted).is_some(),
        });
    }
    for name in names.keys() {
        let orphan = name.content != Content::Log && !names.contains_key(&Name::live(name.base, Content::Log));
        if name.content == Content::Producers {
            settled.snapshots.push(name.base);
        } else if orphan {
            remove(disk, dir, *name)?;
        }
    }
    Ok(settled)
}

type Names = BTreeMap<Name, (u64, Timestamp)>;

/// What is in the directory of a log, which is there.
pub(crate) fn list<D: Disk>(disk: &D, dir: &Path) -> Result<Listing, Failure> {
    let listing = Listing::of(disk, dir).and_then(|found| found.ok_or_else(|| io::ErrorKind::NotFound.into()));
    listing.map_err(Failure::of("list", dir))
}

fn named(listing: &Listing) -> Names {
    let named = |entry: &crate::disk::Entry| match entry.kind {
        Kind::File(size) => Some((Name::parse(&entry.name)?, (size, entry.modified))),
        Kind::Directory => None,
    };
    listing.entries().iter().filter_map(named).collect()
}

/// `.deleted` and `.cleaned` go. A `.swap` was written whole: it takes the place of what it covers, unless the rewriting that it is a part of
/// was not done, which a `.cleaned` below or at it tells.
fn finish<D: Disk>(disk: &D, dir: &Path, names: &Names) -> Result<(), Failure> {
    let unfinished = names.keys().filter(|name| name.stage == Stage::Cleaned).map(|name| name.base).min();
    let is_valid = |name: &Name| unfinished.is_none_or(|unfinished| name.base < unfinished);
    let (swaps, doomed): (Vec<Name>, Vec<Name>) = names
        .keys()
        .filter(|name| name.stage != Stage::Live)
        .partition(|name| name.stage == Stage::Swap && is_valid(name));
    for name in doomed {
        remove(disk, dir, name)?;
    }
    if let Some(covered) = covered(disk, dir, names, &swaps)? {
        let originals = names.keys().filter(|name| name.stage == Stage::Live && name.content != Content::Producers);
        for original in originals.filter(|name| covered.contains(&name.base)) {
            remove(disk, dir, *original)?;
        }
    }
    for swap in swaps {
        let (from, to) = (dir.join(swap.to_string()), dir.join(swap.at(Stage::Live).to_string()));
        disk.rename(&from, &to).map_err(Failure::of("rename", &from))?;
    }
    disk.sync_dir(dir).map_err(Failure::of("sync", dir))
}

/// The offsets that the swapped segments cover: from the first's first to behind the last's last.
fn covered<D: Disk>(
    disk: &D,
    dir: &Path,
    names: &Names,
    swaps: &[Name],
) -> Result<Option<std::ops::Range<Offset>>, Failure> {
    let mut covered: Option<std::ops::Range<Offset>> = None;
    for swap in swaps.iter().filter(|swap| swap.content == Content::Log) {
        let path = dir.join(swap.to_string());
        let size = names.get(swap).map_or(0, |(size, _)| *size);
        let file = disk.open(&path).map_err(Failure::of("open", &path))?;
        let mut scan = Scan::new(file, 0, size, CHUNK_LARGE);
        let mut end = swap.base;
        // A swap was synced before it got its name: damage is not looked for here, and found where all segments are read.
        while let Ok(Some(found)) = scan.next() {
            end = found.header.next_offset();
        }
        covered = Some(covered.map_or(swap.base..end, |known| known.start.min(swap.base)..known.end.max(end)));
    }
    Ok(covered)
}

fn remove<D: Disk>(disk: &D, dir: &Path, name: Name) -> Result<(), Failure> {
    let path = dir.join(name.to_string());
    crate::disk::remove_if_there(disk, &path).map_err(Failure::of("remove", &path))
}

/// Both indexes of a segment; none when one is missing or damaged.
pub(crate) fn read_indexes<D: Disk>(disk: &D, dir: &Path, file: &SegmentFiles) -> Result<Option<Entries>, Failure> {
    let (Some(offsets), Some(times)) = (file.offsets, file.times) else { return Ok(None) };
    let read = |content, size| read_sound(disk, &segment::path(dir, file.base, content), size);
    let offsets = read(Content::Offsets, offsets)?.and_then(|bytes| index::parse(&bytes));
    let times = read(Content::Times, times)?.and_then(|bytes| index::parse(&bytes));
    Ok(offsets.zip(times).map(|(offsets, times)| Entries { offsets, times }))
}

/// The aborted transactions of a segment, empty when there is no file; none when it is damaged.
pub(crate) fn read_aborted<D: Disk>(disk: &D, dir: &Path, base: Offset) -> Result<Option<Vec<Aborted>>, Failure> {
    let path = segment::path(dir, base, Content::Aborted);
    let read = match read_whole(disk, &path) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
        read => read.map_err(Failure::of("read", &path))?,
    };
    let entries = read.map_or(Some(Vec::new()), |bytes| abort_index::parse(&bytes));
    let own = |entry: &Aborted| entry.last >= base;
    if entries.as_ref().is_none_or(|entries| !entries.iter().all(own)) {
        tracing::warn!(path = %path.display(), "an abort index is made anew");
        return Ok(None);
    }
    Ok(entries)
}

fn read_sound<D: Disk>(disk: &D, path: &Path, size: u64) -> Result<Option<Vec<u8>>, Failure> {
    match read_sized(disk, path, size) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        read => read.map(Some).map_err(Failure::of("read", path)),
    }
}

/// Puts the files of these segments aside, the last segment first; returns how many segments.
pub(crate) fn set_aside<D: Disk>(disk: &D, dir: &Path, bases: &[Offset]) -> Result<usize, Failure> {
    for base in bases.iter().rev() {
        for content in Content::OF_SEGMENT {
            let from = segment::path(dir, *base, content);
            match disk.rename(&from, &beside(&from, QUARANTINE_SUFFIX)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Failure::of("rename", &from)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(bases.len())
}
