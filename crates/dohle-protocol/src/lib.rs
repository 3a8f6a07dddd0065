//! The wire: frames, headers, every message in every version, and the schemas of internal records.
//!
//! Does not know what a message means; records inside a message stay bytes. The messages are generated from the facts in
//! `schema/` by `cargo xtask codegen`.

pub mod frame;
pub mod fuzzing;
pub mod header;
pub mod message;
pub mod record;

mod api;
mod primitive;

pub use api::{Message, Request, Response};
pub use message::ApiKey;
pub use primitive::{
    ARRAY_LENGTH_MAX, ARRAY_RESERVED_MAX, COPIED_BYTES_MAX, DecodeError, EncodeError, Form, Part, Pieces, Reader,
    Records, Rope, Str, TAGS_MAX, TagWriter, Tags, memory_max,
};
