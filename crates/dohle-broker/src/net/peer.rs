//! Who is at the other end of a connection.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::listeners::Listener;

/// What is known of the other end.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Where it called from.
    pub(crate) address: SocketAddr,
    /// Where it called.
    pub(crate) listener: Arc<Listener>,
    /// What it says that it is (KIP-511).
    pub(crate) software: RefCell<Software>,
}

/// A client library and its version, empty where it did not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Software {
    pub(crate) name: String,
    pub(crate) version: String,
}
