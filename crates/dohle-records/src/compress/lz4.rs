//! LZ4 frames as Kafka has them (`Lz4BlockOutputStream`): written as independent blocks of 64 KiB without
//! checksums; read with whatever a client's library put into the frame: other block sizes, linked blocks,
//! checksums, a content size.
//!
//! The reader is our own because the library's allocates two to three blocks of the size that seven bytes of header
//! claim. Here a block's memory follows the packed bytes that are there, times at most [`EXPANSION_MAX`], and is
//! never above 4 MiB.

use std::hash::Hasher;
use std::ops::RangeInclusive;

use bytes::{Buf, Bytes};
use lz4_flex::block;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use twox_hash::XxHash32;

use super::Failure;

pub(super) const LEVELS: RangeInclusive<i32> = 1..=17;
pub(super) const LEVEL_DEFAULT: i32 = 9;

const MAGIC: u32 = 0x184d_2204;
/// The format's densest byte stands for 255.
const EXPANSION_MAX: usize = 255;
/// How far back a linked block may copy from.
const WINDOW_BYTES: usize = 64 << 10;
/// In a block's length: what follows is not packed.
const UNPACKED: u32 = 1 << 31;

pub(crate) struct Reader {
    rest: Bytes,
    frame: Frame,
    ended: bool,
    block: Vec<u8>,
    /// What of the block is yet to be read.
    from: usize,
    to: usize,
    /// The end of what linked blocks have held so far.
    window: Vec<u8>,
    content: XxHash32,
}

/// The frame's descriptor.
struct Frame {
    linked: bool,
    block_checksums: bool,
    content_checksum: bool,
    block_bytes_max: usize,
}

impl Reader {
    pub(super) fn open(mut packed: Bytes) -> Result<Self, Failure> {
        let frame = Frame::read(&mut packed)?;
        let content = XxHash32::with_seed(0);
        Ok(Self { rest: packed, frame, ended: false, block: Vec::new(), from: 0, to: 0, window: Vec::new(), content })
    }

    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        while self.from == self.to {
            if self.ended {
                return Ok(0);
            }
            self.next_block()?;
        }
        let count = into.len().min(self.to - self.from);
        into[..count].copy_from_slice(&self.block[self.from..self.from + count]);
        self.from += count;
        Ok(count)
    }

    pub(super) fn unread(&self) -> usize {
        self.rest.len() + (self.to - self.from)
    }

    fn next_block(&mut self) -> Result<(), Failure> {
        let head = self.rest.try_get_u32_le().map_err(|_| Failure::Corrupt)?;
        let length = (head & !UNPACKED) as usize;
        if length == 0 {
            return self.end();
        }
        if length > self.frame.block_bytes_max || length > self.rest.len() {
            return Err(Failure::Corrupt);
        }
        let packed = self.rest.split_to(length);
        if self.frame.block_checksums && self.checksum()? != XxHash32::oneshot(0, &packed) {
            return Err(Failure::Corrupt);
        }
        self.from = 0;
        self.to = if head & UNPACKED == 0 { self.unpack(&packed)? } else { self.copy(&packed) };
        self.remember();
        Ok(())
    }

    fn end(&mut self) -> Result<(), Failure> {
        self.ended = true;
        if self.frame.content_checksum && self.checksum()? != self.content.finish_32() {
            return Err(Failure::Corrupt);
        }
        Ok(())
    }

    fn checksum(&mut self) -> Result<u32, Failure> {
        self.rest.try_get_u32_le().map_err(|_| Failure::Corrupt)
    }

    fn unpack(&mut self, packed: &[u8]) -> Result<usize, Failure> {
        self.make_room(packed.len().saturating_mul(EXPANSION_MAX).min(self.frame.block_bytes_max));
        let room = self.block.len().min(self.frame.block_bytes_max);
        let room = &mut self.block[..room];
        let unpacked = if self.window.is_empty() {
            block::decompress_into(packed, room)
        } else {
            block::decompress_into_with_dict(packed, room, &self.window)
        };
        unpacked.map_err(|_| Failure::Corrupt)
    }

    fn copy(&mut self, plain: &[u8]) -> usize {
        self.make_room(plain.len());
        self.block[..plain.len()].copy_from_slice(plain);
        plain.len()
    }

    fn make_room(&mut self, bytes: usize) {
        if self.block.len() < bytes {
            self.block.resize(bytes, 0);
        }
    }

    fn remember(&mut self) {
        let block = &self.block[..self.to];
        if self.frame.content_checksum {
            self.content.write(block);
        }
        if self.frame.linked {
            let kept = &block[block.len().saturating_sub(WINDOW_BYTES)..];
            let forgotten = (self.window.len() + kept.len()).saturating_sub(WINDOW_BYTES);
            self.window.drain(..forgotten);
            self.window.extend_from_slice(kept);
        }
    }
}

impl Frame {
    /// Reads magic and descriptor. The content size is passed over, as Kafka's reader does; a dictionary cannot be had.
    fn read(packed: &mut Bytes) -> Result<Self, Failure> {
        if packed.try_get_u32_le() != Ok(MAGIC) {
            return Err(Failure::Corrupt);
        }
        let descriptor = packed.clone();
        let flags = packed.try_get_u8().map_err(|_| Failure::Corrupt)?;
        let sizes = packed.try_get_u8().map_err(|_| Failure::Corrupt)?;
        let (version, reserved, dictionary) = (flags >> 6, flags & 0b10, flags & 1);
        if version != 1 || reserved != 0 || dictionary != 0 || sizes & 0x8f != 0 {
            return Err(Failure::Corrupt);
        }
        if flags & 0b1000 != 0 {
            packed.try_get_u64_le().map_err(|_| Failure::Corrupt)?;
        }
        let read = descriptor.len() - packed.len();
        let checksum = packed.try_get_u8().map_err(|_| Failure::Corrupt)?;
        // Kafka 0.9 clients computed this byte wrongly, but they cannot write batches of this format.
        if checksum != (XxHash32::oneshot(0, &descriptor[..read]) >> 8) as u8 {
            return Err(Failure::Corrupt);
        }
        Ok(Self {
            linked: flags & 0b10_0000 == 0,
            block_checksums: flags & 0b1_0000 != 0,
            content_checksum: flags & 0b100 != 0,
            block_bytes_max: block_bytes_max(sizes >> 4)?,
        })
    }
}

fn block_bytes_max(code: u8) -> Result<usize, Failure> {
    match code {
        4..=7 => Ok(1 << (8 + 2 * code)),
        _ => Err(Failure::Corrupt),
    }
}

pub(crate) type Writer = FrameEncoder<Vec<u8>>;

pub(super) fn writer(front: Vec<u8>) -> Writer {
    let frame = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    Writer::with_frame_info(frame, front)
}
