//! Sockets: who may connect, frames in, answers out.
//!
//! Knows bytes and their order; what a request means is the dispatcher's.

pub(crate) mod budget;
pub(crate) mod frame;
