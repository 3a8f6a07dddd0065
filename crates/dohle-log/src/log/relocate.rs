//! Going on in another directory: a log that was filled with another's batches ([`Log::append_as_follower`]) becomes that log.
//!
//! Owns what is not in the batches: where the log starts, who led when, what producers have done. Whoever copies knows when the batches are all
//! there, and gives the directory its name.

use std::path::Path;
use std::sync::Arc;

use super::{Log, TruncateError};
use crate::disk::Disk;
use crate::failure::Failure;
use crate::segment::name::Content;
use crate::segment::{self, Sealed};

impl<D: Disk> Log<D> {
    /// Becomes the log of which it holds all batches: the same start, end, epochs and producers. Durable with the next flush. What
    /// others have planned on `source` means nothing here.
    pub fn take_over(&mut self, source: &Self) -> Result<(), TruncateError> {
        assert!(self.end() <= source.end(), "a copy has nothing that its source has not");
        if self.end() < source.end() {
            // Nothing is left of what the last offsets were given to; they are given to nobody else.
            self.roll(source.end(), self.durable.synced_at)?;
        }
        self.epochs.copy(&source.epochs);
        self.advance_start(source.start)?;
        self.producers.clone_from(&source.producers);
        self.options.clone_from(&source.options);
        if self.end().0 > 0 {
            self.write_snapshot(self.end())?;
        }
        self.revision = source.rewritings + 1;
        self.rewritings = self.revision;
        Ok(())
    }

    /// Goes on in `dir`, the name that its directory has now. Everything is durable, and nobody else has seen the log under the other name.
    pub fn relocate(&mut self, dir: &Path) -> Result<(), Failure> {
        assert!(self.synced() == self.end() && !self.durable.flushing, "a log is moved at rest");
        let path = segment::path(dir, self.active.base, Content::Log);
        self.active.file = self.disk.open(&path).map_err(Failure::of("open", &path))?;
        self.dir = dir.into();
        let relocated = |segment: &Arc<Sealed>| Arc::new(segment.relocated(self.dir.clone(), self.revision));
        self.sealed = self.sealed.iter().map(relocated).collect();
        Ok(())
    }
}
