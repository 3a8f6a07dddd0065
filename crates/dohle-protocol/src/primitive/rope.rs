//! Writes primitives as a rope: bytes of our own, and slices of others' that are not copied.
//!
//! A fetch answer is a few bytes of heads between large slices of the log; only the heads are written here. A slice that is not even read
//! is a gap, which whoever sends the message fills. As with the
//! reader, the first fault is kept: [`Rope::check`] and [`Rope::seal`] refuse what was written.

use bytes::Bytes;
use dohle_base::Uuid;

use super::reader::STRING_BYTES_MAX;
use super::{EncodeError, Form, Part, Pieces, Records, Str, Tags};

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
    fault: Option<EncodeError>,
}

/// What stands before `own[at]`.
#[derive(Debug)]
struct Splice {
    at: usize,
    what: Foreign,
}

/// What is not the rope's own.
#[derive(Debug)]
enum Foreign {
    Bytes(Bytes),
    /// Bytes that are filled in when the rope is sent.
    Gap,
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

    /// Refuses what was written if there was a fault in it.
    pub fn check(&self) -> Result<(), EncodeError> {
        match &self.fault {
            Some(fault) => Err(fault.clone()),
            None => Ok(()),
        }
    }

    /// The first fault is the one that is told.
    #[cold]
    fn fail(&mut self, fault: EncodeError) {
        self.fault.get_or_insert(fault);
    }

    /// A field has a value that `version` does not carry and that must not be dropped.
    #[cold]
    pub fn refuse(&mut self, field: &'static str, version: i16) {
        self.fail(EncodeError::Unrepresentable { field, version });
    }

    /// The value of a field that cannot be null in the version that is written.
    pub fn required<'a, T>(&mut self, value: &'a Option<T>, field: &'static str) -> Option<&'a T> {
        if value.is_none() {
            self.fail(EncodeError::Null { field });
        }
        value.as_ref()
    }

    /// Ends a rope that was begun with [`Rope::frame`]: its length is now before it. It must have no gaps.
    pub fn seal(self) -> Result<Pieces, EncodeError> {
        let mut parts = self.seal_with_gaps()?;
        let whole = parts.pop().unwrap_or_default();
        assert!(parts.is_empty(), "a rope with gaps is sealed with them");
        Ok(whole)
    }

    /// Ends a rope that was begun with [`Rope::frame`], gaps and all: what stands before the first gap, between each and the next, and behind
    /// the last. The length of the frame counts what fills the gaps.
    pub fn seal_with_gaps(mut self) -> Result<Vec<Pieces>, EncodeError> {
        let length = self.len() - PREFIX_BYTES;
        let prefix = self.signed(length).to_be_bytes();
        self.check()?;
        self.own[..PREFIX_BYTES].copy_from_slice(&prefix);
        Ok(self.into_parts())
    }

    /// Ends the rope. It must have no gaps.
    pub fn into_pieces(self) -> Pieces {
        let mut parts = self.into_parts();
        let whole = parts.pop().unwrap_or_default();
        assert!(parts.is_empty(), "a rope with gaps is sealed with them");
        whole
    }

    fn into_parts(self) -> Vec<Pieces> {
        let own = Bytes::from(self.own);
        let mut parts = vec![];
        let mut pieces = Pieces::with_capacity(self.shared.len() * 2 + 1);
        let mut from = 0;
        for splice in self.shared {
            pieces.push(own.slice(from..splice.at));
            match splice.what {
                Foreign::Bytes(bytes) => pieces.push(bytes),
                Foreign::Gap => parts.push(std::mem::take(&mut pieces)),
            }
            from = splice.at;
        }
        pieces.push(own.slice(from..));
        parts.push(pieces);
        parts
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
        self.shared.push(Splice { at: self.own.len(), what: Foreign::Bytes(bytes.clone()) });
    }

