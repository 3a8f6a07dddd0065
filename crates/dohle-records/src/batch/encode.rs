//! Putting a batch together, record by record.
//!
//! Owns the layout of what is written; packs as records come, so that the memory is that of the finished batch.
//! Knows neither when a batch is full nor who its records are for.

use bytes::Bytes;
use dohle_base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

use super::header::{Attributes, BYTES, Header, NO_SEQUENCE, OVERHEAD, TimestampType, UnknownCodec};
use super::{Batch, stamp};
use crate::compress::{Compression, Writer};
use crate::record::{Headers, Record};
use crate::varint;

/// The largest batch that its length field can tell.
pub const BATCH_BYTES_MAX: usize = i32::MAX as usize;

/// Everything about a batch that its records do not say. The default is what a plain producer sends: not packed, no
/// producer id, offsets from 0, no epoch yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How the records are packed.
    pub compression: Compression,
    /// The offset of the first record.
    pub base_offset: Offset,
    /// The epoch of the leader that writes it.
    pub leader_epoch: LeaderEpoch,
    /// Who produces it, if that matters.
    pub producer: Option<Producer>,
    /// Whether it is part of a transaction. Only with a producer.
    pub transactional: bool,
    /// Whether its records are control records.
    pub control: bool,
    /// The time of the append, where it replaces the records' own.
    pub append_time: Option<Timestamp>,
    /// When tombstones and markers in it may go (KIP-534): for compaction.
    pub delete_horizon: Option<Timestamp>,
}

/// A producer with an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    /// The id.
    pub id: ProducerId,
    /// Its incarnation.
    pub epoch: ProducerEpoch,
    /// The sequence number of the first record; [`NO_SEQUENCE`] for transaction markers.
    pub base_sequence: i32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            compression: Compression::NONE,
            base_offset: Offset::ZERO,
            leader_epoch: LeaderEpoch::NONE,
            producer: None,
            transactional: false,
            control: false,
            append_time: None,
            delete_horizon: None,
        }
    }
}

impl Settings {
    /// Those of a batch that is there, with its codec at the default level: for what is left of it after compaction.
    pub fn like(header: &Header) -> Result<Self, UnknownCodec> {
        let Header { attributes, producer_id: id, producer_epoch: epoch, base_sequence, .. } = *header;
        let log_append = attributes.timestamp_type() == TimestampType::LogAppend;
        Ok(Self {
            compression: Compression::of(attributes.codec()?),
            base_offset: header.base_offset,
            leader_epoch: header.leader_epoch,
            producer: header.has_producer().then_some(Producer { id, epoch, base_sequence }),
            transactional: attributes.is_transactional(),
            control: attributes.is_control(),
            append_time: log_append.then_some(header.max_timestamp),
            delete_horizon: header.delete_horizon(),
        })
    }
}

/// A record to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When it was made; not below [`Timestamp::NONE`].
    pub timestamp: Timestamp,
    /// Not there is not the same as empty.
    pub key: Option<&'a [u8]>,
    /// Not there is not the same as empty.
    pub value: Option<&'a [u8]>,
    /// Names and values, in order.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

impl Entry<'_> {
    /// The most bytes that the record takes in a batch before packing, wherever it comes to stand
    /// (`DefaultRecord.recordSizeUpperBound`).
    pub fn size_upper_bound(&self) -> usize {
        let headers = Section::Pairs(self.headers).size();
        let (key, value) = (nullable_size(self.key), nullable_size(self.value));
        varint::BYTES_MAX_32 + 1 + varint::BYTES_MAX_64 + varint::BYTES_MAX_32 + key + value + headers
    }
}

/// The record does not fit a batch any more, whose length is 31 bits. The batch is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a batch cannot be larger than {BATCH_BYTES_MAX} bytes")]
pub struct Full;

