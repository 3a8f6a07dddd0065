//! A batch packed by another codec (`compression.type` of a topic that is not `producer`).
//!
//! What a codec packs is the same bytes whatever the codec, so nothing is decoded: one stream is poured into the
//! other, a chunk at a time.

use super::decode::Malformed;
use super::header::{BYTES, Header, OVERHEAD};
use super::input::Input;
use super::{Batch, Budget, encode, stamp};
use crate::compress::{Compression, Writer};

impl Batch {
    /// The same batch with its records packed as `compression` says, unpacked within `budget`. Fails when the records
    /// cannot be unpacked; whether they are sound records is not looked at. Header and offsets are those of this batch.
    /// Costs one unpacking, one packing and the new batch in memory.
    pub fn recompress(&self, compression: Compression, budget: Budget) -> Result<Self, Malformed> {
        let mut input = Input::open(self, budget)?;
        let mut writer = Writer::open(compression, vec![0; BYTES]);
        while let Some(chunk) = input.chunk()? {
            writer.write(&chunk);
        }
        let bytes = writer.finish();
        let length =
            i32::try_from(bytes.len() - OVERHEAD).map_err(|_| Malformed::OverBudget(encode::BATCH_BYTES_MAX as u64))?;
        let mut header =
            Header { length, attributes: self.header.attributes.with_codec(compression.codec()), ..self.header };
        header.crc = stamp::checksum(&header, &bytes[BYTES..]);
        Ok(encode::with_head(header, bytes))
    }
}
