//! Counters that fence the past: whoever carries the smaller one is late.

use std::fmt;

/// The reign of a partition's leader, raised by the controller at each election (KIP-101, KIP-320).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaderEpoch(pub i32);

impl LeaderEpoch {
    /// "Not known" or "do not check", as the protocol writes it.
    pub const NONE: Self = Self(-1);

    /// The reign after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The life of a producer under one producer id (KIP-98, KIP-360).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerEpoch(pub i16);

impl ProducerEpoch {
    /// A producer without idempotence.
    pub const NONE: Self = Self(-1);
}

impl fmt::Display for LeaderEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ProducerEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
