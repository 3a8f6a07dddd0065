//! Writes primitives as a rope: bytes of our own, and slices of others' that are not copied.
//!
//! A fetch answer is a few bytes of heads between large slices of the log; only the heads are written here.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};
use dohle_base::Uuid;

use super::reader::STRING_BYTES_MAX;
use super::{EncodeError, Form, Part, Str, Tags};

/// A byte field up to this size is copied into the rope: cheaper than one more piece in a vectored write.
pub const COPIED_BYTES_MAX: usize = 1_024;
/// The length before a frame.
const PREFIX_BYTES: usize = 4;

/// A message that is being written.
#[derive(Debug, Default)]
pub struct Rope {
    own: Vec<u8>,
    shared: Vec<Splice>,
    shared_bytes: usize,
}

/// Bytes that stand before `own[at]`.
#[derive(Debug)]
struct Splice {
    at: usize,
    bytes: Bytes,
}

impl Rope {
    /// An empty rope.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty rope with room for `bytes` bytes of its own.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { own: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// A rope that begins with room for the length of a frame; end it with [`Rope::seal`].
    pub fn frame() -> Self {
        let mut rope = Self::with_capacity(256);
        rope.own.extend_from_slice(&[0; PREFIX_BYTES]);
        rope
    }

    /// How many bytes it holds, copied and shared.
    pub fn len(&self) -> usize {
        self.own.len() + self.shared_bytes
    }

    /// Whether it holds no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends a rope that was begun with [`Rope::frame`]: its length is now before it.
    pub fn seal(mut self) -> Result<Pieces, EncodeError> {
        let length = self.len() - PREFIX_BYTES;
        self.own[..PREFIX_BYTES].copy_from_slice(&signed(length)?.to_be_bytes());
        Ok(self.into_pieces())
    }

    /// Ends the rope.
    pub fn into_pieces(self) -> Pieces {
        let own = Bytes::from(self.own);
        let mut pieces = VecDeque::with_capacity(self.shared.len() * 2 + 1);
        let mut from = 0;
        for splice in self.shared {
            if splice.at > from {
                pieces.push_back(own.slice(from..splice.at));
            }
            from = splice.at;
            pieces.push_back(splice.bytes);
        }
        if own.len() > from {
            pieces.push_back(own.slice(from..));
        }
        Pieces { remaining: own.len() + self.shared_bytes, pieces }
    }

    /// Ends the rope as one slice. Copies unless nothing was shared.
    pub fn into_bytes(self) -> Bytes {
        if self.shared.is_empty() { self.own.into() } else { self.into_pieces().into_bytes() }
    }

    /// Writes raw bytes, without a length, copied.
    pub fn copy(&mut self, bytes: &[u8]) {
        self.own.extend_from_slice(bytes);
    }

    /// Writes raw bytes, without a length, shared when that is cheaper than a copy.
    pub fn share(&mut self, bytes: &Bytes) {
        if bytes.len() <= COPIED_BYTES_MAX {
            return self.copy(bytes);
        }
        self.shared_bytes += bytes.len();
        self.shared.push(Splice { at: self.own.len(), bytes: bytes.clone() });
    }

    /// One byte, zero or one.
    pub fn bool(&mut self, value: bool) {
        self.i8(value.into());
    }

    /// One byte.
    pub fn i8(&mut self, value: i8) {
        self.copy(&value.to_be_bytes());
    }

    /// Two bytes.
    pub fn i16(&mut self, value: i16) {
        self.copy(&value.to_be_bytes());
    }

    /// Two bytes without sign.
    pub fn u16(&mut self, value: u16) {
        self.copy(&value.to_be_bytes());
    }

    /// Four bytes.
    pub fn i32(&mut self, value: i32) {
        self.copy(&value.to_be_bytes());
    }

    /// Four bytes without sign.
    pub fn u32(&mut self, value: u32) {
        self.copy(&value.to_be_bytes());
    }

    /// Eight bytes.
    pub fn i64(&mut self, value: i64) {
        self.copy(&value.to_be_bytes());
    }

    /// Eight bytes, IEEE 754.
    pub fn f64(&mut self, value: f64) {
        self.copy(&value.to_be_bytes());
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self, value: Uuid) {
        self.copy(&value.0);
    }

    /// Seven bits a byte, least first.
    pub fn varint(&mut self, value: u32) {
        let (bytes, count) = varint_bytes(value);
        self.copy(&bytes[..count]);
    }

    /// Text.
    pub fn string(&mut self, text: &Str, form: Form) -> Result<(), EncodeError> {
        let length = text.len();
        if length > STRING_BYTES_MAX {
            return Err(EncodeError::TooLong { length, limit: STRING_BYTES_MAX });
        }
        if form.flexible {
            self.varint(length as u32 + 1)
        } else {
            self.i16(length as i16)
        }
        self.copy(text.as_bytes());
        Ok(())
    }

    /// Text or null.
    pub fn nullable_string(&mut self, text: &Option<Str>, form: Form) -> Result<(), EncodeError> {
        match text {
            Some(text) => return self.string(text, form),
            None if form.flexible => self.varint(0),
            None => self.i16(-1),
        }
        Ok(())
    }

    /// Bytes; shared, not copied, when there are more than [`COPIED_BYTES_MAX`].
    pub fn bytes(&mut self, bytes: &Bytes, form: Form) -> Result<(), EncodeError> {
        self.length(bytes.len(), form)?;
        self.share(bytes);
        Ok(())
    }

    /// Bytes or null.
    pub fn nullable_bytes(&mut self, bytes: &Option<Bytes>, form: Form) -> Result<(), EncodeError> {
        match bytes {
            Some(bytes) => return self.bytes(bytes, form),
            None => self.null(form),
        }
        Ok(())
    }

