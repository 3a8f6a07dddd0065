//! A disk in memory that forgets like a real one.
//!
//! What was written and not synced is lost at a power cut in sectors of its own choosing; names that were not synced come back as
//! they were; a failed sync loses its pages for good although a later one succeeds. Every change counts as an operation, so that a test can
//! stop the world after any of them. Two runs with the same calls and the same seed are equal.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dohle_base::{Rng, Timestamp};

use super::{DIRECT_BLOCK, Disk, Entry, File, Kind};

/// What the disk writes in one piece at a power cut.
const SECTOR: usize = 512;
const ROOT: u64 = 0;

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Mutex<State>>);

/// An open file of a [`Memory`] disk.
#[derive(Clone, Debug)]
pub struct MemoryFile {
    disk: Memory,
    inode: u64,
    /// Whether it takes nothing but whole blocks, and gives nothing.
    direct: Arc<AtomicBool>,
}

/// What goes wrong at one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The power goes: this operation may or may not have happened, and none after it does.
    Crash,
    /// The operation fails and changes nothing; a sync loses its pages.
    Error(io::ErrorKind),
    /// A write stops half way and says so; any other operation succeeds.
    Short,
}

/// Keeps a path of a [`Memory`] disk locked.
#[derive(Debug)]
pub struct MemoryLock {
    disk: Memory,
    path: PathBuf,
}

#[derive(Debug, Default)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    inode_next: u64,
    operations: u64,
    faults: BTreeMap<u64, Fault>,
    sync_fails: bool,
    dead: bool,
    space: Option<u64>,
    now: Timestamp,
    locks: BTreeSet<PathBuf>,
}

#[derive(Debug)]
enum Inode {
    File { live: Vec<u8>, durable: Vec<u8>, pending: Vec<Change>, modified: Timestamp },
    Directory { live: BTreeMap<String, u64>, durable: BTreeMap<String, u64>, pending: Vec<Naming> },
}

#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Size(usize),
}

#[derive(Clone, Debug)]
enum Naming {
    Put { name: String, inode: u64 },
    Take { name: String },
    Move { from: String, to: String },
}

impl Default for Memory {
    fn default() -> Self {
        let root = Inode::Directory { live: BTreeMap::new(), durable: BTreeMap::new(), pending: Vec::new() };
        let inodes = BTreeMap::from([(ROOT, root)]);
        Self(Arc::new(Mutex::new(State { inodes, inode_next: ROOT + 1, ..State::default() })))
    }
}

impl Memory {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many changes were asked for so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Makes the operation of this number (the first is 1) go wrong.
    pub fn fail(&self, operation: u64, fault: Fault) {
        self.state().faults.insert(operation, fault);
    }

    /// Makes the next sync of a file fail, whichever operation that is.
    pub fn fail_sync(&self) {
        self.state().sync_fails = true;
    }

    /// Lets nothing go wrong any more that was asked for and has not come yet.
    pub fn forgive(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.sync_fails = false;
    }

    /// What all files together hold, those included whose names are gone.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// Lets files hold no more than this together; a write beyond it stops where the space ends.
    pub fn limit(&self, bytes: Option<u64>) {
        self.state().space = bytes;
    }

    /// The time that files bear which are written from now on.
    pub fn set_time(&self, now: Timestamp) {
        self.state().now = now;
    }

    /// The disk after a power cut: durable content, and of the rest whatever `rng` lets through. Handles of the old disk are dead.
    pub fn crash(&self, rng: &mut Rng) -> Self {
        let mut state = self.state();
        state.dead = true;
        let keep = [0, 500, 1_000][rng.below(3) as usize];
        let inodes = state.inodes.iter().map(|(id, inode)| (*id, inode.after_crash(keep, rng))).collect();
        let after = State { inodes, inode_next: state.inode_next, now: state.now, ..State::default() };
        Self(Arc::new(Mutex::new(after)))
    }

    /// The disk after the process was killed: all that was written is there. Handles of the old disk are dead.
    pub fn kill(&self) -> Self {
        let copy = self.copy();
        self.state().dead = true;
        copy
    }

    /// Another disk that holds the same, with the same still to be made durable.
    pub fn copy(&self) -> Self {
        let state = self.state();
        let inodes = state.inodes.iter().map(|(id, inode)| (*id, inode.copied())).collect();
        let after = State { inodes, inode_next: state.inode_next, now: state.now, ..State::default() };
        Self(Arc::new(Mutex::new(after)))
    }

