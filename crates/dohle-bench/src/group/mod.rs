//! A member of a classic group, as far as a benchmark of coordinators needs one: it joins, syncs, beats, and joins again when it
//! is told to. It reads no records.

pub mod member;

pub use member::{Ask, Member, Terms};
