//! What a broker looks at in the bytes that a producer sends for one partition, before it appends them.
//!
//! Reads the header and the checksum and no record: one pass of CRC-32C, no allocation. The order and the codes are
//! those of `ProduceRequest.validateRecords`, `UnifiedLog.analyzeAndValidateRecords` and
//! `LogValidator.validateBatch`. What takes the records to tell is in [`validate`](super::validate).

use bytes::Bytes;
use dohle_base::{ErrorCode, Timestamp};

use super::Batch;
use super::header::{self, Header, TimestampType, Unreadable};
use crate::compress::Codec;

/// What the topic and the request allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest batch, header included (`max.message.bytes`).
    pub batch_bytes_max: usize,
    /// The largest segment (`segment.bytes`).
    pub segment_bytes_max: usize,
    /// Whether zstd may be used: not by Produce before version 7 (KIP-110).
    pub zstd: bool,
}

/// Why a produced batch is not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no whole batch.
    #[error("no whole record batch")]
    Missing,
    /// Another batch, or garbage, behind the first.
    #[error("{0} bytes behind the one record batch that is allowed")]
    Trailing(usize),
    /// The format is not 2.
    #[error("record batch of format {0}")]
    Magic(i8),
    /// The length field cannot be.
    #[error("record batch of impossible length {0}")]
    Length(i32),
    /// No codec has that number.
    #[error("record batch of unknown codec {0}")]
    UnknownCodec(u8),
    /// The request is too old for zstd.
    #[error("zstd needs a newer produce request")]
    ZstdTooNew,
    /// The offset is the broker's to give.
    #[error("record batch at base offset {0}, not 0")]
    BaseOffset(i64),
    /// Above `max.message.bytes`.
    #[error("record batch of {bytes} bytes, above {bytes_max}")]
    TooLarge {
        /// The size of the batch.
        bytes: usize,
        /// What is allowed.
        bytes_max: usize,
    },
    /// The bytes are not those that the checksum was made of.
    #[error("record batch with checksum {stored:08x}, computed {computed:08x}")]
    Checksum {
        /// What the header says.
        stored: u32,
        /// What the bytes say.
        computed: u32,
    },
    /// No records, or fewer or more than the offsets.
    #[error("record batch of {count} records with last offset delta {last_offset_delta}")]
    Count {
        /// The header's count.
        count: i32,
        /// The header's last offset delta.
        last_offset_delta: i32,
    },
    /// Only brokers write control records.
    #[error("control batch from a client")]
    Control,
    /// Only compaction sets a delete horizon.
    #[error("delete horizon from a client")]
    DeleteHorizon,
    /// A producer with an id counts its batches.
    #[error("base sequence {0} from an idempotent producer")]
    Sequence(i32),
    /// A producer with an id has an epoch.
    #[error("producer epoch {0} from an idempotent producer")]
    ProducerEpoch(i16),
    /// A transaction is a producer's.
    #[error("transactional batch without a producer id")]
    NoProducer,
    /// Before 1970 and not "none".
    #[error("record batch with negative timestamp {0}")]
    NegativeTimestamp(Timestamp),
    /// Only the log stamps the time of the append.
    #[error("append time from a client")]
    AppendTime,
    /// Would not fit a segment.
    #[error("record batch of {bytes} bytes, above the segment size {segment_bytes_max}")]
    AboveSegment {
        /// The size of the batch.
        bytes: usize,
        /// What is allowed.
        segment_bytes_max: usize,
    },
}

impl Refusal {
    /// What the client is told.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Magic(0 | 1)
            | Self::Missing
            | Self::Trailing(_)
            | Self::BaseOffset(_)
            | Self::Count { .. }
            | Self::Control
            | Self::DeleteHorizon
            | Self::Sequence(_)
            | Self::ProducerEpoch(_)
            | Self::NoProducer
            | Self::NegativeTimestamp(_) => ErrorCode::InvalidRecord,
            Self::Magic(_) | Self::Length(_) | Self::Checksum { .. } => ErrorCode::CorruptMessage,
            Self::UnknownCodec(_) | Self::ZstdTooNew => ErrorCode::UnsupportedCompressionType,
            Self::TooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::AboveSegment { .. } => ErrorCode::RecordListTooLarge,
            Self::AppendTime => ErrorCode::InvalidTimestamp,
        }
    }
}

