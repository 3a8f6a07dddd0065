//! What one loop counted; several are added up.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use dohle_base::ErrorCode;

use crate::histogram::Times;

/// A stretch of the run's time, in nanoseconds since it began. Half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first moment that counts.
    pub begin: u64,
    /// The first that does not count any more.
    pub end: u64,
}

impl Window {
    /// Whether a moment counts.
    pub fn contains(&self, now: u64) -> bool {
        (self.begin..self.end).contains(&now)
    }
}

/// What went over the wire, one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Requests that were answered.
    pub requests: u64,
    /// Records in them.
    pub records: u64,
    /// The bytes of these records' batches.
    pub bytes: u64,
}

impl AddAssign for Flow {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.records += other.records;
        self.bytes += other.bytes;
    }
}

/// What happened since the last second was told.
#[derive(Clone, Debug, Default)]
pub struct Second {
    /// What was acknowledged.
    pub produced: Flow,
    /// What was read.
    pub consumed: Flow,
    /// Errors.
    pub errors: u64,
    /// Of acknowledgements, or end to end where that is measured.
    pub times: Times,
}

/// Everything that a loop counted.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// What was acknowledged within the window.
    pub produced: Flow,
    /// What was read within the window.
    pub consumed: Flow,
    /// Errors by Kafka's name, in the whole run.
    pub errors: BTreeMap<&'static str, u64>,
    /// From the intended start of a request within the window to its answer.
    pub acknowledged: Times,
    /// From the intended start to the consumer.
    pub end_to_end: Times,
    /// How late requests started.
    pub late: Times,
    /// Requests that were due and could not be sent before the end.
    pub unsent: u64,
    /// What is told each second.
    pub second: Second,
}

impl Tally {
    /// Counts an error by its code; whether it is the first of all.
    pub fn refuse(&mut self, code: ErrorCode) -> bool {
        self.fail(code.name())
    }

    /// Counts an error that has no code; whether it is the first of all.
    pub fn fail(&mut self, name: &'static str) -> bool {
        let first = self.errors.is_empty();
        *self.errors.entry(name).or_default() += 1;
        self.second.errors += 1;
        first
    }

    /// Adds what another loop counted.
    pub fn add(&mut self, other: &Self) {
        self.produced += other.produced;
        self.consumed += other.consumed;
        for (name, count) in &other.errors {
            *self.errors.entry(name).or_default() += count;
        }
        self.acknowledged.add(&other.acknowledged);
        self.end_to_end.add(&other.end_to_end);
        self.late.add(&other.late);
        self.unsent += other.unsent;
    }
}

impl Second {
    /// Adds the same second of another loop.
    pub fn add(&mut self, other: &Self) {
        self.produced += other.produced;
        self.consumed += other.consumed;
        self.errors += other.errors;
        self.times.add(&other.times);
    }

    /// What was counted, and a new second.
    pub fn take(&mut self) -> Self {
        let taken = self.clone();
        self.times.clear();
        (self.produced, self.consumed, self.errors) = Default::default();
        taken
    }
}

#[cfg(test)]
mod tests {
    use dohle_base::ErrorCode;

    use super::{Flow, Tally, Window};

    #[test]
    fn what_loops_counted_adds_up() {
        let mut all = Tally::default();
        for _ in 0..2 {
            let mut one = Tally { produced: Flow { requests: 1, records: 2, bytes: 3 }, ..Tally::default() };
            assert!(one.refuse(ErrorCode::NotLeaderOrFollower));
            assert!(!one.refuse(ErrorCode::InvalidRecord));
            one.acknowledged.record(5);
            all.add(&one);
        }
        assert_eq!(all.produced, Flow { requests: 2, records: 4, bytes: 6 });
        assert_eq!(all.errors, [("INVALID_RECORD", 2), ("NOT_LEADER_OR_FOLLOWER", 2)].into());
        assert_eq!(all.acknowledged.count(), 2);
    }

    #[test]
    fn a_window_is_half_open() {
        let window = Window { begin: 5, end: 7 };
        assert_eq!([4, 5, 6, 7].map(|now| window.contains(now)), [false, true, true, false]);
    }
}
