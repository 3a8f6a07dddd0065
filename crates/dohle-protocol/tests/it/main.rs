//! The wire as a whole: every message in every version, against the schema files, another implementation, and strangers.

#![allow(clippy::unwrap_used, reason = "a test says by failing what went wrong")]

mod allocation;
mod differential;
mod golden;
mod mutation;
mod round_trip;
mod sample;
mod schema;
mod subject;