    /// Changes a file's bytes behind everybody's back, durably: bit rot.
    pub fn edit(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut state = self.state();
        let inode = state.find(path)?;
        let Some(Inode::File { live, durable, pending, .. }) = state.inodes.get_mut(&inode) else {
            return Err(io::ErrorKind::IsADirectory.into());
        };
        change(live);
        durable.clone_from(live);
        pending.clear();
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How an operation ends that was let through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Whole,
    Half,
    /// It happens, but nobody hears of it.
    Crash,
}

impl Ending {
    fn report<T>(self, value: T) -> io::Result<T> {
        match self {
            Self::Whole | Self::Half => Ok(value),
            Self::Crash => Err(powerless()),
        }
    }
}

fn powerless() -> io::Error {
    io::Error::other("the power is gone")
}

impl State {
    fn begin(&mut self) -> io::Result<Ending> {
        if self.dead {
            return Err(powerless());
        }
        self.operations += 1;
        match self.faults.get(&self.operations) {
            None => Ok(Ending::Whole),
            Some(Fault::Short) => Ok(Ending::Half),
            Some(Fault::Error(kind)) => Err((*kind).into()),
            Some(Fault::Crash) => {
                self.dead = true;
                Ok(Ending::Crash)
            }
        }
    }

    fn begin_sync(&mut self) -> io::Result<Ending> {
        if std::mem::take(&mut self.sync_fails) { Err(io::ErrorKind::Other.into()) } else { self.begin() }
    }

    /// What becomes of a file's pages in a sync that ends so.
    fn sync(&mut self, inode: u64, ending: &io::Result<Ending>) -> io::Result<()> {
        let Some(Inode::File { durable, pending, .. }) = self.inodes.get_mut(&inode) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        match ending {
            Ok(Ending::Whole | Ending::Half) => pending.drain(..).for_each(|change| change.apply(durable)),
            // The pages may have reached the disk before the power went: they stay pending for the crash to decide.
            Ok(Ending::Crash) => return Err(powerless()),
            Err(_) => pending.clear(),
        }
        Ok(())
    }

    fn look(&self) -> io::Result<()> {
        if self.dead { Err(powerless()) } else { Ok(()) }
    }

    fn find(&self, path: &Path) -> io::Result<u64> {
        path.components().try_fold(ROOT, |inode, part| match part {
            Component::RootDir | Component::CurDir => Ok(inode),
            Component::Normal(name) => match self.inodes.get(&inode) {
                Some(Inode::Directory { live, .. }) => {
                    live.get(&*name.to_string_lossy()).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
                }
                Some(Inode::File { .. }) | None => Err(io::ErrorKind::NotADirectory.into()),
            },
            Component::ParentDir | Component::Prefix(_) => Err(io::ErrorKind::InvalidInput.into()),
        })
    }

    /// The directory that a path's name is in, and the name.
    fn place(&mut self, path: &Path) -> io::Result<(&mut BTreeMap<String, u64>, &mut Vec<Naming>, String)> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let parent = self.find(parent)?;
        match self.inodes.get_mut(&parent) {
            Some(Inode::Directory { live, pending, .. }) => Ok((live, pending, name.to_string_lossy().into_owned())),
            Some(Inode::File { .. }) | None => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn put(&mut self, path: &Path, new: Inode) -> io::Result<u64> {
        let inode = self.inode_next;
        let (live, pending, name) = self.place(path)?;
        live.insert(name.clone(), inode);
        pending.push(Naming::Put { name, inode });
        self.inode_next += 1;
        self.inodes.insert(inode, new);
        Ok(inode)
    }

    fn take(&mut self, path: &Path) -> io::Result<()> {
        let (live, pending, name) = self.place(path)?;
        live.remove(&name).ok_or(io::ErrorKind::NotFound)?;
        pending.push(Naming::Take { name });
        Ok(())
    }

    fn used(&self) -> u64 {
        let size = |inode: &Inode| match inode {
            Inode::File { live, .. } => live.len() as u64,
            Inode::Directory { .. } => 0,
        };
        self.inodes.values().map(size).sum()
    }
}

impl Inode {
    /// Makes the names in a directory durable.
    fn sync_names(&mut self) {
        if let Self::Directory { live, durable, pending } = self {
            durable.clone_from(live);
            pending.clear();
        }
    }

    fn file(now: Timestamp) -> Self {
        Self::File { live: Vec::new(), durable: Vec::new(), pending: Vec::new(), modified: now }
    }

