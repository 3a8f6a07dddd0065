//! What a log directory remembers of each of its logs: an offset of each kind, in a file of each kind.
//!
//! Owns the files and what they say, so that one is written again only when something changed, and by one thread at a time.
//! Laws: a partition that nobody speaks of keeps its line; one that has stopped gets no new line, so that what is forgotten of a deleted log
//! does not come back and meet the next log of that name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use dohle_base::Offset;
use dohle_log::Failure;
use dohle_log::directory::{Checkpoint, Directory, Offsets, PartitionName};
use dohle_log::disk::Files;

use crate::lock::hold_over_disk;
use crate::partition::Partition;

const KINDS: [Checkpoint; 5] = [
    Checkpoint::RecoveryPoint,
    Checkpoint::HighWatermark,
    Checkpoint::LogStart,
    Checkpoint::Cleaner,
    Checkpoint::Scrub,
];

/// The offsets of one directory.
pub(crate) struct Marks {
    directory: Arc<Directory<Files>>,
    kinds: Mutex<BTreeMap<Checkpoint, Offsets>>,
}

impl Marks {
    /// What the files say.
    pub(crate) fn read(directory: Arc<Directory<Files>>) -> Result<Self, Failure> {
        let mut kinds = BTreeMap::new();
        for kind in KINDS {
            kinds.insert(kind, directory.read_offsets(kind)?);
        }
        Ok(Self { directory, kinds: Mutex::new(kinds) })
    }

    /// What is remembered of a log.
    pub(crate) fn get(&self, kind: Checkpoint, name: &PartitionName) -> Option<Offset> {
        hold_over_disk(&self.kinds).get(&kind)?.get(name).copied()
    }

    /// Writes down these offsets; where there is none, there is no line. Durable when this returns.
    pub(crate) fn write<'a>(
        &self,
        kind: Checkpoint,
        news: impl Iterator<Item = (&'a Partition, Option<Offset>)>,
    ) -> Result<(), Failure> {
        self.change(kind, |known| {
            let named = news.filter_map(|(partition, offset)| Some((name_of(partition)?, offset)));
            named.filter(|(name, offset)| known.get(name) != offset.as_ref()).collect()
        })
    }

    /// The same of one partition.
    pub(crate) fn write_one(&self, kind: Checkpoint, partition: &Partition, offset: Offset) -> Result<(), Failure> {
        self.write(kind, [(partition, Some(offset))].into_iter())
    }

    /// Notes an offset that [`Marks::flush`] writes down.
    pub(crate) fn note(&self, kind: Checkpoint, partition: &Partition, offset: Offset) {
        let mut kinds = hold_over_disk(&self.kinds);
        let named = name_of(partition);
        kinds.entry(kind).or_default().extend(named.map(|name| (name, offset)));
    }

    /// Forgets the notes of all partitions.
    pub(crate) fn clear(&self, kind: Checkpoint) {
        hold_over_disk(&self.kinds).remove(&kind);
    }

    /// Writes down what was noted.
    pub(crate) fn flush(&self, kind: Checkpoint) -> Result<(), Failure> {
        let kinds = hold_over_disk(&self.kinds);
        self.directory.write_offsets(kind, kinds.get(&kind).unwrap_or(&Offsets::new()))
    }

    /// Forgets all of a log that is given up: one of the same name is another log.
    pub(crate) fn forget(&self, name: &PartitionName) -> Result<(), Failure> {
        KINDS.into_iter().try_for_each(|kind| {
            self.change(kind, |known| known.contains_key(name).then(|| (name.clone(), None)).into_iter().collect())
        })
    }

    /// Makes the changes that `choose` finds in what is known. What could not be written is not remembered either.
    fn change(&self, kind: Checkpoint, choose: impl FnOnce(&Offsets) -> Vec<Change>) -> Result<(), Failure> {
        let mut kinds = hold_over_disk(&self.kinds);
        let known = kinds.entry(kind).or_default();
        let changes = choose(known);
        if changes.is_empty() {
            return Ok(());
        }
        let mut after = known.clone();
        for (name, offset) in changes {
            match offset {
                Some(offset) => after.insert(name, offset),
                None => after.remove(&name),
            };
        }
        self.directory.write_offsets(kind, &after)?;
        *known = after;
        Ok(())
    }
}

/// A line that is to be written; without an offset one that is to go.
type Change = (PartitionName, Option<Offset>);

/// None for a partition that has stopped.
fn name_of(partition: &Partition) -> Option<PartitionName> {
    partition.stopped().is_none().then(|| partition.name())
}
