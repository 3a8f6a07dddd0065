//! From a line to a record.

use anyhow::{Context, bail};
use bytes::Bytes;
use dohle_base::{Partition, Timestamp, TopicName};
use dohle_client::Record;
use serde::Deserialize;
use serde_json::Value;

use crate::text::{base64, instant};

/// What every line has in common.
pub(super) struct Reader {
    pub(super) topic: TopicName,
    pub(super) partition: Option<Partition>,
    pub(super) separator: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) json: bool,
    pub(super) empty_deletes: bool,
}

impl Reader {
    /// The record of a line. Shares the line's bytes.
    pub(super) fn record(&self, line: &Bytes) -> anyhow::Result<Record> {
        let mut record = if self.json { self.json(line)? } else { self.plain(line) };
        record.partition = record.partition.or(self.partition);
        let own =
            self.headers.iter().map(|(name, value)| (name.clone(), Some(Bytes::copy_from_slice(value.as_bytes()))));
        record.headers.extend(own);
        if self.empty_deletes && record.value.as_ref().is_some_and(Bytes::is_empty) {
            record.value = None;
        }
        Ok(record)
    }

    fn plain(&self, line: &Bytes) -> Record {
        let cut = self.separator.as_deref().and_then(|text| Some((find(line, text.as_bytes())?, text.len())));
        match cut {
            Some((at, length)) => Record::new(self.topic.clone(), line.slice(at + length..)).with_key(line.slice(..at)),
            None => Record::new(self.topic.clone(), line.clone()),
        }
    }

    fn json(&self, line: &Bytes) -> anyhow::Result<Record> {
        let Line { key, key_base64, value, value_base64, headers, partition, timestamp } =
            serde_json::from_slice(line).context("the line is no record as JSON")?;
        Ok(Record {
            topic: self.topic.clone(),
            partition: partition.map(Partition),
            key: bytes(key, key_base64)?,
            value: bytes(value, value_base64)?,
            headers: headers.map(named).transpose()?.unwrap_or_default(),
            timestamp: timestamp.map(moment).transpose()?,
        })
    }
}

fn find(line: &[u8], text: &[u8]) -> Option<usize> {
    if text.is_empty() { None } else { line.windows(text.len()).position(|window| window == text) }
}

/// A record as JSON. What else `consume` writes beside it is ignored.
#[derive(Deserialize)]
struct Line {
    key: Option<Value>,
    key_base64: Option<String>,
    value: Option<Value>,
    value_base64: Option<String>,
    headers: Option<Headers>,
    partition: Option<i32>,
    timestamp: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Headers {
    List(Vec<Header>),
    Object(serde_json::Map<String, Value>),
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: Option<Value>,
    value_base64: Option<String>,
}

fn bytes(value: Option<Value>, base64: Option<String>) -> anyhow::Result<Option<Bytes>> {
    if let Some(text) = base64 {
        let bytes = base64::decode(&text).with_context(|| format!("`{text}` is no base64"))?;
        return Ok(Some(bytes.into()));
    }
    Ok(match value {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.into()),
        Some(other) => Some(serde_json::to_vec(&other)?.into()),
    })
}

fn named(headers: Headers) -> anyhow::Result<Vec<(String, Option<Bytes>)>> {
    match headers {
        Headers::List(list) => {
            let one = |header: Header| Ok((header.name, bytes(header.value, header.value_base64)?));
            list.into_iter().map(one).collect()
        }
        Headers::Object(object) => {
            object.into_iter().map(|(name, value)| Ok((name, bytes(Some(value), None)?))).collect()
        }
    }
}

fn moment(value: Value) -> anyhow::Result<Timestamp> {
    let known = match &value {
        Value::Number(ms) => ms.as_i64().map(Timestamp),
        Value::String(text) => instant::parse(text),
        _ => None,
    };
    match known {
        Some(at) if at.0 >= 0 => Ok(at),
        Some(_) | None => {
            bail!("timestamp {value} is neither milliseconds since 1970 nor a time such as 2026-01-31T10:00:00Z")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(separator: Option<&str>, json: bool) -> Reader {
        Reader {
            topic: TopicName::parse("t").unwrap(),
            partition: None,
            separator: separator.map(str::to_owned),
            headers: vec![],
            json,
            empty_deletes: false,
        }
    }

    fn check(reader: &Reader, line: &'static str, key: Option<&str>, value: Option<&str>) -> Record {
        let record = reader.record(&Bytes::from_static(line.as_bytes())).unwrap();
        assert_eq!(record.key.as_deref(), key.map(str::as_bytes), "{line}");
        assert_eq!(record.value.as_deref(), value.map(str::as_bytes), "{line}");
        record
    }

    #[test]
    fn a_line_is_cut_at_the_first_separator() {
        let plain = reader(Some("::"), false);
        check(&plain, "k::v::w", Some("k"), Some("v::w"));
        check(&plain, "no key", None, Some("no key"));
        check(&plain, "::v", Some(""), Some("v"));
        check(&reader(None, false), "k::v", None, Some("k::v"));
    }

    #[test]
    fn a_json_line_says_what_it_wants() {
        let json = reader(None, true);
        let record = check(
            &json,
            r#"{"key":"k","value":{"a":1},"headers":{"h":"x"},"partition":2,"timestamp":"1970-01-01T00:00:01Z"}"#,
            Some("k"),
            Some(r#"{"a":1}"#),
        );
        assert_eq!((record.partition, record.timestamp), (Some(Partition(2)), Some(Timestamp(1_000))));
        assert_eq!(record.headers, [("h".to_owned(), Some(Bytes::from_static(b"x")))]);
        let record = check(&json, r#"{"value":null,"headers":[{"name":"h","value":null}],"offset":9}"#, None, None);
        assert_eq!(record.headers, [("h".to_owned(), None)]);
        let record = json.record(&Bytes::from_static(br#"{"value_base64":"/wA="}"#)).unwrap();
        assert_eq!(record.value.as_deref(), Some(&[0xff, 0][..]));
        assert!(json.record(&Bytes::from_static(b"[1]")).is_err());
        assert!(json.record(&Bytes::from_static(br#"{"timestamp":"soon"}"#)).is_err());
    }

    #[test]
    fn an_empty_value_deletes_when_that_was_asked_for() {
        let deletes = Reader { empty_deletes: true, ..reader(Some(":"), false) };
        check(&deletes, "k:", Some("k"), None);
    }
}
