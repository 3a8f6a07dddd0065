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
