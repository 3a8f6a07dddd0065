//! Reads primitives from bytes that a stranger sent.
//!
//! Laws: no length or count is believed beyond the bytes that are there, nothing is reserved beyond
//! [`ARRAY_RESERVED_MAX`] elements, a message takes no more memory than [`memory_max`] of its bytes, nothing recurses on
//! input, nothing panics. The first fault is kept and ends the
//! reading: whatever is read after it is zero, empty or null, and [`Reader::check`] refuses it all. (A `Result` from each
//! read would double the code of the messages.)

use bytes::Bytes;
use dohle_base::Uuid;

use super::tags::Gathered;
use super::{DecodeError, Form, Part, Records, Str, Tags};

/// The most elements that an array may have, as in Kafka 4.4.
pub const ARRAY_LENGTH_MAX: usize = 1_000_000;
/// The most elements that are reserved before they are read.
pub const ARRAY_RESERVED_MAX: usize = 1_000;
/// The most tagged fields that a struct may have, as in Kafka 4.4.
pub const TAGS_MAX: usize = 10_000;
/// The most bytes that a string may have: its old length is a signed 16-bit number.
pub(super) const STRING_BYTES_MAX: usize = i16::MAX as usize;
/// How many times its own size a message may take. The densest of honest messages, lists of names of a few letters, take
/// about ten times; an array of empty structs would take fifty.
const MEMORY_FACTOR: usize = 16;
/// What a message may take however short it is.
const MEMORY_MIN: usize = 64 << 10;
/// What unknown tagged fields take beside their bytes.
const TAGS_MEMORY: usize = 64;
/// A tag and a size of zero.
const TAG_BYTES_MIN: usize = 2;

/// The most memory that a message of `bytes` bytes may take, beside those bytes.
pub fn memory_max(bytes: usize) -> usize {
    bytes.saturating_mul(MEMORY_FACTOR).saturating_add(MEMORY_MIN)
}

/// A position in shared bytes. Strings and byte fields that are read share them too.
#[derive(Debug, Clone)]
pub struct Reader {
    bytes: Bytes,
    at: usize,
    /// Exclusive; before the end of the bytes while a tagged field is read.
    end: usize,
    /// The memory that may still be taken.
    memory: usize,
    fault: Option<DecodeError>,
}

