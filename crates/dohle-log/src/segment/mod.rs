//! A stretch of a log: a file of batches and the indexes that find things in it, in Kafka's formats.
//!
//! Owns the files and what is in them. Two kinds: one [`Active`] that is written to, with its indexes in memory, and [`Sealed`] ones that
//! never change and hold neither a file nor an index open. Knows nothing of the log around it.

pub(crate) mod index;
pub(crate) mod name;
pub(crate) mod scan;

pub(crate) mod abort_index;
mod active;
mod recent;
mod sealed;

use std::ops::Range;
use std::path::{Path, PathBuf};

use dohle_base::{Offset, Timestamp};
use dohle_records::Header;

pub use abort_index::Aborted;
pub(crate) use active::{Active, Room};
pub(crate) use recent::Place;
pub use scan::Damage;
pub(crate) use sealed::{Aborts, Indexes, Sealed, write};

use crate::disk::{Disk, remove_if_there};
use crate::failure::Failure;
use name::{Content, Name};

/// The largest timestamp in a segment, and the last offset of the first batch that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Largest {
    pub(crate) time: Timestamp,
    pub(crate) offset: Offset,
}

/// Whether a batch is where it can be: what a header says of offsets is under no checksum.
pub(crate) trait InRange {
    /// Whether all its offsets are of `range`.
    fn lies_in(&self, range: &Range<Offset>) -> bool;
}

impl InRange for Header {
    fn lies_in(&self, range: &Range<Offset>) -> bool {
        let (base, last) = (self.base_offset, self.last_offset());
        range.start <= base && base <= last && last < range.end
    }
}

/// The path of a file of a segment in use.
pub(crate) fn path(dir: &Path, base: Offset, content: Content) -> PathBuf {
    dir.join(Name::live(base, content).to_string())
}

/// Removes the indexes of a segment that has been cut: they speak of what is gone. Whoever writes to it on makes them anew.
pub(crate) fn remove_indexes<D: Disk>(disk: &D, dir: &Path, base: Offset) -> Result<(), Failure> {
    [Content::Offsets, Content::Times, Content::Aborted].into_iter().try_for_each(|content| {
        let path = path(dir, base, content);
        remove_if_there(disk, &path).map_err(Failure::of("remove", &path))
    })
}
