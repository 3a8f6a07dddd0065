//! A walk over the batches of a segment's file, header by header, in the memory of one chunk.
//!
//! Judges only what it must to find the next batch; whether a batch is sound is asked apart, because that reads all of it.

use std::io;

use bytes::Bytes;
use dohle_base::Offset;
use dohle_records::batch::header::{BYTES, PREFIX_BYTES, Unreadable};
use dohle_records::{Batch, Header};
use thiserror::Error;

use crate::disk::File;

/// A chunk for a look-up: a few small batches behind an index entry.
pub(crate) const CHUNK_SMALL: usize = 8 << 10;
/// A chunk for whoever reads the whole file.
pub(crate) const CHUNK_LARGE: usize = 256 << 10;

/// Where the first 17 bytes end that the checksum of a batch does not cover, its own four included.
const CHECKED_FROM: u64 = 21;

/// A batch that was passed: all of it lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) position: u64,
    pub(crate) header: Header,
}

/// What a segment's file holds where a batch should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Damage {
    /// Not the header of a batch.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The file ends within the batch.
    #[error("the file ends within a batch of {0} bytes")]
    CutOff(u64),
    /// The bytes are not those that the checksum was made of.
    #[error("checksum mismatch")]
    Checksum,
    /// The offset is not above those before it, or too far from the segment's first.
    #[error("offset {0} out of order")]
    Order(Offset),
    /// The leader's epoch is below that of the batch before.
    #[error("leader epoch {0} out of order")]
    Epoch(i32),
}

/// Why a walk ends before the file does.
#[derive(Debug, Error)]
pub(crate) enum Stopped {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{damage} at {position}")]
    Damaged { position: u64, damage: Damage },
}

impl Found {
    /// Where the next batch begins.
    pub(crate) fn end(&self) -> u64 {
        self.position + self.header.size_in_bytes() as u64
    }
}

/// The walk.
pub(crate) struct Scan<F> {
    file: F,
    next: u64,
    end: u64,
    chunk: usize,
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl<F: File> Scan<F> {
    /// Over the batches from `position`, where one begins, to `end`.
    pub(crate) fn new(file: F, position: u64, end: u64, chunk: usize) -> Self {
        Self { file, next: position, end, chunk, buffer: Vec::new(), buffer_at: 0 }
    }

    /// Goes on at another position, where a batch begins.
    pub(crate) fn go(&mut self, position: u64) {
        self.next = position;
    }

    /// The next batch, or none at the end. After an error the walk is over.
    pub(crate) fn next(&mut self) -> Result<Option<Found>, Stopped> {
        let position = self.next;
        if position >= self.end {
            return Ok(None);
        }
        let stopped = |damage| Stopped::Damaged { position, damage };
        let rest = self.end - position;
        if rest < PREFIX_BYTES as u64 {
            return Err(stopped(Damage::CutOff(rest)));
        }
        let bytes = self.bytes(position, BYTES.min(rest as usize))?;
        let header = Header::parse(bytes).map_err(|unreadable| stopped(unreadable.into()))?;
        let size = header.size_in_bytes() as u64;
        if size > rest {
            return Err(stopped(Damage::CutOff(size)));
        }
        self.next = position + size;
        Ok(Some(Found { position, header }))
    }

    /// Whether the bytes of a batch are those that its checksum was made of.
    pub(crate) fn is_intact(&mut self, found: &Found) -> io::Result<bool> {
        let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
        let mut at = found.position + CHECKED_FROM;
        while at < found.end() {
            let wanted = (found.end() - at).min(self.chunk as u64) as usize;
            let bytes = self.bytes(at, wanted)?;
            digest.update(bytes);
            at += wanted as u64;
        }
        Ok(digest.finalize() as u32 == found.header.crc)
    }

    /// All of a batch.
    pub(crate) fn batch(&mut self, found: &Found) -> io::Result<Batch> {
        let size = found.header.size_in_bytes();
        let bytes = if size <= self.chunk {
            Bytes::copy_from_slice(self.bytes(found.position, size)?)
        } else {
            let mut bytes = vec![0; size];
            let read = self.file.read_at(found.position, &mut bytes)?;
            bytes.truncate(read);
            Bytes::from(bytes)
        };
        match Batch::first(&bytes) {
            Ok(Some(batch)) => Ok(batch),
            // It was there a moment ago.
            Ok(None) | Err(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// `size` bytes at `at`, which the file has; no more than a chunk.
    fn bytes(&mut self, at: u64, size: usize) -> io::Result<&[u8]> {
        let held = at >= self.buffer_at && at + size as u64 <= self.buffer_at + self.buffer.len() as u64;
        if !held {
            let wanted = (self.end - at).min(self.chunk.max(size) as u64) as usize;
            self.buffer.resize(wanted, 0);
            self.buffer_at = at;
            let read = self.file.read_at(at, &mut self.buffer)?;
            self.buffer.truncate(read);
            if read < size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let from = (at - self.buffer_at) as usize;
        Ok(&self.buffer[from..from + size])
    }
}
