//! Reads of what is probably not in the page cache: past it, so that the kernel neither looks for pages nor copies them, and throws
//! nothing out that others want.
//!
//! Owns the choice. What is in the page cache is taken from there: one page that is looked for without waiting tells. A look
//! for a page that is not there makes the kernel fetch it, so it is one page, and not the same one for the next reader.
//! Laws: where a file system does not read directly, or cannot read without waiting, a file is read as any other. What was written and is
//! dirty still is seen: the kernel writes it out before it reads.

use std::fs;
use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use rustix::fs::OFlags;
use rustix::io::{Errno, ReadWriteFlags};

use super::buffer::{ALIGN, Buffer};
use super::{File, Handle};

/// Shorter ranges are read through the page cache: the kernel reads ahead there, which is worth more than a copy.
pub(super) const DIRECT_BYTES_MIN: usize = 128 << 10;
/// Makes a walk over all remainders that looks like none: 2^64 divided by the golden ratio.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// Grows with each look, so that the next one is elsewhere.
static LOOKS: AtomicU64 = AtomicU64::new(0);

/// The second descriptor of a file, which reads past the page cache.
#[derive(Debug, Default)]
pub(super) struct Direct(RwLock<Descriptor>);

#[derive(Clone, Debug, Default)]
enum Descriptor {
    #[default]
    Closed,
    Open(Arc<fs::File>),
    /// There is none: the file system does not read directly.
    Refused,
}

impl Direct {
    /// Gives the descriptor back. That there is none to be had is kept in mind.
    pub(super) fn rest(&self) {
        let mut place = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Descriptor::Open(_) = *place {
            *place = Descriptor::Closed;
        }
    }

    /// The descriptor, of the same file as `file` whatever bears its name by now; none where there is none to be had.
    fn wake(&self, file: &fs::File) -> Option<Arc<fs::File>> {
        let place = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        match place {
            Descriptor::Open(file) => return Some(file),
            Descriptor::Refused => return None,
            Descriptor::Closed => {}
        }
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let opened = fs::OpenOptions::new().read(true).custom_flags(OFlags::DIRECT.bits() as i32).open(path);
        let direct = opened.ok().map(Arc::new);
        let descriptor = direct.clone().map_or(Descriptor::Refused, Descriptor::Open);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = descriptor;
        direct
    }

    fn refuse(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Descriptor::Refused;
    }

    fn is_refused(&self) -> bool {
        matches!(*self.0.read().unwrap_or_else(PoisonError::into_inner), Descriptor::Refused)
    }
}

/// The first `size` bytes at `at`; fewer where the file ends.
pub(super) fn read(handle: &Handle, direct: &Direct, at: u64, size: usize) -> io::Result<Bytes> {
    if size < DIRECT_BYTES_MIN || direct.is_refused() {
        return handle.read_bytes(at, size);
    }
    let file = handle.wake()?;
    let mut buffer = Buffer::of(at, size);
    let Some(mut done) = resident(&file, at, buffer.wanted())? else {
        direct.refuse();
        return handle.read_bytes(at, size);
    };
    if size - done >= DIRECT_BYTES_MIN
        && let Some(file) = direct.wake(&file)
    {
        // What was read of the first block is read again.
        let (before, blocks) = buffer.blocks_behind(done);
        match unless_refused(fill(&file, at + done as u64 - before as u64, blocks))? {
            Some(read) => return Ok(buffer.into_bytes(done + read.saturating_sub(before))),
            None => direct.refuse(),
        }
    }
    done += handle.read_at(at + done as u64, &mut buffer.wanted()[done..])?;
    Ok(buffer.into_bytes(done))
}

/// Reads as many bytes as are in the page cache, and says how many; none when the file system cannot tell.
fn resident(file: &fs::File, at: u64, into: &mut [u8]) -> io::Result<Option<usize>> {
    let place = LOOKS.fetch_add(STRIDE, Ordering::Relaxed) % into.len() as u64;
    let mut done = match unless_waiting(file, at + place, &mut [0])? {
        Some(1) => 0,
        told => return Ok(told),
    };
    while done < into.len() {
        match unless_waiting(file, at + done as u64, &mut into[done..])? {
            Some(0) => break,
            Some(read) => done += read,
            None => return Ok(None),
        }
    }
    Ok(Some(done))
}

