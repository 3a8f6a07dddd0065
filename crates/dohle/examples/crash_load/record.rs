//! The records: what each holds follows from who sends it, where to and its number, so that any reader can tell whether it is whole.

use std::fmt;

use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};

/// Two that retry without repeating, each with its codec, and one that may repeat.
pub(crate) const WRITERS: [Name; 3] = [
    Name { text: "once0", idempotent: true, codec: "lz4" },
    Name { text: "once1", idempotent: true, codec: "zstd" },
    Name { text: "plain0", idempotent: false, codec: "none" },
];

const HEADER: &str = "number";
const TIMESTAMP_FIRST: i64 = 1_700_000_000_000;
/// Values are up to so much longer than what must stand in them, so that batches end anywhere.
const FILLER: &str = "a text that can be packed and is cut off at any letter, ";
const FILLER_BYTES_MAX: i64 = 400;

/// Who writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) text: &'static str,
    pub(crate) idempotent: bool,
    pub(crate) codec: &'static str,
}

/// A record by its name: the numbers of a writer in a partition have no gaps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) topic: u32,
    pub(crate) partition: i32,
    pub(crate) writer: Name,
    pub(crate) number: i64,
}

impl Identity {
    pub(crate) fn key(&self) -> String {
        format!("{}/{}", self.writer.text, self.number)
    }

    pub(crate) fn value(&self) -> String {
        let mut value = format!("{self} ");
        let bytes = value.len() + (self.number * 37 % FILLER_BYTES_MAX) as usize;
        while value.len() < bytes {
            value.push_str(&FILLER[..FILLER.len().min(bytes - value.len())]);
        }
        value
    }

    pub(crate) fn timestamp(&self) -> i64 {
        TIMESTAMP_FIRST + self.number
    }

    pub(crate) fn headers(&self) -> OwnedHeaders {
        OwnedHeaders::new().insert(Header { key: HEADER, value: Some(&self.number.to_string()) })
    }

    /// The record that a message is, if all of it is as it was sent.
    pub(crate) fn of(topic: u32, message: &BorrowedMessage<'_>) -> Option<Self> {
        let key = std::str::from_utf8(message.key()?).ok()?;
        let (writer, number) = key.split_once('/')?;
        let writer = *WRITERS.iter().find(|name| name.text == writer)?;
        let told = Self { topic, partition: message.partition(), writer, number: number.parse().ok()? };
        let header = message.headers().filter(|headers| headers.count() == 1)?.get(0);
        let sound = message.payload() == Some(told.value().as_bytes())
            && message.timestamp().to_millis() == Some(told.timestamp())
            && header.key == HEADER
            && header.value == Some(told.number.to_string().as_bytes());
        sound.then_some(told)
    }
}

/// As the workshop reads it.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.topic, self.partition, self.writer.text, self.number)
    }
}
