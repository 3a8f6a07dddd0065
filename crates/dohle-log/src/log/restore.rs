//! What is known about a log beside its batches, read from its files or, where these are missing, from the batches: the epochs, the
//! producers, the aborted transactions.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use dohle_base::{LeaderEpoch, Offset, Timestamp};
use dohle_records::Header;
use dohle_records::control::EndTransaction;

use super::Log;
use super::marker_of;
use super::open::Recovered;
use crate::disk::{Disk, File, Listing, read_whole};
use crate::epochs::{Epochs, FILE_NAME as EPOCHS_FILE_NAME};
use crate::failure::Failure;
use crate::producers::{Producers, snapshot};
use crate::segment::name::Content;
use crate::segment::scan::{CHUNK_LARGE, Damage, Found, Scan, Stopped};
use crate::segment::{self, Aborted, InRange, abort_index};

/// So much of the end of a log is read for what producers may repeat: one read, for each log at each start.
const RECALLED_BYTES: u64 = CHUNK_LARGE as u64;

impl<D: Disk> Log<D> {
    /// The epochs as the file has them; without a sound file they have to be gathered from the batches.
    pub(super) fn read_epochs(&mut self, listing: &Listing, recovered: &mut Recovered) -> Result<Epochs, Failure> {
        let path = self.dir.join(EPOCHS_FILE_NAME);
        let read = small(listing.read(&self.disk, &self.dir, EPOCHS_FILE_NAME), &path)?;
        match read.as_deref().map(Epochs::parse) {
            Some(Ok(epochs)) => {
                self.epochs = epochs.clone();
                return Ok(epochs);
            }
            Some(Err(corrupt)) => {
                tracing::warn!(path = %path.display(), %corrupt, "the epochs are read from the batches")
            }
            None => {}
        }
        recovered.epochs = true;
        Ok(Epochs::default())
    }

    /// Where the epochs have come to be again what the file has, it need not be written.
    pub(super) fn trust_epochs(&mut self, stored: &Epochs) {
        if self.epochs.starts() == stored.starts() {
            self.durable.epochs = self.epochs.version();
        }
    }

    /// The epochs as the batches have them.
    pub(super) fn gather_epochs(&mut self) -> Result<(), Failure> {
        let mut epochs = Epochs::default();
        self.walk_from(self.first_base(), &mut |_, found| {
            assign(&mut epochs, &found.header);
            Ok(())
        })?;
        self.epochs = epochs;
        Ok(())
    }

    /// The producers as they are at the end: from the newest sound snapshot up to `upto`, and the batches behind it.
    pub(super) fn read_producers(
        &mut self,
        upto: Offset,
        recovered: &mut Recovered,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let end = self.end();
        self.remove_snapshots(|at| at > end)?;
        recovered.snapshots = self.drop_damaged_snapshots(upto)?;
        recovered.snapshots += self.restore_producers(upto, now)?;
        self.replay(now)?;
        self.recall(now)?;
        self.remove_stray_snapshots()?;
        Ok(())
    }

    /// Removes the damaged snapshots behind `upto`, which nobody reads now, so that nobody relies on them later; says how many.
    fn drop_damaged_snapshots(&mut self, upto: Offset) -> Result<usize, Failure> {
        let mut damaged = BTreeSet::new();
        for at in self.snapshots.iter().copied().filter(|at| *at > upto) {
            let path = segment::path(&self.dir, at, Content::Producers);
            if read_small(&self.disk, &path)?.is_none_or(|bytes| snapshot::parse(&bytes).is_err()) {
                damaged.insert(at);
            }
        }
        self.remove_snapshots(|at| damaged.contains(&at))?;
        Ok(damaged.len())
    }

    /// Takes the producers of the newest sound snapshot at or below `upto`, or none; damaged ones are removed and counted.
    pub(super) fn restore_producers(&mut self, upto: Offset, now: Timestamp) -> Result<usize, Failure> {
        let mut damaged = 0;
        while let Some(at) = self.snapshots.iter().rev().copied().find(|at| *at <= upto) {
            let path = segment::path(&self.dir, at, Content::Producers);
            let read = read_small(&self.disk, &path)?.map(|bytes| snapshot::parse(&bytes));
            match read {
                Some(Ok(producers)) => {
                    self.producers = Producers::restore(producers, at, now);
                    return Ok(damaged);
                }
                Some(Err(corrupt)) => {
                    tracing::warn!(path = %path.display(), %corrupt, "a snapshot of the producers is dropped")
                }
                None => {}
            }
            damaged += 1;
            self.remove_snapshots(|other| other == at)?;
        }
        self.producers = Producers::starting_at(self.first_base());
        Ok(damaged)
    }

    /// Tells the producers all batches from where they are to the end, and notes the transactions that were aborted there.
    pub(super) fn replay(&mut self, now: Timestamp) -> Result<(), Failure> {
        let mut producers = std::mem::take(&mut self.producers);
        let mut aborted: Vec<Aborted> = Vec::new();
        let told = producers.end();
        let mut tell = |scan: &mut Scan<D::File>, found: &Found| {
            if found.header.base_offset < producers.end() {
                return Ok(());
            }
            let marker = if found.header.attributes.is_control() { read_marker(scan, found)? } else { None };
            let ended = producers.apply(&found.header, marker, now).filter(|ended| ended.aborted);
            aborted.extend(ended.map(Aborted::from));
            Ok(())
        };
        // After a clean stop the snapshot is of the end, and nothing need be read.
        if told < self.end() {
            self.walk_from(told, &mut tell)?;
        }
        producers.forget_below(self.start);
        producers.advance_end(self.end());
        self.producers = producers;
        self.note_aborted(&aborted);
        Ok(())
    }

