//! What stands in the records that are produced.

use dohle_base::Rng;

/// Words of the text payload: it packs about as well as log lines do.
const WORDS: &[&str] = &[
    "jackdaw",
    "order",
    "payment",
    "sensor",
    "accepted",
    "refused",
    "warehouse",
    "2026-11-25T12:00:00Z",
    "temperature",
    "customer",
    "GET",
    "POST",
    "/api/v1/items",
    "status=200",
    "status=503",
    "latency_ms=12",
    "the",
    "of",
    "and",
    "INFO",
];
/// The same bytes in every run.
const SEED: u64 = 0x0d0_41e;

/// Where values come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Bytes that no codec can pack.
    Random,
    /// Words, which pack well.
    Text,
    /// These, one a record and from the front again at the end; the size of a record is theirs. At least one.
    Lines(Vec<Vec<u8>>),
}

/// A row of values.
#[derive(Debug)]
pub struct Values<'a> {
    payload: &'a Payload,
    size: usize,
    rng: Rng,
    line: usize,
}

impl<'a> Values<'a> {
    /// Values of `size` bytes, unless they are lines.
    pub fn new(payload: &'a Payload, size: usize) -> Self {
        Self { payload, size, rng: Rng::new(SEED), line: 0 }
    }

    /// Writes the next value in the place of what `into` holds.
    pub fn next_into(&mut self, into: &mut Vec<u8>) {
        into.clear();
        match self.payload {
            Payload::Random => {
                into.resize(self.size, 0);
                self.rng.fill(into);
            }
            Payload::Text => {
                while into.len() < self.size {
                    into.extend_from_slice(WORDS[self.rng.below(WORDS.len() as u64) as usize].as_bytes());
                    into.push(b' ');
                }
                into.truncate(self.size);
            }
            Payload::Lines(lines) => {
                into.extend_from_slice(&lines[self.line]);
                self.line = (self.line + 1) % lines.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Payload, Values};

    #[test]
    fn values_have_the_size_that_was_asked_for() {
        let mut value = vec![];
        for payload in [Payload::Random, Payload::Text] {
            let mut values = Values::new(&payload, 100);
            values.next_into(&mut value);
            let first = value.clone();
            values.next_into(&mut value);
            assert_eq!((first.len(), value.len()), (100, 100));
            assert_ne!(first, value);
        }
    }

    #[test]
    fn lines_begin_again_at_their_end() {
        let lines = Payload::Lines(vec![b"a".to_vec(), b"bc".to_vec()]);
        let mut values = Values::new(&lines, 7);
        let mut taken = vec![];
        for _ in 0..3 {
            let mut value = vec![];
            values.next_into(&mut value);
            taken.push(value);
        }
        assert_eq!(taken, [&b"a"[..], b"bc", b"a"]);
    }
}