impl Reader {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: Bytes) -> Self {
        let end = bytes.len();
        Self { bytes, at: 0, end, memory: memory_max(end), fault: None }
    }

    /// How many bytes were read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left; none after a fault.
    pub fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// Refuses what was read if there was a fault in it.
    pub fn check(&self) -> Result<(), DecodeError> {
        match &self.fault {
            Some(fault) => Err(fault.clone()),
            None => Ok(()),
        }
    }

    /// Refuses what was read if there was a fault in it, or if bytes are left that nobody read.
    pub fn finish(&self) -> Result<(), DecodeError> {
        self.check()?;
        match self.remaining() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing { at: self.at, left }),
        }
    }

    /// Ends the reading. The first fault is the one that is told.
    #[cold]
    fn fail(&mut self, fault: DecodeError) {
        self.end = self.at;
        self.fault.get_or_insert(fault);
    }

    fn has(&mut self, needed: usize) -> bool {
        let left = self.remaining();
        if needed > left {
            self.fail(DecodeError::Truncated { at: self.at, needed, left });
        }
        needed <= left
    }

    /// Counts memory that is about to be taken.
    fn charge(&mut self, needed: usize) -> bool {
        let left = self.memory;
        self.memory = left.saturating_sub(needed);
        if needed > left {
            self.fail(DecodeError::Memory { at: self.at, needed, left });
        }
        needed <= left
    }

    /// The next `size` bytes, shared.
    pub fn take(&mut self, size: usize) -> Bytes {
        // An empty slice would keep the whole frame alive for nothing.
        if size == 0 || !self.has(size) {
            return Bytes::new();
        }
        let slice = self.bytes.slice(self.at..self.at + size);
        self.at += size;
        slice
    }

    fn fixed<const N: usize>(&mut self) -> [u8; N] {
        match self.bytes[self.at..self.end].first_chunk() {
            Some(chunk) => {
                self.at += N;
                *chunk
            }
            None => {
                self.has(N);
                [0; N]
            }
        }
    }

    /// One byte; any but zero is true, as Kafka reads it.
    pub fn bool(&mut self) -> bool {
        self.i8() != 0
    }

    /// One byte.
    pub fn i8(&mut self) -> i8 {
        i8::from_be_bytes(self.fixed())
    }

    /// Two bytes.
    pub fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.fixed())
    }

    /// Two bytes without sign.
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.fixed())
    }

    /// Four bytes.
    pub fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.fixed())
    }

    /// Four bytes without sign.
    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.fixed())
    }

    /// Eight bytes.
    pub fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.fixed())
    }

    /// Eight bytes, IEEE 754.
    pub fn f64(&mut self) -> f64 {
        f64::from_be_bytes(self.fixed())
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self) -> Uuid {
        Uuid(self.fixed())
    }

    /// Seven bits a byte, least first. Refuses what does not fit into 32 bits.
    pub fn varint(&mut self) -> u32 {
        let at = self.at;
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.fixed();
            value |= u32::from(byte & 0x7f) << shift;
            match byte {
                0x10.. if shift == 28 => break,
                0..0x80 => return value,
                0x80.. => {}
            }
        }
        self.fail(DecodeError::Varint { at });
        0
    }

    /// The length before a value, none for null. `wide` says whether the old form has four bytes or two.
    fn length(&mut self, form: Form, wide: bool) -> Option<usize> {
        if form.flexible {
            return (self.varint() as usize).checked_sub(1);
        }
        let length = if wide { self.i32() } else { self.i16().into() };
        // Kafka reads every negative length as null.
        usize::try_from(length).ok()
    }

    /// A value that was read at `at`, where null is a fault.
    fn not_null<T: Default>(&mut self, at: usize, value: Option<T>) -> T {
        value.unwrap_or_else(|| {
            self.fail(DecodeError::Null { at });
            T::default()
        })
    }

    /// Text.
    pub fn string(&mut self, form: Form) -> Str {
        let at = self.at;
        let text = self.nullable_string(form);
        self.not_null(at, text)
    }

    /// Text or null.
    pub fn nullable_string(&mut self, form: Form) -> Option<Str> {
        let start = self.at;
        let length = self.length(form, false)?;
        if length > STRING_BYTES_MAX {
            self.fail(DecodeError::StringLength { at: start, length });
        }
        let at = self.at;
        let text = Str::from_utf8(self.take(length));
        if text.is_err() {
            self.fail(DecodeError::Utf8 { at });
        }
        text.ok()
    }

    /// Bytes, shared with the frame.
    pub fn bytes(&mut self, form: Form) -> Bytes {
        let at = self.at;
        let bytes = self.nullable_bytes(form);
        self.not_null(at, bytes)
    }

    /// Bytes or null.
    pub fn nullable_bytes(&mut self, form: Form) -> Option<Bytes> {
        let length = self.length(form, true)?;
        Some(self.take(length))
    }

    /// Record batches, shared with the frame.
    pub fn records(&mut self, form: Form) -> Records {
        Records::Held(self.bytes(form))
    }

    /// Record batches or null.
    pub fn nullable_records(&mut self, form: Form) -> Option<Records> {
        self.nullable_bytes(form).map(Records::Held)
    }

    /// An array.
    pub fn array<T: Part>(&mut self, form: Form) -> Vec<T> {
        let at = self.at;
        let count = self.count(form, T::SIZE_MIN);
        let count = self.not_null(at, count);
        self.elements(count, form)
    }

    /// An array or null.
    pub fn nullable_array<T: Part>(&mut self, form: Form) -> Option<Vec<T>> {
        let count = self.count(form, T::SIZE_MIN)?;
        Some(self.elements(count, form))
    }

    fn elements<T: Part>(&mut self, count: usize, form: Form) -> Vec<T> {
        // While the first are moved to the place of all, they take room twice.
        let moved = if count > ARRAY_RESERVED_MAX { ARRAY_RESERVED_MAX } else { 0 };
        if !self.charge((count + moved) * size_of::<T>()) {
            return Vec::new();
        }
        let mut elements = Vec::with_capacity(count.min(ARRAY_RESERVED_MAX));
        for _ in 0..count {
            if elements.len() == ARRAY_RESERVED_MAX {
                // So many were there: the rest is reserved at once, which no doubling could outgrow.
                elements.reserve_exact(count - ARRAY_RESERVED_MAX);
            }
            elements.push(T::read(self, form));
            if self.fault.is_some() {
                break;
            }
        }
        elements
    }

    /// How many elements follow: never more than the bytes that are left can hold.
    fn count(&mut self, form: Form, size_min: usize) -> Option<usize> {
        let at = self.at;
        let count = self.length(form, true)?;
        let left = self.remaining();
        if count > ARRAY_LENGTH_MAX || count > left / size_min {
            self.fail(DecodeError::Count { at, count, left });
            return Some(0);
        }
        Some(count)
    }

    /// A struct that can be null: one byte before it says which (KIP-893).
    pub fn nullable<T: Part>(&mut self, form: Form) -> Option<T> {
        if self.i8() < 0 { None } else { Some(T::read(self, form)) }
    }

    /// The tagged fields of a struct that knows none.
    pub fn tags(&mut self) -> Tags {
        self.tags_with(&mut |_, _| false)
    }

    /// The tagged fields of a struct. `known` reads the value of a tag that it knows and says whether it did; what it
    /// does not know is returned.
    pub fn tags_with(&mut self, known: &mut dyn FnMut(&mut Self, u32) -> bool) -> Tags {
        let mut unknown = Gathered::default();
        for _ in 0..self.tag_count() {
            let tag = self.varint();
            let size = self.varint() as usize;
            if !self.has(size) {
                break;
            }
            let outer = std::mem::replace(&mut self.end, self.at + size);
            let at = self.at;
            // Twice, because the list grows by doubling.
            if !known(self, tag) && self.charge(TAGS_MEMORY + 2 * size) {
                unknown.keep(tag, &self.take(size));
            }
            let left = self.remaining();
            if left > 0 {
                self.fail(DecodeError::TagSize { at, tag, left });
            }
            if self.fault.is_some() {
                break;
            }
            self.end = outer;
        }
        unknown.finish()
    }

    fn tag_count(&mut self) -> usize {
        let at = self.at;
        let count = self.varint() as usize;
        let left = self.remaining();
        if count > TAGS_MAX || count > left / TAG_BYTES_MIN {
            self.fail(DecodeError::TagCount { at, count, left });
            return 0;
        }
        count
    }
}