    /// A snapshot holds the last batch of each producer, and a producer may repeat the last five: the end of the log is read for the
    /// others, so that a retry that a restart came between is known for one (seen as a fatal error of idempotent producers).
    fn recall(&mut self, now: Timestamp) -> Result<(), Failure> {
        let active = &self.active;
        let enough = active.size.saturating_sub(RECALLED_BYTES);
        let entry = active.offsets.partition_point(|entry| u64::from(entry.position) < enough);
        let begin = active.offsets.get(entry).map(|entry| u64::from(entry.position));
        let begin = if enough == 0 { Some(0) } else { begin };
        let Some(begin) = begin.filter(|_| !self.producers.is_empty()) else { return Ok(()) };
        let mut others = Producers::starting_at(active.base);
        let scan = Scan::new(active.file.clone(), begin, active.size, CHUNK_LARGE);
        let mut tell = |scan: &mut Scan<D::File>, found: &Found| {
            let marker = if found.header.attributes.is_control() { read_marker(scan, found)? } else { None };
            others.apply(&found.header, marker, now);
            Ok(())
        };
        walk(scan, active.base..active.next, &self.active_path(), &mut tell)?;
        self.producers.recall(&others);
        Ok(())
    }

    /// Puts aborted transactions into the indexes that are being made anew: those of the segments whose indexes are in memory.
    fn note_aborted(&mut self, aborted: &[Aborted]) {
        for segment in &mut self.sealed {
            let own: Vec<Aborted> =
                aborted.iter().filter(|entry| (segment.base..segment.end).contains(&entry.last)).copied().collect();
            if segment.is_held() && !own.is_empty() {
                *segment = Arc::new(segment.with_aborted(&own));
            }
        }
        let own: Vec<Aborted> = aborted.iter().filter(|entry| entry.last >= self.active.base).copied().collect();
        abort_index::extend(&mut self.active.aborted, &own);
    }

    /// Removes the snapshots that belong to no segment, but for the newest: a clean stop leaves it at the end.
    fn remove_stray_snapshots(&mut self) -> Result<(), Failure> {
        let bases: Vec<Offset> = self.segments().map(|segment| segment.base).collect();
        let newest = self.snapshots.last().copied();
        self.remove_snapshots(|at| Some(at) != newest && bases.binary_search(&at).is_err())
    }
}

/// Notes the epoch of a batch that comes behind all that were noted.
pub(super) fn assign(epochs: &mut Epochs, header: &Header) {
    if header.leader_epoch >= LeaderEpoch(0) && epochs.latest().is_none_or(|latest| header.leader_epoch > latest) {
        epochs.assign(header.leader_epoch, header.base_offset);
    }
}

/// A file that is small unless it is damaged.
fn read_small<D: Disk>(disk: &D, path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    small(read_whole(disk, path), path)
}

fn small(read: io::Result<Option<Vec<u8>>>, path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Some(Vec::new())),
        read => read.map_err(Failure::of("read", path)),
    }
}

type Visit<'a, F> = dyn FnMut(&mut Scan<F>, &Found) -> io::Result<()> + 'a;

impl<D: Disk> Log<D> {
    /// Visits the batches of the log from the one that holds `from` on.
    fn walk_from(&self, from: Offset, visit: &mut Visit<'_, D::File>) -> Result<(), Failure> {
        for segment in self.sealed.iter().filter(|segment| segment.end > from) {
            let path = segment::path(&self.dir, segment.base, Content::Log);
            let file = segment.open(&self.disk).map_err(Failure::of("open", &path))?;
            let hint = segment.hint(&self.disk, &file, from).map_err(Failure::of("read the index of", &path))?;
            let scan = Scan::new(file, hint, segment.size, CHUNK_LARGE);
            walk(scan, segment.base..segment.end, &path, visit)?;
        }
        let active = &self.active;
        let scan = Scan::new(active.file.clone(), active.hint(from), active.size, CHUNK_LARGE);
        walk(scan, active.base..active.next, &self.active_path(), visit)
    }
}

/// Visits the batches of one segment, which has the offsets of `range`. Damage is logged and ends the visit: it is the reader's to refuse, not
/// a reason not to open.
fn walk<F: File>(
    mut scan: Scan<F>,
    range: Range<Offset>,
    path: &Path,
    visit: &mut Visit<'_, F>,
) -> Result<(), Failure> {
    let mut least = range.start;
    let stopped = loop {
        match scan.next() {
            Ok(None) => return Ok(()),
            Ok(Some(found)) if found.header.lies_in(&(least..range.end)) => {
                visit(&mut scan, &found).map_err(Failure::of("read", path))?;
                least = found.header.next_offset();
            }
            Ok(Some(found)) => break (found.position, Damage::Order(found.header.base_offset)),
            Err(Stopped::Io(error)) => return Err(Failure::of("read", path)(error)),
            Err(Stopped::Damaged { position, damage }) => break (position, damage),
        }
    };
    let (position, damage) = stopped;
    tracing::error!(path = %path.display(), position, %damage, "a segment is damaged");
    Ok(())
}

/// The marker of a control batch. One that cannot be read ends nothing, and is logged.
fn read_marker<F: File>(scan: &mut Scan<F>, found: &Found) -> io::Result<Option<EndTransaction>> {
    let batch = scan.batch(found)?;
    Ok(marker_of(&batch).unwrap_or_else(|error| {
        tracing::error!(offset = found.header.base_offset.0, %error, "a control batch without its record");
        None
    }))
}
