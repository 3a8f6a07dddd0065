//! The checkpoint files of the log directories: what each partition had reached when they were written.
//!
//! Owns what the files say, so that one is written again only when something changed, and by one thread at a time.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use dohle_base::Offset;
use dohle_log::directory::{Checkpoint, Offsets};

use crate::catalog::Catalog;
use crate::lock::hold;
use crate::partition::{Log, Partition};
use crate::quorum::Quorum;
use crate::storage::Storage;

/// The checkpoints of all directories.
pub(crate) struct Checkpoints {
    storage: Arc<Storage>,
    catalog: Arc<Catalog>,
    quorum: Arc<Quorum>,
    /// Held while a file is written: only threads that may wait for the disk come here.
    written: Mutex<Vec<(Checkpoint, PathBuf, Offsets)>>,
}

impl Checkpoints {
    /// Nothing is known of the files yet.
    pub(crate) fn new(storage: Arc<Storage>, catalog: Arc<Catalog>, quorum: Arc<Quorum>) -> Self {
        Self { storage, catalog, quorum, written: Mutex::default() }
    }

    /// Writes a checkpoint of every directory in which something changed. It is durable when this returns, but for a directory that failed.
    pub(crate) fn write(&self, checkpoint: Checkpoint) {
        let mut written = hold(&self.written);
        let view = self.catalog.view();
        let partitions: Vec<&Arc<Partition>> = view.led.values().chain([self.quorum.partition()]).collect();
        for volume in self.storage.all().filter(|volume| !volume.is_offline()) {
            let here = partitions.iter().filter(|partition| Arc::ptr_eq(&partition.volume, volume));
            let offsets = here.filter_map(|partition| Some((partition.name(), offset(partition, checkpoint)?)));
            let offsets: Offsets = offsets.collect();
            let place = |known: &&mut (Checkpoint, PathBuf, Offsets)| known.0 == checkpoint && known.1 == volume.root();
            let known = written.iter_mut().find(place);
            if known.as_ref().is_some_and(|known| known.2 == offsets) {
                continue;
            }
            if let Err(failure) = volume.directory.write_offsets(checkpoint, &offsets) {
                volume.fail_unless_full(&failure);
                continue;
            }
            if checkpoint == Checkpoint::RecoveryPoint {
                volume.note_recovery_points(&offsets);
            }
            match known {
                Some(known) => known.2 = offsets,
                None => written.push((checkpoint, volume.root().to_owned(), offsets)),
            }
        }
    }
}

fn offset(partition: &Partition, checkpoint: Checkpoint) -> Option<Offset> {
    let of = |look: fn(&Log) -> Offset| partition.look(|log, _| look(log)).ok();
    match checkpoint {
        Checkpoint::RecoveryPoint => of(|log| log.synced()),
        Checkpoint::HighWatermark => Some(partition.high_watermark()),
        // A log that begins where its first segment does needs no line.
        Checkpoint::LogStart => of(|log| log.start()).filter(|start| *start > Offset::ZERO),
        // Written when they change.
        Checkpoint::Cleaner | Checkpoint::Scrub => None,
    }
}
