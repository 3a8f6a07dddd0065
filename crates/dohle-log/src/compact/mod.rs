//! Compaction: of each key the last record stays (`LogCleaner`, `Cleaner`).
//!
//! Owns the choice of the log and the range ([`choose`]), of the segments that become one ([`group`]), of what stays of a batch (`filter`), and
//! the worker that reads and writes ([`Job`], [`Pass`]). The log itself only hands out its closed segments and swaps them for
//! rewritten ones, under its lock; everything else happens outside of it, on files that nobody writes to.
//!
//! Laws: order and offsets never change; what lies at or above the last stable offset, in the segment that is written to, or above the recovery
//! point on the disk is not touched; an interrupted pass leaves either the old segments or the new one.

pub mod choose;
pub mod keys;

mod fates;
mod filter;
mod group;
mod job;
mod pass;
mod target;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

use dohle_base::Offset;
use dohle_records::batch::decode::Malformed;
use thiserror::Error;

use crate::failure::Failure;
use crate::segment::Damage;

pub use choose::Dirt;
pub(crate) use job::Taken;
pub use job::{Job, Survey};
pub use keys::KeyMap;
pub use pass::{Figures, Pass};
pub use target::Rewritten;

/// Asked after every batch, with the bytes that were moved since it was asked last: whether to go on. It may take its time, which is
/// how a rate is kept.
pub type GoOn<'a> = dyn FnMut(u64) -> bool + 'a;

/// Why a pass ends early. What it has swapped before stays.
#[derive(Debug, Error)]
pub enum CompactError {
    /// The caller wanted it to end.
    #[error("compaction was stopped")]
    Stopped,
    /// Segments were dropped or cut meanwhile: the next pass finds what is there then.
    #[error("the log has changed under the compaction")]
    Moved,
    /// A batch is not what its checksum was made of, in no order, or cut off. Nothing can be said about what it held: the log stays as it
    /// is.
    #[error("segment {segment}: {damage} at {position}")]
    Damaged {
        /// The first offset of the segment.
        segment: Offset,
        /// Where in its file.
        position: u64,
        /// What is wrong.
        damage: Damage,
    },
    /// The records of a sound batch cannot be read.
    #[error("segment {segment}: {malformed} in the batch at {position}")]
    Malformed {
        /// The first offset of the segment.
        segment: Offset,
        /// Where in its file.
        position: u64,
        /// What is wrong.
        malformed: Malformed,
    },
    /// What is left of a batch or of a segment does not fit its format.
    #[error("segment {segment}: what is left does not fit a segment")]
    TooLarge {
        /// The first offset of the segment.
        segment: Offset,
    },
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] Failure),
}

impl CompactError {
    fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::Moved,
            _ => Self::Storage(Failure::of(action, path)(source)),
        }
    }
}