    /// An array.
    pub fn array<T: Part>(&mut self, elements: &[T], form: Form) -> Result<(), EncodeError> {
        self.length(elements.len(), form)?;
        for element in elements {
            element.write(self, form)?;
        }
        Ok(())
    }

    /// An array or null.
    pub fn nullable_array<T: Part>(&mut self, elements: &Option<Vec<T>>, form: Form) -> Result<(), EncodeError> {
        match elements {
            Some(elements) => return self.array(elements, form),
            None => self.null(form),
        }
        Ok(())
    }

    /// A struct that can be null: one byte before it says which (KIP-893).
    pub fn nullable<T: Part>(&mut self, value: &Option<T>, form: Form) -> Result<(), EncodeError> {
        match value {
            Some(value) => {
                self.i8(1);
                value.write(self, form)
            }
            None => {
                self.i8(-1);
                Ok(())
            }
        }
    }

    fn length(&mut self, length: usize, form: Form) -> Result<(), EncodeError> {
        let signed = signed(length)?;
        if form.flexible {
            self.varint(length as u32 + 1)
        } else {
            self.i32(signed)
        }
        Ok(())
    }

    fn null(&mut self, form: Form) {
        if form.flexible { self.varint(0) } else { self.i32(-1) }
    }

    /// The tagged fields of a struct that knows none.
    pub fn tags(&mut self, unknown: &Tags) -> Result<(), EncodeError> {
        self.varint(unknown.len() as u32);
        for (tag, value) in unknown.iter() {
            self.varint(tag);
            self.varint(value.len() as u32);
            self.copy(value);
        }
        Ok(())
    }

    /// Begins the tagged fields of a struct: `known` is how many of its own fields follow, each with [`Rope::tagged`],
    /// in ascending order; [`TagWriter::finish`] ends them.
    pub fn tags_with<'a>(&mut self, known: u32, unknown: &'a Tags) -> TagWriter<'a> {
        self.varint(known + unknown.len() as u32);
        TagWriter { unknown, written: 0 }
    }

    /// Inserts `value` before the byte at `mark`, and shifts what is behind it.
    fn insert_varint(&mut self, mark: Mark, value: u32) {
        let (bytes, count) = varint_bytes(value);
        self.own.splice(mark.own..mark.own, bytes[..count].iter().copied());
        for splice in &mut self.shared[mark.shared..] {
            splice.at += count;
        }
    }

    fn mark(&self) -> Mark {
        Mark { own: self.own.len(), shared: self.shared.len(), total: self.len() }
    }
}

/// A place in a rope.
#[derive(Clone, Copy)]
struct Mark {
    own: usize,
    shared: usize,
    total: usize,
}

/// Writes tagged fields in the order of their tags, unknown ones between the known.
#[derive(Debug)]
pub struct TagWriter<'a> {
    unknown: &'a Tags,
    written: usize,
}

impl TagWriter<'_> {
    /// Writes one known field: `write` writes its value.
    pub fn field(
        &mut self,
        rope: &mut Rope,
        tag: u32,
        write: &mut dyn FnMut(&mut Rope) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.unknown_below(rope, tag.into());
        if self.unknown.iter().any(|(unknown, _)| unknown == tag) {
            return Err(EncodeError::KnownTag { tag });
        }
        rope.varint(tag);
        let mark = rope.mark();
        write(rope)?;
        let size = rope.len() - mark.total;
        signed(size)?;
        rope.insert_varint(mark, size as u32);
        Ok(())
    }

    /// Writes the unknown fields that are left.
    pub fn finish(mut self, rope: &mut Rope) {
        self.unknown_below(rope, u64::MAX);
    }

    fn unknown_below(&mut self, rope: &mut Rope, limit: u64) {
        let below = |(tag, _): &(u32, &[u8])| u64::from(*tag) < limit;
        for (unknown, value) in self.unknown.iter().skip(self.written).take_while(below) {
            rope.varint(unknown);
            rope.varint(value.len() as u32);
            rope.copy(value);
            self.written += 1;
        }
    }
}

/// A length as Kafka writes it.
fn signed(length: usize) -> Result<i32, EncodeError> {
    let limit = i32::MAX as usize;
    i32::try_from(length).map_err(|_| EncodeError::TooLong { length, limit })
}

fn varint_bytes(mut value: u32) -> ([u8; 5], usize) {
    let mut bytes = [0; 5];
    let mut count = 0;
    while value >= 0x80 {
        bytes[count] = value as u8 | 0x80;
        value >>= 7;
        count += 1;
    }
    bytes[count] = value as u8;
    (bytes, count + 1)
}

/// A written message: slices to be sent one after the other, in one vectored write where possible.
#[derive(Debug, Clone, Default)]
pub struct Pieces {
    pieces: VecDeque<Bytes>,
    remaining: usize,
}

impl Pieces {
    /// The slices that are left.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter()
    }

    /// How many bytes are left.
    pub fn len(&self) -> usize {
        self.remaining
    }

    /// Whether everything was sent.
    pub fn is_empty(&self) -> bool {
        self.remaining == 0
    }

    /// What is left as one slice. Copies unless it is one already.
    pub fn into_bytes(mut self) -> Bytes {
        if self.pieces.len() == 1 {
            self.pieces.pop_front().unwrap_or_default()
        } else {
            self.copy_to_bytes(self.remaining)
        }
    }
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let count = self.pieces.len().min(slices.len());
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
        }
        count
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.remaining, "advance past the end");
        self.remaining -= count;
        let mut left = count;
        while let Some(front) = self.pieces.front_mut() {
            if left < front.len() {
                front.advance(left);
                return;
            }
            left -= front.len();
            self.pieces.pop_front();
        }
    }
}
