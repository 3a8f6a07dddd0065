//! The batch: the unit in which records are produced, stored, replicated and fetched.
//!
//! Owns its layout and what may be done to it as bytes: find it, check it, stamp it, take it apart, put it
//! together. Never changes bytes that somebody else may hold.

pub mod check;
pub mod decode;
pub mod encode;
pub mod header;
pub mod recompress;
pub mod stamp;
pub mod validate;

mod input;

use std::iter::FusedIterator;

use bytes::Bytes;

use decode::{Malformed, Records};
use header::{Header, Unreadable};

/// What the records of a packed batch may unpack to. What is not packed is there already and needs no budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// All records of the batch together: a few tens of KiB can unpack to gigabytes.
    pub batch_bytes_max: u64,
    /// One record, without its length (`max.decompressed.message.bytes`).
    pub record_bytes_max: usize,
}

impl Default for Budget {
    /// 128 MiB for a batch; for a record what Kafka can hold at all.
    fn default() -> Self {
        Self { batch_bytes_max: 128 << 20, record_bytes_max: i32::MAX as usize - 8 }
    }
}

/// One whole batch: its header, read, and all of its bytes. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    header: Header,
    bytes: Bytes,
}

impl Batch {
    /// The batch at the front of `bytes`, or none when it is not there whole. Reads the header only; shares the bytes.
    pub fn first(bytes: &Bytes) -> Result<Option<Self>, Unreadable> {
        let Some(size) = header::size(bytes)? else { return Ok(None) };
        if bytes.len() < size {
            return Ok(None);
        }
        let header = Header::parse(bytes)?;
        Ok(Some(Self { header, bytes: bytes.slice(..size) }))
    }

    /// What the first 61 bytes say.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// All of it, header included.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What follows the header: the records, packed or not. Shares the bytes.
    pub fn body(&self) -> Bytes {
        self.bytes.slice(header::BYTES..)
    }

    /// Whether the checksum in the header is that of the bytes. One pass over the batch.
    pub fn is_intact(&self) -> bool {
        self.header.crc == header::checksum(&self.bytes)
    }

    /// Its records, unpacked as they are asked for and within `budget`. Does not look at the checksum.
    pub fn records(&self, budget: Budget) -> Result<Records, Malformed> {
        Records::open(self, budget)
    }
}

/// The batches that lie one behind the other in a segment or a fetch response. A batch that is cut off at the end
/// is not yielded, because fetch responses may end in one; [`Batches::rest`] is what was not yielded. After an
/// error nothing more comes.
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
    failed: bool,
}

impl Batches {
    /// Walks over `bytes`, which begin with a batch. Shares them.
    pub fn over(bytes: Bytes) -> Self {
        Self { rest: bytes, failed: false }
    }

    /// What lies behind the last batch that was yielded.
    pub fn rest(&self) -> &Bytes {
        &self.rest
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let first = Batch::first(&self.rest);
        match &first {
            Ok(Some(batch)) => drop(self.rest.split_to(batch.bytes.len())),
            Ok(None) => {}
            Err(_) => self.failed = true,
        }
        first.transpose()
    }
}

impl FusedIterator for Batches {}