/// A batch in the making.
pub struct Builder {
    settings: Settings,
    writer: Writer,
    /// Where a record is laid out before it is packed.
    scratch: Vec<u8>,
    count: i32,
    /// One behind the last record's.
    next_delta: i32,
    base_timestamp: Option<i64>,
    max_timestamp: i64,
    bytes_unpacked: usize,
}

impl Builder {
    /// An empty batch.
    pub fn new(settings: Settings) -> Self {
        assert!(settings.producer.is_some() || !settings.transactional, "a transaction has a producer");
        Self {
            settings,
            writer: Writer::open(settings.compression, vec![0; BYTES]),
            scratch: Vec::new(),
            count: 0,
            next_delta: 0,
            base_timestamp: settings.delete_horizon.map(|horizon| horizon.0),
            max_timestamp: Timestamp::NONE.0,
            bytes_unpacked: BYTES,
        }
    }

    /// Writes a record behind the last and says how far its offset is from the first.
    pub fn append(&mut self, entry: &Entry) -> Result<i32, Full> {
        let delta = self.next_delta;
        self.put(delta, entry.timestamp, entry.key, entry.value, Section::Pairs(entry.headers))?;
        Ok(delta)
    }

    /// Writes a record that comes out of another batch, at its own offset, which is not before those already here:
    /// for compaction.
    pub fn append_record(&mut self, record: &Record) -> Result<(), Full> {
        let delta = record.offset.0 - self.settings.base_offset.0;
        assert!(delta >= i64::from(self.next_delta), "records are written in the order of their offsets");
        let delta = i32::try_from(delta).map_err(|_| Full)?;
        self.put(
            delta,
            record.timestamp,
            record.key.as_deref(),
            record.value.as_deref(),
            Section::Written(&record.headers),
        )
    }

    /// How many records it has.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The size of the batch if its records were not packed: exact without a codec, else an upper bound but for a
    /// few bytes of framing.
    pub fn bytes_unpacked(&self) -> usize {
        self.bytes_unpacked
    }

    /// What the batch takes so far. A codec holds back up to a block, so this jumps.
    pub fn bytes_written(&self) -> usize {
        self.writer.written()
    }

    /// The batch. It has at least one record. Costs a checksum over it.
    pub fn finish(self) -> Batch {
        assert!(self.count > 0, "a batch that is produced has records");
        let last_offset_delta = self.next_delta - 1;
        let max_timestamp = self.settings.append_time.unwrap_or(Timestamp(self.max_timestamp));
        self.close(last_offset_delta, max_timestamp)
    }

    /// The batch as what is left of `original`: it spans the same offsets, and when nothing is left it keeps the
    /// time too and exists for the sake of its producer's sequence numbers. For compaction.
    pub fn finish_in_place_of(self, original: &Header) -> Batch {
        assert!(
            self.next_delta <= original.last_offset_delta.saturating_add(1),
            "what is left of a batch lies within it"
        );
        let max_timestamp = match original.attributes.timestamp_type() {
            TimestampType::Create if self.count > 0 => Timestamp(self.max_timestamp),
            TimestampType::Create | TimestampType::LogAppend => original.max_timestamp,
        };
        self.close(original.last_offset_delta, max_timestamp)
    }

    fn put(
        &mut self,
        delta: i32,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Section,
    ) -> Result<(), Full> {
        let base_timestamp = self.base_timestamp.unwrap_or(timestamp.0);
        let timestamp_delta = timestamp.0.wrapping_sub(base_timestamp);
        let body = 1
            + varint::size(timestamp_delta)
            + varint::size(i64::from(delta))
            + nullable_size(key)
            + nullable_size(value)
            + headers.size();
        let size = varint::size(body as i64) + body;
        if size > BATCH_BYTES_MAX - self.bytes_unpacked || delta == i32::MAX {
            return Err(Full);
        }
        let into = match &mut self.writer {
            Writer::Plain(into) => into,
            Writer::Gzip(_) | Writer::Snappy(_) | Writer::Lz4(_) | Writer::Zstd(_) => &mut self.scratch,
        };
        varint::put_32(into, body as i32);
        into.push(0);
        varint::put_64(into, timestamp_delta);
        varint::put_32(into, delta);
        put_nullable(into, key);
        put_nullable(into, value);
        headers.put(into);
        self.writer.write(&self.scratch);
        self.scratch.clear();
        self.count += 1;
        self.next_delta = delta + 1;
        self.base_timestamp = Some(base_timestamp);
        self.max_timestamp = self.max_timestamp.max(timestamp.0);
        self.bytes_unpacked += size;
        Ok(())
    }

