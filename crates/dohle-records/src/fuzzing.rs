//! The bodies of the fuzz targets, which also run as seeded tests. Each takes any bytes and panics when a law is
//! broken.

use bytes::{Bytes, BytesMut};
use dohle_base::Timestamp;

use crate::batch::check::{self, Limits};
use crate::batch::header::{self, BYTES, CRC_AT, LENGTH_AT, MAGIC, MAGIC_AT, OVERHEAD};
use crate::batch::validate::{self, Rules, Times};
use crate::batch::{Batch, Batches, Budget};
use crate::compress::Compression;

/// What is unpacked of any input.
const BUDGET: Budget = Budget { batch_bytes_max: 1 << 20, record_bytes_max: 1 << 20 };

/// Bytes as they come from a socket or a disk: walked as batches, and checked as if they had been produced.
pub fn batch(input: &[u8]) {
    let bytes = Bytes::copy_from_slice(input);
    let mut batches = Batches::over(bytes.clone());
    let walked: usize = batches.by_ref().flatten().map(|batch| batch.bytes().len()).sum();
    assert_eq!(walked + batches.rest().len(), bytes.len());
    if let Ok(batch) =
        check::check(&bytes, &Limits { batch_bytes_max: 1 << 20, segment_bytes_max: 1 << 30, zstd: true })
    {
        assert!(batch.is_intact());
        assert_eq!(batch.bytes(), &bytes);
        assert_eq!(batch.header().to_bytes(), bytes[..BYTES]);
    }
}

/// Bytes that are made into a batch with the right length, format and checksum, so that what lies behind these is
/// reached.
pub fn records(input: &[u8]) {
    let Some(batch) = repaired(input) else { return };
    let decoded = batch.records(BUDGET).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let times = Some(Times { now: Timestamp(0), before_max_ms: i64::MAX, after_max_ms: i64::MAX });
    let validated = validate::validate(&batch, &Rules { keys: false, times, budget: BUDGET });
    if validated.is_ok() {
        assert!(decoded.is_ok(), "what is valid can be read: {decoded:?}");
    }
    for record in decoded.iter().flatten() {
        assert_eq!(record.headers.iter().count(), record.headers.len());
    }
    let Ok(plain) = batch.recompress(Compression::NONE, BUDGET) else { return };
    let unpacked = plain.records(BUDGET).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    assert_eq!(unpacked.ok(), decoded.ok());
}

/// `input` with its length, format and checksum put right, or none when it is no batch even so.
pub fn repaired(input: &[u8]) -> Option<Batch> {
    if input.len() < BYTES {
        return None;
    }
    let mut bytes = BytesMut::from(input);
    bytes[LENGTH_AT..OVERHEAD].copy_from_slice(&((input.len() - OVERHEAD) as u32).to_be_bytes());
    bytes[MAGIC_AT] = MAGIC as u8;
    let crc = header::checksum(&bytes);
    bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    Batch::first(&bytes.freeze()).ok().flatten()
}
