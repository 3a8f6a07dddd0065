//! Why bytes are no message, and why a message cannot be written.

use std::ops::RangeInclusive;

/// Why bytes could not be read. `at` counts bytes from the start of the reader.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a value.
    #[error("{needed} bytes needed at {at}, {left} left")]
    Truncated {
        /// Where the value begins.
        at: usize,
        /// How many bytes it needs.
        needed: usize,
        /// How many there are.
        left: usize,
    },
    /// A variable-length integer of more than five bytes or 32 bits.
    #[error("variable-length integer too long at {at}")]
    Varint {
        /// Where it begins.
        at: usize,
    },
    /// Null, or a negative length, where the version has no null.
    #[error("null at {at} where the version has none")]
    Null {
        /// Where its length begins.
        at: usize,
    },
    /// A string longer than Kafka's limit of 32,767 bytes.
    #[error("string of {length} bytes at {at}")]
    StringLength {
        /// Where the length begins.
        at: usize,
        /// What it says.
        length: usize,
    },
    /// A string that is not UTF-8.
    #[error("string at {at} is not UTF-8")]
    Utf8 {
        /// Where the text begins.
        at: usize,
    },
    /// More elements than are allowed, or than the bytes that are left can hold.
    #[error("array of {count} elements at {at}, {left} bytes left")]
    Count {
        /// Where the count begins.
        at: usize,
        /// What it says.
        count: usize,
        /// How many bytes follow it.
        left: usize,
    },
    /// More tagged fields than are allowed, or than the bytes that are left can hold.
    #[error("{count} tagged fields at {at}, {left} bytes left")]
    TagCount {
        /// Where the count begins.
        at: usize,
        /// What it says.
        count: usize,
        /// How many bytes follow it.
        left: usize,
    },
    /// A tagged field whose value does not fill its size.
    #[error("tagged field {tag} at {at}: {left} bytes after its value")]
    TagSize {
        /// Where the value begins.
        at: usize,
        /// The tag.
        tag: u32,
        /// How many bytes of it are left over.
        left: usize,
    },
    /// A message that would take much more memory than it has bytes.
    #[error("{needed} bytes of memory needed at {at}, {left} left")]
    Memory {
        /// Where the value begins.
        at: usize,
        /// How much memory it would take.
        needed: usize,
        /// How much there is left of what the message may take.
        left: usize,
    },
    /// A version that the message does not have.
    #[error("{name} has no version {version}, only {}-{}", versions.start(), versions.end())]
    Version {
        /// The message.
        name: &'static str,
        /// The version that was asked for.
        version: i16,
        /// The versions that exist.
        versions: RangeInclusive<i16>,
    },
    /// Bytes after the end of a message.
    #[error("{left} bytes left at {at}")]
    Trailing {
        /// Where the message ends.
        at: usize,
        /// How many bytes follow.
        left: usize,
    },
}

/// Why a message could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A field that the version does not carry has a value that must not be dropped.
    #[error("{field} cannot be written in version {version}")]
    Unrepresentable {
        /// Struct and field.
        field: &'static str,
        /// The version.
        version: i16,
    },
    /// A field is null that cannot be null in the version.
    #[error("{field} is null")]
    Null {
        /// Struct and field.
        field: &'static str,
    },
    /// A string, byte field, array or frame is longer than its length can say.
    #[error("{length} bytes or elements, more than {limit}")]
    TooLong {
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// An unknown tag repeats a tag that the version knows.
    #[error("tag {tag} is known in this version")]
    KnownTag {
        /// The tag.
        tag: u32,
    },
    /// A version that the message does not have.
    #[error("{name} has no version {version}, only {}-{}", versions.start(), versions.end())]
    Version {
        /// The message.
        name: &'static str,
        /// The version that was asked for.
        version: i16,
        /// The versions that exist.
        versions: RangeInclusive<i16>,
    },
}
