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
use crate::invariant::Invariant;

/// All laws, new.
pub fn all() -> Vec<Box<dyn Invariant<Fact>>> {
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