/// Takes what a client produced for one partition: exactly one sound batch that claims nothing which only a broker may.
pub fn check(produced: &Bytes, limits: &Limits) -> Result<Batch, Refusal> {
    let batch = only_batch(produced, limits)?;
    check_size_and_sum(&batch, limits)?;
    check_claims(batch.header())?;
    // Kafka trims a piece of a batch that is left over; nobody sends one, and what is not stored must not be
    // acknowledged.
    match produced.len() - batch.bytes.len() {
        0 => {}
        more => return Err(Refusal::Trailing(more)),
    }
    let bytes = batch.bytes.len();
    if bytes > limits.segment_bytes_max {
        return Err(Refusal::AboveSegment { bytes, segment_bytes_max: limits.segment_bytes_max });
    }
    Ok(batch)
}

fn only_batch(produced: &Bytes, limits: &Limits) -> Result<Batch, Refusal> {
    let batch = Batch::first(produced).map_err(refusal)?.ok_or(Refusal::Missing)?;
    if !limits.zstd && batch.header.attributes.codec() == Ok(Codec::Zstd) {
        return Err(Refusal::ZstdTooNew);
    }
    // What is no batch may come from a damaged length: the checksum will tell, and the client may send it again.
    match Batch::first(&produced.slice(batch.bytes.len()..)).map_err(refusal)? {
        None => Ok(batch),
        Some(_) => Err(Refusal::Trailing(produced.len() - batch.bytes.len())),
    }
}

fn refusal(unreadable: Unreadable) -> Refusal {
    match unreadable {
        Unreadable::Length(length) => Refusal::Length(length),
        Unreadable::Magic(magic) => Refusal::Magic(magic),
        Unreadable::Cut => Refusal::Missing,
    }
}

fn check_size_and_sum(batch: &Batch, limits: &Limits) -> Result<(), Refusal> {
    let Header { base_offset, crc: stored, .. } = batch.header;
    if base_offset.0 != 0 {
        return Err(Refusal::BaseOffset(base_offset.0));
    }
    let bytes = batch.bytes.len();
    if bytes > limits.batch_bytes_max {
        return Err(Refusal::TooLarge { bytes, bytes_max: limits.batch_bytes_max });
    }
    let computed = header::checksum(&batch.bytes);
    if computed != stored {
        return Err(Refusal::Checksum { stored, computed });
    }
    Ok(())
}

fn check_claims(header: &Header) -> Result<(), Refusal> {
    let Header { record_count: count, last_offset_delta, attributes, .. } = *header;
    attributes.codec().map_err(|unknown| Refusal::UnknownCodec(unknown.0))?;
    if count <= 0 || last_offset_delta.checked_add(1) != Some(count) {
        return Err(Refusal::Count { count, last_offset_delta });
    }
    if attributes.is_control() {
        return Err(Refusal::Control);
    }
    if attributes.has_delete_horizon() {
        return Err(Refusal::DeleteHorizon);
    }
    check_producer(header)?;
    if attributes.timestamp_type() == TimestampType::LogAppend {
        return Err(Refusal::AppendTime);
    }
    let negative = [header.base_timestamp, header.max_timestamp].into_iter().find(|time| *time < Timestamp::NONE);
    negative.map_or(Ok(()), |time| Err(Refusal::NegativeTimestamp(time)))
}

fn check_producer(header: &Header) -> Result<(), Refusal> {
    if !header.has_producer() {
        return if header.attributes.is_transactional() { Err(Refusal::NoProducer) } else { Ok(()) };
    }
    if header.base_sequence < 0 {
        return Err(Refusal::Sequence(header.base_sequence));
    }
    if header.producer_epoch.0 < 0 {
        return Err(Refusal::ProducerEpoch(header.producer_epoch.0));
    }
    Ok(())
}
