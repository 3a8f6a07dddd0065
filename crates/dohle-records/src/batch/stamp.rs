//! What a leader writes into the header of a batch that it appends.
//!
//! The bytes of a batch are shared with the request that brought them and are not touched: a stamped batch is a new
//! header and the old tail, as two slices for one vectored write.

use bytes::{Bytes, BytesMut};
use dohle_base::{LeaderEpoch, Offset, Timestamp};

use super::Batch;
use super::header::{BYTES, CHECKED_FROM, Header, TimestampType};

/// What is to be written into the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The offset of the batch's first record in the log.
    pub base_offset: Offset,
    /// The epoch in which the leader appends it.
    pub leader_epoch: LeaderEpoch,
    /// What becomes of its timestamps.
    pub time: Time,
}

/// What becomes of a batch's timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// They stay: the checksum stays too.
    Kept,
    /// The producer's count, and the header is corrected to the largest that the records hold. Costs a pass of
    /// checksum where that differs.
    Largest(Timestamp),
    /// All records are of this moment (`message.timestamp.type=LogAppendTime`). Costs a pass of checksum.
    Append(Timestamp),
}

/// A batch as the log has it: header and body, to be written one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamped {
    /// The first 61 bytes.
    pub head: [u8; BYTES],
    /// Everything behind them, shared with the batch that was stamped.
    pub tail: Bytes,
    /// What `head` says.
    pub header: Header,
}

impl Batch {
    /// The batch as it is to be appended. Neither copies nor changes the bytes of this one.
    pub fn stamp(&self, stamp: &Stamp) -> Stamped {
        let mut header = self.header;
        header.base_offset = stamp.base_offset;
        header.leader_epoch = stamp.leader_epoch;
        match stamp.time {
            Time::Kept => {}
            Time::Largest(timestamp) => header.max_timestamp = timestamp,
            Time::Append(timestamp) => {
                header.max_timestamp = timestamp;
                header.attributes = header.attributes.with_timestamp_type(TimestampType::LogAppend);
            }
        }
        let tail = self.body();
        // Offset and epoch lie in front of what the checksum covers.
        if (header.max_timestamp, header.attributes) != (self.header.max_timestamp, self.header.attributes) {
            header.crc = checksum(&header, &tail);
        }
        Stamped { head: header.to_bytes(), tail, header }
    }
}

impl Stamped {
    /// The size of the whole batch.
    pub fn size_in_bytes(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// The batch in one piece. Copies all of it: for tests and for the few that cannot write two slices.
    pub fn to_bytes(&self) -> Bytes {
        let mut whole = BytesMut::with_capacity(self.size_in_bytes());
        whole.extend_from_slice(&self.head);
        whole.extend_from_slice(&self.tail);
        whole.freeze()
    }
}

/// The checksum of a batch in two pieces.
pub(super) fn checksum(header: &Header, tail: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&header.to_bytes()[CHECKED_FROM..]);
    digest.update(tail);
    digest.finalize() as u32
}
