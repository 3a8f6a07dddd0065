//! Files of the operating system for whoever only looks: what would change them is refused here, so that a look at a foreign directory
//! cannot harm it, and works where writing is not permitted.

use std::fs;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::{Disk, Entry, File, Files};

/// The file system, to be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOnly;

/// An open file of the operating system, to be read.
#[derive(Clone, Debug)]
pub struct ReadHandle(Arc<fs::File>);

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for ReadOnly {
    type File = ReadHandle;
    type Lock = fs::File;

    fn create(&self, _: &Path) -> io::Result<ReadHandle> {
        refused()
    }

    fn open(&self, path: &Path) -> io::Result<ReadHandle> {
        Ok(ReadHandle(Arc::new(fs::File::open(path)?)))
    }

    fn open_to_cut(&self, _: &Path) -> Option<ReadHandle> {
        None
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        Files.list(dir)
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn sync_together(&self, _: &fs::File, _: &[ReadHandle]) -> Option<io::Result<()>> {
        None
    }

    /// Does not make the file: where there is none, nobody has the directory.
    fn lock(&self, path: &Path) -> io::Result<fs::File> {
        let file = fs::File::open(path)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        Ok(file)
    }
}

impl File for ReadHandle {
    fn read_some(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(into, at)
    }

    fn write_some(&self, _: u64, _: &[IoSlice<'_>]) -> io::Result<usize> {
        refused()
    }

    fn sync(&self) -> io::Result<()> {
        refused()
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        refused()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn reserve(&self, _: Range<u64>) -> io::Result<()> {
        refused()
    }

    fn trim(&self, _: u64) -> io::Result<()> {
        refused()
    }

    fn descriptor(&self) -> Option<Arc<fs::File>> {
        Some(Arc::clone(&self.0))
    }

    fn rest(&self) {}
}
