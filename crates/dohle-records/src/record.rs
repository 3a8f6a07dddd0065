//! One record as it stands in a batch, and its headers (`DefaultRecord`).
//!
//! Owns the layout of a record's body. Knows neither codecs nor where the bytes come from.

use bytes::Bytes;
use dohle_base::{Offset, Timestamp};

use crate::batch::decode::Malformed;
use crate::varint;

/// A record out of a batch. Its parts are slices: of the batch itself where that was not packed, else of the piece
/// of some 64 KiB in which it was unpacked. Whoever keeps a part keeps that memory; copy what is to be kept long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the partition.
    pub offset: Offset,
    /// When it was made, or appended: as the batch's timestamp type says.
    pub timestamp: Timestamp,
    /// Not there is not the same as empty.
    pub key: Option<Bytes>,
    /// Not there marks a deletion in a compacted topic.
    pub value: Option<Bytes>,
    /// In the order in which they were written; names may repeat (KIP-82).
    pub headers: Headers,
}

/// The headers of a record, still as bytes: reading a record allocates nothing for them. Well-formed by construction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    count: usize,
    bytes: Bytes,
}

/// One header of a record. The name is text by convention, which nobody enforces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub key: Bytes,
    /// Not there is not the same as empty.
    pub value: Option<Bytes>,
}

impl Headers {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The headers, in order.
    pub fn iter(&self) -> impl Iterator<Item = Header> + '_ {
        let mut fields = Fields { bytes: &self.bytes, at: 0 };
        (0..self.count).map(move |_| fields.header().expect("headers were walked when they were made"))
    }

    /// As they stand in a record, without their count.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes the first `count` headers of `bytes`, which must hold these and nothing else.
    fn parse(count: i32, bytes: Bytes) -> Result<Self, Malformed> {
        let count = usize::try_from(count).map_err(|_| Malformed::HeaderCount(count))?;
        if count > bytes.len() / HEADER_BYTES_MIN {
            return Err(Malformed::HeaderCount(count as i32));
        }
        let mut fields = Fields { bytes: &bytes, at: 0 };
        for _ in 0..count {
            fields.header_key()?;
            fields.nullable()?;
        }
        fields.expect_end()?;
        Ok(Self { count, bytes })
    }
}

/// An empty name and an absent value, one byte each.
pub(crate) const HEADER_BYTES_MIN: usize = 2;

/// What a record's offsets and timestamps are counted from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    /// Takes the place of every record's own, when the log's time counts.
    pub(crate) append_time: Option<i64>,
}

impl Origin {
    // Hostile numbers wrap as they do in Kafka; nothing is indexed with the result.
    pub(crate) fn offset(&self, delta: i32) -> Offset {
        Offset(self.offset.wrapping_add(i64::from(delta)))
    }

    pub(crate) fn timestamp(&self, delta: i64) -> Timestamp {
        Timestamp(self.append_time.unwrap_or_else(|| self.timestamp.wrapping_add(delta)))
    }
}

/// Parses the body of a record: what follows its length, all of it.
pub(crate) fn parse(body: Bytes, origin: &Origin) -> Result<Record, Malformed> {
    let mut fields = Fields { bytes: &body, at: 0 };
    // The attributes have no meaning yet.
    fields.byte()?;
    let timestamp = origin.timestamp(fields.varlong()?);
    let offset = origin.offset(fields.varint()?);
    let key = fields.nullable()?;
    let value = fields.nullable()?;
    let count = fields.varint()?;
    let headers = Headers::parse(count, fields.rest())?;
    Ok(Record { offset, timestamp, key, value, headers })
}

/// A walk over the fields of a record.
struct Fields<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Fields<'_> {
    fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = *self.bytes.get(self.at).ok_or(Malformed::Record)?;
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<i32, Malformed> {
        varint::read_32(|| self.byte())?.ok_or(Malformed::Varint)
    }

    fn varlong(&mut self) -> Result<i64, Malformed> {
        varint::read_64(|| self.byte())?.ok_or(Malformed::Varint)
    }

    /// Any negative length means absent, as in Kafka.
    fn nullable(&mut self) -> Result<Option<Bytes>, Malformed> {
        match usize::try_from(self.varint()?) {
            Ok(length) => self.slice(length).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn header_key(&mut self) -> Result<Bytes, Malformed> {
        let length = self.varint()?;
        self.slice(usize::try_from(length).map_err(|_| Malformed::HeaderKey(length))?)
    }

    fn header(&mut self) -> Result<Header, Malformed> {
        Ok(Header { key: self.header_key()?, value: self.nullable()? })
    }

    fn slice(&mut self, length: usize) -> Result<Bytes, Malformed> {
        if length > self.bytes.len() - self.at {
            return Err(Malformed::Record);
        }
        self.at += length;
        Ok(self.bytes.slice(self.at - length..self.at))
    }

    fn rest(&self) -> Bytes {
        self.bytes.slice(self.at..)
    }

    fn expect_end(&self) -> Result<(), Malformed> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(Malformed::Record) }
    }
}
