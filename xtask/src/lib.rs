//! The workshop: code generation, layers, tidiness, seeds, suites of foreign clients.

pub mod kafka;
pub mod place;
pub mod process;
pub mod suites;
