//! Which partition a record goes to: the key's, as every Java client computes it, or the one that is being filled (KIP-480, KIP-794).

use std::collections::BTreeMap;

use dohle_base::{Partition, Rng, TopicName};

/// Kafka's hash of a key (`org.apache.kafka.common.utils.Utils.murmur2`): equal keys meet in one partition whoever sends them.
pub fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const MIX: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ key.len() as u32;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(MIX);
        mixed ^= mixed >> 24;
        hash = hash.wrapping_mul(MIX) ^ mixed.wrapping_mul(MIX);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0_u32, |tail, byte| tail << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(MIX);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MIX);
    hash ^ hash >> 15
}

/// The partition of a key among `count` partitions. A topic without partitions has none.
pub fn keyed(key: &[u8], count: usize) -> Partition {
    assert!(count > 0, "a topic has at least one partition");
    Partition(((murmur2(key) & 0x7fff_ffff) as usize % count) as i32)
}

/// Places records without a key: one partition of a topic is filled with a batch's worth of bytes, then another is drawn.
#[derive(Clone, Debug)]
pub struct Sticky {
    batch_bytes: usize,
    rng: Rng,
    filling: BTreeMap<TopicName, Filling>,
}

#[derive(Clone, Copy, Debug)]
struct Filling {
    partition: Partition,
    bytes: usize,
}

impl Sticky {
    /// Changes the partition each time that `batch_bytes` went to it.
    pub fn new(batch_bytes: usize, rng: Rng) -> Self {
        Self { batch_bytes, rng, filling: BTreeMap::new() }
    }

    /// The partition for a record of `bytes`, among those of `count` that can be written to, or among all when none can.
    pub fn place(
        &mut self,
        topic: &TopicName,
        bytes: usize,
        count: usize,
        is_led: impl Fn(Partition) -> bool,
    ) -> Partition {
        let batch_bytes = self.batch_bytes;
        let goes_on = |filling: &Filling| {
            filling.bytes < batch_bytes && (filling.partition.0 as usize) < count && is_led(filling.partition)
        };
        if let Some(filling) = self.filling.get_mut(topic).filter(|filling| goes_on(filling)) {
            filling.bytes += bytes;
            return filling.partition;
        }
        let partition = self.draw(count, is_led);
        self.filling.insert(topic.clone(), Filling { partition, bytes });
        partition
    }

    fn draw(&mut self, count: usize, is_led: impl Fn(Partition) -> bool) -> Partition {
        let led: Vec<Partition> = (0..count as i32).map(Partition).filter(|partition| is_led(*partition)).collect();
        let any = Partition(self.rng.below(count.max(1) as u64) as i32);
        self.rng.pick(&led).copied().unwrap_or(any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hash_as_in_java() {
        // The values are those that Kafka's own client computes.
        let cases = [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, hash) in cases {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn records_without_a_key_fill_one_partition_at_a_time() {
        let topic = TopicName::parse("t").unwrap();
        let mut sticky = Sticky::new(100, Rng::new(3));
        let places: Vec<i32> = (0..60).map(|_| sticky.place(&topic, 10, 6, |_| true).0).collect();
        for run in places.chunks(10) {
            assert!(run.iter().all(|place| *place == run[0]), "{places:?}");
        }
        assert!(places.iter().collect::<std::collections::BTreeSet<_>>().len() > 1);
    }

    #[test]
    fn a_partition_without_a_leader_is_left() {
        let topic = TopicName::parse("t").unwrap();
        let mut sticky = Sticky::new(1_000, Rng::new(1));
        assert_eq!(sticky.place(&topic, 1, 3, |partition| partition.0 == 2), Partition(2));
        assert_eq!(sticky.place(&topic, 1, 3, |partition| partition.0 == 0), Partition(0));
        assert!((0..3).contains(&sticky.place(&topic, 1, 3, |_| false).0));
    }
}
