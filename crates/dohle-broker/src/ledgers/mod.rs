//! Machines whose state is the fold of a log that this broker leads: the controller and the coordinators.

pub(crate) mod coordinators;
pub(crate) mod groups;
pub(crate) mod host;
pub(crate) mod journal;
pub(crate) mod load;
pub(crate) mod markers;
pub(crate) mod transactions;