    /// Leaves room for bytes that are filled in when the rope is sent.
    fn gap(&mut self, length: u32) {
        self.shared_bytes += length as usize;
        self.shared.push(Splice { at: self.own.len(), what: Foreign::Gap });
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
    pub fn string(&mut self, text: &Str, form: Form) {
        let length = text.len();
        if length > STRING_BYTES_MAX {
            return self.fail(EncodeError::TooLong { length, limit: STRING_BYTES_MAX });
        }
        if form.flexible {
            self.varint(length as u32 + 1)
        } else {
            self.i16(length as i16)
        }
        self.copy(text.as_bytes());
    }

    /// Text or null.
    pub fn nullable_string(&mut self, text: &Option<Str>, form: Form) {
        match text {
            Some(text) => self.string(text, form),
            None if form.flexible => self.varint(0),
            None => self.i16(-1),
        }
    }

    /// Bytes; shared, not copied, when there are more than [`COPIED_BYTES_MAX`].
    pub fn bytes(&mut self, bytes: &Bytes, form: Form) {
        self.length(bytes.len(), form);
        self.share(bytes);
    }

    /// Bytes or null.
    pub fn nullable_bytes(&mut self, bytes: &Option<Bytes>, form: Form) {
        match bytes {
            Some(bytes) => self.bytes(bytes, form),
            None => self.null(form),
        }
    }

    /// Record batches, shared or left out.
    pub fn records(&mut self, records: &Records, form: Form) {
        self.length(records.len(), form);
        match records {
            Records::Held(bytes) => self.share(bytes),
            Records::Elsewhere(length) => self.gap(*length),
        }
    }

    /// Record batches or null.
    pub fn nullable_records(&mut self, records: &Option<Records>, form: Form) {
        match records {
            Some(records) => self.records(records, form),
            None => self.null(form),
        }
    }

    /// An array.
    pub fn array<T: Part>(&mut self, elements: &[T], form: Form) {
        self.length(elements.len(), form);
        for element in elements {
            element.write(self, form);
        }
    }

    /// An array or null.
    pub fn nullable_array<T: Part>(&mut self, elements: &Option<Vec<T>>, form: Form) {
        match elements {
            Some(elements) => self.array(elements, form),
            None => self.null(form),
        }
    }

    /// A struct that can be null: one byte before it says which (KIP-893).
    pub fn nullable<T: Part>(&mut self, value: &Option<T>, form: Form) {
        match value {
            Some(value) => {
                self.i8(1);
                value.write(self, form);
            }
            None => self.i8(-1),
        }
    }

    fn length(&mut self, length: usize, form: Form) {
        let signed = self.signed(length);
        if form.flexible { self.varint(signed as u32 + 1) } else { self.i32(signed) }
    }

    /// A length as Kafka writes it.
    fn signed(&mut self, length: usize) -> i32 {
        i32::try_from(length).unwrap_or_else(|_| {
            self.fail(EncodeError::TooLong { length, limit: i32::MAX as usize });
            0
        })
    }

    fn null(&mut self, form: Form) {
        if form.flexible { self.varint(0) } else { self.i32(-1) }
    }

    /// The tagged fields of a struct that knows none.
    pub fn tags(&mut self, unknown: &Tags) {
        self.tags_with(0, unknown).finish(self);
    }

    /// Begins the tagged fields of a struct: `known` is how many of its own fields follow, each with
    /// [`TagWriter::field`], in ascending order; [`TagWriter::finish`] ends them.
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
    pub fn field(&mut self, rope: &mut Rope, tag: u32, write: &mut dyn FnMut(&mut Rope)) {
        self.unknown_below(rope, tag.into());
        if self.unknown.iter().any(|(unknown, _)| unknown == tag) {
            return rope.fail(EncodeError::KnownTag { tag });
        }
        rope.varint(tag);
        let mark = rope.mark();
        write(rope);
        let size = rope.signed(rope.len() - mark.total);
        rope.insert_varint(mark, size as u32);
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
