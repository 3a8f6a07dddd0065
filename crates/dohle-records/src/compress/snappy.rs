//! Snappy in the framing of Java's `SnappyOutputStream` (known as xerial), and raw blocks as librdkafka writes them.
//!
//! A framed stream is a header of 16 bytes and then chunks: a length as 4 bytes, big end first, and a raw block of
//! that length. A raw block must be unpacked whole, because its copies may reach back to its start; so the memory
//! of a reader is one unpacked block, which [`EXPANSION_MAX`] holds to a multiple of the bytes that are there.

use bytes::{Buf, Bytes};
use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::Failure;

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Magic, then the version that wrote it and the oldest that can read it, both 1.
const HEADER: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
/// What Java's stream packs at once.
const BLOCK_BYTES: usize = 32 << 10;
/// The format's densest element is a copy of 64 bytes in 3.
const EXPANSION_MAX: usize = 22;

pub(crate) struct Reader {
    rest: Bytes,
    framed: bool,
    bytes_max: u64,
    block: Vec<u8>,
    /// What of the block is yet to be read.
    from: usize,
    to: usize,
}

impl Reader {
    pub(super) fn open(mut packed: Bytes, bytes_max: u64) -> Self {
        // Whoever writes the header writes all of it; its two versions have never been other than 1.
        let framed = packed.len() >= HEADER.len() && packed.starts_with(&MAGIC);
        if framed {
            packed.advance(HEADER.len());
        }
        Self { rest: packed, framed, bytes_max, block: Vec::new(), from: 0, to: 0 }
    }

    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        while self.from == self.to {
            if self.rest.is_empty() {
                return Ok(0);
            }
            let packed = self.chunk()?;
            self.unpack(&packed)?;
        }
        let count = into.len().min(self.to - self.from);
        into[..count].copy_from_slice(&self.block[self.from..self.from + count]);
        self.from += count;
        Ok(count)
    }

    pub(super) fn unread(&self) -> usize {
        self.rest.len() + (self.to - self.from)
    }

    fn chunk(&mut self) -> Result<Bytes, Failure> {
        if !self.framed {
            return Ok(std::mem::take(&mut self.rest));
        }
        let length = self.rest.try_get_i32().map_err(|_| Failure::Corrupt)?;
        let length = usize::try_from(length).map_err(|_| Failure::Corrupt)?;
        if length > self.rest.len() {
            return Err(Failure::Corrupt);
        }
        Ok(self.rest.split_to(length))
    }

    fn unpack(&mut self, packed: &[u8]) -> Result<(), Failure> {
        let length = decompress_len(packed).map_err(|_| Failure::Corrupt)?;
        if length > packed.len().saturating_mul(EXPANSION_MAX) {
            return Err(Failure::Corrupt);
        }
        if length as u64 > self.bytes_max {
            return Err(Failure::OverBudget);
        }
        if self.block.len() < length {
            self.block.resize(length, 0);
        }
        self.from = 0;
        self.to = Decoder::new().decompress(packed, &mut self.block[..length]).map_err(|_| Failure::Corrupt)?;
        Ok(())
    }
}

pub(crate) struct Writer {
    into: Vec<u8>,
    block: Vec<u8>,
    encoder: Encoder,
}

impl Writer {
    pub(super) fn open(mut front: Vec<u8>) -> Self {
        front.extend_from_slice(&HEADER);
        Self { into: front, block: Vec::with_capacity(BLOCK_BYTES), encoder: Encoder::new() }
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.block.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == BLOCK_BYTES {
                self.pack();
            }
        }
    }

    pub(super) fn written(&self) -> usize {
        self.into.len()
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        if !self.block.is_empty() {
            self.pack();
        }
        self.into
    }

    fn pack(&mut self) {
        let start = self.into.len();
        self.into.resize(start + 4 + max_compress_len(self.block.len()), 0);
        let place = &mut self.into[start + 4..];
        let length = self.encoder.compress(&self.block, place).expect("a block is small and its place is large enough");
        self.into[start..start + 4].copy_from_slice(&(length as u32).to_be_bytes());
        self.into.truncate(start + 4 + length);
        self.block.clear();
    }
}
