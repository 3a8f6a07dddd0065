//! How much room a disk has.

use std::io;
use std::path::PathBuf;

use crate::volume::Volume;

/// Bytes of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) total: u64,
    /// What a process without privileges may still write.
    pub(crate) usable: u64,
}

impl Volume {
    /// The room on the disk as it is now. Asks the file system.
    pub(crate) fn space(&self) -> io::Result<Space> {
        let found = rustix::fs::statvfs(self.root())?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Space { total: bytes(found.f_blocks), usable: bytes(found.f_bavail) })
    }

    /// Where it is, from the root of the file system on.
    pub(crate) fn path(&self) -> PathBuf {
        std::path::absolute(self.root()).unwrap_or_else(|_| self.root().to_owned())
    }
}
