//! One file that is written and synced in the place of many: acknowledgements of dozens of logs wait for one write then, and their own files
//! follow when there is time.
//!
//! Owns files of entries beside the directories of partitions, and knows of a log no more than its name and what is not durable of it. What was written to a
//! file is needed until every log has it in its own files ([`Written::release`]); after a stop that came before that, [`Left`] gives
//! it back to the logs that lack it.
//!
//! Laws: an entry is durable when [`Journal::write`] comes back; a file that is written anew begins with its new number, and an entry bears the number
//! and the place that it was written for, so that nothing old is taken for something new, and what its file's first entry bears that nobody could
//! guess, so that nothing that a client wrote is taken for an entry. Whoever cuts a log's end back makes all logs
//! durable and releases all files first: an entry of what was cut off would come back.

mod buffer;
mod entry;
mod left;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use dohle_base::{Rng, TopicId};

use self::buffer::Buffer;
use crate::directory::PartitionName;
use crate::disk::{Disk, File};
use crate::failure::Failure;
use crate::log::Unsynced;

pub use left::{Left, Pieces};

/// One is written to while what is in the other is written back.
const FILES: u64 = 2;
/// More than this is not gathered into one entry, unless one log alone has more.
const ENTRY_BYTES: usize = 1 << 20;
/// A buffer that has grown beyond this is given back.
const BUFFER_BYTES_MAX: usize = 4 << 20;

/// The journal of a directory of logs, as long as one process writes it.
#[derive(Debug)]
pub struct Journal<D: Disk> {
    disk: D,
    root: PathBuf,
    /// The file that is written to, once there is one.
    file: Option<Open<D::File>>,
    /// The number of the next file.
    next: u64,
    /// The file that is written to after that, if it is there.
    ready: Option<Ready<D::File>>,
    buffer: Buffer,
    rng: Rng,
}

#[derive(Clone, Debug)]
struct Open<F> {
    number: u64,
    /// What a client cannot guess who writes what looks like an entry.
    salt: u64,
    file: F,
    size: u64,
}

/// Batches of a log, and whose they are.
pub struct Piece<'a, D: Disk> {
    /// The partition.
    pub name: &'a PartitionName,
    /// Its topic: another of the same name gets nothing of it.
    pub topic: TopicId,
    /// What is not durable of it.
    pub batches: &'a Unsynced<D>,
}

/// A file that is not written to any more, to be [released](Written::release) when it is not needed.
#[derive(Debug)]
#[must_use = "a file that is not released is never written again"]
pub struct Written<D: Disk> {
    disk: D,
    root: PathBuf,
    number: u64,
}

/// A file that is to be written anew.
#[derive(Debug)]
pub struct Ready<F>(Open<F>);

impl<D: Disk> Journal<D> {
    /// A journal in a directory of logs, beside the files that are there.
    pub fn beside(disk: D, root: &Path, left: &Left<D>, rng: Rng) -> Self {
        Self {
            disk,
            root: root.to_owned(),
            file: None,
            next: left.next_number(),
            ready: None,
            buffer: Buffer::default(),
            rng,
        }
    }

    /// How many bytes the file has that is written to.
    pub fn size(&self) -> u64 {
        self.file.as_ref().map_or(0, |open| open.size)
    }

    /// Makes batches durable. When only room is missing, nothing has happened.
    pub fn write(&mut self, pieces: &[Piece<'_, D>]) -> Result<(), Failure> {
        let Open { number, salt, file, size: begin } = self.open()?;
        let (path, mut rest, mut at) = (path(&self.root, number), pieces, begin);
        let failed = |action| Failure::of(action, &path);
        while !rest.is_empty() {
            let count = gathered(rest);
            let (some, others) = rest.split_at(count);
            entry::encode(number, salt, at, some, &mut self.buffer).map_err(failed("gather for"))?;
            file.write_at(at, self.buffer.bytes(), &[]).map_err(failed("write"))?;
            at += self.buffer.len() as u64;
            rest = others;
        }
        // Whatever the reason, it is not for want of room that can be waited for: what was not written nobody knows.
        file.sync().map_err(io::Error::other).map_err(failed("sync"))?;
        self.file = Some(Open { number, salt, file, size: at });
        if self.buffer.capacity() > BUFFER_BYTES_MAX {
            self.buffer = Buffer::default();
        }
        Ok(())
    }

    /// Begins another file with the next write. The one before it has to be ready by then.
    pub fn turn(&mut self) -> Option<Written<D>> {
        let Open { number, .. } = self.file.take()?;
        Some(Written { disk: self.disk.clone(), root: self.root.clone(), number })
    }

    /// Takes back a file that was released: it follows the one that is written to.
    pub fn take_back(&mut self, ready: Ready<D::File>) {
        self.ready = Some(ready);
    }

    /// The file that is written to; the one that is ready, or a new one, where there is none.
    fn open(&mut self) -> Result<Open<D::File>, Failure> {
        if let Some(open) = &self.file {
            return Ok(open.clone());
        }
        let mut open = match self.ready.take() {
            Some(Ready(open)) => open,
            None => self.create(self.next)?,
        };
        self.next = open.number + 1;
        open.salt = self.rng.next_u64();
        self.file = Some(open.clone());
        Ok(open)
    }

    fn create(&self, number: u64) -> Result<Open<D::File>, Failure> {
        let path = path(&self.root, number);
        let file = self.disk.create(&path).map_err(Failure::of("create", &path))?;
        file.go_direct();
        self.disk.sync_dir(&self.root).map_err(Failure::of("sync", &self.root))?;
        Ok(Open { number, salt: 0, file, size: 0 })
    }
}

impl<D: Disk> Written<D> {
    /// Makes the file ready to be written anew: every log has in its own files what is in it. It is to follow the next one.
    pub fn release(self) -> Result<Ready<D::File>, Failure> {
        let number = self.number + FILES;
        let (from, to) = (path(&self.root, self.number), path(&self.root, number));
        self.disk.rename(&from, &to).map_err(Failure::of("rename", &from))?;
        let file = self.disk.open(&to).map_err(Failure::of("open", &to))?;
        file.go_direct();
        self.disk.sync_dir(&self.root).map_err(Failure::of("sync", &self.root))?;
        Ok(Ready(Open { number, salt: 0, file, size: 0 }))
    }
}

/// How many of the next pieces go into one entry.
fn gathered<D: Disk>(pieces: &[Piece<'_, D>]) -> usize {
    let mut bytes = 0;
    let fits = |piece: &&Piece<'_, D>| {
        bytes += piece.batches.size() as usize;
        bytes <= ENTRY_BYTES
    };
    pieces.iter().take_while(fits).count().max(1)
}

const SUFFIX: &str = ".journal";

fn path(root: &Path, number: u64) -> PathBuf {
    root.join(format!("{number:020}{SUFFIX}"))
}

/// The number of a file of this name, if it is one of a journal.
fn number(name: &str) -> Option<u64> {
    let number = name.strip_suffix(SUFFIX)?.parse().ok()?;
    (format!("{number:020}{SUFFIX}") == name).then_some(number)
}
