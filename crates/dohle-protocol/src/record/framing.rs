//! How records say which schema and which version they were written with.
//!
//! Two framings exist. Cluster metadata and remote log metadata put it before the value (`AbstractApiMessageSerde`):
//! frame version, type and version as variable-length integers. Coordinators put the type before the key and the version
//! before the value, two bytes each (`CoordinatorRecordSerde`); a record without value is a tombstone.

use bytes::Bytes;

use crate::api::Message;
use crate::primitive::{DecodeError, EncodeError, Reader, Rope};

/// The only version of the frame around metadata records.
const FRAME_VERSION: u32 = 1;

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A record of a type that this release does not know.
    #[error("no record type {0}")]
    UnknownType(i32),
    /// A frame of a version that this release does not know.
    #[error("no frame version {0}")]
    UnknownFrame(u32),
    /// The bytes do not follow the schema, or its version is unknown.
    #[error("record: {0}")]
    Malformed(#[from] DecodeError),
}

/// The type and version of a framed record; the reader then stands at its body.
pub(super) fn read_frame(reader: &mut Reader) -> Result<(i32, i16), RecordError> {
    let frame = reader.varint();
    let kind = reader.varint() as i32;
    let version = reader.varint();
    reader.check()?;
    if frame != FRAME_VERSION {
        return Err(RecordError::UnknownFrame(frame));
    }
    // A version that is no version of anything: the schema refuses it by name.
    Ok((kind, i16::try_from(version).unwrap_or(i16::MAX)))
}

/// The body of a framed record, and nothing after it.
pub(super) fn read_body<M: Message>(reader: &mut Reader, version: i16) -> Result<M, RecordError> {
    let body = M::decode(reader, version)?;
    reader.finish()?;
    Ok(body)
}

/// A framed record.
pub(super) fn write_framed<M: Message>(kind: i16, body: &M, version: i16) -> Result<Bytes, EncodeError> {
    let mut rope = Rope::with_capacity(64);
    rope.varint(FRAME_VERSION);
    rope.varint(kind as u32);
    rope.varint(version as u32);
    body.encode(&mut rope, version)?;
    Ok(rope.into_bytes())
}

/// The key of a coordinator's record: its type says which. Keys have one version.
pub(super) fn write_key<M: Message>(kind: i16, key: &M) -> Result<Bytes, EncodeError> {
    let mut rope = Rope::with_capacity(64);
    rope.i16(kind);
    key.encode(&mut rope, *M::VERSIONS.end())?;
    Ok(rope.into_bytes())
}

/// The type of a coordinator's record; the reader then stands at the rest of its key.
pub(super) fn read_kind(reader: &mut Reader) -> Result<i16, RecordError> {
    let kind = reader.i16();
    reader.check()?;
    Ok(kind)
}

/// A key whose type was read.
pub(super) fn read_key<M: Message>(reader: &mut Reader) -> Result<M, RecordError> {
    Ok(M::decode(reader, *M::VERSIONS.end())?)
}

/// The value of a coordinator's record, none for a tombstone.
pub(super) fn write_value<M: Message>(value: &Option<M>, version: i16) -> Result<Option<Bytes>, EncodeError> {
    let Some(value) = value else { return Ok(None) };
    let mut rope = Rope::with_capacity(64);
    rope.i16(version);
    value.encode(&mut rope, version)?;
    Ok(Some(rope.into_bytes()))
}

/// The value of a coordinator's record, none for a tombstone.
pub(super) fn read_value<M: Message>(value: Option<&Bytes>) -> Result<Option<M>, RecordError> {
    let Some(value) = value else { return Ok(None) };
    let mut reader = Reader::new(value.clone());
    let version = reader.i16();
    reader.check()?;
    Ok(Some(M::decode(&mut reader, version)?))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use dohle_base::Uuid;

    use super::RecordError;
    use crate::primitive::{DecodeError, Str};
    use crate::record::group::{OffsetCommitKey, OffsetCommitValue};
    use crate::record::metadata::TopicRecord;
    use crate::record::{GroupRecord, MetadataRecord};

    /// What Kafka 4.4 writes for `topic_record`.
    const TOPIC: &[u8] = &[1, 2, 0, 6, b'b', b'i', b'r', b'd', b's', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0];
    /// What Kafka 4.4 writes for the key and, in version 3, the value of `offset_commit`.
    const COMMIT_KEY: &[u8] = b"\0\x01\0\x01g\0\x05birds\0\0\0\x03";
    const COMMIT_VALUE: &[u8] = b"\0\x03\0\0\0\0\0\0\0\x2a\0\0\0\x07\0\x01m\0\0\0\0\0\0\x03\xe8";

    fn topic_record() -> MetadataRecord {
        let topic_id = Uuid([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
        MetadataRecord::Topic(TopicRecord { name: Str::from_static("birds"), topic_id, ..TopicRecord::default() })
    }

    fn offset_commit() -> GroupRecord {
        let key = OffsetCommitKey { group: "g".into(), topic: "birds".into(), partition: 3 };
        let value = OffsetCommitValue {
            offset: 42,
            leader_epoch: 7,
            metadata: "m".into(),
            commit_timestamp: 1_000,
            ..OffsetCommitValue::default()
        };
        GroupRecord::OffsetCommit { key, value: Some(value) }
    }

    #[test]
    fn a_metadata_record_is_framed_as_kafka_frames_it() {
        assert_eq!(topic_record().encode(0).unwrap(), TOPIC);
        assert_eq!(MetadataRecord::decode(&Bytes::from_static(TOPIC)).unwrap(), topic_record());
    }

    #[test]
    fn a_coordinators_record_is_framed_as_kafka_frames_it() {
        let (key, value) = (Bytes::from_static(COMMIT_KEY), Bytes::from_static(COMMIT_VALUE));
        assert_eq!(offset_commit().encode(3).unwrap(), (key.clone(), Some(value.clone())));
        assert_eq!(GroupRecord::decode(&key, Some(&value)).unwrap(), offset_commit());
    }

    #[test]
    fn a_key_without_value_is_a_tombstone() {
        let key = Bytes::from_static(COMMIT_KEY);
        let tombstone = GroupRecord::decode(&key, None).unwrap();
        assert!(matches!(&tombstone, GroupRecord::OffsetCommit { value: None, .. }));
        assert_eq!(tombstone.encode(0).unwrap(), (key, None));
    }

    #[test]
    fn what_is_unknown_is_named() {
        let decode = |bytes: &[u8]| MetadataRecord::decode(&Bytes::copy_from_slice(bytes));
        assert_eq!(decode(&[2, 2, 0]), Err(RecordError::UnknownFrame(2)));
        assert_eq!(decode(&[1, 99, 0]), Err(RecordError::UnknownType(99)));
        assert_eq!(decode(&[1, 2, 9]).unwrap_err().to_string(), "record: TopicRecord has no version 9, only 0-0");
        let trailing = decode(&[TOPIC, &[0]].concat());
        assert_eq!(trailing, Err(RecordError::Malformed(DecodeError::Trailing { at: TOPIC.len(), left: 1 })));
        let group = GroupRecord::decode(&Bytes::from_static(&[0, 77]), None);
        assert_eq!(group, Err(RecordError::UnknownType(77)));
    }
}
