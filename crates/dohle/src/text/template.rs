//! How a record is written: JSON, or a template with the record's parts in braces.

use std::borrow::Cow;
use std::io::{self, Write};
use std::str::FromStr;

use dohle_client::Consumed;
use serde::Serialize;

use super::instant;

/// What may be written, for help.
pub(crate) const GRAMMAR: &str = "json, or a template of {value}, {key}, {offset}, {partition}, {topic}, {timestamp}, \
                                  {time}, {headers} and text with \\n, \\t and \\0";

/// A form of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// An object a line.
    Json,
    /// Parts, one behind the other; each record ends as the template does.
    Parts(Vec<Part>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Text(String),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Time,
    Key,
    Value,
    Headers,
}

impl FromStr for Form {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "json" {
            return Ok(Self::Json);
        }
        let mut parts = vec![];
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (before, behind) = rest.split_at(open);
            let (name, behind) = behind[1..].split_once('}').ok_or_else(|| refuse(&rest[open..]))?;
            push_text(&mut parts, before);
            parts.push(part(name).ok_or_else(|| refuse(&format!("{{{name}}}")))?);
            rest = behind;
        }
        push_text(&mut parts, rest);
        // A template that is a part alone wants a line for each record.
        let ends = matches!(parts.last(), Some(Part::Text(text)) if text.ends_with(['\n', '\0']));
        if !ends {
            parts.push(Part::Text("\n".to_owned()));
        }
        Ok(Self::Parts(parts))
    }
}

fn refuse(text: &str) -> String {
    format!("`{text}` is no part of a record: write {GRAMMAR}")
}

fn part(name: &str) -> Option<Part> {
    Some(match name {
        "topic" => Part::Topic,
        "partition" => Part::Partition,
        "offset" => Part::Offset,
        "timestamp" => Part::Timestamp,
        "time" => Part::Time,
        "key" => Part::Key,
        "value" => Part::Value,
        "headers" => Part::Headers,
        _ => return None,
    })
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(unescape(text)));
    }
}

/// `\n`, `\t`, `\r`, `\0` and `\\` as in most languages.
pub(crate) fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (c, false) => plain.push(c),
            _ => match chars.next() {
                Some('n') => plain.push('\n'),
                Some('t') => plain.push('\t'),
                Some('r') => plain.push('\r'),
                Some('0') => plain.push('\0'),
                Some(other) => plain.push(other),
                None => plain.push('\\'),
            },
        }
    }
    plain
}

impl Form {
    /// Writes one record.
    pub(crate) fn write(&self, out: &mut impl Write, record: &Consumed) -> io::Result<()> {
        match self {
            Self::Json => {
                serde_json::to_writer(&mut *out, &Json::of(record))?;
                out.write_all(b"\n")
            }
            Self::Parts(parts) => parts.iter().try_for_each(|part| part.write(out, record)),
        }
    }
}

impl Part {
    fn write(&self, out: &mut impl Write, record: &Consumed) -> io::Result<()> {
        match self {
            Self::Text(text) => out.write_all(text.as_bytes()),
            Self::Topic => write!(out, "{}", record.topic),
            Self::Partition => write!(out, "{}", record.partition),
            Self::Offset => write!(out, "{}", record.offset),
            Self::Timestamp => write!(out, "{}", record.timestamp.0),
            Self::Time => write!(out, "{}", instant::show(record.timestamp)),
            Self::Key => out.write_all(record.key.as_deref().unwrap_or_default()),
            Self::Value => out.write_all(record.value.as_deref().unwrap_or_default()),
            Self::Headers => {
                for (place, header) in record.headers.iter().enumerate() {
                    if place > 0 {
                        out.write_all(b",")?;
                    }
                    out.write_all(&header.key)?;
                    out.write_all(b"=")?;
                    out.write_all(header.value.as_deref().unwrap_or_default())?;
                }
                Ok(())
            }
        }
    }
}

/// A record as JSON: `produce --json-lines` reads the same. Bytes that are no text are written as base64 beside it.
#[derive(Serialize)]
struct Json<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    key: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    value: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    headers: Vec<JsonHeader>,
}

#[derive(Serialize)]
struct JsonHeader {
    name: String,
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

impl<'a> Json<'a> {
    fn of(record: &'a Consumed) -> Self {
        let (key, key_base64) = text_or_base64(record.key.as_deref());
        let (value, value_base64) = text_or_base64(record.value.as_deref());
        let headers = record.headers.iter().map(|header| {
            let (value, value_base64) = text_or_base64(header.value.as_deref());
            let name = String::from_utf8_lossy(&header.key).into_owned();
            JsonHeader { name, value: value.map(Cow::into_owned), value_base64 }
        });
        Self {
            topic: &record.topic,
            partition: record.partition.0,
            offset: record.offset.0,
            timestamp: record.timestamp.0,
            key,
            key_base64,
            value,
            value_base64,
            headers: headers.collect(),
        }
    }
}

fn text_or_base64(bytes: Option<&[u8]>) -> (Option<Cow<'_, str>>, Option<String>) {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => (None, None),
        Some((_, Ok(text))) => (Some(Cow::Borrowed(text)), None),
        Some((bytes, Err(_))) => (None, Some(super::base64::encode(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use dohle_base::{LeaderEpoch, Offset, Partition, Timestamp, TopicName};

    use super::*;

    fn write(form: &str, key: Option<&'static [u8]>, value: &'static [u8]) -> String {
        let record = Consumed {
            topic: TopicName::parse("t").unwrap(),
            partition: Partition(1),
            offset: Offset(7),
            leader_epoch: LeaderEpoch(0),
            timestamp: Timestamp(0),
            key: key.map(Into::into),
            value: Some(value.into()),
            headers: dohle_records::Headers::default(),
        };
        let mut out = vec![];
        form.parse::<Form>().unwrap().write(&mut out, &record).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_template_puts_the_parts_where_they_are_named() {
        assert_eq!(write("{value}", None, b"v"), "v\n");
        assert_eq!(write("{topic}-{partition}@{offset}\\t{key}={value}", Some(b"k"), b"v"), "t-1@7\tk=v\n");
        assert_eq!(write("{value}\\0", None, b"v"), "v\0");
        assert_eq!(write("{time} {timestamp}", None, b"v"), "1970-01-01T00:00:00.000Z 0\n");
        assert!("{vlaue}".parse::<Form>().is_err());
        assert!("{value".parse::<Form>().is_err());
    }

    #[test]
    fn json_keeps_what_is_no_text() {
        let line = write("json", None, &[0xff, 0x00]);
        assert_eq!(
            line,
            "{\"topic\":\"t\",\"partition\":1,\"offset\":7,\"timestamp\":0,\"key\":null,\"value\":null,\
             \"value_base64\":\"/wA=\",\"headers\":[]}\n"
        );
    }
}
