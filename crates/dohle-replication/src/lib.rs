//! Order and agreement: the machines of a partition's leader, the ledger, and callers that wait.
//!
//! Knows no wire version, no disk, no socket and nothing of what records contain.
