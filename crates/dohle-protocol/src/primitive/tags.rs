//! The tagged fields of a struct that its version does not know.
//!
//! They are kept as they came, so that a message read and written again loses nothing (KIP-482). One allocation holds
//! them all: many small tags must not cost an object each.

use std::fmt;

/// Unknown tagged fields, in ascending order of their tags. One pointer wide; nothing is allocated when there are none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tags(Option<Box<Raw>>);

#[derive(Clone, Default, PartialEq, Eq)]
struct Raw {
    count: usize,
    /// Tag, size and value of each field, as on the wire.
    bytes: Vec<u8>,
}

impl Tags {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |raw| raw.count)
    }

    /// Adds a field after those with a smaller or the same tag. Costs a copy of the fields behind it.
    pub fn insert(&mut self, tag: u32, value: &[u8]) {
        let raw = self.0.get_or_insert_default();
        let mut field = Vec::with_capacity(value.len() + 10);
        put_varint(&mut field, tag);
        put_varint(&mut field, u32::try_from(value.len()).expect("a tagged field fits into a frame"));
        field.extend_from_slice(value);
        let at = raw.place(tag);
        raw.bytes.splice(at..at, field);
        raw.count += 1;
    }

    /// The fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let bytes = self.0.as_ref().map_or(&[][..], |raw| &raw.bytes);
        Fields { bytes }
    }
}

impl Raw {
    fn place(&self, tag: u32) -> usize {
        let mut fields = Fields { bytes: &self.bytes };
        loop {
            let at = self.bytes.len() - fields.bytes.len();
            match fields.next() {
                Some((before, _)) if before <= tag => {}
                _ => return at,
            }
        }
    }
}

struct Fields<'a> {
    bytes: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let tag = take_varint(&mut self.bytes);
        let size = take_varint(&mut self.bytes) as usize;
        let (value, rest) = self.bytes.split_at(size);
        self.bytes = rest;
        Some((tag, value))
    }
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Reads what `put_varint` wrote.
fn take_varint(bytes: &mut &[u8]) -> u32 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (first, rest) = bytes.split_first().expect("we wrote it whole");
        *bytes = rest;
        value |= u32::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

/// Takes the fields that nobody knows. The common case, ascending tags, appends.
#[derive(Default)]
pub(super) struct Gathered {
    tags: Tags,
    last: u32,
}

impl Gathered {
    pub(super) fn keep(&mut self, tag: u32, value: &[u8]) {
        if tag < self.last {
            return self.tags.insert(tag, value);
        }
        self.last = tag;
        let raw = self.tags.0.get_or_insert_default();
        put_varint(&mut raw.bytes, tag);
        put_varint(&mut raw.bytes, value.len() as u32);
        raw.bytes.extend_from_slice(value);
        raw.count += 1;
    }

    pub(super) fn finish(self) -> Tags {
        self.tags
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Tags;

    #[test]
    fn fields_stand_in_the_order_of_their_tags() {
        let mut tags = Tags::default();
        for (tag, value) in [(300, &b"long"[..]), (2, b""), (70, b"x"), (2, b"again")] {
            tags.insert(tag, value);
        }
        let fields: Vec<_> = tags.iter().collect();
        assert_eq!(fields, [(2, &b""[..]), (2, b"again"), (70, b"x"), (300, b"long")]);
        assert_eq!(tags.len(), 4);
    }

    #[test]
    fn none_cost_a_pointer() {
        assert!(Tags::default().is_empty());
        assert_eq!(size_of::<Tags>(), size_of::<usize>());
    }
}
