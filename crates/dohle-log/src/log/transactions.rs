//! What readers of committed data ask a log: up to where all fates are known, and which transactions were aborted.

use std::io;

use dohle_base::Offset;

use super::{Log, Slice};
use crate::disk::Disk;
use crate::failure::Failure;
use crate::producers::Ended;
use crate::segment::index::{OffsetEntry, around};
use crate::segment::{Aborted, Sealed};

impl From<Ended> for Aborted {
    fn from(ended: Ended) -> Self {
        let Ended { producer, first, last, last_stable, aborted: _ } = ended;
        Self { producer, first, last, last_stable }
    }
}

impl<D: Disk> Log<D> {
    /// The offset behind the last record whose fate is known on every replica: what a reader of committed data may see
    /// (KIP-98). Not above the high watermark, which never falls between two calls.
    pub fn last_stable(&mut self, high_watermark: Offset) -> Offset {
        self.producers.last_stable(high_watermark).max(self.start)
    }

    /// The aborted transactions that a reader of `slice`, who asked for `from` on and sees what is below `upto`, has to leave out. Empty at once
    /// where nothing was ever aborted; else reads the abort indexes.
    pub fn aborted(&self, from: Offset, upto: Offset, slice: &Slice<D::File>) -> Result<Vec<Aborted>, Failure> {
        let mut found = Vec::new();
        let none = self.active.aborted.is_empty() && self.sealed.iter().all(|segment| !segment.may_have_aborted());
        if none {
            return Ok(found);
        }
        let failed = |error| Failure::of("read the abort indexes of", &self.dir)(error);
        let upto = self.bound(slice).map_err(failed)?.min(upto);
        let first = self.sealed.partition_point(|segment| segment.end <= from);
        for segment in self.sealed.range(first..) {
            let entries = segment.aborted(&self.disk).map_err(failed)?;
            if collect(&entries, from, upto, &mut found) {
                return Ok(found);
            }
        }
        collect(&self.active.aborted, from, upto, &mut found);
        Ok(found)
    }

    /// An offset that nothing in the slice reaches: that of the first index entry behind it, or the end of its segment. Of a segment that was
    /// rewritten since the slice was taken the index says nothing about it.
    fn bound(&self, slice: &Slice<D::File>) -> io::Result<Offset> {
        let behind = |entry: OffsetEntry| u64::from(entry.position) < slice.range.end;
        let place = self.sealed.partition_point(|segment| segment.end <= slice.segment);
        let (entry, end) = match self.sealed.get(place) {
            Some(segment) if (segment.base, segment.revision) == (slice.segment, slice.revision) => {
                (entry_behind(segment, &self.disk, behind)?, segment.end)
            }
            Some(_) => (None, self.end()),
            None => (around(&self.active.offsets, behind).1, self.active.next),
        };
        Ok(entry.map_or(end, |entry| slice.segment + i64::from(entry.offset)))
    }
}

fn entry_behind<D: Disk>(
    segment: &Sealed,
    disk: &D,
    behind: impl Fn(OffsetEntry) -> bool,
) -> io::Result<Option<OffsetEntry>> {
    Ok(segment.indexes.offsets.around(disk, behind)?.1)
}

/// Adds those of `entries` that concern the offsets from `from` to `upto`, and says whether later ones cannot
/// (`TransactionIndex.collectAbortedTxns`).
fn collect(entries: &[Aborted], from: Offset, upto: Offset, found: &mut Vec<Aborted>) -> bool {
    for entry in entries {
        if entry.last >= from && entry.first < upto {
            found.push(*entry);
        }
        if entry.last_stable >= upto {
            return true;
        }
    }
    false
}
