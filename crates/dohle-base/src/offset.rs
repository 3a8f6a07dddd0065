//! Places in a partition's log.

use std::fmt;
use std::ops::{Add, Sub};

/// The place of a record in its partition, counted from 0. As an end it is exclusive: the offset that comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub i64);

impl Offset {
    /// The first place of every log.
    pub const ZERO: Self = Self(0);
    /// Kafka's "no such offset".
    pub const NONE: Self = Self(-1);

    /// The place after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// How many places lie between `earlier` and this one; 0 when there is none.
    pub fn since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

impl Add<i64> for Offset {
    type Output = Self;

    fn add(self, count: i64) -> Self {
        Self(self.0 + count)
    }
}

impl Sub<i64> for Offset {
    type Output = Self;

    fn sub(self, count: i64) -> Self {
        Self(self.0 - count)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
