//! Which transactions of a segment were aborted, in Kafka's `.txnindex` format (`TransactionIndex`, `AbortedTxn`): what a reader of
//! committed data has to leave out.
//!
//! ```text
//! version i16 = 0 · producer id i64 · first offset i64 · last offset i64 · last stable offset i64
//! ```

use bytes::{Buf, BufMut};
use dohle_base::{Offset, ProducerId};

const VERSION: i16 = 0;
const ENTRY_BYTES: usize = 34;

/// A transaction whose records do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted {
    /// Whose.
    pub producer: ProducerId,
    /// Its first record in the partition.
    pub first: Offset,
    /// Its marker.
    pub last: Offset,
    /// The last stable offset when the marker was written: whoever reads below the first offset of no aborted transaction behind it
    /// need not look further.
    pub last_stable: Offset,
}

impl Aborted {
    fn put(self, bytes: &mut Vec<u8>) {
        bytes.put_i16(VERSION);
        bytes.put_i64(self.producer.0);
        bytes.put_i64(self.first.0);
        bytes.put_i64(self.last.0);
        bytes.put_i64(self.last_stable.0);
    }

    fn get(mut bytes: &[u8]) -> Option<Self> {
        let version = bytes.get_i16();
        let entry = Self {
            producer: ProducerId(bytes.get_i64()),
            first: Offset(bytes.get_i64()),
            last: Offset(bytes.get_i64()),
            last_stable: Offset(bytes.get_i64()),
        };
        // A transaction has a record before its marker.
        (version == VERSION && entry.first < entry.last).then_some(entry)
    }
}

/// Adds what is behind the last of `entries`.
pub(crate) fn extend(entries: &mut Vec<Aborted>, more: &[Aborted]) {
    let known = entries.last().map_or(Offset::NONE, |entry| entry.last);
    entries.extend(more.iter().filter(|entry| entry.last > known));
}

/// The file with these entries.
pub(crate) fn to_bytes(entries: &[Aborted]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    entries.iter().for_each(|entry| entry.put(&mut bytes));
    bytes
}

/// The entries of a file; none when it is damaged.
pub(crate) fn parse(bytes: &[u8]) -> Option<Vec<Aborted>> {
    if !bytes.len().is_multiple_of(ENTRY_BYTES) {
        return None;
    }
    let entries: Option<Vec<_>> = bytes.chunks_exact(ENTRY_BYTES).map(Aborted::get).collect();
    entries.filter(|entries| entries.windows(2).all(|pair| pair[0].last < pair[1].last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_as_it_was_written_and_damage_is_seen() {
        let entry = |last| Aborted {
            producer: ProducerId(7),
            first: Offset(1),
            last: Offset(last),
            last_stable: Offset(last + 1),
        };
        let entries = [entry(5), entry(9)];
        let bytes = to_bytes(&entries);
        assert_eq!(bytes.len(), 68);
        assert_eq!(parse(&bytes), Some(entries.to_vec()));
        assert_eq!(parse(&bytes[..40]), None);
        assert_eq!(parse(&to_bytes(&[entry(9), entry(5)])), None);
        let mut unknown = bytes;
        unknown[1] = 1;
        assert_eq!(parse(&unknown), None);
    }
}
