//! The first 61 bytes of a batch: where each field lies and what it means.
//!
//! Owns the layout. Judges nothing beyond what is needed to find the end of the batch.
//!
//! ```text
//!  0 base offset i64      16 magic i8               35 max timestamp i64
//!  8 length i32           17 crc u32 (from 21 on)   43 producer id i64      53 base sequence i32
//! 12 leader epoch i32     21 attributes i16         51 producer epoch i16   57 record count i32
//!                         23 last offset delta i32
//!                         27 base timestamp i64
//! ```

use bytes::{Buf, BufMut};
use dohle_base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

use crate::compress::Codec;

/// The size of the header, and so of a batch without records.
pub const BYTES: usize = 61;
/// The only format that is read and written.
pub const MAGIC: i8 = 2;
/// Kafka's "no sequence".
pub const NO_SEQUENCE: i32 = -1;
/// What must be there to tell the size and the format of a batch.
pub const PREFIX_BYTES: usize = MAGIC_AT + 1;

/// Base offset and length: what the length does not count.
pub(crate) const OVERHEAD: usize = 12;
/// Where the checksum's range begins.
pub(crate) const CHECKED_FROM: usize = 21;
pub(crate) const CRC_AT: usize = 17;
pub(crate) const LENGTH_AT: usize = 8;
pub(crate) const MAGIC_AT: usize = 16;
/// The length field of the smallest record of the oldest format. Below it there is no batch of any format.
const LENGTH_MIN_ANY: i32 = 14;

/// The header of a batch, field by field, as it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The offset of the first record; 0 as a producer sends it.
    pub base_offset: Offset,
    /// The bytes that follow the length itself.
    pub length: i32,
    /// The epoch of the leader that appended it (KIP-101). Not covered by the checksum.
    pub leader_epoch: LeaderEpoch,
    /// CRC-32C of everything behind it.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: Attributes,
    /// From the base offset to the last record that there ever was: compaction removes records and keeps this.
    pub last_offset_delta: i32,
    /// What the records' timestamps are counted from; that of the first record, or the delete horizon where the
    /// attributes say so.
    pub base_timestamp: Timestamp,
    /// The largest of the records' timestamps, or the time of the append.
    pub max_timestamp: Timestamp,
    /// Who produced it, or [`ProducerId::NONE`].
    pub producer_id: ProducerId,
    /// Its incarnation.
    pub producer_epoch: ProducerEpoch,
    /// The sequence number of the first record, or [`NO_SEQUENCE`].
    pub base_sequence: i32,
    /// The records that it holds now.
    pub record_count: i32,
}

/// Bytes that are no batch of the format that is spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The length field is below what any batch of its format has.
    #[error("batch of impossible length {0}")]
    Length(i32),
    /// The format is an old one (0, 1) or unheard of.
    #[error("batch of format {0}, not {MAGIC}")]
    Magic(i8),
    /// Fewer bytes than a header has.
    #[error("batch cut off within its header")]
    Cut,
}

/// The size in bytes of the batch at the front of `prefix`, or none when [`PREFIX_BYTES`] are not there yet. The
/// batch itself need not be there. Errors as Kafka's `ByteBufferLogInputStream` does, and for formats before 2.
pub fn size(prefix: &[u8]) -> Result<Option<usize>, Unreadable> {
    let Some(mut length) = prefix.get(LENGTH_AT..OVERHEAD) else { return Ok(None) };
    let length = length.get_i32();
    if length < LENGTH_MIN_ANY {
        return Err(Unreadable::Length(length));
    }
    let Some(&magic) = prefix.get(MAGIC_AT) else { return Ok(None) };
    if magic as i8 != MAGIC {
        return Err(Unreadable::Magic(magic as i8));
    }
    if length < (BYTES - OVERHEAD) as i32 {
        return Err(Unreadable::Length(length));
    }
    Ok(Some(OVERHEAD + length as usize))
}

/// CRC-32C over what the checksum of `batch` covers. `batch` holds at least a header.
pub fn checksum(batch: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(&batch[CHECKED_FROM..])
}

impl Header {
    /// Reads the header at the front of `bytes`. The rest of the batch need not be there.
    pub fn parse(bytes: &[u8]) -> Result<Self, Unreadable> {
        size(bytes)?;
        let mut fields = bytes.get(..BYTES).ok_or(Unreadable::Cut)?;
        let base_offset = Offset(fields.get_i64());
        let length = fields.get_i32();
        let leader_epoch = LeaderEpoch(fields.get_i32());
        // The magic has been looked at by `size`.
        fields.advance(1);
        Ok(Self {
            base_offset,
            length,
            leader_epoch,
            crc: fields.get_u32(),
            attributes: Attributes(fields.get_i16()),
            last_offset_delta: fields.get_i32(),
            base_timestamp: Timestamp(fields.get_i64()),
            max_timestamp: Timestamp(fields.get_i64()),
            producer_id: ProducerId(fields.get_i64()),
            producer_epoch: ProducerEpoch(fields.get_i16()),
            base_sequence: fields.get_i32(),
            record_count: fields.get_i32(),
        })
    }

