//! How much room a disk has, and what is refused before it has none.
//!
//! Owns the low-water mark and the reserve: below the mark clients' batches are refused while everything else goes on (reads, retention, offsets
//! of groups, the metadata); when the rest is nearly gone as well, the reserve is given back so that the broker can go on, and start, without
//! losing what it leads. There is room again as soon as somebody makes some; nobody has to restart anything.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use dohle_log::disk::{Disk, File, Files};

use crate::volume::Volume;

/// The file that holds the reserve.
const RESERVE_FILE: &str = ".reserve";
/// The mark where nobody sets one: this part of the disk within these bounds, but no more than a quarter of it. What has to fit below it (offsets of
/// groups, metadata, the batches between two looks) does not grow with the disk.
const MARK_PART: u64 = 20;
const MARK_LEAST: u64 = 1 << 30;
const MARK_MOST: u64 = 5 << 30;
const MARK_MOST_PART: u64 = 4;
/// The reserve is at most this part of the disk.
const RESERVE_MOST_PART: u64 = 256;
/// Batches are taken again when there is so much more room than the mark asks for, so that the answer does not waver.
const RETURN_PART: i64 = 10;

/// Bytes of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) total: u64,
    /// What a process without privileges may still write.
    pub(crate) usable: u64,
}

/// What an operator wants to be left free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Below this many bytes batches are refused; none leaves it to the size of the disk.
    pub(crate) free_min: Option<u64>,
    /// How large the reserve is to be.
    pub(crate) reserve: u64,
}

impl Limits {
    /// Below how many free bytes of a disk batches are refused.
    pub(crate) fn mark(&self, total: u64) -> u64 {
        self.free_min.unwrap_or_else(|| (total / MARK_PART).clamp(MARK_LEAST, MARK_MOST).min(total / MARK_MOST_PART))
    }

    fn reserve(&self, total: u64) -> u64 {
        self.reserve.min(total / RESERVE_MOST_PART)
    }
}

/// The room of one disk, as it was at the last look and as batches have taken of it since.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// Bytes above the mark.
    above: AtomicI64,
    low: AtomicBool,
}

impl Room {
    /// Takes room for a batch; false when there is none, and nothing is taken.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        if self.is_low() || self.above.load(Ordering::Relaxed) < bytes as i64 {
            return false;
        }
        self.above.fetch_sub(bytes as i64, Ordering::Relaxed);
        true
    }

    /// Whether batches are refused.
    pub(crate) fn is_low(&self) -> bool {
        self.low.load(Ordering::Relaxed)
    }

    /// Notes what a look has found; says whether that is news.
    fn note(&self, space: Space, mark: u64) -> bool {
        let (usable, mark) = (bytes(space.usable), bytes(mark));
        let wanted = if self.is_low() { mark.saturating_add(mark / RETURN_PART) } else { mark };
        let low = usable < wanted;
        self.above.store(usable.saturating_sub(mark), Ordering::Relaxed);
        self.low.swap(low, Ordering::Relaxed) != low
    }
}

fn bytes(of: u64) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}

impl Volume {
    /// The room on the disk as it is now. Asks the file system.
    pub(crate) fn space(&self) -> io::Result<Space> {
        space(self.root())
    }

    /// Where it is, from the root of the file system on.
    pub(crate) fn path(&self) -> PathBuf {
        std::path::absolute(self.root()).unwrap_or_else(|_| self.root().to_owned())
    }

    /// Looks how much room there is, and goes by it from now on.
    pub(crate) fn look_at_space(&self, limits: &Limits) {
        let space = match self.space() {
            Ok(space) => space,
            Err(error) => {
                return tracing::warn!(dir = %self.root().display(), "nobody says how full the disk is: {error}");
            }
        };
        let mark = limits.mark(space.total);
        if self.room.note(space, mark) {
            let (dir, free) = (self.root().display(), space.usable);
            if self.room.is_low() {
                tracing::error!(%dir, free, mark, "the disk is nearly full: batches of clients are refused until there is room");
            } else {
                tracing::info!(%dir, free, mark, "there is room again: batches of clients are taken");
            }
        }
        self.keep_reserve(space, mark, limits.reserve(space.total));
    }

    /// Holds a reserve while there is room, gives it back when there is next to none.
    fn keep_reserve(&self, space: Space, mark: u64, reserve: u64) {
        let path = self.root().join(RESERVE_FILE);
        let done = if space.usable < reserve / 2 {
            give_back(self.root(), &path)
        } else if space.usable > mark.saturating_add(2 * reserve) && reserve > 0 && !path.exists() {
            Files.create(&path).and_then(|file| file.reserve(0..reserve))
        } else {
            Ok(())
        };
        if let Err(error) = done {
            // What cannot be reserved is not there when it is needed; nothing else is wrong.
            tracing::warn!(path = %path.display(), "no space is reserved: {error}");
        }
    }
}

/// Makes room for a start on a disk that has next to none, before anything is written to it.
pub(crate) fn make_room(root: &Path, limits: &Limits) {
    let Ok(space) = space(root) else { return };
    if space.usable < limits.reserve(space.total) / 2
        && let Err(error) = give_back(root, &root.join(RESERVE_FILE))
    {
        tracing::warn!(dir = %root.display(), "the reserve is not given back: {error}");
    }
}

fn space(root: &Path) -> io::Result<Space> {
    let found = rustix::fs::statvfs(root)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Space { total: bytes(found.f_blocks), usable: bytes(found.f_bavail) })
}

fn give_back(root: &Path, path: &Path) -> io::Result<()> {
    match Files.remove(path) {
        Ok(()) => {
            tracing::warn!(dir = %root.display(), "the disk is full: the reserve is given back");
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_mark_is_a_part_of_the_disk_within_bounds_unless_it_is_set() {
        let limits = Limits { free_min: None, reserve: 64 << 20 };
        for (total, mark) in [
            (4000 * GIB, 5 * GIB),
            (60 * GIB, 3 * GIB),
            (10 * GIB, GIB),
            (2 * GIB, GIB / 2),
            (64 << 20, 16 << 20),
            (0, 0),
        ] {
            assert_eq!(limits.mark(total), mark, "{total}");
        }
        assert_eq!(Limits { free_min: Some(7), ..limits }.mark(GIB), 7);
        assert_eq!((limits.reserve(GIB), limits.reserve(100 * GIB)), (4 << 20, 64 << 20));
    }

    #[test]
    fn batches_are_taken_down_to_the_mark_and_again_when_there_is_some_room_above_it() {
        let room = Room::default();
        assert!(!room.take(1), "before the first look nothing is taken");
        let space = |usable| Space { total: 10_000, usable };
        assert!(!room.note(space(1_500), 1_000));
        assert!(room.take(400));
        assert!(!room.take(101), "what was taken since the last look counts");
        assert!(room.take(100));
        assert!(room.note(space(999), 1_000) && room.is_low());
        assert!(!room.note(space(1_050), 1_000) && !room.take(1), "a little room is not enough");
        assert!(room.note(space(1_100), 1_000) && room.take(100));
    }

    #[test]
    fn the_reserve_is_given_back_for_a_start_on_a_full_disk_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(RESERVE_FILE);
        std::fs::write(&path, "").unwrap();
        make_room(dir.path(), &Limits { free_min: None, reserve: 64 << 20 });
        assert!(path.exists(), "there is room");
        make_room(dir.path(), &Limits { free_min: None, reserve: u64::MAX });
        assert!(path.exists(), "a reserve is a small part of a disk");
        give_back(dir.path(), &path).unwrap();
        give_back(dir.path(), &path).unwrap();
        assert!(!path.exists());
    }
}
