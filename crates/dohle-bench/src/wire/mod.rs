//! The sockets: dialling, asking once, and the link that the loops send over.

pub(crate) mod call;
pub(crate) mod cluster;
pub(crate) mod link;