    fn directory() -> Self {
        Self::Directory { live: BTreeMap::new(), durable: BTreeMap::new(), pending: Vec::new() }
    }

    fn copied(&self) -> Self {
        match self {
            Self::File { live, durable, pending, modified } => Self::File {
                live: live.clone(),
                durable: durable.clone(),
                pending: pending.clone(),
                modified: *modified,
            },
            Self::Directory { live, durable, pending } => {
                Self::Directory { live: live.clone(), durable: durable.clone(), pending: pending.clone() }
            }
        }
    }

    fn after_crash(&self, keep: u64, rng: &mut Rng) -> Self {
        match self {
            Self::File { durable, pending, modified, .. } => {
                let mut bytes = durable.clone();
                pending.iter().for_each(|change| change.survive(&mut bytes, keep, rng));
                Self::File { live: bytes.clone(), durable: bytes, pending: Vec::new(), modified: *modified }
            }
            Self::Directory { durable, pending, .. } => {
                // A file system journals its names: those that survive are the oldest.
                let kept = if keep == 1_000 { pending.len() } else { rng.below(pending.len() as u64 + 1) as usize };
                let kept = if keep == 0 { 0 } else { kept };
                let mut names = durable.clone();
                pending[..kept].iter().for_each(|naming| naming.apply(&mut names));
                Self::Directory { live: names.clone(), durable: names, pending: Vec::new() }
            }
        }
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes: new } => overwrite(bytes, *at, new),
            Self::Size(size) => bytes.resize(*size, 0),
        }
    }

    /// Applies what a power cut lets through: each sector by itself.
    fn survive(&self, bytes: &mut Vec<u8>, keep: u64, rng: &mut Rng) {
        match self {
            Self::Size(size) => {
                if rng.chance(keep) {
                    bytes.resize(*size, 0);
                }
            }
            Self::Write { at, bytes: new } => {
                let mut from = 0;
                while from < new.len() {
                    let upto = (SECTOR - (at + from) % SECTOR + from).min(new.len());
                    if rng.chance(keep) {
                        overwrite(bytes, at + from, &new[from..upto]);
                    }
                    from = upto;
                }
            }
        }
    }
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Put { name, inode } => {
                names.insert(name.clone(), *inode);
            }
            Self::Take { name } => {
                names.remove(name);
            }
            Self::Move { from, to } => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

fn overwrite(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    if bytes.len() < at + new.len() {
        bytes.resize(at + new.len(), 0);
    }
    bytes[at..at + new.len()].copy_from_slice(new);
}

impl Disk for Memory {
    type File = MemoryFile;
    type Lock = MemoryLock;

    fn create(&self, path: &Path) -> io::Result<MemoryFile> {
        let mut state = self.state();
        let ending = state.begin()?;
        let new = Inode::file(state.now);
        let inode = match state.find(path) {
            Ok(there) => {
                let Some(Inode::File { live, pending, .. }) = state.inodes.get_mut(&there) else {
                    return Err(io::ErrorKind::IsADirectory.into());
                };
                live.clear();
                pending.push(Change::Size(0));
                there
            }
            Err(_) => state.put(path, new)?,
        };
        ending.report(MemoryFile::of(self, inode))
    }

