//! What can stand in a message: a primitive or a struct of them.

use bytes::Bytes;
use dohle_base::Uuid;

use super::{Reader, Rope, Str};

/// The version in which a part is read or written, and whether that version has compact lengths and tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// The version of the message.
    pub version: i16,
    /// Whether it is a flexible version (KIP-482).
    pub flexible: bool,
}

impl Form {
    /// The same version with the lengths from before flexible versions: the client id of request headers keeps them.
    #[must_use]
    pub fn with_old_lengths(self) -> Self {
        Self { flexible: false, ..self }
    }
}

/// A piece of a message.
pub trait Part: Sized {
    /// The fewest bytes that it takes in any version: bounds the length of arrays.
    const SIZE_MIN: usize;

    /// Reads it from the reader's position. What it is worth, [`Reader::check`] says.
    fn read(reader: &mut Reader, form: Form) -> Self;

    /// Writes it at the end of the rope. What that is worth, [`Rope::check`] says.
    fn write(&self, rope: &mut Rope, form: Form);
}

macro_rules! fixed {
    ($($type:ty, $size:literal, $method:ident;)+) => { $(
        impl Part for $type {
            const SIZE_MIN: usize = $size;

            fn read(reader: &mut Reader, _: Form) -> Self {
                reader.$method()
            }

            fn write(&self, rope: &mut Rope, _: Form) {
                rope.$method(*self);
            }
        }
    )+ };
}

fixed! {
    bool, 1, bool;
    i8, 1, i8;
    i16, 2, i16;
    u16, 2, u16;
    i32, 4, i32;
    u32, 4, u32;
    i64, 8, i64;
    f64, 8, f64;
    Uuid, 16, uuid;
}

impl Part for Str {
    const SIZE_MIN: usize = 1;

    fn read(reader: &mut Reader, form: Form) -> Self {
        reader.string(form)
    }

    fn write(&self, rope: &mut Rope, form: Form) {
        rope.string(self, form);
    }
}

impl Part for Bytes {
    const SIZE_MIN: usize = 1;

    fn read(reader: &mut Reader, form: Form) -> Self {
        reader.bytes(form)
    }

    fn write(&self, rope: &mut Rope, form: Form) {
        rope.bytes(self, form);
    }
}
