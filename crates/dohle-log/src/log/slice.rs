//! The bytes that a reader gets: where they lie, until he reads them or has them sent.
//!
//! Owns how they are read, and what is learnt from them of where the reader goes on.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dohle_base::Offset;
use dohle_records::Header;
use dohle_records::batch::header;

use super::read::{ReadError, Segment, Wanted};
use super::trails::{Trail, Trails};
use crate::disk::File;

/// Bytes of a segment's file: whole batches, but for the last, which the limit may cut.
#[derive(Clone, Debug)]
pub struct Slice<F> {
    /// The file, open.
    pub file: F,
    /// Where in it.
    pub range: Range<u64>,
    /// The offset of the first record: at or below the one that was asked for.
    pub base_offset: Offset,
    /// The first offset of the segment.
    pub segment: Offset,
    /// Whether the bytes were appended so lately that reading them should not have to wait for the disk.
    pub near: bool,
    /// Which of the segments that had this name it is.
    pub(super) revision: u64,
    /// Whether nobody writes to the file.
    pub(super) is_still: bool,
    /// What the first batch begins with, where that was not looked up.
    pub(super) expected: Option<Header>,
    /// What it adds to.
    pub(super) trails: Arc<Trails>,
}

impl<F: File> Slice<F> {
    /// As much of it as the reader takes, where the first batch has `batch` bytes.
    pub(super) fn cut(mut self, batch: u64, wanted: &Wanted) -> Option<Self> {
        let there = self.range.end.saturating_sub(self.range.start);
        let taken = if wanted.minimum_one { wanted.bytes_max.max(batch) } else { wanted.bytes_max };
        if there == 0 || taken < batch {
            return None;
        }
        self.range.end = self.range.start + there.min(taken);
        Some(self)
    }

    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Whether there is none: never, as long as nobody has cut it.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Reads the bytes: from the page cache where they are there, past it where they are not and nobody writes to the file.
    pub fn read(&self) -> Result<Bytes, ReadError> {
        let at = Segment { dir: Path::new(""), base: self.segment };
        let (start, size) = (self.range.start, self.len() as usize);
        // The header that follows tells where the reader goes on; where somebody writes it may be half there.
        let read = if self.is_still {
            self.file.read_cold(start, size + header::BYTES)
        } else {
            self.file.read_bytes(start, size)
        };
        let bytes = read.map_err(|error| ReadError::io(&at, error))?;
        if bytes.len() < size {
            return Err(ReadError::Moved);
        }
        if self.expected.is_some_and(|expected| Header::parse(&bytes) != Ok(expected)) {
            self.trails.forget(self.segment, start);
            return Err(ReadError::Moved);
        }
        if !self.near
            && let Some(trail) = Trail::behind(self.segment, self.revision, start, &bytes, size)
        {
            self.trails.note(trail);
        }
        Ok(bytes.slice(..size))
    }
}
