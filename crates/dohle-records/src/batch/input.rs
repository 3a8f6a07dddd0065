//! The records of a batch as one stream of unpacked bytes, whether the batch is packed or not.
//!
//! Owns the budget: how much may be unpacked, and that memory follows what has been unpacked, never a length that
//! somebody claims. A batch that is not packed is sliced, not copied.

use bytes::{Buf, Bytes, BytesMut};

use super::decode::Malformed;
use super::{Batch, Budget};
use crate::compress::{Codec, Failure, Reader};
use crate::varint;

/// How much is unpacked at once, at most: a small batch has a small buffer.
const CHUNK_BYTES_MAX: usize = 64 << 10;
/// And at least.
const CHUNK_BYTES_MIN: usize = 4 << 10;
/// What a codec makes of an ordinary batch, generously.
const EXPANSION_USUAL: usize = 8;

pub(crate) enum Input {
    Plain(Bytes),
    Packed(Box<Packed>),
}

pub(crate) struct Packed {
    codec: Codec,
    reader: Reader,
    buffer: BytesMut,
    chunk_bytes: usize,
    budget: Budget,
    left: u64,
}

impl Input {
    pub(crate) fn open(batch: &Batch, budget: Budget) -> Result<Self, Malformed> {
        let codec = batch.header.attributes.codec().map_err(|unknown| Malformed::Codec(unknown.0))?;
        let body = batch.body();
        let chunk_bytes = body.len().saturating_mul(EXPANSION_USUAL).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
        let reader = Reader::open(codec, body, budget.batch_bytes_max);
        Ok(match reader.map_err(|failure| malformed(failure, codec, budget))? {
            None => Self::Plain(batch.body()),
            Some(reader) => {
                let (buffer, left) = (BytesMut::new(), budget.batch_bytes_max);
                Self::Packed(Box::new(Packed { codec, reader, buffer, chunk_bytes, budget, left }))
            }
        })
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        match self {
            Self::Plain(rest) => rest.try_get_u8().map_err(|_| Malformed::Truncated),
            Self::Packed(packed) => {
                packed.want(1)?;
                Ok(packed.buffer.get_u8())
            }
        }
    }

    fn varint(&mut self) -> Result<i32, Malformed> {
        varint::read_32(|| self.byte())?.ok_or(Malformed::Varint)
    }

    /// The length of the record that begins here.
    pub(crate) fn record_length(&mut self) -> Result<usize, Malformed> {
        let length = self.varint()?;
        let bytes = usize::try_from(length).map_err(|_| Malformed::RecordLength(length))?;
        match self {
            Self::Packed(packed) if bytes > packed.budget.record_bytes_max => {
                Err(Malformed::RecordTooLarge { bytes, bytes_max: packed.budget.record_bytes_max })
            }
            Self::Packed(_) | Self::Plain(_) => Ok(bytes),
        }
    }

    /// The next `count` bytes in one piece.
    pub(crate) fn take(&mut self, count: usize) -> Result<Bytes, Malformed> {
        match self {
            Self::Plain(rest) if count > rest.len() => Err(Malformed::Truncated),
            Self::Plain(rest) => Ok(rest.split_to(count)),
            Self::Packed(packed) => {
                packed.want(count)?;
                Ok(packed.buffer.split_to(count).freeze())
            }
        }
    }

    /// Passes over the next `count` bytes, holding no more than a chunk of them.
    pub(crate) fn skip(&mut self, count: usize) -> Result<(), Malformed> {
        match self {
            Self::Plain(rest) if count > rest.len() => Err(Malformed::Truncated),
            Self::Plain(rest) => {
                rest.advance(count);
                Ok(())
            }
            Self::Packed(packed) => packed.skip(count),
        }
    }

    /// The next bytes, as many as there are without more memory than a chunk; none at the end, which is found to be
    /// a sound one.
    pub(crate) fn chunk(&mut self) -> Result<Option<Bytes>, Malformed> {
        match self {
            Self::Plain(rest) if rest.is_empty() => Ok(None),
            Self::Plain(rest) => Ok(Some(std::mem::take(rest))),
            Self::Packed(packed) => {
                if packed.buffer.is_empty() && !packed.fill()? {
                    packed.expect_end()?;
                    return Ok(None);
                }
                Ok(Some(packed.buffer.split().freeze()))
            }
        }
    }

    /// Refuses anything that is left, unpacked or packed.
    pub(crate) fn expect_end(&mut self) -> Result<(), Malformed> {
        match self {
            Self::Plain(rest) if rest.is_empty() => Ok(()),
            Self::Plain(_) => Err(Malformed::Trailing),
            Self::Packed(packed) => packed.expect_end(),
        }
    }
}

impl Packed {
    /// Has at least `count` bytes in the buffer. The buffer grows as they come.
    fn want(&mut self, count: usize) -> Result<(), Malformed> {
        if count as u64 > self.buffer.len() as u64 + self.left {
            return Err(Malformed::OverBudget(self.budget.batch_bytes_max));
        }
        while self.buffer.len() < count {
            if !self.fill()? {
                return Err(Malformed::Truncated);
            }
        }
        Ok(())
    }

    fn skip(&mut self, mut count: usize) -> Result<(), Malformed> {
        if count as u64 > self.buffer.len() as u64 + self.left {
            return Err(Malformed::OverBudget(self.budget.batch_bytes_max));
        }
        loop {
            let now = count.min(self.buffer.len());
            self.buffer.advance(now);
            count -= now;
            if count == 0 {
                return Ok(());
            }
            if !self.fill()? {
                return Err(Malformed::Truncated);
            }
        }
    }

    /// Unpacks up to a chunk behind what the buffer holds; false at the end.
    fn fill(&mut self) -> Result<bool, Malformed> {
        let start = self.buffer.len();
        let mut end = start;
        self.buffer.resize(start + self.chunk_bytes, 0);
        while end < self.buffer.len() {
            let read = self
                .reader
                .read(&mut self.buffer[end..])
                .map_err(|failure| malformed(failure, self.codec, self.budget))?;
            if read == 0 {
                break;
            }
            end += read;
        }
        self.buffer.truncate(end);
        let read = (end - start) as u64;
        self.left = self.left.checked_sub(read).ok_or(Malformed::OverBudget(self.budget.batch_bytes_max))?;
        Ok(read > 0)
    }

    fn expect_end(&mut self) -> Result<(), Malformed> {
        if !self.buffer.is_empty() || self.fill()? || self.reader.unread() > 0 {
            return Err(Malformed::Trailing);
        }
        Ok(())
    }
}

fn malformed(failure: Failure, codec: Codec, budget: Budget) -> Malformed {
    match failure {
        Failure::Corrupt => Malformed::Packed(codec),
        Failure::OverBudget => Malformed::OverBudget(budget.batch_bytes_max),
    }
}
