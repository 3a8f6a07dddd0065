//! What is known about a log beside its batches, read from its files or, where these are missing, from the batches: the epochs, the
//! producers, the aborted transactions.

use std::io;
use std::path::Path;
use std::sync::Arc;

use dohle_base::{LeaderEpoch, Offset, Timestamp};
use dohle_records::Header;

use super::Log;
use super::append::marker_of;
use super::open::{LoadError, Recovered};
use crate::disk::{Disk, File, read_whole};
use crate::epochs::{Epochs, FILE_NAME as EPOCHS_FILE_NAME};
use crate::failure::Failure;
use crate::producers::{Producers, snapshot};
use crate::segment::name::Content;
use crate::segment::scan::{CHUNK_LARGE, Damage, Found, Scan, Stopped};
use crate::segment::{self, Aborted, Sealed};

impl<D: Disk> Log<D> {
    /// The epochs as the file has them; without a sound file those of all closed segments are read from their batches.
    pub(super) fn read_epochs(&mut self, recovered: &mut Recovered) -> Result<(), LoadError> {
        let path = self.dir.join(EPOCHS_FILE_NAME);
        let read = read_small(&self.disk, &path)?;
        match read.as_deref().map(Epochs::parse) {
            Some(Ok(epochs)) => {
                self.epochs = epochs;
                return Ok(());
            }
            Some(Err(corrupt)) => {
                tracing::warn!(path = %path.display(), %corrupt, "the epochs are read from the batches")
            }
            None => {}
        }
        recovered.epochs = true;
        let mut epochs = Epochs::default();
        for segment in &self.sealed {
            walk_sealed(&self.disk, &self.dir, segment, segment.base, &mut |_, found| {
                assign(&mut epochs, &found.header);
                Ok(())
            })?;
        }
        self.epochs = epochs;
        Ok(())
    }

    /// Adds the epochs of the segment that is written to, where the file did not have them.
    pub(super) fn read_active_epochs(&mut self) -> Result<(), LoadError> {
        let mut scan = Scan::new(self.active.file.clone(), 0, self.active.size, CHUNK_LARGE);
        while let Some(found) = scan.next().map_err(|stopped| LoadError::of(&self.active_path(), stopped))? {
            assign(&mut self.epochs, &found.header);
        }
        Ok(())
    }

    /// The producers as they are at the end: from the newest sound snapshot up to `upto`, and the batches behind it.
    pub(super) fn read_producers(
        &mut self,
        upto: Offset,
        recovered: &mut Recovered,
        now: Timestamp,
    ) -> Result<(), LoadError> {
        let end = self.end();
        self.remove_snapshots(|at| at > end)?;
        recovered.snapshots = self.restore_producers(upto, now)?;
        self.replay(now)?;
        self.remove_stray_snapshots()?;
        Ok(())
    }

    /// Takes the producers of the newest sound snapshot at or below `upto`, or none; damaged ones are removed and counted.
    pub(super) fn restore_producers(&mut self, upto: Offset, now: Timestamp) -> Result<usize, LoadError> {
        let mut damaged = 0;
        while let Some(at) = self.snapshots.range(..=upto).next_back().copied() {
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
    pub(super) fn replay(&mut self, now: Timestamp) -> Result<(), LoadError> {
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
        for segment in self.sealed.iter().filter(|segment| segment.end > told) {
            walk_sealed(&self.disk, &self.dir, segment, told, &mut tell)?;
        }
        let hint = self.active.hint(told);
        let scan = Scan::new(self.active.file.clone(), hint, self.active.size, CHUNK_LARGE);
        walk(scan, &mut tell).map_err(|stopped| LoadError::of(&self.active_path(), stopped))?;
        producers.forget_below(self.start);
        producers.advance_end(self.end());
        self.producers = producers;
        self.note_aborted(&aborted);
        Ok(())
    }

    /// Puts aborted transactions into the indexes that are being made anew: those of the segments whose indexes are in memory.
    fn note_aborted(&mut self, aborted: &[Aborted]) {
        for segment in &mut self.sealed {
            let own: Vec<Aborted> =
                aborted.iter().filter(|entry| (segment.base..segment.end).contains(&entry.last)).copied().collect();
            if segment.is_held() && !own.is_empty() {
                *segment = Arc::new(segment.with_aborted(own));
            }
        }
        let active = &mut self.active;
        let known = active.aborted.last().map_or(Offset::NONE, |entry| entry.last);
        active.aborted.extend(aborted.iter().filter(|entry| entry.last >= active.base && entry.last > known));
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
    match read_whole(disk, path) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Some(Vec::new())),
        read => read.map_err(Failure::of("read", path)),
    }
}

type Visit<'a, F> = dyn FnMut(&mut Scan<F>, &Found) -> Result<(), Stopped> + 'a;

/// Visits the batches of a closed segment from the one that holds `from` on. Damage is logged and ends the visit: it is the
/// reader's to refuse, not a reason not to open.
fn walk_sealed<D: Disk>(
    disk: &D,
    dir: &Path,
    segment: &Sealed,
    from: Offset,
    visit: &mut Visit<'_, D::File>,
) -> Result<(), LoadError> {
    let path = segment::path(dir, segment.base, Content::Log);
    let file = segment.open(disk).map_err(Failure::of("open", &path))?;
    let hint = segment.hint(disk, &file, from).map_err(Failure::of("read the index of", &path))?;
    let mut least = segment.base;
    let mut in_order = |scan: &mut Scan<D::File>, found: &Found| {
        if !segment.takes(&found.header, least) {
            let damage = Damage::Order(found.header.base_offset);
            return Err(Stopped::Damaged { position: found.position, damage });
        }
        least = found.header.next_offset();
        visit(scan, found)
    };
    match walk(Scan::new(file, hint, segment.size, CHUNK_LARGE), &mut in_order) {
        Ok(()) => Ok(()),
        Err(Stopped::Io(error)) => Err(Failure::of("read", &path)(error).into()),
        Err(Stopped::Damaged { position, damage }) => {
            tracing::error!(path = %path.display(), position, %damage, "a closed segment is damaged");
            Ok(())
        }
    }
}

fn walk<F: File>(mut scan: Scan<F>, visit: &mut Visit<'_, F>) -> Result<(), Stopped> {
    while let Some(found) = scan.next()? {
        visit(&mut scan, &found)?;
    }
    Ok(())
}

/// The marker of a control batch. One that cannot be read ends nothing, and is logged.
fn read_marker<F: File>(
    scan: &mut Scan<F>,
    found: &Found,
) -> Result<Option<dohle_records::control::EndTransaction>, Stopped> {
    let batch = scan.batch(found)?;
    Ok(marker_of(&batch).unwrap_or_else(|error| {
        tracing::error!(offset = found.header.base_offset.0, %error, "a control batch without its record");
        None
    }))
}