    /// The header as bytes, with `crc` as it stands.
    pub fn to_bytes(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let mut fields = &mut bytes[..];
        fields.put_i64(self.base_offset.0);
        fields.put_i32(self.length);
        fields.put_i32(self.leader_epoch.0);
        fields.put_i8(MAGIC);
        fields.put_u32(self.crc);
        fields.put_i16(self.attributes.0);
        fields.put_i32(self.last_offset_delta);
        fields.put_i64(self.base_timestamp.0);
        fields.put_i64(self.max_timestamp.0);
        fields.put_i64(self.producer_id.0);
        fields.put_i16(self.producer_epoch.0);
        fields.put_i32(self.base_sequence);
        fields.put_i32(self.record_count);
        bytes
    }

    /// The size of the whole batch.
    pub fn size_in_bytes(&self) -> usize {
        OVERHEAD + self.length as usize
    }

    /// The offset of the last record that there ever was. Inclusive.
    pub fn last_offset(&self) -> Offset {
        // A foreign header may hold any number; what the log appends has been checked.
        Offset(self.base_offset.0.wrapping_add(i64::from(self.last_offset_delta)))
    }

    /// The offset behind the batch.
    pub fn next_offset(&self) -> Offset {
        Offset(self.last_offset().0.wrapping_add(1))
    }

    /// Whether a producer with an id wrote it.
    pub fn has_producer(&self) -> bool {
        self.producer_id.0 > ProducerId::NONE.0
    }

    /// The sequence number of the last record; [`NO_SEQUENCE`] when the batch has none.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence == NO_SEQUENCE {
            NO_SEQUENCE
        } else {
            sequence_after(self.base_sequence, self.last_offset_delta)
        }
    }

    /// What the tombstones and markers in it may be removed at, once compaction has set it (KIP-534).
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        self.attributes.has_delete_horizon().then_some(self.base_timestamp)
    }
}

/// The sequence number `steps` after `sequence`. Behind the largest comes 0 (`DefaultRecordBatch.incrementSequence`).
/// Both are not negative.
pub fn sequence_after(sequence: i32, steps: i32) -> i32 {
    const NUMBERS: i64 = 1 << 31;
    ((i64::from(sequence) + i64::from(steps)).rem_euclid(NUMBERS)) as i32
}

/// The 16 bits that say how to read a batch. Bits without a meaning are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes(pub i16);

/// Whose clock the timestamps of a batch come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimestampType {
    /// Each record has the producer's time.
    #[default]
    Create,
    /// All records have the time of the append, which stands in the header's `max_timestamp`.
    LogAppend,
}

/// A codec number that no codec has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("batch of unknown codec {0}")]
pub struct UnknownCodec(pub u8);

impl Attributes {
    const CODEC: i16 = 0b111;
    const LOG_APPEND: i16 = 1 << 3;
    const TRANSACTIONAL: i16 = 1 << 4;
    const CONTROL: i16 = 1 << 5;
    const DELETE_HORIZON: i16 = 1 << 6;

    /// How the records are packed.
    pub fn codec(self) -> Result<Codec, UnknownCodec> {
        let id = (self.0 & Self::CODEC) as u8;
        Codec::from_id(id).ok_or(UnknownCodec(id))
    }

    /// Whose clock counts.
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND == 0 { TimestampType::Create } else { TimestampType::LogAppend }
    }

    /// Whether the batch is part of a transaction.
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether its records are for brokers and clients, not for applications.
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether the base timestamp is a delete horizon.
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// The same with another codec.
    pub fn with_codec(self, codec: Codec) -> Self {
        Self(self.0 & !Self::CODEC | i16::from(codec.id()))
    }

    /// The same with another clock.
    pub fn with_timestamp_type(self, timestamp_type: TimestampType) -> Self {
        self.with(Self::LOG_APPEND, timestamp_type == TimestampType::LogAppend)
    }

    /// The same, in a transaction or not.
    pub fn with_transactional(self, transactional: bool) -> Self {
        self.with(Self::TRANSACTIONAL, transactional)
    }

    /// The same, for control records or not.
    pub fn with_control(self, control: bool) -> Self {
        self.with(Self::CONTROL, control)
    }

    /// The same, with a delete horizon or not.
    pub fn with_delete_horizon(self, horizon: bool) -> Self {
        self.with(Self::DELETE_HORIZON, horizon)
    }

    fn with(self, bit: i16, set: bool) -> Self {
        Self(if set { self.0 | bit } else { self.0 & !bit })
    }
}
