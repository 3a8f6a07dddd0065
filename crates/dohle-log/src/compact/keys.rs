//! Where the last record of each key lies (`OffsetMap`, `SkimpyOffsetMap`), in memory that is bounded for any number of keys.
//!
//! A key is known by 128 bits of hash, as in Kafka. Two keys with the same bits would be taken for one, and the older record lost: for ten
//! million keys the chance of one such pair is below one in 10^24. Kafka hashes with MD5, for which pairs can be made; here the hash is keyed
//! with a secret of the process, so nobody can make one. An entry takes 20 bytes (Kafka: 24): offsets count in 32 bits from the first of
//! the pass. A full map ends the pass there; the next pass takes the keys behind.

use std::hash::{BuildHasher, Hasher, RandomState};

use dohle_base::Offset;

/// Hash in four words, and one more than the distance from the first offset; all zero where nothing is.
type Slot = [u32; 5];

/// What an entry takes.
pub const SLOT_BYTES: u64 = size_of::<Slot>() as u64;

/// The offset of the last record of each key in a stretch of a log.
pub struct KeyMap {
    /// Entries lie at or behind where their hash points, those from further away first ("Robin Hood"): so a look-up for a key that is not there ends
    /// soon, although the map is nearly full.
    slots: Vec<Slot>,
    hashers: [RandomState; 2],
    len: usize,
    bytes_max: u64,
    /// How full it may be, in percent: `log.cleaner.io.buffer.load.factor`.
    load_percent: u64,
    first: Offset,
}

/// How far an offset may lie from the first.
const REACH_MAX: u64 = u32::MAX as u64 - 1;

impl KeyMap {
    /// A map that never takes more than `bytes_max`, and nothing as long as it is empty.
    pub fn new(bytes_max: u64, load_percent: u64) -> Self {
        assert!(bytes_max >= SLOT_BYTES * 2, "a map without room for a key compacts nothing");
        assert!((1..100).contains(&load_percent), "a search ends at a free place");
        let hashers = [RandomState::new(), RandomState::new()];
        Self { slots: Vec::new(), hashers, len: 0, bytes_max, load_percent, first: Offset::ZERO }
    }

    /// Empties it for offsets from `first` on, of which `records_max` at most will come.
    pub fn begin(&mut self, first: Offset, records_max: u64) {
        let wanted = records_max.saturating_mul(100) / self.load_percent + 2;
        let slots = wanted.min(self.bytes_max / SLOT_BYTES) as usize;
        self.release();
        self.slots = vec![[0; 5]; slots];
        self.first = first;
    }

    /// Gives its memory back.
    pub fn release(&mut self) {
        self.slots = Vec::new();
        self.len = 0;
    }

    /// How many keys it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The memory that it takes now.
    pub fn bytes(&self) -> u64 {
        self.slots.len() as u64 * SLOT_BYTES
    }

    /// Notes that a record with this key lies at `offset`, which is not before those noted. False when the map is full and the key is new: nothing
    /// is noted then.
    #[must_use]
    pub fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let distance = offset.since(self.first);
        if distance > REACH_MAX {
            return false;
        }
        let place = distance as u32 + 1;
        let hash = self.hash(key);
        match self.find(&hash) {
            Ok(at) => self.slots[at][4] = place,
            Err(_) if self.len as u64 * 100 >= self.slots.len() as u64 * self.load_percent => return false,
            Err(at) => self.insert(at, [hash[0], hash[1], hash[2], hash[3], place]),
        }
        true
    }

    /// The offset of the last record that was noted with this key.
    pub fn get(&self, key: &[u8]) -> Option<Offset> {
        if self.is_empty() {
            return None;
        }
        let at = self.find(&self.hash(key)).ok()?;
        Some(self.first + i64::from(self.slots[at][4] - 1))
    }

    fn hash(&self, key: &[u8]) -> [u32; 4] {
        let [high, low] = [0, 1].map(|which| {
            let mut hasher = self.hashers[which].build_hasher();
            hasher.write(key);
            hasher.finish()
        });
        [(high >> 32) as u32, high as u32, (low >> 32) as u32, low as u32]
    }

    /// Where the hash is, or where it would have to be put.
    fn find(&self, hash: &[u32; 4]) -> Result<usize, usize> {
        let mut at = self.home(hash);
        let mut distance = 0;
        loop {
            let there = &self.slots[at];
            if there[4] == 0 || self.distance(there, at) < distance {
                return Err(at);
            }
            if there[..4] == hash[..] {
                return Ok(at);
            }
            at = self.behind(at);
            distance += 1;
        }
    }

    /// Puts an entry at `at` and moves those on that lie nearer to where they belong.
    fn insert(&mut self, mut at: usize, mut entry: Slot) {
        self.len += 1;
        let mut distance = self.distance(&entry, at);
        while self.slots[at][4] != 0 {
            let theirs = self.distance(&self.slots[at], at);
            if theirs < distance {
                std::mem::swap(&mut self.slots[at], &mut entry);
                distance = theirs;
            }
            at = self.behind(at);
            distance += 1;
        }
        self.slots[at] = entry;
    }

    fn home(&self, hash: &[u32]) -> usize {
        let high = u64::from(hash[0]) << 32 | u64::from(hash[1]);
        ((u128::from(high) * self.slots.len() as u128) >> 64) as usize
    }

    fn distance(&self, slot: &Slot, at: usize) -> usize {
        let home = self.home(&slot[..4]);
        if at >= home { at - home } else { at + self.slots.len() - home }
    }

    fn behind(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }
}

impl std::fmt::Debug for KeyMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The hashers are a secret.
        f.debug_struct("KeyMap").field("len", &self.len).field("slots", &self.slots.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use dohle_base::Rng;

    use super::*;

    #[test]
    fn it_remembers_the_last_offset_of_each_key_like_a_plain_map() {
        let mut rng = Rng::new(7);
        for (slots, load) in [(2, 50), (3, 90), (100, 90), (1_000, 99)] {
            let mut map = KeyMap::new(slots * SLOT_BYTES, load);
            map.begin(Offset(1_000), u64::MAX);
            let mut plain: BTreeMap<u64, Offset> = BTreeMap::new();
            for n in 0..5_000 {
                let (key, offset) = (rng.below(slots * 2), Offset(1_000 + n));
                if map.put(&key.to_be_bytes(), offset) {
                    plain.insert(key, offset);
                } else {
                    assert!(!plain.contains_key(&key), "a known key always finds its place");
                    assert!(plain.len() as u64 * 100 >= slots * load);
                }
            }
            assert_eq!(map.len(), plain.len());
            assert!(map.bytes() <= slots * SLOT_BYTES);
            for key in 0..slots * 2 {
                assert_eq!(map.get(&key.to_be_bytes()), plain.get(&key).copied());
            }
        }
    }

    #[test]
    fn it_takes_no_more_memory_than_the_records_need_and_none_when_released() {
        let mut map = KeyMap::new(1 << 30, 90);
        assert_eq!((map.bytes(), map.get(b"k")), (0, None));
        map.begin(Offset(0), 9);
        assert_eq!(map.bytes(), 12 * SLOT_BYTES);
        assert!((0..9u8).all(|key| map.put(&[key], Offset(i64::from(key)))));
        map.begin(Offset(5), 9);
        assert!(map.is_empty() && map.get(&[0]).is_none());
        assert!(!map.put(b"far", Offset(5 + i64::from(u32::MAX))), "too far from the first");
        assert!(map.put(b"far", Offset(4 + i64::from(u32::MAX))));
        map.release();
        assert_eq!(map.bytes(), 0);
    }
}
