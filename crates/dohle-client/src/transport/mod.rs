//! Connections to brokers, and what is asked over them: the only place of the client that touches sockets and clocks.
//!
//! Owns connections, their versions, reconnection and the cluster's metadata as it is fetched. Decides nothing that
//! `core` can decide.

mod clock;
mod cluster;
mod connection;
mod handshake;
mod network;

pub(crate) use clock::Clock;
pub use cluster::AskError;
pub(crate) use cluster::{Cluster, refuse_unless_none};
pub use connection::CallError;
pub(crate) use connection::Connection;
pub(crate) use network::Lane;
pub use network::{ConnectError, Unreachable};
