//! The workshop: code generation, layers, tidiness, seeds, suites of foreign clients.
//!
//! A library, so that the same checks run as tests: `cargo test` is the gate.

pub mod layers;
pub mod tidy;
pub mod verify;
pub mod workspace;
