//! What takes the records to tell: whether they are as many as the header says, in order, with keys where the topic
//! needs them, and of a time that the topic allows (`LogValidator.validateRecord`, KIP-467, KIP-937).
//!
//! A pass over the whole batch in the memory of one chunk: keys and values are passed over, however large. Only for
//! topics whose rules need it; a batch that nobody looks into costs nothing.

use dohle_base::{ErrorCode, Timestamp};

use super::decode::Malformed;
use super::input::Input;
use super::{Batch, Budget};
use crate::record::{HEADER_BYTES_MIN, Origin};

/// How many offending records are reported; those behind are refused with their batch.
pub const OFFENCES_MAX: usize = 64;

/// What a topic asks of each record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// A compacted topic keeps the last record of each key.
    pub keys: bool,
    /// The producer's clock counts and is to be near the broker's; none where the append's time replaces it.
    pub times: Option<Times>,
    /// What the records may unpack to.
    pub budget: Budget,
}

/// How far a record's timestamp may be from now, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The broker's clock.
    pub now: Timestamp,
    /// `message.timestamp.before.max.ms`
    pub before_max_ms: i64,
    /// `message.timestamp.after.max.ms`
    pub after_max_ms: i64,
}

/// What the pass has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Valid {
    /// The largest timestamp of a record, which the header should say.
    pub max_timestamp: Timestamp,
    /// The first record that has it.
    pub max_timestamp_delta: i32,
}

/// Why a batch is not appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It can be read, and breaks a rule. At least one and at most [`OFFENCES_MAX`].
    #[error("{} records refused, first: {}", .0.len(), .0[0])]
    Offences(Vec<Offence>),
}

/// A record that breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {index}: {rule}")]
pub struct Offence {
    /// Its place in the batch, from 0: the produce response names it.
    pub index: i32,
    /// The rule.
    pub rule: Rule,
}

/// A rule that a record can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// A compacted topic's records have keys.
    #[error("no key in a compacted topic")]
    Key,
    /// A record's time is near the broker's.
    #[error("timestamp {found} is not within {earliest} and {latest}")]
    Time {
        /// The record's.
        found: Timestamp,
        /// The first moment allowed.
        earliest: Timestamp,
        /// The last moment allowed.
        latest: Timestamp,
    },
}

impl Refusal {
    /// What the client is told: a wrong time before a missing key, as Kafka has it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Malformed(malformed) => malformed.code(),
            Self::Offences(offences) => {
                let time = offences.iter().any(|offence| matches!(offence.rule, Rule::Time { .. }));
                if time { ErrorCode::InvalidTimestamp } else { ErrorCode::InvalidRecord }
            }
        }
    }
}

/// Looks at every record of `batch`, whose header and checksum have been checked.
pub fn validate(batch: &Batch, rules: &Rules) -> Result<Valid, Refusal> {
    let count = batch.header.record_count;
    if count < 0 {
        return Err(Malformed::Count(count).into());
    }
    let origin = Origin::of(&batch.header);
    let mut input = Input::open(batch, rules.budget)?;
    let mut valid = Valid { max_timestamp: Timestamp::NONE, max_timestamp_delta: -1 };
    let mut offences = Vec::new();
    for index in 0..count {
        let record = Outline::read(&mut input, &origin)?;
        if record.offset_delta != index {
            return Err(Malformed::OffsetDelta { found: record.offset_delta, expected: index }.into());
        }
        if record.timestamp > valid.max_timestamp {
            valid = Valid { max_timestamp: record.timestamp, max_timestamp_delta: index };
        }
        let broken = rules.broken_by(&record).map(|rule| Offence { index, rule });
        offences.extend(broken.filter(|_| offences.len() < OFFENCES_MAX));
    }
    input.expect_end()?;
    if offences.is_empty() { Ok(valid) } else { Err(Refusal::Offences(offences)) }
}

impl Rules {
    fn broken_by(&self, record: &Outline) -> Option<Rule> {
        if self.keys && !record.has_key {
            return Some(Rule::Key);
        }
        self.times.and_then(|times| times.broken_by(record.timestamp))
    }
}

impl Times {
    fn broken_by(&self, found: Timestamp) -> Option<Rule> {
        let earliest = Timestamp(self.now.0.saturating_sub(self.before_max_ms));
        let latest = Timestamp(self.now.0.saturating_add(self.after_max_ms));
        let fine = found == Timestamp::NONE || (earliest <= found && found <= latest);
        (!fine).then_some(Rule::Time { found, earliest, latest })
    }
}

/// What there is to know of a record without holding it.
struct Outline {
    offset_delta: i32,
    timestamp: Timestamp,
    has_key: bool,
}

impl Outline {
    fn read(input: &mut Input, origin: &Origin) -> Result<Self, Malformed> {
        let left = input.record_length()?;
        let mut body = Body { input, left };
        body.byte()?;
        let timestamp = origin.timestamp(body.varlong()?);
        let offset_delta = body.varint()?;
        let has_key = body.skip_nullable()?;
        body.skip_nullable()?;
        body.skip_headers()?;
        if body.left > 0 {
            return Err(Malformed::Record);
        }
        Ok(Self { offset_delta, timestamp, has_key })
    }
}

/// The part of the input that is one record.
struct Body<'a> {
    input: &'a mut Input,
    left: usize,
}

impl Body<'_> {
    fn byte(&mut self) -> Result<u8, Malformed> {
        self.left = self.left.checked_sub(1).ok_or(Malformed::Record)?;
        self.input.byte()
    }

    fn varint(&mut self) -> Result<i32, Malformed> {
        crate::varint::read_32(|| self.byte())?.ok_or(Malformed::Varint)
    }

    fn varlong(&mut self) -> Result<i64, Malformed> {
        crate::varint::read_64(|| self.byte())?.ok_or(Malformed::Varint)
    }

    /// Passes over a field and says whether it is there.
    fn skip_nullable(&mut self) -> Result<bool, Malformed> {
        let Ok(length) = usize::try_from(self.varint()?) else { return Ok(false) };
        self.skip(length)?;
        Ok(true)
    }

    fn skip_headers(&mut self) -> Result<(), Malformed> {
        let count = self.varint()?;
        if usize::try_from(count).map_or(true, |count| count > self.left / HEADER_BYTES_MIN) {
            return Err(Malformed::HeaderCount(count));
        }
        for _ in 0..count {
            let length = self.varint()?;
            self.skip(usize::try_from(length).map_err(|_| Malformed::HeaderKey(length))?)?;
            self.skip_nullable()?;
        }
        Ok(())
    }

    fn skip(&mut self, length: usize) -> Result<(), Malformed> {
        self.left = self.left.checked_sub(length).ok_or(Malformed::Record)?;
        self.input.skip(length)
    }
}
