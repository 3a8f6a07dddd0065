//! Metric cells: owned by the thing that they measure, written without locks or look-ups, read by whoever exports them.
//!
//! Knows no name, no label and no format.

mod counter;
mod gauge;
mod histogram;

pub use counter::Counter;
pub use gauge::Gauge;
pub use histogram::{Histogram, Snapshot};
