//! Sockets: who may connect, frames in, answers out.
//!
//! Knows bytes and their order; what a request means is the dispatcher's.

pub(crate) mod answers;
pub(crate) mod budget;
pub(crate) mod connection;
pub(crate) mod frame;
pub(crate) mod listener;
pub(crate) mod outbox;
pub(crate) mod peer;
