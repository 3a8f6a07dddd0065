//! The segment that a pass writes: under names that nobody reads until it is whole (`.cleaned`), with its indexes.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dohle_base::{Offset, Timestamp};
use dohle_records::Batch;

use super::CompactError;
use crate::disk::{Disk, File, remove_if_there};
use crate::segment::name::{Content, Name, Stage};
use crate::segment::{self, Aborted, Aborts, Active, Indexes, Sealed};

/// How much is collected for one write.
const WRITE_BYTES: usize = 256 << 10;
/// Positions in a segment are counted in 31 bits.
const SIZE_MAX: u64 = i32::MAX as u64;

/// A segment under way.
pub(super) struct Target<D: Disk> {
    disk: D,
    dir: Arc<Path>,
    segment: Active<D::File>,
    collected: Vec<u8>,
    written: u64,
}

/// A segment that was written whole and made durable; [`crate::log::Log::swap`] puts it in the place of those that it was made of. Dropped without
/// that, its files are removed by the next pass, or when the log is opened again.
#[derive(Debug)]
#[must_use = "a rewritten segment is swapped in or thrown away"]
pub struct Rewritten<D: Disk> {
    pub(crate) disk: D,
    /// What it takes the place of, oldest first.
    pub(crate) originals: Vec<Arc<Sealed>>,
    pub(crate) sealed: Arc<Sealed>,
    /// The kinds of files that it has.
    pub(crate) contents: Vec<Content>,
}

impl<D: Disk> Rewritten<D> {
    /// Removes what was written.
    pub fn discard(self, dir: &Path) -> Result<(), CompactError> {
        discard(&self.disk, dir, self.sealed.base)
    }
}

impl<D: Disk> Target<D> {
    pub(super) fn create(
        disk: &D,
        dir: &Arc<Path>,
        base: Offset,
        index_interval: u64,
        now: Timestamp,
    ) -> Result<Self, CompactError> {
        let path = cleaned(dir, base, Content::Log);
        let file = disk.create(&path).map_err(|error| CompactError::io("create", &path, error))?;
        let segment = Active::empty(file, base, index_interval, now);
        Ok(Self { disk: disk.clone(), dir: dir.clone(), segment, collected: Vec::new(), written: 0 })
    }

    /// Puts a batch behind the last.
    pub(super) fn append(&mut self, batch: &Batch) -> Result<(), CompactError> {
        let size = batch.bytes().len() as u64;
        if !self.segment.in_order(batch.header()) || self.segment.size + size > SIZE_MAX {
            return Err(CompactError::TooLarge { segment: self.segment.base });
        }
        if self.collected.len() + batch.bytes().len() > WRITE_BYTES {
            self.write()?;
        }
        if batch.bytes().len() > WRITE_BYTES {
            self.write_behind(batch.bytes())?;
        } else {
            self.collected.extend_from_slice(batch.bytes());
        }
        self.segment.note(batch.header());
        Ok(())
    }

    /// Notes an aborted transaction whose marker was put here.
    pub(super) fn note_aborted(&mut self, aborted: Aborted) {
        self.segment.aborted.push(aborted);
    }

    /// Makes it durable in the place of `originals`, which it spans.
    pub(super) fn finish(mut self, originals: Vec<Arc<Sealed>>, revision: u64) -> Result<Rewritten<D>, CompactError> {
        self.write()?;
        self.segment.finish();
        let base = self.segment.base;
        self.segment
            .file
            .sync()
            .map_err(|error| CompactError::io("sync", &cleaned(&self.dir, base, Content::Log), error))?;
        let (segment, dir) = (&self.segment, &self.dir);
        segment::write(&self.disk, dir, base, Stage::Cleaned, &segment.offsets, &segment.times, &segment.aborted)
            .and_then(|files| files.iter().try_for_each(File::sync))
            .map_err(|error| CompactError::io("store the indexes of", dir, error))?;
        let aborts = if segment.aborted.is_empty() { Aborts::None } else { Aborts::Stored };
        let (offsets, times) = (segment.offsets.len() as u64, segment.times.len() as u64);
        let mut contents = vec![Content::Log, Content::Offsets, Content::Times];
        contents.extend((!segment.aborted.is_empty()).then_some(Content::Aborted));
        let indexes = Indexes::stored(dir, base, offsets, times, aborts);
        let (range, modified) = span(&originals);
        assert!(segment.next <= range.end, "what was rewritten reaches no further than before");
        let sealed = Sealed::rewritten(dir.clone(), range, segment.size, modified, indexes, segment.largest, revision);
        Ok(Rewritten { disk: self.disk.clone(), originals, sealed: Arc::new(sealed), contents })
    }

    /// Removes what was written so far.
    pub(super) fn discard(self) -> Result<(), CompactError> {
        discard(&self.disk, &self.dir, self.segment.base)
    }

    fn write(&mut self) -> Result<(), CompactError> {
        let collected = std::mem::take(&mut self.collected);
        self.write_behind(&collected)?;
        self.collected = collected;
        self.collected.clear();
        Ok(())
    }

    fn write_behind(&mut self, bytes: &[u8]) -> Result<(), CompactError> {
        let path = || cleaned(&self.dir, self.segment.base, Content::Log);
        self.segment
            .file
            .write_at(self.written, bytes, &[])
            .map_err(|error| CompactError::io("write", &path(), error))?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

/// The offsets of neighbours, and when the last of them was written to.
fn span(originals: &[Arc<Sealed>]) -> (Range<Offset>, Timestamp) {
    let (first, last) = originals.first().zip(originals.last()).expect("a group has segments");
    (first.base..last.end, last.modified)
}

fn cleaned(dir: &Path, base: Offset, content: Content) -> PathBuf {
    dir.join(Name::live(base, content).at(Stage::Cleaned).to_string())
}

/// Removes what earlier passes have left half done. A swap counts as unfinished after a crash where such a file lies below it: none may be left
/// when the next begins.
pub(super) fn clear<D: Disk>(disk: &D, dir: &Path) -> Result<(), CompactError> {
    let entries = disk.list(dir).map_err(|error| CompactError::io("list", dir, error))?;
    let names = entries.iter().filter_map(|entry| Name::parse(&entry.name));
    for name in names.filter(|name| name.stage == Stage::Cleaned) {
        let path = dir.join(name.to_string());
        remove_if_there(disk, &path).map_err(|error| CompactError::io("remove", &path, error))?;
    }
    Ok(())
}

fn discard<D: Disk>(disk: &D, dir: &Path, base: Offset) -> Result<(), CompactError> {
    for content in Content::OF_SEGMENT {
        let path = cleaned(dir, base, content);
        remove_if_there(disk, &path).map_err(|error| CompactError::io("remove", &path, error))?;
    }
    Ok(())
}
