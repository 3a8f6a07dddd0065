//! Transactions in the simulated world: producers of both protocols, the coordinator behind its partition, the partitions that they write
//! to, and the markers between them.
//!
//! A world of its own beside that of the groups, with the same network, disk, clock and weather. [`invariant`] says what must hold in
//! it, [`edge`] where a run must have been to prove anything.

pub mod edge;
pub mod fact;
pub mod invariant;
pub mod place;
pub mod run;

mod broker;
mod calm;
mod clients;
mod faults;
mod lives;
mod observer;
mod producer;
mod request;
mod watch;
mod world;
