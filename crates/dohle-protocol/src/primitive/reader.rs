//! Reads primitives from bytes that a stranger sent.
//!
//! Laws: no length or count is believed beyond the bytes that are there, nothing is reserved beyond
//! [`ARRAY_RESERVED_MAX`] elements, nothing recurses on input, nothing panics.

use bytes::Bytes;
use dohle_base::Uuid;

use super::tags::Gathered;
use super::{DecodeError, Form, Part, Str, Tags};

/// The most elements that an array may have, as in Kafka 4.4.
pub const ARRAY_LENGTH_MAX: usize = 1_000_000;
/// The most elements that are reserved before they are read.
pub const ARRAY_RESERVED_MAX: usize = 1_000;
/// The most tagged fields that a struct may have, as in Kafka 4.4.
pub const TAGS_MAX: usize = 10_000;
/// The most bytes that a string may have: its old length is a signed 16-bit number.
pub(super) const STRING_BYTES_MAX: usize = i16::MAX as usize;
/// A tag and a size of zero.
const TAG_BYTES_MIN: usize = 2;

/// A position in shared bytes. Strings and byte fields that are read share them too.
#[derive(Debug, Clone)]
pub struct Reader {
    bytes: Bytes,
    at: usize,
    /// Exclusive; before the end of the bytes while a tagged field is read.
    end: usize,
}

