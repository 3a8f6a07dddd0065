//! Order and agreement: the machine of a partition's leader, the ledger, and callers that wait.
//!
//! Knows no wire version, no disk, no socket and nothing of what records contain.

pub mod ledger;
pub mod partition;
pub mod waiting;
