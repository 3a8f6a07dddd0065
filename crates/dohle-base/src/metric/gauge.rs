//! A number that rises and falls.

use std::sync::atomic::{AtomicI64, Ordering};

/// The present amount of something.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Replaces the amount.
    pub fn set(&self, amount: i64) {
        self.0.store(amount, Ordering::Relaxed);
    }

    /// Moves the amount by `difference`, which may be negative.
    pub fn add(&self, difference: i64) {
        self.0.fetch_add(difference, Ordering::Relaxed);
    }

    /// The amount now.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}