impl Reader {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: Bytes) -> Self {
        let end = bytes.len();
        Self { bytes, at: 0, end }
    }

    /// How many bytes were read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// Refuses bytes that nobody read.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing { at: self.at, left }),
        }
    }

    /// The next `size` bytes, shared.
    pub fn take(&mut self, size: usize) -> Result<Bytes, DecodeError> {
        self.need(size)?;
        // An empty slice would keep the whole frame alive for nothing.
        let slice = if size == 0 { Bytes::new() } else { self.bytes.slice(self.at..self.at + size) };
        self.at += size;
        Ok(slice)
    }

    fn need(&self, needed: usize) -> Result<(), DecodeError> {
        let left = self.remaining();
        if needed > left { Err(DecodeError::Truncated { at: self.at, needed, left }) } else { Ok(()) }
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.bytes[self.at..self.end].first_chunk() {
            Some(chunk) => {
                self.at += N;
                Ok(*chunk)
            }
            None => Err(DecodeError::Truncated { at: self.at, needed: N, left: self.remaining() }),
        }
    }

    /// One byte; any but zero is true, as Kafka reads it.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    /// One byte.
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        self.fixed().map(i8::from_be_bytes)
    }

    /// Two bytes.
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.fixed().map(i16::from_be_bytes)
    }

    /// Two bytes without sign.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.fixed().map(u16::from_be_bytes)
    }

    /// Four bytes.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.fixed().map(i32::from_be_bytes)
    }

    /// Four bytes without sign.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.fixed().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.fixed().map(i64::from_be_bytes)
    }

    /// Eight bytes, IEEE 754.
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        self.fixed().map(f64::from_be_bytes)
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.fixed().map(Uuid)
    }

    /// Seven bits a byte, least first. Refuses what does not fit into 32 bits.
    pub fn varint(&mut self) -> Result<u32, DecodeError> {
        let at = self.at;
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.fixed::<1>()?[0];
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        match self.fixed::<1>()?[0] {
            last @ 0..=0x0f => Ok(value | u32::from(last) << 28),
            _ => Err(DecodeError::Varint { at }),
        }
    }

    /// The length before a value, none for null. `wide` says whether the old form has four bytes or two.
    fn length(&mut self, form: Form, wide: bool) -> Result<Option<usize>, DecodeError> {
        if form.flexible {
            return Ok((self.varint()? as usize).checked_sub(1));
        }
        let length = if wide { self.i32()? } else { self.i16()?.into() };
        // Kafka reads every negative length as null.
        Ok(usize::try_from(length).ok())
    }

    /// Text.
    pub fn string(&mut self, form: Form) -> Result<Str, DecodeError> {
        let at = self.at;
        self.nullable_string(form)?.ok_or(DecodeError::Null { at })
    }

    /// Text or null.
    pub fn nullable_string(&mut self, form: Form) -> Result<Option<Str>, DecodeError> {
        let start = self.at;
        let Some(length) = self.length(form, false)? else { return Ok(None) };
        if length > STRING_BYTES_MAX {
            return Err(DecodeError::StringLength { at: start, length });
        }
        let at = self.at;
        let text = Str::from_utf8(self.take(length)?).map_err(|_| DecodeError::Utf8 { at })?;
        Ok(Some(text))
    }

    /// Bytes, shared with the frame.
    pub fn bytes(&mut self, form: Form) -> Result<Bytes, DecodeError> {
        let at = self.at;
        self.nullable_bytes(form)?.ok_or(DecodeError::Null { at })
    }

    /// Bytes or null.
    pub fn nullable_bytes(&mut self, form: Form) -> Result<Option<Bytes>, DecodeError> {
        match self.length(form, true)? {
            Some(length) => self.take(length).map(Some),
            None => Ok(None),
        }
    }

    /// An array.
    pub fn array<T: Part>(&mut self, form: Form) -> Result<Vec<T>, DecodeError> {
        let at = self.at;
        self.nullable_array(form)?.ok_or(DecodeError::Null { at })
    }

    /// An array or null.
    pub fn nullable_array<T: Part>(&mut self, form: Form) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(count) = self.count(form, T::SIZE_MIN)? else { return Ok(None) };
        let mut elements = Vec::with_capacity(count.min(ARRAY_RESERVED_MAX));
        for _ in 0..count {
            elements.push(T::read(self, form)?);
        }
        Ok(Some(elements))
    }

    /// How many elements follow: never more than the bytes that are left can hold.
    fn count(&mut self, form: Form, size_min: usize) -> Result<Option<usize>, DecodeError> {
        let at = self.at;
        let Some(count) = self.length(form, true)? else { return Ok(None) };
        let left = self.remaining();
        if count > ARRAY_LENGTH_MAX || count > left / size_min {
            return Err(DecodeError::Count { at, count, left });
        }
        Ok(Some(count))
    }

    /// A struct that can be null: one byte before it says which (KIP-893).
    pub fn nullable<T: Part>(&mut self, form: Form) -> Result<Option<T>, DecodeError> {
        if self.i8()? < 0 { Ok(None) } else { T::read(self, form).map(Some) }
    }

    /// The tagged fields of a struct that knows none.
    pub fn tags(&mut self) -> Result<Tags, DecodeError> {
        self.tags_with(&mut |_, _| Ok(false))
    }

    /// The tagged fields of a struct. `known` reads the value of a tag that it knows and says whether it did; what it
    /// does not know is returned.
    pub fn tags_with(
        &mut self,
        known: &mut dyn FnMut(&mut Self, u32) -> Result<bool, DecodeError>,
    ) -> Result<Tags, DecodeError> {
        let mut unknown = Gathered::default();
        for _ in 0..self.tag_count()? {
            let tag = self.varint()?;
            let size = self.varint()? as usize;
            self.need(size)?;
            let outer = std::mem::replace(&mut self.end, self.at + size);
            let at = self.at;
            if !known(self, tag)? {
                unknown.keep(self, tag, size)?;
            }
            let left = self.remaining();
            if left > 0 {
                return Err(DecodeError::TagSize { at, tag, left });
            }
            self.end = outer;
        }
        Ok(unknown.finish())
    }

    fn tag_count(&mut self) -> Result<usize, DecodeError> {
        let at = self.at;
        let count = self.varint()? as usize;
        let left = self.remaining();
        if count > TAGS_MAX || count > left / TAG_BYTES_MIN {
            return Err(DecodeError::TagCount { at, count, left });
        }
        Ok(count)
    }
}
