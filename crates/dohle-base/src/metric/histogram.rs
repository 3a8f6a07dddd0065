//! How values are spread, in buckets that double, each cut in four.

use std::sync::atomic::{AtomicU64, Ordering};

/// Two bits below the leading one tell values apart: an estimate is at most an eighth of its value off.
const CUT_BITS: u32 = 2;
const CUTS: usize = 1 << CUT_BITS;
const BUCKETS: usize = (64 - CUT_BITS as usize) * CUTS + CUTS;

/// The spread of values such as durations in microseconds. Recording costs two relaxed additions.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// What a histogram held at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    buckets: Box<[u64]>,
    /// The sum of all recorded values.
    pub sum: u64,
    /// How many values were recorded.
    pub count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Takes one value in.
    pub fn record(&self, value: u64) {
        self.buckets[bucket_of(value)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Copies the cells; values recorded meanwhile may be in or out.
    pub fn snapshot(&self) -> Snapshot {
        let buckets: Box<[u64]> = self.buckets.iter().map(|cell| cell.load(Ordering::Relaxed)).collect();
        let count = buckets.iter().sum();
        Snapshot { buckets, sum: self.sum.load(Ordering::Relaxed), count }
    }
}

impl Snapshot {
    /// The value below or at which `share` (0 to 1) of all values lie, rounded up to its bucket's end; 0 when empty.
    pub fn quantile(&self, share: f64) -> u64 {
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (place, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return end_of(place) - 1;
            }
        }
        0
    }

    /// How many values were at most `limit`, to the precision of a bucket.
    pub fn at_most(&self, limit: u64) -> u64 {
        self.buckets[..=bucket_of(limit)].iter().sum()
    }
}

fn bucket_of(value: u64) -> usize {
    if value < CUTS as u64 {
        return value as usize;
    }
    let doubling = value.ilog2() - CUT_BITS;
    let cut = (value >> doubling) as usize & (CUTS - 1);
    (doubling as usize + 1) * CUTS + cut
}

/// The first value beyond a bucket; the last bucket ends with the numbers.
fn end_of(bucket: usize) -> u64 {
    if bucket < CUTS {
        return bucket as u64 + 1;
    }
    let doubling = (bucket / CUTS - 1) as u32;
    let cut = (bucket % CUTS + CUTS + 1) as u128;
    u64::try_from(cut << doubling).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_below_the_end_of_its_bucket_and_at_or_above_the_end_of_the_one_before() {
        for value in (0..10_000).chain([1 << 20, (1 << 40) + 12_345, u64::MAX - 1]) {
            let bucket = bucket_of(value);
            assert!(value < end_of(bucket), "{value}");
            assert!(bucket == 0 || value >= end_of(bucket - 1), "{value}");
        }
    }

    #[test]
    fn quantiles_are_near_the_values_that_were_recorded() {
        let histogram = Histogram::default();
        (1..=1_000).for_each(|value| histogram.record(value));
        let snapshot = histogram.snapshot();
        assert_eq!((snapshot.count, snapshot.sum), (1_000, 500_500));
        for (share, exact) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1_000.0)] {
            let estimate = snapshot.quantile(share) as f64;
            assert!((exact..=exact * 1.25).contains(&estimate), "{share}: {estimate}");
        }
        assert_eq!(Histogram::default().snapshot().quantile(0.99), 0);
    }
}
