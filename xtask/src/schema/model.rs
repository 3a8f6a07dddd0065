//! What is known about a message: names, types, versions, and the few flags that change its bytes.
//!
//! Mirrors what Kafka's message generator accepts (KIP-482), and no more.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, bail};

/// The messages of one file: request and response of an API, key and value of a record, or one message.
#[derive(Debug)]
pub struct Schema {
    /// The folder that the file is in: empty for APIs, else the family of the record.
    pub family: String,
    /// The name of the file, without its ending.
    pub name: String,
    /// In the order of the file.
    pub messages: Vec<Message>,
}

/// A message that stands on its own.
#[derive(Debug)]
pub struct Message {
    /// What role it has.
    pub kind: Kind,
    /// Kafka's name.
    pub name: String,
    /// API key, or id of the record type.
    pub key: Option<i16>,
    /// The versions that exist.
    pub versions: Versions,
    /// The versions with compact lengths and tagged fields.
    pub flexible: Versions,
    /// Whether the last version may still change.
    pub unstable: bool,
    /// `broker` and `controller`, for requests.
    pub listeners: Vec<String>,
    /// In wire order.
    pub fields: Vec<Field>,
    /// Structs used by more than one field.
    pub structs: Vec<Struct>,
}

/// The role of a message, in the order in which messages share a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Sent to a broker or controller.
    Request,
    /// Its answer.
    Response,
    /// Request or response header.
    Header,
    /// A record framed with its type and version.
    Metadata,
    /// The key of a coordinator's record.
    Key,
    /// The value of a coordinator's record.
    Value,
    /// A blob that another format embeds.
    Data,
}

/// A struct used by more than one field of a message.
#[derive(Debug)]
pub struct Struct {
    /// Kafka's name.
    pub name: String,
    /// In wire order.
    pub fields: Vec<Field>,
}

/// A field and, for structs defined in place, what it holds.
#[derive(Debug)]
pub struct Field {
    /// Kafka's name, in camel case.
    pub name: String,
    /// Its type.
    pub kind: Type,
    /// The versions that carry it.
    pub versions: Versions,
    /// The versions in which it may be null.
    pub nullable: Versions,
    /// The tag, for fields that are tagged in some versions.
    pub tagged: Option<Tagged>,
    /// The default as Kafka writes it, when it is not the zero of the type.
    pub default: Option<String>,
    /// Whether a value is dropped silently in versions that do not carry the field.
    pub ignorable: bool,
    /// Whether the field is a part of its struct's key in an array.
    pub map_key: bool,
    /// Whether the field keeps its old lengths in flexible versions.
    pub inflexible: bool,
    /// What the value identifies, for example `topicName`.
    pub entity: Option<String>,
    /// The fields of a struct defined here.
    pub fields: Vec<Field>,
}

/// A tag and the versions in which the field is written with it.
#[derive(Debug, Clone, Copy)]
pub struct Tagged {
    /// The tag.
    pub tag: u32,
    /// The versions in which the field is tagged.
    pub versions: Versions,
}

/// A type: what, and whether an array of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// A single value.
    Single(Primitive),
    /// An array.
    Array(Primitive),
}

/// A type without arrays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Primitive {
    /// One byte, zero or one.
    Bool,
    /// One byte.
    Int8,
    /// Two bytes.
    Int16,
    /// Two bytes without sign.
    Uint16,
    /// Four bytes.
    Int32,
    /// Four bytes without sign.
    Uint32,
    /// Eight bytes.
    Int64,
    /// Eight bytes, IEEE 754.
    Float64,
    /// Sixteen bytes.
    Uuid,
    /// Length and UTF-8.
    String,
    /// Length and bytes.
    Bytes,
    /// Record batches, as bytes.
    Records,
    /// A struct of this name.
    Struct(String),
}

/// A closed range of versions, empty when `low > high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The first version.
    pub low: i16,
    /// The last version, `i16::MAX` when open.
    pub high: i16,
}

impl Versions {
    /// No version.
    pub const NONE: Self = Self { low: 1, high: 0 };

    /// Whether there is no version in it.
    pub fn is_empty(self) -> bool {
        self.low > self.high
    }

    /// Whether it holds `version`.
    pub fn contains(self, version: i16) -> bool {
        self.low <= version && version <= self.high
    }

    /// The versions in both.
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        let both = Self { low: self.low.max(other.low), high: self.high.min(other.high) };
        if both.is_empty() { Self::NONE } else { both }
    }

    /// The smallest range that holds both.
    #[must_use]
    pub fn span(self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    /// Whether every version of `other` is in it.
    pub fn covers(self, other: Self) -> bool {
        other.is_empty() || (self.low <= other.low && other.high <= self.high)
    }
}

impl FromStr for Versions {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if text == "none" {
            return Ok(Self::NONE);
        }
        let number = |part: &str| part.parse::<i16>().with_context(|| format!("versions `{text}`"));
        if let Some(low) = text.strip_suffix('+') {
            return Ok(Self { low: number(low)?, high: i16::MAX });
        }
        match text.split_once('-') {
            Some((low, high)) => Ok(Self { low: number(low)?, high: number(high)? }),
            None => Ok(Self { low: number(text)?, high: number(text)? }),
        }
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.low, self.high) {
            (low, high) if low > high => f.write_str("none"),
            (low, i16::MAX) => write!(f, "{low}+"),
            (low, high) if low == high => write!(f, "{low}"),
            (low, high) => write!(f, "{low}-{high}"),
        }
    }
}

impl FromStr for Type {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text.strip_prefix("[]") {
            Some(element) => Ok(Self::Array(element.parse()?)),
            None => Ok(Self::Single(text.parse()?)),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single(kind) => write!(f, "{kind}"),
            Self::Array(element) => write!(f, "[]{element}"),
        }
    }
}

impl FromStr for Primitive {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        Ok(match text {
            "bool" => Self::Bool,
            "int8" => Self::Int8,
            "int16" => Self::Int16,
            "uint16" => Self::Uint16,
            "int32" => Self::Int32,
            "uint32" => Self::Uint32,
            "int64" => Self::Int64,
            "float64" => Self::Float64,
            "uuid" => Self::Uuid,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            "records" => Self::Records,
            name if name.starts_with(|first: char| first.is_ascii_uppercase()) => Self::Struct(name.to_owned()),
            other => bail!("unknown type `{other}`"),
        })
    }
}

impl fmt::Display for Primitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Uint16 => "uint16",
            Self::Int32 => "int32",
            Self::Uint32 => "uint32",
            Self::Int64 => "int64",
            Self::Float64 => "float64",
            Self::Uuid => "uuid",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Records => "records",
            Self::Struct(name) => name,
        })
    }
}

impl Kind {
    const WORDS: [(Self, &'static str); 7] = [
        (Self::Request, "request"),
        (Self::Response, "response"),
        (Self::Header, "header"),
        (Self::Metadata, "metadata"),
        (Self::Key, "key"),
        (Self::Value, "value"),
        (Self::Data, "data"),
    ];

    /// The word that opens a message in our notation.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(kind, _)| *kind == self).expect("every kind has a word").1
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let known = Self::WORDS.iter().find(|(_, word)| *word == text);
        known.map(|(kind, _)| *kind).with_context(|| format!("unknown kind of message `{text}`"))
    }
}
