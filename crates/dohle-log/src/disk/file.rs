//! The disk that is one: files of the operating system, with positioned and vectored calls so that a handle has no position to
//! quarrel about.
//!
//! A handle may rest: then it holds no descriptor, of which a process has few, and takes one again at its next call.
//! Law: a handle rests only when all that was written through it is synced, because an error of the disk is told to descriptors that are open.

use std::fs;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
#[cfg(target_os = "linux")]
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
#[cfg(not(target_os = "linux"))]
use std::time::UNIX_EPOCH;

#[cfg(not(target_os = "linux"))]
use dohle_base::Timestamp;

#[cfg(not(target_os = "linux"))]
use super::Kind;
use super::{Disk, Entry, File};
#[cfg(target_os = "linux")]
use super::{direct, listed, whole};

/// No page is smaller.
#[cfg(target_os = "linux")]
const PAGE_BYTES: u64 = 4 << 10;

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files;

/// A file of the operating system, open unless it rests.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Named>);

#[derive(Debug)]
struct Named {
    path: PathBuf,
    open: RwLock<Option<Arc<fs::File>>>,
    /// Whether what is written goes past the page cache.
    direct: AtomicBool,
}

impl Handle {
    fn new(path: &Path, file: fs::File) -> Self {
        Self(Arc::new(Named {
            path: path.to_owned(),
            open: RwLock::new(Some(Arc::new(file))),
            direct: AtomicBool::new(false),
        }))
    }

    /// The open file; opened again where it rested.
    pub(super) fn wake(&self) -> io::Result<Arc<fs::File>> {
        if let Some(open) = &*self.0.open.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Arc::clone(open));
        }
        let mut place = self.0.open.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &*place {
            return Ok(Arc::clone(open));
        }
        let open = Arc::new(open(&self.0.path)?);
        self.0.direct.store(false, Ordering::Relaxed);
        *place = Some(Arc::clone(&open));
        Ok(open)
    }
}

fn open(path: &Path) -> io::Result<fs::File> {
    open_as(fs::OpenOptions::new().read(true).write(true), path)
}

/// Opens a file so that reading it writes nothing: the system would note when that was, in the inode and so in its journal.
#[cfg(target_os = "linux")]
fn open_as(options: &mut fs::OpenOptions, path: &Path) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    match options.custom_flags(rustix::fs::OFlags::NOATIME.bits() as i32).open(path) {
        // Only the owner of a file may ask for that.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => options.custom_flags(0).open(path),
        opened => opened,
    }
}

#[cfg(not(target_os = "linux"))]
fn open_as(options: &mut fs::OpenOptions, path: &Path) -> io::Result<fs::File> {
    options.open(path)
}

impl Disk for Files {
    type File = Handle;
    type Lock = fs::File;

    fn create(&self, path: &Path) -> io::Result<Handle> {
        let file = open_as(fs::OpenOptions::new().read(true).write(true).create(true).truncate(true), path)?;
        Ok(Handle::new(path, file))
    }

    fn open(&self, path: &Path) -> io::Result<Handle> {
        Ok(Handle::new(path, open(path)?))
    }

    fn open_to_cut(&self, path: &Path) -> Option<Handle> {
        let about = fs::symlink_metadata(path).ok()?;
        let is_ours = about.is_file() && about.nlink() == 1;
        is_ours.then(|| self.open(path).ok()).flatten()
    }

    #[cfg(target_os = "linux")]
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        listed::list(dir)
    }

    #[cfg(not(target_os = "linux"))]
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        fs::read_dir(dir)?.map(|entry| describe(&entry?)).collect()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            done => done,
        }
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    #[cfg(target_os = "linux")]
    fn sync_together(&self, lock: &fs::File, files: &[Handle]) -> Option<io::Result<()>> {
        whole::is_told_of(lock, files).then(|| whole::sync(lock, files))
    }

    #[cfg(not(target_os = "linux"))]
    fn sync_together(&self, _: &fs::File, _: &[Handle]) -> Option<io::Result<()>> {
        None
    }

    fn lock(&self, path: &Path) -> io::Result<fs::File> {
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        Ok(file)
    }
}

#[cfg(not(target_os = "linux"))]
fn describe(entry: &fs::DirEntry) -> io::Result<Entry> {
    // A name that is not text is none of ours: with the replacement characters it matches nothing that we look for.
    let name = entry.file_name().to_string_lossy().into_owned();
    if entry.file_type()?.is_dir() {
        return Ok(Entry { name, kind: Kind::Directory, modified: Timestamp::NONE });
    }
    let about = entry.metadata()?;
    let since = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Entry { name, kind: Kind::File(about.len()), modified: Timestamp(since.as_millis() as i64) })
}

impl File for Handle {
    fn read_some(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.wake()?.read_at(into, at)
    }