    fn close(self, last_offset_delta: i32, max_timestamp: Timestamp) -> Batch {
        let settings = self.settings;
        // What would not pack is larger packed, but not by as much as the room that is left.
        let bytes = self.writer.finish();
        let timestamp_type =
            if settings.append_time.is_some() { TimestampType::LogAppend } else { TimestampType::Create };
        let attributes = Attributes::default()
            .with_codec(settings.compression.codec())
            .with_timestamp_type(timestamp_type)
            .with_transactional(settings.transactional)
            .with_control(settings.control)
            .with_delete_horizon(settings.delete_horizon.is_some());
        let producer = settings.producer.unwrap_or(Producer::NONE);
        let mut header = Header {
            base_offset: settings.base_offset,
            length: (bytes.len() - OVERHEAD) as i32,
            leader_epoch: settings.leader_epoch,
            crc: 0,
            attributes,
            last_offset_delta,
            base_timestamp: Timestamp(self.base_timestamp.unwrap_or(Timestamp::NONE.0)),
            max_timestamp,
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            base_sequence: producer.base_sequence,
            record_count: self.count,
        };
        header.crc = stamp::checksum(&header, &bytes[BYTES..]);
        with_head(header, bytes)
    }
}

impl Producer {
    /// Nobody in particular.
    const NONE: Self = Self { id: ProducerId::NONE, epoch: ProducerEpoch::NONE, base_sequence: NO_SEQUENCE };
}

/// The batch of `bytes`, whose first 61 are still to be written.
pub(super) fn with_head(header: Header, mut bytes: Vec<u8>) -> Batch {
    bytes[..BYTES].copy_from_slice(&header.to_bytes());
    Batch { header, bytes: Bytes::from(bytes) }
}

/// The headers of a record, from either side.
#[derive(Clone, Copy)]
enum Section<'a> {
    Pairs(&'a [(&'a str, Option<&'a [u8]>)]),
    Written(&'a Headers),
}

impl Section<'_> {
    fn count(&self) -> usize {
        match self {
            Self::Pairs(pairs) => pairs.len(),
            Self::Written(headers) => headers.len(),
        }
    }

    fn size(&self) -> usize {
        let bytes = match self {
            Self::Pairs(pairs) => pairs.iter().map(|(key, value)| sized(key.len()) + nullable_size(*value)).sum(),
            Self::Written(headers) => headers.bytes().len(),
        };
        varint::size(self.count() as i64) + bytes
    }

    fn put(&self, into: &mut Vec<u8>) {
        varint::put_32(into, self.count() as i32);
        match self {
            Self::Pairs(pairs) => {
                for (key, value) in *pairs {
                    put_nullable(into, Some(key.as_bytes()));
                    put_nullable(into, *value);
                }
            }
            Self::Written(headers) => into.extend_from_slice(headers.bytes()),
        }
    }
}

fn sized(length: usize) -> usize {
    varint::size(length as i64) + length
}

fn nullable_size(field: Option<&[u8]>) -> usize {
    field.map_or(1, |bytes| sized(bytes.len()))
}

fn put_nullable(into: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => varint::put_32(into, -1),
        Some(bytes) => {
            varint::put_32(into, bytes.len() as i32);
            into.extend_from_slice(bytes);
        }
    }
}
