//! The room as its users see it: bytes of other writers, bytes of ours, and bytes of nobody in his right mind.
#![allow(clippy::unwrap_used, reason = "all of this is tests")]

mod check;
mod compaction;
mod differential;
mod golden;
mod hostile;
mod round_trip;
mod support;
mod validate;
