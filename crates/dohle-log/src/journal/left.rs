//! What a process that has stopped has left in its journal, for the logs that lack it.
//!
//! Law: the files stay until every log that is named in them has been opened and is durable, however many starts that takes; what a log has
//! already is passed over, so that it may be given what is left any number of times.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dohle_base::{Offset, Timestamp, TopicId};

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
}

/// Batches of a partition, in the order in which they were written.
#[derive(Clone, Debug)]
pub struct Pieces<F>(Vec<Kept<F>>);

#[derive(Clone, Debug)]
struct Kept<F> {
    file: F,
    path: Arc<Path>,
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
            let path: Arc<Path> = path(root, *number).into();
            let file = disk.open(&path).map_err(Failure::of("open", &path))?;
            let end = file.size().map_err(Failure::of("look at", &path))?;
            let (mut at, mut salt) = (0, None);
            while let Some(read) = entry::read(&file, *number, salt, at, end).map_err(Failure::of("read", &path))? {
                for found in read.found.into_iter().filter(|found| present.contains(found.name.as_str())) {
                    let kept =
                        Kept { file: file.clone(), path: Arc::clone(&path), topic: found.topic, range: found.range };
                    waiting.entry(found.name).or_insert_with(|| Pieces(vec![])).0.push(kept);
                }
                (at, salt) = (read.next, Some(read.salt));
            }
        }
        Ok(Self { disk, root: root.to_owned(), numbers, waiting })
    }

    /// For how many partitions something is there.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing is needed any more.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is there for the log in the directory of this name.
    pub fn of(&self, name: &str) -> Option<Pieces<D::File>> {
        self.waiting.get(name).cloned()
    }

    /// Notes that a log is durable with all that was there for it. With the last one the files go.
    pub fn settle(&mut self, name: &str) -> Result<(), Failure> {
        self.waiting.remove(name);
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
    /// Where the first batch begins; none where nothing is of this topic.
    pub fn begin(&self, topic: TopicId) -> Result<Option<Offset>, LoadError> {
        let Some(kept) = self.0.iter().find(|kept| kept.topic == topic) else { return Ok(None) };
        let first = kept.scan().next().map_err(|stopped| LoadError::of(&kept.path, stopped))?;
        Ok(first.map(|found| found.header.base_offset))
    }

    /// Appends what the log lacks, and says how many batches that were. What is of another topic of the same name is none of its.
    pub fn restore<D: Disk<File = F>>(
        &self,
        topic: TopicId,
        log: &mut Log<D>,
        now: Timestamp,
    ) -> Result<u64, LoadError> {
        let mut restored = 0;
        for kept in self.0.iter().filter(|kept| kept.topic == topic) {
            let mut scan = kept.scan();
            while let Some(found) = scan.next().map_err(|stopped| LoadError::of(&kept.path, stopped))? {
                let (base, end) = (found.header.base_offset, log.end());
                if found.header.last_offset() < end {
                    continue;
                }
                if base > end {
                    tracing::error!(dir = %log.dir().display(), from = end.0, upto = base.0, "records are lost before those in the journal");
                }
                let batch = scan.batch(&found).map_err(|error| LoadError::of(&kept.path, error.into()))?;
                log.append_as_follower(&batch, now).map_err(|error| refused(error, &found, &kept.path))?;
                restored += 1;
            }
        }
        Ok(restored)
    }
}

impl<F: File> Kept<F> {
    fn scan(&self) -> Scan<F> {
        Scan::new(self.file.clone(), self.range.start, self.range.end, CHUNK_LARGE)
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
