//! Random bytes of a message, made from its schema alone, and where its lengths stand in them.
//!
//! The bytes are canonical: what Kafka would write. A message that reads and writes them must give the same ones back.

use dohle_base::Rng;

use super::schema::{Field, Message};

/// The bytes of one message.
pub(crate) struct Sample {
    pub(crate) bytes: Vec<u8>,
    /// Every length, count and size in it.
    pub(crate) spots: Vec<Spot>,
}

/// A number that says how much follows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    pub(crate) at: usize,
    pub(crate) width: Width,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// So many bytes of a variable-length integer.
    Varint(usize),
    Two,
    Four,
}

/// Random bytes of `message` in `version`.
pub(crate) fn sample(message: &Message, version: i16, rng: &mut Rng) -> Sample {
    let flexible = message.flexible.has(version);
    let mut sampler = Sampler { message, version, flexible, rng, bytes: Vec::new(), spots: Vec::new() };
    sampler.fields(&message.fields, false);
    let Sampler { bytes, spots, .. } = sampler;
    Sample { bytes, spots }
}

/// The bytes of a variable-length integer.
pub(crate) fn varint(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

struct Sampler<'a> {
    message: &'a Message,
    version: i16,
    flexible: bool,
    rng: &'a mut Rng,
    bytes: Vec<u8>,
    spots: Vec<Spot>,
}

impl Sampler<'_> {
    /// `loud`: no field has its default, where it can have another value.
    fn fields(&mut self, fields: &[Field], loud: bool) {
        let mut tagged: Vec<(u32, &Field)> = Vec::new();
        let version = self.version;
        for field in fields.iter().filter(|field| field.versions.has(version)) {
            match &field.tag {
                Some((tag, versions)) if versions.has(version) => tagged.push((*tag, field)),
                _ => self.field(field, loud),
            }
        }
        if self.flexible {
            self.tags(tagged, loud);
        }
    }

    fn tags(&mut self, known: Vec<(u32, &Field)>, loud: bool) {
        let mut tags: Vec<(u32, Option<&Field>)> = Vec::new();
        for (tag, field) in known {
            if loud || self.rng.chance(500) {
                tags.push((tag, Some(field)));
            }
        }
        if self.rng.chance(150) {
            tags.push((60 + self.rng.below(200) as u32, None));
        }
        if self.rng.chance(20) {
            tags.push((i32::MAX as u32 - 1, None));
        }
        tags.sort_by_key(|(tag, _)| *tag);
        self.spot(&[tags.len() as u8], Width::Varint(1));
        for (tag, field) in tags {
            self.bytes.extend(varint(tag));
            self.sized(|sampler| match field {
                Some(field) => sampler.field(field, true),
                None => sampler.noise(20),
            });
        }
    }

    /// What `write` writes, with its size before it.
    fn sized(&mut self, write: impl FnOnce(&mut Self)) {
        let (start, spot) = (self.bytes.len(), self.spots.len());
        write(self);
        let size = varint((self.bytes.len() - start) as u32);
        for inner in &mut self.spots[spot..] {
            inner.at += size.len();
        }
        self.spots.insert(spot, Spot { at: start, width: Width::Varint(size.len()) });
        self.bytes.splice(start..start, size);
    }

    fn field(&mut self, field: &Field, loud: bool) {
        let nullable = field.nullable.has(self.version);
        let compact = self.flexible && !field.inflexible;
        let wide = if compact { Width::Varint(0) } else { Width::Four };
        let is_struct = field.element.starts_with(|first: char| first.is_ascii_uppercase());
        let is_null = nullable && !loud && self.rng.chance(250);
        if field.is_array {
            let count = if loud { 1 + self.rng.below(2) } else { self.rng.below(3) };
            let count = if !is_struct && self.rng.chance(20) { 130 } else { count as usize };
            self.optional_length(is_null, count, wide);
            for _ in 0..if is_null { 0 } else { count } {
                self.element(field, loud);
            }
        } else if is_struct && nullable {
            self.bytes.push(if is_null { 0xff } else { 1 });
            if !is_null {
                self.fields(self.message.inside(field), loud);
            }
        } else if is_null {
            let width = if compact || field.element != "string" { wide } else { Width::Two };
            self.optional_length(true, 0, width);
        } else {
            self.element(field, loud);
        }
    }

    /// One value that is not null.
    fn element(&mut self, field: &Field, loud: bool) {
        let compact = self.flexible && !field.inflexible;
        match field.element.as_str() {
            "string" => {
                let text = self.text(loud);
                self.length(text.len(), if compact { Width::Varint(0) } else { Width::Two });
                self.bytes.extend(text.into_bytes());
            }
            "bytes" | "records" => {
                let most = if self.rng.chance(50) { 3_000 } else { 20 };
                let size = usize::from(loud) + self.rng.below(most) as usize;
                self.length(size, if compact { Width::Varint(0) } else { Width::Four });
                self.random(size);
            }
            "bool" => {
                let value = if loud { field.default.as_deref() != Some("true") } else { self.rng.chance(500) };
                self.bytes.push(value.into());
            }
            "int8" => self.number(1, field),
            "int16" | "uint16" => self.number(2, field),
            "int32" | "uint32" => self.number(4, field),
            "int64" => self.number(8, field),
            "float64" => {
                let value = 1.0 + self.rng.below(1_000) as f64;
                self.bytes.extend(value.to_be_bytes());
            }
            "uuid" => self.random(16),
            _ => self.fields(self.message.inside(field), loud),
        }
    }

    /// Any number but zero and the default.
    fn number(&mut self, size: usize, field: &Field) {
        let default = field.default.as_deref().map_or(0, |default| default.parse::<i64>().unwrap_or(0));
        let value = loop {
            let value = self.rng.next_u64() as i64 >> (64 - 8 * size);
            if value != default && value != 0 {
                break value;
            }
        };
        self.bytes.extend(&value.to_be_bytes()[8 - size..]);
    }

    fn text(&mut self, loud: bool) -> String {
        let most = if self.rng.chance(20) { 200 } else { 10 };
        let length = u64::from(loud) + self.rng.below(most);
        (0..length).map(|_| *self.rng.pick(&['a', 'B', '7', '-', '.', 'ß', '語']).unwrap()).collect()
    }

    fn noise(&mut self, most: u64) {
        let size = self.rng.below(most) as usize;
        self.random(size);
    }

    fn random(&mut self, size: usize) {
        let start = self.bytes.len();
        self.bytes.resize(start + size, 0);
        self.rng.fill(&mut self.bytes[start..]);
    }

    fn optional_length(&mut self, is_null: bool, length: usize, width: Width) {
        match (is_null, width) {
            (false, _) => self.length(length, width),
            (true, Width::Varint(_)) => self.spot(&[0], Width::Varint(1)),
            (true, Width::Two) => self.spot(&[0xff; 2], width),
            (true, Width::Four) => self.spot(&[0xff; 4], width),
        }
    }

    /// A length before its value: compact ones are one more than they say.
    fn length(&mut self, length: usize, width: Width) {
        match width {
            Width::Varint(_) => {
                let bytes = varint(length as u32 + 1);
                self.spot(&bytes, Width::Varint(bytes.len()));
            }
            Width::Two => self.spot(&(length as i16).to_be_bytes(), width),
            Width::Four => self.spot(&(length as i32).to_be_bytes(), width),
        }
    }

    fn spot(&mut self, bytes: &[u8], width: Width) {
        self.spots.push(Spot { at: self.bytes.len(), width });
        self.bytes.extend(bytes);
    }
}
