//! A partition's replicas as machines: what was written, what is safe, and who may be told.

mod leader;

pub use leader::{Durability, Effect, Event, Leader};
