//! Words that the tests share: drafts of records, drawn or by hand, and batches made of them.

use bytes::Bytes;
use dohle_base::{Rng, Timestamp};
use dohle_records::batch::encode::{Builder, Entry, Settings};
use dohle_records::batch::header::{Attributes, BYTES, Header};
use dohle_records::{Batch, Budget, Codec, Compression, Record, fuzzing};

/// A record that is yet to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Draft {
    pub(crate) fn new(timestamp: i64, key: &str, value: &str) -> Self {
        Self { timestamp, key: Some(key.into()), value: Some(value.into()), headers: vec![] }
    }

    /// The record, without its place.
    pub(crate) fn of(record: &Record) -> Self {
        let owned = |bytes: &Bytes| bytes.to_vec();
        let headers = record
            .headers
            .iter()
            .map(|header| (String::from_utf8(header.key.to_vec()).unwrap(), header.value.as_ref().map(owned)));
        Self {
            timestamp: record.timestamp.0,
            key: record.key.as_ref().map(owned),
            value: record.value.as_ref().map(owned),
            headers: headers.collect(),
        }
    }

    /// Draws a record of up to about `bytes_max` bytes, some of which repeat.
    pub(crate) fn draw(rng: &mut Rng, bytes_max: u64) -> Self {
        let names = ["", "trace", "größe", "a-name-that-is-longer-than-sixty-three-bytes-so-its-varint-takes-two"];
        let headers = (0..rng.below(4)).map(|_| (names[rng.below(4) as usize].to_owned(), draw_bytes(rng, 100)));
        let headers = headers.collect();
        let timestamp = 1_700_000_000_000 + rng.below(100_000) as i64;
        Self { timestamp, key: draw_bytes(rng, 40), value: draw_bytes(rng, bytes_max), headers }
    }
}

fn draw_bytes(rng: &mut Rng, bytes_max: u64) -> Option<Vec<u8>> {
    if rng.chance(150) {
        return None;
    }
    let mut bytes = vec![0; rng.below(bytes_max + 1) as usize];
    if rng.chance(500) {
        rng.fill(&mut bytes);
    } else {
        bytes.iter_mut().enumerate().for_each(|(place, byte)| *byte = (place % 13) as u8);
    }
    Some(bytes)
}

/// Draws up to `count_max` records, at least one.
pub(crate) fn draw(rng: &mut Rng, count_max: u64, bytes_max: u64) -> Vec<Draft> {
    (0..=rng.below(count_max)).map(|_| Draft::draw(rng, bytes_max)).collect()
}

/// Writes `drafts` into `builder`.
pub(crate) fn fill(builder: &mut Builder, drafts: &[Draft]) {
    for draft in drafts {
        let headers: Vec<_> = draft.headers.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        let (key, value) = (draft.key.as_deref(), draft.value.as_deref());
        let entry = Entry { timestamp: Timestamp(draft.timestamp), key, value, headers: &headers };
        let before = builder.bytes_unpacked();
        builder.append(&entry).unwrap();
        assert!(builder.bytes_unpacked() - before <= entry.size_upper_bound());
    }
}

pub(crate) fn batch(settings: Settings, drafts: &[Draft]) -> Batch {
    let mut builder = Builder::new(settings);
    fill(&mut builder, drafts);
    builder.finish()
}

pub(crate) fn packed(codec: Codec, drafts: &[Draft]) -> Batch {
    batch(Settings { compression: Compression::of(codec), ..Settings::default() }, drafts)
}

pub(crate) fn unpacked(batch: &Batch) -> Vec<Draft> {
    batch.records(Budget::default()).unwrap().map(|record| Draft::of(&record.unwrap())).collect()
}

/// A batch of `count` records whose body is `body`, sound or not.
pub(crate) fn with_body(codec: Codec, count: i32, body: &[u8]) -> Batch {
    let plain = packed(Codec::None, &[Draft::default()]);
    let attributes = Attributes::default().with_codec(codec);
    let header = Header { attributes, record_count: count, last_offset_delta: count - 1, ..*plain.header() };
    with_header(&header, body)
}

/// `header` and `body` as a batch, with length and checksum put right.
pub(crate) fn with_header(header: &Header, body: &[u8]) -> Batch {
    let mut bytes = header.to_bytes().to_vec();
    assert_eq!(bytes.len(), BYTES);
    bytes.extend_from_slice(body);
    fuzzing::repaired(&bytes).unwrap()
}
