//! What a process that has stopped has left in its journal, for the logs that lack it.
//!
//! Law: the files stay until every log that is named in them has been opened and is durable, however many starts that takes; what a log has
//! already is passed over, so that it may be given what is left any number of times.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use dohle_base::{Timestamp, TopicId};

use super::{entry, number, path};
use crate::disk::{Disk, File, Kind, remove_if_there};
use crate::failure::Failure;
use crate::log::{AppendError, LoadError, Log};
use crate::segment::scan::{CHUNK_LARGE, Damage, Found, Scan, Stopped};

/// The files of a journal that were there at the start, and of whom something is in them.
#[derive(Debug)]
pub struct Left<D: Disk> {
    disk: D,
    root: PathBuf,
    numbers: Vec<u64>,
    /// By the name of the partition's directory.
    waiting: BTreeMap<String, Pieces<D::File>>,
    /// Those that were taken and are not durable yet.
    taken: BTreeSet<String>,
}

/// Batches of a partition, in the order in which they were written.
#[derive(Debug)]
pub struct Pieces<F>(Vec<Kept<F>>);

#[derive(Debug)]
struct Kept<F> {
    file: F,
    number: u64,
    topic: TopicId,
    range: Range<u64>,
}

impl<D: Disk> Left<D> {
    /// Reads what is there. Of partitions that are gone nothing is kept.
    pub fn read(disk: D, root: &Path) -> Result<Self, Failure> {
        let entries = disk.list(root).map_err(Failure::of("list", root))?;
        let directories = entries.iter().filter(|entry| entry.kind == Kind::Directory);
        let present: BTreeSet<&str> = directories.map(|entry| entry.name.as_str()).collect();
        let mut numbers: Vec<u64> = entries.iter().filter_map(|entry| number(&entry.name)).collect();
        numbers.sort_unstable();
        let mut waiting: BTreeMap<String, Pieces<D::File>> = BTreeMap::new();
        for number in &numbers {
            let path = path(root, *number);
            let file = disk.open(&path).map_err(Failure::of("open", &path))?;
            let end = file.size().map_err(Failure::of("look at", &path))?;
            let mut at = 0;
            while let Some((found, next)) = entry::read(&file, *number, at, end).map_err(Failure::of("read", &path))? {
                for found in found.into_iter().filter(|found| present.contains(found.name.as_str())) {
                    let kept = Kept { file: file.clone(), number: *number, topic: found.topic, range: found.range };
                    waiting.entry(found.name).or_insert_with(|| Pieces(vec![])).0.push(kept);
                }
                at = next;
            }
        }
        Ok(Self { disk, root: root.to_owned(), numbers, waiting, taken: BTreeSet::new() })
    }

    /// For how many partitions something is there.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.taken.len()
    }

    /// Whether nothing is needed any more.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is there for the log in the directory of this name, once.
    pub fn take(&mut self, name: &str) -> Option<Pieces<D::File>> {
        let pieces = self.waiting.remove(name)?;
        self.taken.insert(name.to_owned());
        Some(pieces)
    }

    /// Notes that a log is durable with all that was there for it. With the last one the files go.
    pub fn settle(&mut self, name: &str) -> Result<(), Failure> {
        self.taken.remove(name);
        if self.is_empty() { self.remove() } else { Ok(()) }
    }

    /// Removes the files that were written beside these: everything is durable without them.
    pub fn remove_others(&self) -> Result<(), Failure> {
        let entries = self.disk.list(&self.root).map_err(Failure::of("list", &self.root))?;
        let mut others = entries.iter().filter_map(|entry| number(&entry.name)).filter(|it| !self.numbers.contains(it));
        others.try_for_each(|number| {
            let path = path(&self.root, number);
            self.disk.remove(&path).map_err(Failure::of("remove", &path))
        })
    }

    /// Removes the files.
    fn remove(&mut self) -> Result<(), Failure> {
        for number in std::mem::take(&mut self.numbers) {
            let path = path(&self.root, number);
            remove_if_there(&self.disk, &path).map_err(Failure::of("remove", &path))?;
        }
        Ok(())
    }

    /// The number of the first file that is written beside them.
    pub(super) fn next_number(&self) -> u64 {
        self.numbers.last().map_or(0, |last| last + 1)
    }
}

impl<F: File> Pieces<F> {
    /// Appends what the log lacks, and says how many batches that were. What is of another topic of the same name is none of its.
    pub fn restore<D: Disk<File = F>>(
        &self,
        topic: TopicId,
        root: &Path,
        log: &mut Log<D>,
        now: Timestamp,
    ) -> Result<u64, LoadError> {
        let mut restored = 0;
        for kept in self.0.iter().filter(|kept| kept.topic == topic) {
            let path = path(root, kept.number);
            let mut scan = Scan::new(kept.file.clone(), kept.range.start, kept.range.end, CHUNK_LARGE);
            while let Some(found) = scan.next().map_err(|stopped| LoadError::of(&path, stopped))? {
                if found.header.last_offset() < log.end() {
                    continue;
                }
                let batch = scan.batch(&found).map_err(Stopped::Io).map_err(|stopped| LoadError::of(&path, stopped))?;
                log.append_as_follower(&batch, now).map_err(|error| refused(error, &found, &path))?;
                restored += 1;
            }
        }
        Ok(restored)
    }
}

fn refused(error: AppendError, found: &Found, path: &Path) -> LoadError {
    let damage = match error {
        AppendError::Storage(failure) => return failure.into(),
        AppendError::Damaged(_) => Damage::Checksum,
        AppendError::StaleEpoch { found, .. } => Damage::Epoch(found.0),
        _ => Damage::Order(found.header.base_offset),
    };
    LoadError::of(path, Stopped::Damaged { position: found.position, damage })
}
