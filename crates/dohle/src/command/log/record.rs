//! Batches and records as rows: for programs with all that they say, for people with what helps.

use bytes::Bytes;
use dohle_log::inspect::Placed;
use dohle_records::batch::header::TimestampType;
use dohle_records::{Header, Record};
use serde::Serialize;

use super::internal;
use crate::text::{base64, instant};

/// A batch, for programs.
#[derive(Serialize)]
pub(super) struct BatchRow<'a> {
    r#type: &'static str,
    partition: &'a str,
    segment: &'a str,
    position: u64,
    bytes: usize,
    base_offset: i64,
    last_offset: i64,
    records: i32,
    leader_epoch: i32,
    codec: &'static str,
    timestamp_type: &'static str,
    max_timestamp: i64,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    transactional: bool,
    control: bool,
    delete_horizon: Option<i64>,
    sound: bool,
}

/// A record, for programs.
#[derive(Serialize)]
pub(super) struct RecordRow<'a> {
    r#type: &'static str,
    partition: &'a str,
    offset: i64,
    timestamp: i64,
    #[serde(skip_serializing_if = "Bits::is_bytes")]
    key: Bits,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "Bits::is_bytes")]
    value: Bits,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    headers: Vec<(String, Option<String>)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    control: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decoded: Option<String>,
}

/// Bytes as text where they are text.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Bits {
    Absent,
    Text(String),
    Bytes,
}

impl Bits {
    fn of(bytes: Option<&Bytes>) -> (Self, Option<String>) {
        match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| base64::encode(bytes))) {
            None => (Self::Absent, None),
            Some(Ok(text)) => (Self::Text(text.to_owned()), None),
            Some(Err(encoded)) => (Self::Bytes, Some(encoded)),
        }
    }

    fn is_bytes(&self) -> bool {
        matches!(self, Self::Bytes)
    }
}

impl<'a> BatchRow<'a> {
    pub(super) fn of(partition: &'a str, segment: &'a str, placed: &Placed) -> Self {
        let header = placed.batch.header();
        Self {
            r#type: "batch",
            partition,
            segment,
            position: placed.position,
            bytes: header.size_in_bytes(),
            base_offset: header.base_offset.0,
            last_offset: header.last_offset().0,
            records: header.record_count,
            leader_epoch: header.leader_epoch.0,
            codec: codec(header),
            timestamp_type: match header.attributes.timestamp_type() {
                TimestampType::Create => "create",
                TimestampType::LogAppend => "append",
            },
            max_timestamp: header.max_timestamp.0,
            producer_id: header.producer_id.0,
            producer_epoch: header.producer_epoch.0,
            base_sequence: header.base_sequence,
            transactional: header.attributes.is_transactional(),
            control: header.attributes.is_control(),
            delete_horizon: header.delete_horizon().map(|at| at.0),
            sound: placed.batch.is_intact(),
        }
    }
}

impl<'a> RecordRow<'a> {
    pub(super) fn of(partition: &'a str, topic: &str, is_control: bool, record: &Record) -> Self {
        let (key, key_base64) = Bits::of(record.key.as_ref());
        let (value, value_base64) = Bits::of(record.value.as_ref());
        let (control, decoded) = described(topic, is_control, record);
        let header = |header: dohle_records::record::Header| (lossy(&header.key), header.value.as_ref().map(lossy));
        Self {
            r#type: "record",
            partition,
            offset: record.offset.0,
            timestamp: record.timestamp.0,
            key,
            key_base64,
            value,
            value_base64,
            headers: record.headers.iter().map(header).collect(),
            control,
            decoded,
        }
    }
}

/// The kind of a control record, and what a record says that has a schema.
fn described(topic: &str, is_control: bool, record: &Record) -> (Option<String>, Option<String>) {
    if is_control {
        let (kind, said) = internal::control(record);
        return (Some(kind), Some(said));
    }
    (None, internal::decode(topic, record))
}

/// The heads of [`columns`].
pub(super) const HEADS: [&str; 9] =
    ["POSITION", "BYTES", "OFFSETS", "RECORDS", "EPOCH", "CODEC", "LATEST", "PRODUCER", ""];

/// A batch, for people.
pub(super) fn columns(placed: &Placed) -> [String; 9] {
    let header = placed.batch.header();
    let producer = if header.has_producer() {
        format!("{}/{} {}", header.producer_id, header.producer_epoch, header.base_sequence)
    } else {
        "-".to_owned()
    };
    [
        placed.position.to_string(),
        header.size_in_bytes().to_string(),
        format!("{}-{}", header.base_offset, header.last_offset()),
        header.record_count.to_string(),
        header.leader_epoch.to_string(),
        codec(header).to_owned(),
        instant::show(header.max_timestamp),
        producer,
        flags(placed),
    ]
}

fn flags(placed: &Placed) -> String {
    let attributes = placed.batch.header().attributes;
    let flags = [
        (attributes.is_transactional(), "transactional"),
        (attributes.is_control(), "control"),
        (attributes.has_delete_horizon(), "delete horizon"),
        (attributes.timestamp_type() == TimestampType::LogAppend, "append time"),
        (!placed.batch.is_intact(), "CHECKSUM MISMATCH"),
    ];
    flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).collect::<Vec<_>>().join(", ")
}

/// A record, for people: one line.
pub(super) fn line(topic: &str, is_control: bool, record: &Record) -> String {
    let (offset, at) = (record.offset, instant::show(record.timestamp));
    let (control, decoded) = described(topic, is_control, record);
    let said = match (control, decoded) {
        (Some(kind), said) => format!("{kind} {}", said.unwrap_or_default()),
        (None, Some(decoded)) => decoded,
        (None, None) => {
            let headers: String = record
                .headers
                .iter()
                .map(|header| format!(" {}:{}", shown(Some(&header.key)), shown(header.value.as_ref())))
                .collect();
            format!("{} = {}{headers}", shown(record.key.as_ref()), shown(record.value.as_ref()))
        }
    };
    format!("  {offset}  {at}  {}", said.trim_end())
}

/// Text in quotes with all that is not plain escaped, so that no terminal obeys it; other bytes in base64.
fn shown(bytes: Option<&Bytes>) -> String {
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| base64::encode(bytes))) {
        None => "null".to_owned(),
        Some(Ok(text)) => format!("{text:?}"),
        Some(Err(encoded)) => format!("base64:{encoded}"),
    }
}

fn lossy(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn codec(header: &Header) -> &'static str {
    header.attributes.codec().map_or("unknown", dohle_records::Codec::name)
}
