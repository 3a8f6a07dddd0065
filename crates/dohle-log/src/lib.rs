//! Durability of one partition on one disk, synchronous, through the [`Disk`](disk::Disk) trait, in Kafka's file formats.
//!
//! Knows no replica, no request, no thread and no clock: it is given `now`. A [`Log`](log::Log) is used under its partition's lock; what may
//! wait for the disk comes out of it as a value that is run outside: a [`Flush`](log::Flush), a [`Plan`](log::Plan) and its
//! [`Slice`](log::Slice), a [`Removal`](removal::Removal).

pub mod compact;
pub mod directory;
pub mod disk;
pub mod epochs;
pub mod fuzzing;
pub mod inspect;
pub mod journal;
pub mod log;
pub mod options;
pub mod producers;
pub mod removal;
pub mod retain;
pub mod scrub;

mod checkpoint;
mod failure;
mod recover;
mod segment;

pub use checkpoint::Corrupt;
pub use failure::Failure;
pub use segment::{Aborted, Damage};
