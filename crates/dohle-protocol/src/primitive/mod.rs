//! The alphabet of the wire: integers, strings, arrays, tags, read within bounds and written as a rope.
//!
//! Knows how each type is laid out (KIP-482 for the flexible forms), not which message holds it.

mod error;
mod part;
mod pieces;
mod reader;
mod records;
mod rope;
mod tags;
mod text;

pub use error::{DecodeError, EncodeError};
pub use part::{Form, Part};
pub use pieces::Pieces;
pub use reader::{ARRAY_LENGTH_MAX, ARRAY_RESERVED_MAX, Reader, TAGS_MAX, memory_max};
pub use records::Records;
pub use rope::{COPIED_BYTES_MAX, Rope, TagWriter};
pub use tags::Tags;
pub use text::Str;
