//! The workshop: code generation, layers, tidiness, seeds, suites of foreign clients.
//!
//! A library, so that the same checks run as tests: `cargo test` is the gate.

pub mod layers;
pub mod tidy;
pub mod verify;
pub mod workspace;

use std::path::{Path, PathBuf};

pub mod codegen;
pub mod schema;

/// The root of the workspace that this workshop was built in.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workshop lies in the workspace").to_owned()
}
