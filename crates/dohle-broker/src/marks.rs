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

    /// Writes down what `look` says of these partitions now; where it says nothing, there is no line. Durable when this returns.
    pub(crate) fn write<'a>(
        &self,
        kind: Checkpoint,
        partitions: impl Iterator<Item = &'a Partition>,
        look: impl Fn(&Partition) -> Option<Offset>,
    ) -> Result<(), Failure> {
        self.change(kind, |offsets| {
            for partition in partitions {
                set(offsets, partition, look(partition));
            }
        })
    }

    /// The same of one partition.
    pub(crate) fn write_one(&self, kind: Checkpoint, partition: &Partition, offset: Offset) -> Result<(), Failure> {
        self.change(kind, |offsets| set(offsets, partition, Some(offset)))
    }

    /// Notes an offset that [`Marks::flush`] writes down.
    pub(crate) fn note(&self, kind: Checkpoint, partition: &Partition, offset: Offset) {
        set(hold_over_disk(&self.kinds).entry(kind).or_default(), partition, Some(offset));
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
            self.change(kind, |offsets| {
                offsets.remove(name);
            })
        })
    }

    /// What could not be written is not remembered either.
    fn change(&self, kind: Checkpoint, change: impl FnOnce(&mut Offsets)) -> Result<(), Failure> {
        let mut kinds = hold_over_disk(&self.kinds);
        let before = kinds.entry(kind).or_default();
        let mut after = before.clone();
        change(&mut after);
        if after != *before {
            self.directory.write_offsets(kind, &after)?;
            *before = after;
        }
        Ok(())
    }
}

fn set(offsets: &mut Offsets, partition: &Partition, offset: Option<Offset>) {
    if partition.stopped().is_some() {
        return;
    }
    match offset {
        Some(offset) => offsets.insert(partition.name(), offset),
        None => offsets.remove(&partition.name()),
    };
}
