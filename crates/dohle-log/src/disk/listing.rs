//! What lies in a directory, as it was found in one look: whoever opens what is there asks the disk neither whether a file is there nor how
//! long it is.
//!
//! Law for whoever relies on it: nobody else writes to the directory, and it was looked at after the last change of his own.

use std::io;
use std::path::Path;

use super::{Disk, Entry, Kind, read_sized};

/// The names in a directory, in no order.
#[derive(Clone, Debug, Default)]
pub struct Listing(Vec<Entry>);

impl Listing {
    /// Looks into a directory; none when it is not there.
    pub fn of<D: Disk>(disk: &D, dir: &Path) -> io::Result<Option<Self>> {
        match disk.list(dir) {
            Ok(entries) => Ok(Some(Self(entries))),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All of them.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// The size of a file; none where there is none.
    pub(crate) fn size_of(&self, name: &str) -> Option<u64> {
        self.0.iter().find_map(|entry| match entry.kind {
            Kind::File(size) if entry.name == name => Some(size),
            Kind::File(_) | Kind::Directory => None,
        })
    }

    /// All of a small file in `dir`, which is where this was found; none where there is none.
    pub(crate) fn read<D: Disk>(&self, disk: &D, dir: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.size_of(name).map(|size| read_sized(disk, &dir.join(name), size)).transpose()
    }
}
