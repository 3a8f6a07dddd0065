//! Producers as a file, `<offset>.snapshot`: what Kafka writes at each roll and at a clean stop (`ProducerStateManager.writeSnapshot`,
//! the message `ProducerSnapshot` in version 1).
//!
//! ```text
//! 0 version i16 = 1 · 2 CRC-32C u32 of all behind it · 6 count i32 · then for each producer, 46 bytes:
//! id i64 · epoch i16 · last sequence i32 · last offset i64 · offset delta i32 · timestamp i64 · coordinator epoch i32 ·
//! first offset of the open transaction i64
//! ```

use bytes::{Buf, BufMut};
use dohle_base::{Offset, ProducerEpoch, ProducerId, Timestamp};
use thiserror::Error;

use super::{Producer, Producers, Remembered};

const VERSION: i16 = 1;
const CHECKED_FROM: usize = 6;
const PRODUCER_BYTES: usize = 46;

/// A snapshot that cannot be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Corrupt {
    /// Not the version that is written here.
    #[error("unknown version {0}")]
    Version(i16),
    /// The bytes are not those that the checksum was made of.
    #[error("checksum mismatch")]
    Checksum,
    /// Shorter or longer than it says.
    #[error("it promises {promised} producers in {bytes} bytes")]
    Size {
        /// What it says.
        promised: i32,
        /// How long it is.
        bytes: usize,
    },
}

/// The file that holds `producers`.
pub fn to_bytes(producers: &Producers) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(CHECKED_FROM + 4 + producers.len() * PRODUCER_BYTES);
    bytes.put_i16(VERSION);
    bytes.put_u32(0);
    bytes.put_i32(producers.len() as i32);
    producers.iter().for_each(|producer| put(&mut bytes, producer));
    let crc = crc_fast::crc32_iscsi(&bytes[CHECKED_FROM..]);
    bytes[2..CHECKED_FROM].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn put(bytes: &mut Vec<u8>, producer: &Producer) {
    let last = producer.last_batch();
    bytes.put_i64(producer.id.0);
    bytes.put_i16(producer.epoch.0);
    bytes.put_i32(producer.last_sequence());
    bytes.put_i64(producer.last_offset().0);
    bytes.put_i32(last.map_or(0, |batch| batch.offset_delta));
    bytes.put_i64(producer.last_timestamp.0);
    bytes.put_i32(producer.coordinator_epoch);
    bytes.put_i64(producer.transaction_start.unwrap_or(Offset::NONE).0);
}

/// The producers that a file holds. All of them or none: never reads beyond what is there.
pub fn parse(bytes: &[u8]) -> Result<Vec<Producer>, Corrupt> {
    let short = || Corrupt::Size { promised: -1, bytes: bytes.len() };
    let mut rest = bytes;
    let version = rest.try_get_i16().map_err(|_| short())?;
    if version != VERSION {
        return Err(Corrupt::Version(version));
    }
    let crc = rest.try_get_u32().map_err(|_| short())?;
    if crc != crc_fast::crc32_iscsi(rest) {
        return Err(Corrupt::Checksum);
    }
    let promised = rest.try_get_i32().map_err(|_| short())?;
    if usize::try_from(promised).ok().and_then(|count| count.checked_mul(PRODUCER_BYTES)) != Some(rest.len()) {
        return Err(Corrupt::Size { promised, bytes: bytes.len() });
    }
    Ok(rest.chunks_exact(PRODUCER_BYTES).map(get).collect())
}

fn get(mut bytes: &[u8]) -> Producer {
    let mut producer = Producer::new(ProducerId(bytes.get_i64()));
    producer.epoch = ProducerEpoch(bytes.get_i16());
    let (last_sequence, last_offset, offset_delta) = (bytes.get_i32(), Offset(bytes.get_i64()), bytes.get_i32());
    producer.last_timestamp = Timestamp(bytes.get_i64());
    producer.coordinator_epoch = bytes.get_i32();
    producer.transaction_start = Some(Offset(bytes.get_i64())).filter(|first| *first >= Offset::ZERO);
    if last_offset < Offset::ZERO {
        return producer;
    }
    let timestamp = producer.last_timestamp;
    producer.with_last_batch(Remembered { last_sequence, last_offset, offset_delta, timestamp })
}
