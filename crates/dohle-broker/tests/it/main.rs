//! The broker in this process, called over a socket as a client would: frames in, frames out.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod broker;
mod client;
mod configs;
mod crash;
mod disks;
mod groups;
mod moves;
mod network;
mod offsets;
mod places;
mod produce_fetch;
mod producer;
mod sessions;
mod topics;
mod transactional_offsets;
mod transactions;
mod upkeep;
mod versions;
