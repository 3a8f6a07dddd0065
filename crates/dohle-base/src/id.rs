//! Who and what: brokers, partitions, producers, topics, and the caller who waits.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::Rng;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A node of the cluster; -1 stands for nobody.
    BrokerId(i32)
}
number! {
    /// A partition within its topic, counted from 0.
    Partition(i32)
}
number! {
    /// An idempotent producer; -1 stands for one without idempotence (KIP-98).
    ProducerId(i64)
}
number! {
    /// Stands for a caller who waits outside a machine; the shell knows which.
    Token(u64)
}

impl BrokerId {
    /// Nobody.
    pub const NONE: Self = Self(-1);
}

impl ProducerId {
    /// A producer without idempotence.
    pub const NONE: Self = Self(-1);
}

/// Sixteen bytes that name something for ever; as text, URL-safe base64 without padding, as Kafka writes it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

/// A topic that keeps its identity when its name is given to another (KIP-516).
pub type TopicId = Uuid;

/// Text that is not sixteen bytes of URL-safe base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidUuid(pub String);

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const UUID_TEXT_LENGTH: usize = 22;

impl Uuid {
    /// No id at all.
    pub const ZERO: Self = Self([0; 16]);
    /// The id of `__cluster_metadata`, the same in every cluster.
    pub const METADATA_TOPIC: Self = Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// Whether this names nothing.
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// A random id (version 4, RFC 9562) that neither is reserved nor begins with `-` as text: tools would take it for a flag.
    pub fn random(rng: &mut Rng) -> Self {
        loop {
            let mut bytes = [0; 16];
            rng.fill(&mut bytes);
            bytes[6] = bytes[6] & 0x0f | 0x40;
            bytes[8] = bytes[8] & 0x3f | 0x80;
            let id = Self(bytes);
            if !id.to_string().starts_with('-') {
                return id;
            }
        }
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        let digits = (0..UUID_TEXT_LENGTH).map(|place| {
            // 22 digits of six bits hold 132: the last digit carries two bits of the id and four zeros.
            let shift = 122_i32 - 6 * place as i32;
            let six = if shift >= 0 { bits >> shift } else { bits << -shift };
            char::from(ALPHABET[(six & 63) as usize])
        });
        f.write_str(&digits.collect::<String>())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = InvalidUuid;

    fn from_str(text: &str) -> Result<Self, InvalidUuid> {
        let refuse = || InvalidUuid(text.to_owned());
        if text.len() != UUID_TEXT_LENGTH {
            return Err(refuse());
        }
        let mut bits: u128 = 0;
        for (place, digit) in text.bytes().enumerate() {
            let six = ALPHABET.iter().position(|known| *known == digit).ok_or_else(refuse)? as u128;
            bits = if place + 1 < UUID_TEXT_LENGTH { bits << 6 | six } else { bits << 2 | six >> 4 };
        }
        Ok(Self(bits.to_be_bytes()))
    }
}

impl fmt::Display for InvalidUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not an id: 22 characters of URL-safe base64 are needed", self.0)
    }
}

impl std::error::Error for InvalidUuid {}

/// The name of a topic that Kafka would accept: 1 to 249 of `a-z A-Z 0-9 . _ -`, but neither `.` nor `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

/// Why a name cannot name a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidTopicName {
    /// Nothing was given.
    Empty,
    /// `.` and `..` are directories.
    Dots,
    /// Longer than a directory name can be.
    TooLong(usize),
    /// A character outside the alphabet.
    Character(char),
}

impl TopicName {
    /// The longest name: a directory's 255 bytes less the partition's suffix.
    pub const LENGTH_MAX: usize = 249;

    /// The only way to a topic's name (`org.apache.kafka.common.internals.Topic`).
    pub fn parse(name: &str) -> Result<Self, InvalidTopicName> {
        if name.is_empty() {
            return Err(InvalidTopicName::Empty);
        }
        if name == "." || name == ".." {
            return Err(InvalidTopicName::Dots);
        }
        if let Some(stranger) = name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
            return Err(InvalidTopicName::Character(stranger));
        }
        if name.len() > Self::LENGTH_MAX {
            return Err(InvalidTopicName::TooLong(name.len()));
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name with `.` and `_` made one: Kafka refuses two topics whose metrics would share a name.
    pub fn metric_name(&self) -> String {
        self.0.replace('.', "_")
    }
}

impl std::ops::Deref for TopicName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for InvalidTopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a topic's name must not be empty"),
            Self::Dots => f.write_str("a topic's name must be neither `.` nor `..`"),
            Self::TooLong(length) => {
                write!(f, "a topic's name has at most {} characters, this one has {length}", TopicName::LENGTH_MAX)
            }
            Self::Character(stranger) => {
                write!(f, "a topic's name is made of a-z, A-Z, 0-9, `.`, `_` and `-`; this one has {stranger:?}")
            }
        }
    }
}

impl std::error::Error for InvalidTopicName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_as_kafka_writes_it() {
        assert_eq!(Uuid::METADATA_TOPIC.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(Uuid([0xff; 16]).to_string(), "_____________________w");
    }

    #[test]
    fn an_id_survives_the_way_through_text() {
        let mut rng = Rng::new(7);
        for _ in 0..1_000 {
            let id = Uuid::random(&mut rng);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert!("short".parse::<Uuid>().is_err());
        assert!("AAAAAAAAAAAAAAAAAAAA=Q".parse::<Uuid>().is_err());
    }

    #[test]
    fn names_that_kafka_refuses_are_refused() {
        let long = "a".repeat(250);
        for name in ["", ".", "..", "a/b", "a b", "ä", "a\0", long.as_str()] {
            assert!(TopicName::parse(name).is_err(), "{name:?}");
        }
        for name in ["a", "...", "A.b_c-9", &long[..249]] {
            assert_eq!(TopicName::parse(name).map(|n| n.to_string()), Ok(name.to_owned()));
        }
    }
}
