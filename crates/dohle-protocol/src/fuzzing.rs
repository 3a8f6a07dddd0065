//! The bodies of the fuzz targets, which also run seeded in the tests.
//!
//! Each takes any bytes and asserts what must hold of them: what is read can be written, and reads the same again.

use bytes::Bytes;

use crate::frame::Splitter;
use crate::header::{Head, decode_answer};
use crate::message::{AnyRequest, AnyResponse, ApiKey};
use crate::primitive::{EncodeError, Reader, Rope};
use crate::record::{GroupRecord, MetadataRecord, ShareRecord, TransactionRecord};

/// A frame without its length: request header and body.
pub fn request(frame: &[u8]) {
    let Ok((head, mut reader)) = Head::decode(Bytes::copy_from_slice(frame)) else { return };
    let Ok(body) = AnyRequest::decode(&mut reader, head.api, head.version) else { return };
    let bytes = written(|rope| body.encode(rope, head.version));
    let again = AnyRequest::decode(&mut Reader::new(bytes.clone()), head.api, head.version);
    let again = again.expect("what was written is read");
    assert_eq!(bytes, written(|rope| again.encode(rope, head.version)), "{body:?}");
}

/// API and version, two bytes each, then what a broker may have answered.
pub fn response(input: &[u8]) {
    let mut reader = Reader::new(Bytes::copy_from_slice(input));
    let (code, version) = (reader.i16(), reader.i16());
    let Some(api) = ApiKey::from_code(code) else { return };
    if reader.check().is_err() || decode_answer(&mut reader, api, version).is_err() {
        return;
    }
    let Ok(body) = AnyResponse::decode(&mut reader, api, version) else { return };
    let bytes = written(|rope| body.encode(rope, version));
    let again = AnyResponse::decode(&mut Reader::new(bytes.clone()), api, version).expect("what was written is read");
    assert_eq!(bytes, written(|rope| again.encode(rope, version)), "{body:?}");
}

/// A stream of frames, in chunks of the size that the first byte says.
pub fn frames(input: &[u8]) {
    const LIMIT: usize = 1 << 16;
    let Some((step, stream)) = input.split_first() else { return };
    let splitter = Splitter::new(LIMIT);
    let mut buffer = bytes::BytesMut::new();
    for chunk in stream.chunks(usize::from(*step).max(1)) {
        buffer.extend_from_slice(chunk);
        while let Ok(Some(frame)) = splitter.split(&mut buffer) {
            assert!(frame.len() <= LIMIT);
        }
    }
}

/// A record of every log that has a typed one: the value, or a key and a value in halves.
pub fn record(input: &[u8]) {
    let input = Bytes::copy_from_slice(input);
    if let Ok(record) = MetadataRecord::decode(&input) {
        let latest = *record.versions().end();
        // An old version may carry what the latest cannot, so only a panic is a fault here.
        let _ = record.encode(latest);
    }
    let (key, value) = (input.slice(..input.len() / 2), input.slice(input.len() / 2..));
    if let Ok(record) = GroupRecord::decode(&key, Some(&value)) {
        let _ = record.encode(*record.value_versions().end());
    }
    if let Ok(record) = TransactionRecord::decode(&key, Some(&value)) {
        let _ = record.encode(*record.value_versions().end());
    }
    if let Ok(record) = ShareRecord::decode(&key, Some(&value)) {
        let _ = record.encode(*record.value_versions().end());
    }
}

fn written(write: impl FnOnce(&mut Rope) -> Result<(), EncodeError>) -> Bytes {
    let mut rope = Rope::new();
    write(&mut rope).expect("what was read can be written");
    rope.into_bytes()
}
