//! Zstandard, through the reference library's streams.

use std::io::{Cursor, Read};
use std::ops::RangeInclusive;

use bytes::Bytes;
use zstd::stream::{read, write};

use super::Failure;

pub(super) const LEVELS: RangeInclusive<i32> = -131_072..=22;
pub(super) const LEVEL_DEFAULT: i32 = 3;

/// The window that every reader has to take (RFC 8878), as a power of two: 8 MiB. A writer that does not know how much
/// is to come asks for the window of its level, however little comes.
const WINDOW_LOG_MIN: u32 = 23;
/// The largest window that Kafka's reader takes: that of level 22, 128 MiB.
const WINDOW_LOG_MAX: u32 = 27;

pub(crate) struct Reader(read::Decoder<'static, Cursor<Bytes>>);

impl Reader {
    /// The window is the one thing that a frame's header makes its reader reserve, so beyond the least it has to
    /// fit the budget. The library does not touch what it reserves before there are bytes for it.
    pub(super) fn open(packed: Bytes, bytes_max: u64) -> Result<Self, Failure> {
        let mut decoder = read::Decoder::with_buffer(Cursor::new(packed)).map_err(|_| Failure::Corrupt)?;
        decoder.window_log_max(window_log_max(bytes_max)).map_err(|_| Failure::Corrupt)?;
        Ok(Self(decoder))
    }

    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        self.0.read(into).map_err(|_| Failure::Corrupt)
    }

    pub(super) fn unread(&self) -> usize {
        let input = self.0.get_ref();
        input.get_ref().len() - input.position() as usize
    }
}

fn window_log_max(bytes_max: u64) -> u32 {
    bytes_max.max(1).ilog2().clamp(WINDOW_LOG_MIN, WINDOW_LOG_MAX)
}

pub(crate) type Writer = write::Encoder<'static, Vec<u8>>;

pub(super) fn writer(front: Vec<u8>, level: i32) -> Writer {
    Writer::new(front, level).expect("the level is one of the library's")
}