    fn open(&self, path: &Path) -> io::Result<MemoryFile> {
        let state = self.state();
        state.look()?;
        let inode = state.find(path)?;
        match state.inodes.get(&inode) {
            Some(Inode::File { .. }) => Ok(MemoryFile::of(self, inode)),
            Some(Inode::Directory { .. }) | None => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn open_to_cut(&self, path: &Path) -> Option<MemoryFile> {
        self.open(path).ok()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let state = self.state();
        state.look()?;
        let inode = state.find(dir)?;
        let Some(Inode::Directory { live, .. }) = state.inodes.get(&inode) else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        let describe = |(name, inode): (&String, &u64)| match &state.inodes[inode] {
            Inode::File { live, modified, .. } => {
                Entry { name: name.clone(), kind: Kind::File(live.len() as u64), modified: *modified }
            }
            Inode::Directory { .. } => Entry { name: name.clone(), kind: Kind::Directory, modified: Timestamp::NONE },
        };
        Ok(live.iter().map(describe).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let ending = state.begin()?;
        assert!(from.parent() == to.parent(), "a name is changed within its directory");
        let Some(new) = to.file_name() else { return Err(io::ErrorKind::InvalidInput.into()) };
        let new = new.to_string_lossy().into_owned();
        let (live, pending, old) = state.place(from)?;
        let inode = live.remove(&old).ok_or(io::ErrorKind::NotFound)?;
        live.insert(new.clone(), inode);
        pending.push(Naming::Move { from: old, to: new });
        ending.report(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let ending = state.begin()?;
        let inode = state.find(path)?;
        if let Some(Inode::Directory { .. }) = state.inodes.get(&inode) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        state.take(path)?;
        ending.report(())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let ending = state.begin()?;
        if let Ok(inode) = state.find(path) {
            return match state.inodes.get(&inode) {
                Some(Inode::Directory { .. }) => ending.report(()),
                Some(Inode::File { .. }) | None => Err(io::ErrorKind::AlreadyExists.into()),
            };
        }
        state.put(path, Inode::directory())?;
        ending.report(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let ending = state.begin()?;
        let inode = state.find(path)?;
        match state.inodes.get(&inode) {
            Some(Inode::Directory { live, .. }) if live.is_empty() => {}
            Some(Inode::Directory { .. }) => return Err(io::ErrorKind::DirectoryNotEmpty.into()),
            Some(Inode::File { .. }) | None => return Err(io::ErrorKind::NotADirectory.into()),
        }
        state.take(path)?;
        ending.report(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        let ending = state.begin()?;
        let inode = state.find(dir)?;
        let Some(inode @ Inode::Directory { .. }) = state.inodes.get_mut(&inode) else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        if ending != Ending::Crash {
            inode.sync_names();
        }
        ending.report(())
    }

    fn sync_together(&self, _: &MemoryLock, files: &[MemoryFile]) -> Option<io::Result<()>> {
        let mut state = self.state();
        let ending = state.begin_sync();
        let synced = files.iter().try_for_each(|file| state.sync(file.inode, &ending));
        if ending.is_ok() && synced.is_ok() {
            state.inodes.values_mut().for_each(Inode::sync_names);
        }
        Some(synced.and(ending.map(drop)))
    }

    fn lock(&self, path: &Path) -> io::Result<MemoryLock> {
        let mut state = self.state();
        state.look()?;
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(MemoryLock { disk: self.clone(), path: path.to_owned() })
    }
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.disk.state().locks.remove(&self.path);
    }
}

impl MemoryFile {
    fn of(disk: &Memory, inode: u64) -> Self {
        Self { disk: disk.clone(), inode, direct: Arc::default() }
    }

    fn is_direct(&self) -> bool {
        self.direct.load(Ordering::Relaxed)
    }
}

impl File for MemoryFile {
    fn read_some(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        if self.is_direct() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let state = self.disk.state();
        state.look()?;
        let Some(Inode::File { live, .. }) = state.inodes.get(&self.inode) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let there = live.get(at as usize..).unwrap_or_default();
        let read = there.len().min(into.len());
        into[..read].copy_from_slice(&there[..read]);
        Ok(read)
    }

    fn write_some(&self, at: u64, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.disk.state();
        let ending = state.begin()?;
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let block = if self.is_direct() { DIRECT_BLOCK } else { 1 };
        let is_aligned =
            |part: &IoSlice<'_>| part.len().is_multiple_of(block) && part.as_ptr().align_offset(block) == 0;
        if !at.is_multiple_of(block as u64) || !parts.iter().all(is_aligned) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if ending == Ending::Half {
            bytes.truncate((bytes.len() / block).div_ceil(2) * block);
        }
        let (used, space, now) = (state.used(), state.space, state.now);
        let Some(Inode::File { live, pending, modified, .. }) = state.inodes.get_mut(&self.inode) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if let Some(space) = space {
            let room = (space.saturating_sub(used) + live.len() as u64).saturating_sub(at) as usize / block * block;
            if room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            bytes.truncate(room);
        }
        let written = bytes.len();
        overwrite(live, at as usize, &bytes);
        pending.push(Change::Write { at: at as usize, bytes });
        *modified = now;
        ending.report(written)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let ending = state.begin_sync();
        state.sync(self.inode, &ending)?;
        ending.map(drop)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let ending = state.begin()?;
        let Some(Inode::File { live, pending, .. }) = state.inodes.get_mut(&self.inode) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        live.resize(size as usize, 0);
        pending.push(Change::Size(size as usize));
        ending.report(())
    }

    fn size(&self) -> io::Result<u64> {
        let state = self.disk.state();
        state.look()?;
        match state.inodes.get(&self.inode) {
            Some(Inode::File { live, .. }) => Ok(live.len() as u64),
            Some(Inode::Directory { .. }) | None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn reserve(&self, _: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    fn trim(&self, size: u64) -> io::Result<()> {
        assert_eq!(self.size()?, size, "what is in the file stays");
        Ok(())
    }

    fn descriptor(&self) -> Option<Arc<fs::File>> {
        None
    }

    fn rest(&self) {}

    fn go_direct(&self) {
        self.direct.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(disk: &Memory, path: &str) -> Option<Vec<u8>> {
        super::super::read_whole(disk, Path::new(path)).unwrap()
    }

    #[test]
    fn what_goes_direct_is_written_in_blocks_and_goes_on_after_a_short_write() {
        let disk = Memory::new();
        let file = disk.create(Path::new("/a")).unwrap();
        file.go_direct();
        let memory = vec![7; 5 * DIRECT_BLOCK];
        let begin = memory.as_ptr().align_offset(DIRECT_BLOCK);
        let blocks = &memory[begin..begin + 3 * DIRECT_BLOCK];
        let refused = |at, bytes| file.write_at(at, bytes, &[]).unwrap_err().kind() == io::ErrorKind::InvalidInput;
        assert!(refused(0, &blocks[..100]) && refused(1, blocks) && refused(0, &memory[begin + 1..][..DIRECT_BLOCK]));
        disk.fail(disk.operations() + 1, Fault::Short);
        file.write_at(0, blocks, &[]).unwrap();
        assert!(file.read_at(0, &mut [0]).is_err());
        assert_eq!(read(&disk, "/a").unwrap(), blocks);
    }

    #[test]
    fn a_power_cut_forgets_what_was_not_synced() {
        let disk = Memory::new();
        let file = disk.create(Path::new("/a")).unwrap();
        file.write_at(0, b"kept", b"").unwrap();
        file.sync().unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        file.write_at(4, b"maybe", b"").unwrap();
        let outcomes: BTreeSet<_> = (0..64).map(|seed| read(&disk.crash(&mut Rng::new(seed)), "/a").unwrap()).collect();
        assert_eq!(outcomes, BTreeSet::from([b"kept".to_vec(), b"keptmaybe".to_vec()]));
        assert_eq!(read(&disk.kill(), "/a").unwrap(), b"keptmaybe");
    }

    #[test]
    fn a_name_is_durable_when_its_directory_is_synced() {
        let disk = Memory::new();
        disk.create(Path::new("/a")).unwrap().sync().unwrap();
        let lost = (0..64).filter(|seed| read(&disk.crash(&mut Rng::new(*seed)), "/a").is_none()).count();
        assert!((1..64).contains(&lost), "{lost}");
        let disk = disk.kill();
        disk.sync_dir(Path::new("/")).unwrap();
        disk.rename(Path::new("/a"), Path::new("/b")).unwrap();
        for seed in 0..64 {
            let after = disk.crash(&mut Rng::new(seed));
            assert_ne!(read(&after, "/a").is_some(), read(&after, "/b").is_some(), "one of the names, never both");
        }
    }

    #[test]
    fn a_failed_sync_loses_its_pages_although_the_next_one_succeeds() {
        let disk = Memory::new();
        let file = disk.create(Path::new("/a")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        file.write_at(0, b"gone", b"").unwrap();
        disk.fail(disk.operations() + 1, Fault::Error(io::ErrorKind::Other));
        file.sync().unwrap_err();
        file.sync().unwrap();
        for seed in 0..16 {
            assert_eq!(read(&disk.crash(&mut Rng::new(seed)), "/a").unwrap(), b"");
        }
    }

    #[test]
    fn a_short_write_is_completed_and_a_full_disk_is_not() {
        let disk = Memory::new();
        let file = disk.create(Path::new("/a")).unwrap();
        disk.fail(2, Fault::Short);
        file.write_at(0, b"head", b"tail").unwrap();
        assert_eq!(read(&disk, "/a").unwrap(), b"headtail");
        disk.limit(Some(10));
        assert_eq!(file.write_at(8, b"more", b"").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(read(&disk, "/a").unwrap(), b"headtailmo");
    }

    #[test]
    fn nothing_happens_after_the_power_is_gone() {
        let disk = Memory::new();
        disk.fail(1, Fault::Crash);
        disk.create(Path::new("/a")).unwrap_err();
        disk.create(Path::new("/b")).unwrap_err();
        assert_eq!(disk.operations(), 1);
        let after = disk.kill();
        assert!(read(&after, "/b").is_none());
        after.create(Path::new("/b")).unwrap();
    }
}
