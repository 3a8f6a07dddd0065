//! The simulated world: network, disk, clock and clients around the machines, one file per invariant.
//!
//! One thread, one seed, one queue of events. The machines and the log run as they run in the broker; what surrounds them
//! here fails in every way that a bad day knows. A run has two phases: in the storm faults come as the seed draws them,
//! in the calm they stop, and everything must come to rest. [`invariant`] says what must hold in between.
//!
//! There are three worlds: groups and their consumers ([`run`]), transactions and their producers ([`transactions`]), and one partition
//! on one disk ([`storage`]).
//!
//! Knows no thread, no socket, no clock of this machine. The same seed gives the same run, event by event.

pub mod coverage;
pub mod fact;
pub mod invariant;
pub mod run;
pub mod storage;
pub mod transactions;

mod broker;
mod calm;
mod compaction;
mod consumer;
mod network;
mod operator;
mod queue;
mod spoil;
mod trace;
mod weather;
mod world;