/// Reads what can be had without waiting: 0 where nothing can, or the file ends; none when the file system cannot tell.
fn unless_waiting(file: &fs::File, at: u64, into: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        match rustix::io::preadv2(file, &mut [IoSliceMut::new(into)], at, ReadWriteFlags::NOWAIT) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(Some(0)),
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => return Ok(None),
            done => return Ok(Some(done?)),
        }
    }
}

/// Reads until `into` is full or the file ends. A direct read that falls short anywhere else than at a block's end is at the file's.
fn fill(file: &fs::File, at: u64, into: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < into.len() && done.is_multiple_of(ALIGN) {
        match file.read_at(&mut into[done..], at + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// None where the file system does not read directly.
fn unless_refused<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::INVAL | Errno::OPNOTSUPP)) => Ok(None),
        done => done.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use dohle_base::Rng;
    use rustix::fs::{Advice, fadvise};

    use super::super::{Disk, Files};
    use super::*;

    const SIZE: usize = (3 << 20) + 777;

    fn written(dir: &tempfile::TempDir) -> (Handle, Vec<u8>) {
        let mut bytes = vec![0; SIZE];
        Rng::new(7).fill(&mut bytes);
        let file = Files.create(&dir.path().join("a")).unwrap();
        file.write_at(0, &bytes, &[]).unwrap();
        (file, bytes)
    }

    fn forget(file: &Handle) {
        file.sync().unwrap();
        fadvise(file.descriptor().unwrap(), 0, None, Advice::DontNeed).unwrap();
    }

    fn is_closed(direct: &Direct) -> bool {
        matches!(*direct.0.read().unwrap(), Descriptor::Closed)
    }

    #[test]
    fn any_range_is_read_as_it_would_be_through_the_page_cache_whatever_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let (file, bytes) = written(&dir);
        let refused = Direct(RwLock::new(Descriptor::Refused));
        let direct = Direct::default();
        let mut rng = Rng::new(1);
        for round in 0..300 {
            if round % 3 == 0 {
                forget(&file);
            }
            let at = rng.below(SIZE as u64 + 5_000);
            let size = 1 + rng.below(1 << 20) as usize;
            let expected = &bytes[SIZE.min(at as usize)..SIZE.min(at as usize + size)];
            for way in [&direct, &refused] {
                assert!(read(&file, way, at, size).unwrap() == expected, "{size} at {at} in round {round}");
            }
        }
        assert!(!is_closed(&direct));
        direct.rest();
        assert!(is_closed(&direct) || direct.is_refused());
    }

    #[test]
    fn what_is_in_the_page_cache_or_short_is_not_read_directly() {
        let dir = tempfile::tempdir().unwrap();
        let (file, bytes) = written(&dir);
        let direct = Direct::default();
        assert_eq!(read(&file, &direct, 5, 1 << 20).unwrap(), bytes[5..5 + (1 << 20)]);
        assert!(is_closed(&direct) || direct.is_refused(), "it was written a moment ago");
        forget(&file);
        assert_eq!(read(&file, &direct, 5, DIRECT_BYTES_MIN - 1).unwrap(), bytes[5..DIRECT_BYTES_MIN + 4]);
        assert!(is_closed(&direct) || direct.is_refused());
    }

    #[test]
    fn what_is_not_written_out_yet_is_seen_and_what_was_cut_off_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (file, mut bytes) = written(&dir);
        let direct = Direct::default();
        let mut rng = Rng::new(3);
        for _ in 0..20 {
            forget(&file);
            let at = rng.below(SIZE as u64 - 10_000) as usize;
            bytes[at..at + 9_000].fill(at as u8);
            file.write_at(at as u64, &bytes[at..at + 9_000], &[]).unwrap();
            assert!(read(&file, &direct, 100, SIZE).unwrap() == bytes[100..]);
        }
        forget(&file);
        file.truncate(1_000_001).unwrap();
        assert!(read(&file, &direct, 100, SIZE).unwrap() == bytes[100..1_000_001]);
        assert!(read(&file, &direct, 1_000_001, SIZE).unwrap().is_empty());
    }

    #[test]
    fn a_file_whose_name_another_bears_is_what_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (file, bytes) = written(&dir);
        forget(&file);
        fs::write(dir.path().join("b"), vec![0; SIZE]).unwrap();
        fs::rename(dir.path().join("b"), dir.path().join("a")).unwrap();
        assert!(read(&file, &Direct::default(), 0, SIZE).unwrap() == bytes);
    }
}
