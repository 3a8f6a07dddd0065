//! What readers of committed data ask a log: up to where all fates are known, and which transactions were aborted.

use std::io;
use std::path::Path;
use std::sync::Arc;

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

    /// Where to look for the aborted transactions that a reader of `slice`, who asked for `from` on and sees what is below `upto`, has to leave
    /// out. Looks at memory only; none where nothing was ever aborted.
    pub fn aborts(&self, from: Offset, upto: Offset, slice: &Slice<D::File>) -> Option<Aborts<D>> {
        let none = self.active.aborted.is_empty() && self.sealed.iter().all(|segment| !segment.may_have_aborted());
        if none {
            return None;
        }
        let first = self.sealed.partition_point(|segment| segment.end <= from);
        let sealed = self.sealed.range(first..).filter(|segment| segment.may_have_aborted()).cloned().collect();
        let place = self.sealed.partition_point(|segment| segment.end <= slice.segment);
        let home = match self.sealed.get(place) {
            Some(segment) if (segment.base, segment.revision) == (slice.segment, slice.revision) => {
                Home::Sealed(Arc::clone(segment))
            }
            None if slice.revision == self.revision => {
                let entry = around(&self.active.offsets, |entry| u64::from(entry.position) < slice.range.end).1;
                Home::Known(entry.map_or(self.active.next, |entry| slice.segment + i64::from(entry.offset)))
            }
            // Of a segment that was rewritten or moved since the slice was taken the index says nothing about it.
            Some(_) | None => Home::Known(self.end()),
        };
        let (active, slice_end) = (self.active.aborted.clone(), slice.range.end);
        Some(Aborts {
            disk: self.disk.clone(),
            dir: Arc::clone(&self.dir),
            from,
            upto,
            home,
            slice_end,
            sealed,
            active,
        })
    }
}

/// Where aborted transactions are noted that a reader may meet.
#[derive(Debug)]
pub struct Aborts<D: Disk> {
    disk: D,
    dir: Arc<Path>,
    from: Offset,
    upto: Offset,
    home: Home,
    slice_end: u64,
    sealed: Vec<Arc<Sealed>>,
    active: Vec<Aborted>,
}

/// The segment that the reader's bytes are in.
#[derive(Debug)]
enum Home {
    Sealed(Arc<Sealed>),
    /// None whose index would tell more: an offset that none of the bytes reaches.
    Known(Offset),
}

impl<D: Disk> Aborts<D> {
    /// Whether they can be found without waiting for the disk.
    pub fn is_near(&self) -> bool {
        self.sealed.is_empty() && matches!(self.home, Home::Known(_))
    }

    /// Finds them. Reads the abort indexes of closed segments.
    pub fn find(&self) -> Result<Vec<Aborted>, Failure> {
        let failed = |error| Failure::of("read the abort indexes of", &self.dir)(error);
        let upto = self.bound().map_err(failed)?.min(self.upto);
        let mut found = Vec::new();
        for segment in &self.sealed {
            let entries = segment.aborted(&self.disk).map_err(failed)?;
            if collect(&entries, self.from, upto, &mut found) {
                return Ok(found);
            }
        }
        collect(&self.active, self.from, upto, &mut found);
        Ok(found)
    }

    /// An offset that nothing in the bytes reaches: that of the first index entry behind them, or the end of their segment.
    fn bound(&self) -> io::Result<Offset> {
        let segment = match &self.home {
            Home::Known(bound) => return Ok(*bound),
            Home::Sealed(segment) => segment,
        };
        let before = |entry: OffsetEntry| u64::from(entry.position) < self.slice_end;
        let (_, behind) = segment.indexes.offsets.around(&self.disk, before)?;
        Ok(behind.map_or(segment.end, |entry| segment.base + i64::from(entry.offset)))
    }
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
