//! Fetch: what a consumer is told, and when.

pub(crate) mod gather;
pub(crate) mod readers;
pub(crate) mod session;
