//! Fetch: what a consumer is told, and when.

pub(crate) mod look;
pub(crate) mod readers;
pub(crate) mod round;
pub(crate) mod session;
pub(crate) mod sessions;
