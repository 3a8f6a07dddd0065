//! The workshop: code generation, layers, tidiness, seeds, suites of foreign clients.
//!
//! A library, so that the same checks run as tests: `cargo test` is the gate.

pub mod bench;
pub mod codegen;
pub mod crash;
pub mod instructions;
pub mod kafka;
pub mod layers;
pub mod place;
pub mod process;
pub mod schema;
pub mod suites;
pub mod tidy;
pub mod verify;
mod wire;
pub mod workspace;
