//! Fetch: what a consumer is told, and when.

pub(crate) mod session;