    #[cfg(not(target_vendor = "apple"))]
    fn write_some(&self, at: u64, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let file = self.wake()?;
        let written = rustix::io::pwritev(&*file, parts, at);
        #[cfg(target_os = "linux")]
        if written == Err(rustix::io::Errno::INVAL) && self.0.direct.swap(false, Ordering::Relaxed) {
            // That is a refusal: nothing was tried. Some file systems say only now that they cannot go past their cache.
            tracing::info!(path = %self.0.path.display(), "the file system does not write past its cache");
            direct::end(&file)?;
            return Ok(rustix::io::pwritev(&*file, parts, at)?);
        }
        Ok(written?)
    }

    #[cfg(target_vendor = "apple")]
    fn write_some(&self, at: u64, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let file = self.wake()?;
        parts.iter().find(|part| !part.is_empty()).map_or(Ok(0), |part| file.write_at(part, at))
    }

    fn sync(&self) -> io::Result<()> {
        self.wake()?.sync_data()
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.wake()?.set_len(size)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.wake()?.metadata()?.len())
    }

    #[cfg(target_os = "linux")]
    fn reserve(&self, range: Range<u64>) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        match fallocate(&*self.wake()?, FallocateFlags::KEEP_SIZE, range.start, range.end - range.start) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            done => Ok(done?),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn reserve(&self, _: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    fn trim(&self, size: u64) -> io::Result<()> {
        // The size stays what it is; what is behind it goes.
        self.truncate(size)
    }

    #[cfg(target_os = "linux")]
    fn go_direct(&self) {
        let is_direct = self.wake().and_then(|file| direct::begin(&file)).unwrap_or(false);
        self.0.direct.store(is_direct, Ordering::Relaxed);
    }

    #[cfg(target_os = "linux")]
    fn is_in_memory(&self, range: Range<u64>) -> bool {
        use rustix::io::{Errno, ReadWriteFlags, preadv2};
        let Ok(file) = self.wake() else { return true };
        let is_there = |at| {
            let (mut byte, now) = ([0], ReadWriteFlags::NOWAIT);
            preadv2(&*file, &mut [io::IoSliceMut::new(&mut byte)], at, now) != Err(Errno::AGAIN)
        };
        let (first, last) = (range.start, range.end.saturating_sub(1));
        is_there(first) && (last / PAGE_BYTES <= first / PAGE_BYTES || is_there(last))
    }

    #[cfg(target_os = "linux")]
    fn warm(&self, range: Range<u64>) -> io::Result<()> {
        // Who has no such device waits when the bytes are used.
        let Some(nowhere) = nowhere() else { return Ok(()) };
        let (file, mut at) = (self.wake()?, range.start);
        while at < range.end {
            let left = range.end - at;
            if rustix::fs::sendfile(nowhere, &*file, Some(&mut at), left as usize)? == 0 {
                break;
            }
        }
        Ok(())
    }

    fn descriptor(&self) -> Option<Arc<fs::File>> {
        self.wake().ok()
    }

    fn rest(&self) {
        *self.0.open.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Takes all bytes and keeps none. What is sent there is read ahead in pieces that grow, as for everyone who reads on and on, and is not copied;
/// what is asked for by `fadvise` comes page by page, and each page has its own price.
#[cfg(target_os = "linux")]
fn nowhere() -> Option<&'static fs::File> {
    static NOWHERE: OnceLock<Option<fs::File>> = OnceLock::new();
    NOWHERE.get_or_init(|| fs::OpenOptions::new().write(true).open("/dev/null").ok()).as_ref()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use dohle_base::Timestamp;

    use super::super::{Kind, Listing};
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn what_was_warmed_is_read_without_waiting() {
        use rustix::fs::{Advice, fadvise};
        use rustix::io::{ReadWriteFlags, preadv2};
        let dir = tempfile::tempdir().unwrap();
        let file = Files.create(&dir.path().join("a")).unwrap();
        file.write_at(0, &vec![7; 3 << 20], b"").unwrap();
        file.sync().unwrap();
        let open = file.descriptor().unwrap();
        fadvise(&open, 0, None, Advice::DontNeed).unwrap();
        let mut byte = [0];
        let cold = preadv2(&open, &mut [io::IoSliceMut::new(&mut byte)], 0, ReadWriteFlags::NOWAIT);
        // What was asked for may be on its way now, and what lies far behind it is not.
        let far = (2 << 20) + 333..3 << 20;
        assert_eq!(file.is_in_memory(far), cold != Err(rustix::io::Errno::AGAIN));
        file.warm(100..(2 << 20) + 333).unwrap();
        let mut bytes = vec![0; (2 << 20) + 233];
        let read = preadv2(&open, &mut [io::IoSliceMut::new(&mut bytes)], 100, ReadWriteFlags::NOWAIT);
        // A file system that cannot tell has nothing to be tested for.
        assert!(matches!(read, Err(rustix::io::Errno::OPNOTSUPP)) || read == Ok(bytes.len()), "{read:?}");
        assert!(file.is_in_memory(100..(2 << 20) + 333));
        for range in [0..0, (3 << 20) - 1..4 << 20] {
            file.warm(range).unwrap();
        }
    }

    #[test]
    fn what_goes_direct_goes_through_the_cache_where_it_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = Files.create(&dir.path().join("a")).unwrap();
        file.go_direct();
        let is_direct = || file.0.direct.load(Ordering::Relaxed);
        let was_direct = is_direct();
        file.write_at(1, b"no block", b"").unwrap();
        assert!(!is_direct(), "it was refused");
        let mut bytes = [0; 9];
        assert_eq!((file.read_at(0, &mut bytes).unwrap(), &bytes), (9, b"\0no block"));
        file.go_direct();
        assert_eq!(is_direct(), was_direct);
    }

    #[test]
    fn head_and_tail_are_written_as_one_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let file = Files.create(&path).unwrap();
        file.write_at(3, b"head", b"tail").unwrap();
        let mut bytes = [0; 32];
        assert_eq!(file.read_at(0, &mut bytes).unwrap(), 11);
        assert_eq!(&bytes[..11], b"\0\0\0headtail");
        let sectors = || std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&path).unwrap());
        file.reserve(11..1 << 20).unwrap();
        assert_eq!(file.size().unwrap(), 11);
        assert!(sectors() > 2_000 || !cfg!(target_os = "linux"));
        file.trim(11).unwrap();
        assert_eq!(file.size().unwrap(), 11);
        assert!(sectors() < 100);
        file.sync().unwrap();
        assert_eq!(Files.list(dir.path()).unwrap()[0].kind, Kind::File(11));
    }

    #[test]
    fn a_directory_is_listed_with_all_that_is_in_it_and_none_that_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        // More names than one call to the system brings.
        for number in 0..1_500 {
            fs::write(dir.path().join(format!("{number:020}.log")), vec![0; number % 7]).unwrap();
        }
        fs::create_dir(dir.path().join("t-0")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("link")).unwrap();
        let old = UNIX_EPOCH + std::time::Duration::from_millis(1_234);
        fs::File::options()
            .write(true)
            .open(dir.path().join("00000000000000000009.log"))
            .unwrap()
            .set_modified(old)
            .unwrap();
        let mut entries = Files.list(dir.path()).unwrap();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        assert_eq!(entries.len(), 1_502);
        let ninth = Entry { name: "00000000000000000009.log".into(), kind: Kind::File(2), modified: Timestamp(1_234) };
        assert_eq!(entries[9], ninth);
        let folder = Entry { name: "t-0".into(), kind: Kind::Directory, modified: Timestamp::NONE };
        assert_eq!(entries[1_501], folder);
        assert_eq!((&*entries[1_500].name, entries[1_500].kind), ("link", Kind::File(7)));
        let gone = dir.path().join("gone");
        assert!(Listing::of(&Files, &gone).unwrap().is_none());
        assert!(Listing::of(&Files, &dir.path().join("link")).unwrap().is_none(), "no directory");
        assert_eq!(Files.list(&gone).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_read_and_listed_keeps_the_time_at_which_it_was_last_read() {
        let dir = tempfile::tempdir().unwrap();
        let (inner, path) = (dir.path().join("t-0"), dir.path().join("t-0/a"));
        fs::create_dir(&inner).unwrap();
        fs::write(&path, b"bytes").unwrap();
        let old = UNIX_EPOCH + std::time::Duration::from_secs(1_000);
        for path in [&path, &inner] {
            fs::File::open(path).unwrap().set_times(fs::FileTimes::new().set_accessed(old)).unwrap();
        }
        assert_eq!(Files.list(&inner).unwrap().len(), 1);
        assert_eq!(Files.open(&path).unwrap().read_at(0, &mut [0; 5]).unwrap(), 5);
        for path in [&path, &inner] {
            assert_eq!(fs::metadata(path).unwrap().accessed().unwrap(), old, "{}", path.display());
        }
    }

    #[test]
    fn a_file_that_rests_is_opened_again_when_it_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let file = Files.create(&path).unwrap();
        file.write_at(0, b"before", b"").unwrap();
        file.sync().unwrap();
        let other = file.clone();
        file.rest();
        assert!(file.0.open.read().unwrap().is_none());
        other.write_at(6, b" and after", b"").unwrap();
        assert!(file.0.open.read().unwrap().is_some(), "clones are one file");
        let mut bytes = [0; 16];
        assert_eq!((file.read_at(0, &mut bytes).unwrap(), &bytes), (16, b"before and after"));
        file.rest();
        fs::remove_file(&path).unwrap();
        assert_eq!(file.read_some(0, &mut bytes).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_locked_directory_is_refused_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".lock");
        let held = Files.lock(&path).unwrap();
        assert_eq!(Files.lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        Files.lock(&path).unwrap();
    }
}
