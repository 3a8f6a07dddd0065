//! What must hold of transactions whatever happens, one law a file. Each judges the facts of a run, and each has a test in which a bad
//! run is found out.
//!
//! Where the older protocol itself cannot keep a law ([`misled`]), the law does not ask for it.

mod acked_outcome;
mod acked_write_is_kept;
mod atomic;
mod epoch_monotonic;
mod last_stable;
mod late_touches_nothing;
mod marker_after_outcome;
pub(super) mod misled;

#[cfg(test)]
mod story;

use super::fact::Fact;
use crate::invariant::Look;

/// A law that judges facts as they come.
pub trait Invariant {
    /// The law's name.
    fn name(&self) -> &'static str;

    /// Takes a fact in; says what is wrong if the law is broken by it, and whether there was anything to judge.
    fn judge(&mut self, fact: &Fact) -> Result<Look, String>;
}

/// All laws, new.
pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(acked_outcome::AckedOutcome::default()),
        Box::new(acked_write_is_kept::AckedWriteIsKept::default()),
        Box::new(atomic::Atomic::default()),
        Box::new(epoch_monotonic::EpochMonotonic::default()),
        Box::new(last_stable::LastStable::default()),
        Box::new(late_touches_nothing::LateTouchesNothing::default()),
        Box::new(marker_after_outcome::MarkerAfterOutcome::default()),
    ]
}
