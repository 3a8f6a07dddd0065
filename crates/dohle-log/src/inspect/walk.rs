//! A walk over the batches of one segment's file, each with its bytes.

use std::path::{Path, PathBuf};

use dohle_base::Offset;
use dohle_records::Batch;
use thiserror::Error;

use super::SegmentFile;
use crate::disk::{Disk, File};
use crate::failure::Failure;
use crate::segment;
use crate::segment::name::Content;
use crate::segment::scan::{CHUNK_LARGE, Damage, Scan, Stopped};

/// The walk. Holds one batch at a time.
pub struct Walk<F> {
    scan: Scan<F>,
    path: PathBuf,
}

/// A batch and where it lies.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Where in the file.
    pub position: u64,
    /// All of it. Its checksum has not been looked at.
    pub batch: Batch,
}

/// Why a walk ends before the file does.
#[derive(Debug, Error)]
pub enum Broken {
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] Failure),
    /// Not a batch where one should be.
    #[error("{damage} at {position}")]
    Damaged {
        /// Where.
        position: u64,
        /// What is wrong.
        damage: Damage,
    },
}

impl<F: File> Walk<F> {
    /// From the beginning of a segment.
    pub fn over<D: Disk<File = F>>(disk: &D, dir: &Path, segment: &SegmentFile) -> Result<Self, Failure> {
        let path = segment::path(dir, segment.base, Content::Log);
        let file = disk.open(&path).map_err(Failure::of("open", &path))?;
        Ok(Self { scan: Scan::new(file, 0, segment.size, CHUNK_LARGE), path })
    }

    /// The next batch, none at the end. Judges only whether there is one: neither its checksum nor its offsets.
    pub fn step(&mut self) -> Result<Option<Placed>, Broken> {
        let found = match self.scan.next() {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(Stopped::Damaged { position, damage }) => return Err(Broken::Damaged { position, damage }),
            Err(Stopped::Io(error)) => return Err(Failure::of("read", &self.path)(error).into()),
        };
        let batch = self.scan.batch(&found).map_err(Failure::of("read", &self.path))?;
        Ok(Some(Placed { position: found.position, batch }))
    }
}

impl Placed {
    /// The offsets that it has: the last may be gone by compaction.
    pub fn offsets(&self) -> std::ops::RangeInclusive<Offset> {
        self.batch.header().base_offset..=self.batch.header().last_offset()
    }
}
