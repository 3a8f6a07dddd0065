//! What a directory of the operating system holds, in as few calls as Linux needs for it: a start looks into every partition's.
//!
//! Owns no promise of its own: what is listed is what `std::fs::read_dir` would list.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::path::Path;

use dohle_base::Timestamp;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, open, statat};
use rustix::io::Errno;

use super::{Entry, Kind};

/// Names that one call brings: all of a partition with hundreds of segments, and a part of a directory of thousands of partitions.
const BUFFER_BYTES: usize = 16 << 10;

pub(super) fn list(dir: &Path) -> io::Result<Vec<Entry>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // As with files: looking writes nothing where that can be asked for.
    let opened = match open(dir, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => open(dir, flags, Mode::empty())?,
        opened => opened?,
    };
    let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
    let mut names = RawDir::new(&opened, &mut buffer);
    let mut entries = vec![];
    while let Some(entry) = names.next() {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            entries.push(describe(&opened, entry.file_name(), entry.file_type())?);
        }
    }
    Ok(entries)
}

fn describe(dir: impl AsFd, name: &CStr, told: FileType) -> io::Result<Entry> {
    // A name that is not text is none of ours: with the replacement characters it matches nothing that we look for.
    let text = name.to_string_lossy().into_owned();
    if told == FileType::Directory {
        return Ok(Entry { name: text, kind: Kind::Directory, modified: Timestamp::NONE });
    }
    let about = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    // Some file systems do not tell with the name.
    if FileType::from_raw_mode(about.st_mode) == FileType::Directory {
        return Ok(Entry { name: text, kind: Kind::Directory, modified: Timestamp::NONE });
    }
    let millis = about.st_mtime.saturating_mul(1_000).saturating_add(about.st_mtime_nsec as i64 / 1_000_000);
    Ok(Entry { name: text, kind: Kind::File(about.st_size as u64), modified: Timestamp(millis.max(0)) })
}
