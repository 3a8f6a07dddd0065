//! The batch that is sent again and again: encoded once, stamped anew.
//!
//! Owns which of its bytes change from one request to the next, and the checksum over them. Records are neither encoded nor
//! packed after the template is made.

use bytes::Bytes;
use dohle_base::Timestamp;
use dohle_records::batch::encode::{Builder, Entry, Full, Settings};
use dohle_records::batch::header::BYTES as HEAD_BYTES;
use dohle_records::{Compression, Header};

use crate::answer::cursor::Cursor;
use crate::payload::{Payload, Values};

/// Where the checksum's range begins.
const CHECKED_FROM: usize = 21;
/// The intended start time that a stamped record carries at the front of its value.
pub const STAMP_BYTES: usize = 8;

/// What a batch is to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The bytes of a record's value.
    pub record_size: usize,
    /// The most bytes of a batch before it is packed, its header included, as Kafka's `batch.size` counts; one record is in
    /// it whatever its size.
    pub batch_size: usize,
    /// How it is packed.
    pub compression: Compression,
    /// What is in it.
    pub payload: Payload,
}

/// Who writes a batch, and the number of its first record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequenced {
    /// The producer's id.
    pub id: i64,
    /// Its incarnation.
    pub epoch: i16,
    /// The sequence of the first record.
    pub sequence: i32,
}

/// The batch.
#[derive(Clone, Debug)]
pub struct Template {
    header: Header,
    body: Bytes,
}

impl Template {
    /// Encodes and packs it.
    pub fn build(shape: &Shape, now: Timestamp) -> Result<Self, Full> {
        let mut builder = Builder::new(Settings { compression: shape.compression, ..Settings::default() });
        let mut values = Values::new(&shape.payload, shape.record_size);
        let mut value = vec![];
        loop {
            values.next_into(&mut value);
            let entry = Entry { timestamp: now, value: Some(&value), ..Entry::default() };
            let grown = builder.bytes_unpacked() + entry.size_upper_bound();
            if !builder.is_empty() && grown > shape.batch_size {
                break;
            }
            builder.append(&entry)?;
        }
        let batch = builder.finish();
        Ok(Self { header: *batch.header(), body: batch.body() })
    }

    /// How many records it has.
    pub fn records(&self) -> u64 {
        self.header.record_count as u64
    }

    /// Its size on the wire.
    pub fn size(&self) -> usize {
        self.header.size_in_bytes()
    }

    /// What follows the header.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The header as it stands.
    pub fn head(&self) -> [u8; HEAD_BYTES] {
        self.header.to_bytes()
    }

    /// The header over another body of the same layout, with its checksum.
    pub fn head_over(&self, body: &[u8]) -> [u8; HEAD_BYTES] {
        sealed(self.header, body)
    }

    /// The header of a batch that a producer with an id sends, over `body`.
    pub fn sequenced_head_over(&self, body: &[u8], by: Sequenced) -> [u8; HEAD_BYTES] {
        let mut header = self.header;
        header.producer_id.0 = by.id;
        header.producer_epoch.0 = by.epoch;
        header.base_sequence = by.sequence;
        sealed(header, body)
    }

    /// Makes the records of this moment, so that retention by time sees what it expects.
    pub fn redate(&mut self, now: Timestamp) {
        self.header.base_timestamp = now;
        self.header.max_timestamp = now;
        let sealed = sealed(self.header, &self.body);
        self.header.crc = u32::from_be_bytes([sealed[17], sealed[18], sealed[19], sealed[20]]);
    }

    /// Where the values of the records begin in the body, for stamps. Only of a batch that is not packed and whose values
    /// have room for a stamp; else none.
    pub fn value_places(&self) -> Option<Vec<usize>> {
        let mut places = vec![];
        let mut at = 0;
        while at < self.body.len() {
            let (value, end) = value_place(&self.body[at..])?;
            places.push(at + value);
            at += end;
        }
        (places.len() as u64 == self.records()).then_some(places)
    }
}

/// Writes a stamp at every place.
pub fn stamp(body: &mut [u8], places: &[usize], nanoseconds: u64) {
    for place in places {
        body[*place..place + STAMP_BYTES].copy_from_slice(&nanoseconds.to_be_bytes());
    }
}

