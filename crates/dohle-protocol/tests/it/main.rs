//! The wire as a whole: every message in every version, against the schema files, another implementation, and strangers.

mod allocation;
mod differential;
mod golden;
mod mutation;
mod round_trip;
mod sample;
mod schema;
mod subject;
