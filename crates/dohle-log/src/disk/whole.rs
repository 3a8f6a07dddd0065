//! A whole file system made durable with one call, where the system tells whether it was.
//!
//! Law: nothing counts as synced on the word of a system that would keep a page which could not be written to itself.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

use super::{File, Handle};

/// Since this release of Linux `syncfs` tells of whatever could not be written: of pages, whenever that was, and of the file system's journal.
const TELLS_FROM: (u32, u32) = (5, 17);
/// ext2 to ext4, XFS. Others, such as an overlay of two, pass on what their own pages went through, and not those below them.
const TELL: [i64; 2] = [0xef53, 0x5846_5342];

/// Whether [`sync`] speaks for all these files.
pub(super) fn is_told_of(lock: &fs::File, files: &[Handle]) -> bool {
    let device = |file: &fs::File| file.metadata().map(|about| about.dev()).ok();
    let Some(here) = device(lock) else { return false };
    let is_here = |file: &Handle| file.wake().is_ok_and(|file| device(&file) == Some(here));
    system_tells() && file_system_tells(lock) && files.iter().all(is_here)
}

/// Makes the file system of `lock` durable; an error since `lock` was opened is told once. One of the files is synced by itself as well, which
/// has nothing left to write: that empties the disk's cache where the file system has not, and fails on one that has turned read-only.
pub(super) fn sync(lock: &fs::File, files: &[Handle]) -> io::Result<()> {
    rustix::fs::syncfs(lock)?;
    files.last().map_or(Ok(()), File::sync)
}

fn file_system_tells(lock: &fs::File) -> bool {
    rustix::fs::fstatfs(lock).is_ok_and(|about| TELL.contains(&about.f_type))
}

fn system_tells() -> bool {
    static TELLS: OnceLock<bool> = OnceLock::new();
    *TELLS.get_or_init(|| release(&rustix::system::uname().release().to_string_lossy()) >= TELLS_FROM)
}

/// The first two numbers of a release; zeros for what is none.
fn release(name: &str) -> (u32, u32) {
    let mut numbers = name.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_told_by_its_numbers() {
        for (name, numbers) in
            [("6.18.44-x", (6, 18)), ("5.8-rc1", (5, 8)), ("4.19.0", (4, 19)), ("", (0, 0)), ("x", (0, 0))]
        {
            assert_eq!(release(name), numbers, "{name}");
        }
    }
}