/// The stamp of the first record in the body of a batch.
pub fn first_stamp(body: &[u8]) -> Option<u64> {
    let (value, _) = value_place(body)?;
    body.get(value..value + STAMP_BYTES)?.try_into().ok().map(u64::from_be_bytes)
}

/// Where the value of the record at the front begins, and where the record ends. None when it has no room for a stamp.
fn value_place(records: &[u8]) -> Option<(usize, usize)> {
    let mut cursor = Cursor::new(records);
    let length = usize::try_from(cursor.zigzag().ok()?).ok()?;
    let end = records.len() - cursor.rest().len() + length;
    cursor.take(1).ok()?;
    // The differences of timestamp and offset.
    cursor.zigzag().ok()?;
    cursor.zigzag().ok()?;
    let key = usize::try_from(cursor.zigzag().ok()?.max(0)).ok()?;
    cursor.take(key).ok()?;
    let value = cursor.zigzag().ok()?;
    (value >= STAMP_BYTES as i64).then(|| (records.len() - cursor.rest().len(), end))
}

fn sealed(mut header: Header, body: &[u8]) -> [u8; HEAD_BYTES] {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&header.to_bytes()[CHECKED_FROM..]);
    digest.update(body);
    header.crc = digest.finalize() as u32;
    header.to_bytes()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use dohle_records::{Batch, Budget, Codec};

    use super::*;

    fn shape(record_size: usize, batch_size: usize, codec: Codec) -> Shape {
        Shape { record_size, batch_size, compression: Compression::of(codec), payload: Payload::Text }
    }

    fn whole(head: [u8; HEAD_BYTES], body: &[u8]) -> Batch {
        Batch::first(&Bytes::from([&head, body].concat())).unwrap().unwrap()
    }

    #[test]
    fn a_batch_is_as_large_as_it_may_be_and_never_empty() {
        let template = Template::build(&shape(1_024, 16 << 10, Codec::None), Timestamp(1)).unwrap();
        assert_eq!(template.records(), 15);
        assert!(template.size() <= 16 << 10);
        assert_eq!(Template::build(&shape(100, 1, Codec::None), Timestamp(1)).unwrap().records(), 1);
    }

    #[test]
    fn every_new_head_is_sound_and_its_records_are_the_same() {
        for codec in Codec::ALL {
            let mut template = Template::build(&shape(100, 4_096, codec), Timestamp(1)).unwrap();
            template.redate(Timestamp(5_000));
            let by = Sequenced { id: 7, epoch: 2, sequence: 40 };
            let body = template.body().clone();
            for (head, sequence) in [(template.head(), -1), (template.sequenced_head_over(&body, by), 40)] {
                let batch = whole(head, &body);
                assert!(batch.is_intact(), "{codec}");
                assert_eq!(batch.header().base_sequence, sequence);
                let records: Vec<_> = batch.records(Budget::default()).unwrap().map(Result::unwrap).collect();
                assert_eq!(records.len() as u64, template.records());
                assert!(records.iter().all(|record| record.timestamp == Timestamp(5_000)));
            }
        }
    }

    #[test]
    fn a_stamp_is_found_where_it_was_written() {
        let template = Template::build(&shape(20, 4_096, Codec::None), Timestamp(1)).unwrap();
        let places = template.value_places().unwrap();
        let mut body = template.body().to_vec();
        stamp(&mut body, &places, 123_456_789);
        assert_eq!(first_stamp(&body), Some(123_456_789));
        let batch = whole(template.head_over(&body), &body);
        assert!(batch.is_intact());
        for record in batch.records(Budget::default()).unwrap() {
            assert_eq!(record.unwrap().value.unwrap()[..8], 123_456_789u64.to_be_bytes());
        }
    }

    #[test]
    fn values_without_room_for_a_stamp_have_none() {
        let small = Template::build(&shape(7, 64, Codec::None), Timestamp(1)).unwrap();
        assert_eq!(small.value_places(), None);
        let packed = Template::build(&shape(100, 4_096, Codec::Zstd), Timestamp(1)).unwrap();
        assert_eq!(packed.value_places(), None);
    }
}
