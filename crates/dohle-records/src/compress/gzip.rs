//! Gzip: one member, read strictly. Java's reader would take a chain of members; no client writes one, and a chain is
//! garbage behind the first member here.

use std::io::{Cursor, Read};
use std::ops::RangeInclusive;

use bytes::Bytes;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

use super::Failure;

pub(super) const LEVELS: RangeInclusive<i32> = 1..=9;
/// Stands for the level that zlib takes by itself.
pub(super) const LEVEL_DEFAULT: i32 = -1;

pub(crate) struct Reader(Box<GzDecoder<Cursor<Bytes>>>);

impl Reader {
    pub(super) fn open(packed: Bytes) -> Self {
        Self(Box::new(GzDecoder::new(Cursor::new(packed))))
    }

    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        // The member's own checksum and length are verified by the read that returns 0.
        self.0.read(into).map_err(|_| Failure::Corrupt)
    }

    pub(super) fn unread(&self) -> usize {
        let input = self.0.get_ref();
        input.get_ref().len() - input.position() as usize
    }
}

pub(crate) type Writer = GzEncoder<Vec<u8>>;

pub(super) fn writer(front: Vec<u8>, level: i32) -> Writer {
    let level = u32::try_from(level).map_or_else(|_| flate2::Compression::default(), flate2::Compression::new);
    GzEncoder::new(front, level)
}
