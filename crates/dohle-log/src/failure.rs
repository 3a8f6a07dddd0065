//! What the world did to an operation: what was tried, on which path, and why it failed.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A disk that did not do what it was asked for.
#[derive(Debug, Error)]
#[error("{action} {}", path.display())]
pub struct Failure {
    /// What was tried, as a verb.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

impl Failure {
    /// Whether a full disk is all that is wrong: the same can be tried again when there is room.
    pub fn is_for_room(&self) -> bool {
        self.source.kind() == io::ErrorKind::StorageFull
    }

    /// Says what was tried and on what: `.map_err(Failure::of("read", path))`.
    pub(crate) fn of<'p>(action: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> Self + use<'p> {
        move |source| Self { action, path: path.to_owned(), source }
    }
}
