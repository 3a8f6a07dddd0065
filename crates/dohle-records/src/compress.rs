//! The codecs of a batch's records: which there are, at which levels, and the two streams through them.
//!
//! Owns the framing that each codec has in Kafka. Knows neither batches nor records: bytes in, bytes out. A reader
//! never allocates from a length that the input claims without the input to back it.

mod gzip;
mod lz4;
mod snappy;
mod zstd;

use std::fmt;
use std::io::Write;

use bytes::Bytes;

/// How the records of a batch are packed. The number is the one in the low three bits of a batch's attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// As they are.
    #[default]
    None = 0,
    /// One gzip member.
    Gzip = 1,
    /// Written in the framing of Java's `SnappyOutputStream`; read in that framing or as one raw block.
    Snappy = 2,
    /// One LZ4 frame of independent 64 KiB blocks.
    Lz4 = 3,
    /// One Zstandard frame (KIP-110).
    Zstd = 4,
}

impl Codec {
    /// Every codec, by number.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec of that number, if there is one.
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.get(usize::from(id)).copied()
    }

    /// Its number.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// Its name in Kafka's configuration (`compression.type`).
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec of that name. Topics say `uncompressed` where producers say `none`; both are taken.
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "uncompressed" {
            return Some(Self::None);
        }
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A codec at a level that it has (KIP-390).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    codec: Codec,
    level: i32,
}

/// A level that the codec does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{codec} has no level {level}")]
pub struct InvalidLevel {
    codec: Codec,
    level: i32,
}

impl Compression {
    /// Records as they are.
    pub const NONE: Self = Self { codec: Codec::None, level: 0 };

    /// `codec` at Kafka's default level.
    pub fn of(codec: Codec) -> Self {
        let level = match codec {
            Codec::None | Codec::Snappy => 0,
            Codec::Gzip => gzip::LEVEL_DEFAULT,
            Codec::Lz4 => lz4::LEVEL_DEFAULT,
            Codec::Zstd => zstd::LEVEL_DEFAULT,
        };
        Self { codec, level }
    }

    /// `codec` at `level`, within Kafka's bounds: gzip 1 to 9 or -1 for its default, lz4 1 to 17, zstd -131072 to
    /// 22. A codec without levels takes any and ignores it. The lz4 levels are all served by the fast compressor:
    /// the files are the same format, the ratio is that of the default level.
    pub fn at_level(codec: Codec, level: i32) -> Result<Self, InvalidLevel> {
        let known = match codec {
            Codec::None | Codec::Snappy => return Ok(Self::of(codec)),
            Codec::Gzip => level == gzip::LEVEL_DEFAULT || gzip::LEVELS.contains(&level),
            Codec::Lz4 => lz4::LEVELS.contains(&level),
            Codec::Zstd => zstd::LEVELS.contains(&level),
        };
        if known { Ok(Self { codec, level }) } else { Err(InvalidLevel { codec, level }) }
    }

    /// The codec.
    pub fn codec(self) -> Codec {
        self.codec
    }

    /// Its level; 0 for a codec without levels.
    pub fn level(self) -> i32 {
        self.level
    }
}

/// Why packed bytes could not be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// They are not what the codec writes, or they end early.
    Corrupt,
    /// They say themselves that they hold more than may be unpacked.
    OverBudget,
}

/// Unpacks one batch's records, a piece at a time.
pub(crate) enum Reader {
    Gzip(gzip::Reader),
    Snappy(snappy::Reader),
    Lz4(lz4::Reader),
    Zstd(zstd::Reader),
}

impl Reader {
    /// A reader of `packed`, or none for the codec that does not pack. Of what `packed` holds not more than
    /// `bytes_max` will be read: a codec that must see more at once refuses.
    pub(crate) fn open(codec: Codec, packed: Bytes, bytes_max: u64) -> Result<Option<Self>, Failure> {
        Ok(match codec {
            Codec::None => None,
            Codec::Gzip => Some(Self::Gzip(gzip::Reader::open(packed))),
            Codec::Snappy => Some(Self::Snappy(snappy::Reader::open(packed, bytes_max))),
            Codec::Lz4 => Some(Self::Lz4(lz4::Reader::open(packed)?)),
            Codec::Zstd => Some(Self::Zstd(zstd::Reader::open(packed, bytes_max)?)),
        })
    }

    /// Fills the front of `into` and says how far; 0 is the end. `into` is not empty.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> Result<usize, Failure> {
        match self {
            Self::Gzip(reader) => reader.read(into),
            Self::Snappy(reader) => reader.read(into),
            Self::Lz4(reader) => reader.read(into),
            Self::Zstd(reader) => reader.read(into),
        }
    }

    /// Packed bytes that no read has consumed. After the end of the stream these are garbage.
    pub(crate) fn unread(&self) -> usize {
        match self {
            Self::Gzip(reader) => reader.unread(),
            Self::Snappy(reader) => reader.unread(),
            Self::Lz4(reader) => reader.unread(),
            Self::Zstd(reader) => reader.unread(),
        }
    }
}

/// Packs into a vector that may already hold something, which stays in front.
pub(crate) enum Writer {
    Plain(Vec<u8>),
    Gzip(Box<gzip::Writer>),
    Snappy(Box<snappy::Writer>),
    Lz4(Box<lz4::Writer>),
    Zstd(Box<zstd::Writer>),
}

impl Writer {
    pub(crate) fn open(compression: Compression, front: Vec<u8>) -> Self {
        match compression.codec {
            Codec::None => Self::Plain(front),
            Codec::Gzip => Self::Gzip(Box::new(gzip::writer(front, compression.level))),
            Codec::Snappy => Self::Snappy(Box::new(snappy::Writer::open(front))),
            Codec::Lz4 => Self::Lz4(Box::new(lz4::writer(front))),
            Codec::Zstd => Self::Zstd(Box::new(zstd::writer(front, compression.level))),
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        match self {
            Self::Plain(into) => into.extend_from_slice(bytes),
            Self::Gzip(writer) => writer.write_all(bytes).expect(MEMORY),
            Self::Snappy(writer) => writer.write(bytes),
            Self::Lz4(writer) => writer.write_all(bytes).expect(MEMORY),
            Self::Zstd(writer) => writer.write_all(bytes).expect(MEMORY),
        }
    }

    /// What has come out so far, front included. Codecs hold back up to a block.
    pub(crate) fn written(&self) -> usize {
        match self {
            Self::Plain(into) => into.len(),
            Self::Gzip(writer) => writer.get_ref().len(),
            Self::Snappy(writer) => writer.written(),
            Self::Lz4(writer) => writer.get_ref().len(),
            Self::Zstd(writer) => writer.get_ref().len(),
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        match self {
            Self::Plain(into) => into,
            Self::Gzip(writer) => writer.finish().expect(MEMORY),
            Self::Snappy(writer) => writer.finish(),
            Self::Lz4(writer) => writer.finish().expect(MEMORY),
            Self::Zstd(writer) => writer.finish().expect(MEMORY),
        }
    }
}

/// Why a write into memory cannot fail.
const MEMORY: &str = "a vector takes every byte";
