//! What a log needs of a disk: positioned reads and writes, files made durable, names made durable.
//!
//! Owns the promise, not a disk: [`Files`] keeps it on a file system, [`Memory`] in memory with the faults of a bad day.
//! What a call wrote may be forgotten by a power cut until [`File::sync`] came back; a name that was created, renamed or removed
//! may be forgotten until [`Disk::sync_dir`] came back. Knows nothing of segments.

#[cfg(target_os = "linux")]
mod direct;
mod file;
#[cfg(target_os = "linux")]
mod listed;
mod listing;
mod memory;
mod read_only;
#[cfg(target_os = "linux")]
mod whole;

use std::fs;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dohle_base::Timestamp;

pub use file::{Files, Handle};
pub use listing::Listing;
pub use memory::{Fault, Memory, MemoryFile};
pub use read_only::{ReadHandle, ReadOnly};

/// What goes past the page cache is whole blocks of so many bytes, in the file and in memory.
pub const DIRECT_BLOCK: usize = 4 << 10;

/// A place that keeps named files in directories. Clones are the same place.
pub trait Disk: Clone + Send + Sync + 'static {
    /// An open file.
    type File: File;
    /// A directory kept from others for as long as this lives.
    type Lock: Send + Sync + 'static;

    /// A file for reading and writing, empty: what bore the name before is replaced.
    fn create(&self, path: &Path) -> io::Result<Self::File>;
    /// An existing file, for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Self::File>;
    /// An existing file to be made shorter before its name is removed: none where it is known by other names too, where its name is a link, or where it
    /// cannot be written to.
    fn open_to_cut(&self, path: &Path) -> Option<Self::File>;
    /// What a directory holds, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Gives a file or directory another name in the same directory; a file of that name is replaced, in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory; one that is there already is left as it is. Its parent must exist.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes durable what was written to all these files, and all names, with one call to the system, and says how that ended: after an
    /// error none of them may be relied on. None, and nothing is done, where the system has no call that would tell of every failure since `lock` was
    /// taken, or where a file is not on the disk of `lock`.
    fn sync_together(&self, lock: &Self::Lock, files: &[Self::File]) -> Option<io::Result<()>>;
    /// Keeps `path` from every other process and every other call, or says that someone else has it (`WouldBlock`).
    fn lock(&self, path: &Path) -> io::Result<Self::Lock>;
}

/// An open file: a cheap handle; clones are the same file, and threads may share it.
pub trait File: Clone + Send + Sync + 'static {
    /// Reads some bytes from `at` on; 0 at the end of the file.
    fn read_some(&self, at: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Writes the first of these bytes at `at`, and says how many.
    fn write_some(&self, at: u64, parts: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Makes what was written durable. After an error nothing written since the last success may be relied on, ever.
    fn sync(&self) -> io::Result<()>;
    /// Cuts or grows the file to this size.
    fn truncate(&self, size: u64) -> io::Result<()>;
    /// The size in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Asks for the space of these bytes without changing the file's size; a disk that cannot does nothing.
    fn reserve(&self, range: Range<u64>) -> io::Result<()>;
    /// Gives back the space that is reserved behind the file's end, which is `size`.
    fn trim(&self, size: u64) -> io::Result<()>;
    /// For `sendfile`: none where there is no file of the operating system. Open for as long as it is held.
    fn descriptor(&self) -> Option<Arc<fs::File>>;
    /// Gives back what the open file costs until the next call. Only when all that was written is synced.
    fn rest(&self);

    /// Lets what is written go past the page cache, where the disk can do that, until it [rests](Self::rest). Whole blocks of [`DIRECT_BLOCK`] are written then
    /// from memory that begins at one, and nothing is read through this handle.
    fn go_direct(&self) {}

    /// Whether these bytes can be read without waiting for the disk, as far as the first and the last of them tell; yes where the disk cannot say.
    fn is_in_memory(&self, _range: Range<u64>) -> bool {
        true
    }

    /// Waits until these bytes are in memory; does nothing where the disk cannot do that.
    fn warm(&self, _range: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    /// Writes all of both parts one after the other, in one call to the disk unless it falls short.
    fn write_at(&self, at: u64, head: &[u8], tail: &[u8]) -> io::Result<()> {
        let size = head.len() + tail.len();
        let mut done = 0;
        while done < size {
            let both =
                [IoSlice::new(&head[done.min(head.len())..]), IoSlice::new(&tail[done.saturating_sub(head.len())..])];
            // An empty part would be one more that has to begin at a block.
            let rest = match (done < head.len(), tail.is_empty()) {
                (true, false) => &both[..],
                (true, true) => &both[..1],
                (false, _) => &both[1..],
            };
            match self.write_some(at + done as u64, rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => done += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads until `into` is full or the file ends, and says how many bytes that were.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < into.len() {
            match self.read_some(at + done as u64, &mut into[done..]) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name without its directory.
    pub name: String,
    /// What bears it.
    pub kind: Kind,
    /// When the file was last written, [`Timestamp::NONE`] for a directory.
    pub modified: Timestamp,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file of this many bytes.
    File(u64),
    /// A directory.
    Directory,
}

/// The longest file that is read in one piece: checkpoints, snapshots, indexes. A longer one is damage.
pub const WHOLE_FILE_MAX: u64 = 256 << 20;

/// Reads a small file in one piece; none when there is no such file.
pub fn read_whole<D: Disk>(disk: &D, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let size = file.size()?;
    read_all(&file, path, size).map(Some)
}

/// Reads a small file in one piece of which is known that it is there and how long it is. An empty one costs no call to the disk.
pub(crate) fn read_sized<D: Disk>(disk: &D, path: &Path, size: u64) -> io::Result<Vec<u8>> {
    if size == 0 { Ok(Vec::new()) } else { read_all(&disk.open(path)?, path, size) }
}

fn read_all(file: &impl File, path: &Path, size: u64) -> io::Result<Vec<u8>> {
    if size > WHOLE_FILE_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} has {size} bytes", path.display())));
    }
    let mut bytes = vec![0; size as usize];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Writes a file and makes its content durable; its name is durable after the directory's [`Disk::sync_dir`].
pub fn write_synced<D: Disk>(disk: &D, path: &Path, bytes: &[u8]) -> io::Result<()> {
    write(disk, path, bytes)?.sync()
}

/// Writes a file, which is then to be synced.
pub fn write<D: Disk>(disk: &D, path: &Path, bytes: &[u8]) -> io::Result<D::File> {
    let file = disk.create(path)?;
    file.write_at(0, bytes, &[])?;
    Ok(file)
}

/// Puts `bytes` in the place of a file so that a crash leaves the old content or the new: temporary file, sync, rename, sync of the
/// directory.
pub fn replace<D: Disk>(disk: &D, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary(path);
    write_synced(disk, &temporary, bytes)?;
    disk.rename(&temporary, path)?;
    match path.parent() {
        Some(dir) => disk.sync_dir(dir),
        None => Ok(()),
    }
}

/// What a file is called that is to take the place of another.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    beside(path, ".tmp")
}

/// The same path with something added to its name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes a file that may be gone already.
pub(crate) fn remove_if_there<D: Disk>(disk: &D, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
