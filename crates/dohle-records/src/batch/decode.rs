//! The records of a batch, one after the other.
//!
//! Holds one chunk of unpacked bytes and one record; what is not packed is sliced without a copy. Does not look at the
//! checksum: that is the batch's.

use std::iter::FusedIterator;

use dohle_base::ErrorCode;

use super::header::{Header, TimestampType};
use super::input::Input;
use super::{Batch, Budget};
use crate::compress::Codec;
use crate::record::{self, Origin, Record};

/// Why the records of a batch cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No codec has that number.
    #[error("batch of unknown codec {0}")]
    Codec(u8),
    /// The records are not what the codec writes.
    #[error("records are no sound {0}")]
    Packed(Codec),
    /// They unpack to more than the given number of bytes.
    #[error("records unpack to more than {0} bytes")]
    OverBudget(u64),
    /// The records end before their count is reached.
    #[error("records end early")]
    Truncated,
    /// Bytes follow the last record.
    #[error("bytes behind the last record")]
    Trailing,
    /// A number does not end.
    #[error("malformed variable-length number")]
    Varint,
    /// The header's record count is negative.
    #[error("batch of {0} records")]
    Count(i32),
    /// A record of a negative length.
    #[error("record of {0} bytes")]
    RecordLength(i32),
    /// A record that unpacks to more than a record may.
    #[error("record of {bytes} bytes, above {bytes_max}")]
    RecordTooLarge {
        /// What the record says.
        bytes: usize,
        /// What is allowed.
        bytes_max: usize,
    },
    /// A record whose fields do not fill its length.
    #[error("record that does not fill its length")]
    Record,
    /// More headers than there are bytes for, or fewer than none.
    #[error("record with {0} headers")]
    HeaderCount(i32),
    /// A header without a name.
    #[error("record header with a name of {0} bytes")]
    HeaderKey(i32),
    /// The record is not where the one before it ends.
    #[error("record with offset delta {found}, not {expected}")]
    OffsetDelta {
        /// What the record says.
        found: i32,
        /// What its place says.
        expected: i32,
    },
    /// A control record that is none.
    #[error("malformed control record")]
    Control,
}

impl Malformed {
    /// What a client is told that produced it.
    pub fn code(self) -> ErrorCode {
        match self {
            // The Java client splits the batch and tries again.
            Self::OverBudget(_) => ErrorCode::MessageTooLarge,
            Self::Codec(_) => ErrorCode::UnsupportedCompressionType,
            // Not "corrupt message", which clients take for damage on the way and send again.
            Self::Packed(_)
            | Self::Truncated
            | Self::Trailing
            | Self::Varint
            | Self::Count(_)
            | Self::RecordLength(_)
            | Self::RecordTooLarge { .. }
            | Self::Record
            | Self::HeaderCount(_)
            | Self::HeaderKey(_)
            | Self::OffsetDelta { .. }
            | Self::Control => ErrorCode::InvalidRecord,
        }
    }
}

/// The records of one batch, in order. After an error nothing more comes. Like Kafka's, the iterator trusts the
/// records' own offset deltas, which have gaps after compaction.
pub struct Records {
    input: Input,
    origin: Origin,
    left: i32,
}

impl Records {
    pub(super) fn open(batch: &Batch, budget: Budget) -> Result<Self, Malformed> {
        let count = batch.header.record_count;
        if count < 0 {
            return Err(Malformed::Count(count));
        }
        Ok(Self { input: Input::open(batch, budget)?, origin: Origin::of(&batch.header), left: count })
    }

    /// How many records the batch says are still to come.
    pub fn left(&self) -> usize {
        self.left as usize
    }

    fn read(&mut self) -> Result<Record, Malformed> {
        let length = self.input.record_length()?;
        let record = record::parse(self.input.take(length)?, &self.origin)?;
        if self.left == 1 {
            self.input.expect_end()?;
        }
        Ok(record)
    }
}

impl Iterator for Records {
    type Item = Result<Record, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let record = self.read();
        self.left = if record.is_ok() { self.left - 1 } else { 0 };
        Some(record)
    }
}

impl FusedIterator for Records {}

impl Origin {
    pub(crate) fn of(header: &Header) -> Self {
        let append_time = match header.attributes.timestamp_type() {
            TimestampType::Create => None,
            TimestampType::LogAppend => Some(header.max_timestamp.0),
        };
        Self { offset: header.base_offset.0, timestamp: header.base_timestamp.0, append_time }
    }
}
