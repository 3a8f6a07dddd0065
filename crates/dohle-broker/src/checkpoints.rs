//! The checkpoints of all log directories, written from what each partition has reached.
//!
//! Owns which partition is asked for what; the files are the directories' own.

use std::sync::Arc;

use dohle_base::{Instant, Offset, Uuid};
use dohle_log::directory::Checkpoint;

use crate::catalog::Catalog;
use crate::partition::{Log, Partition};
use crate::quorum::Quorum;
use crate::storage::Storage;

/// The way from the partitions to the checkpoints of their directories.
pub(crate) struct Checkpoints {
    storage: Arc<Storage>,
    catalog: Arc<Catalog>,
    quorum: Arc<Quorum>,
}

impl Checkpoints {
    pub(crate) fn new(storage: Arc<Storage>, catalog: Arc<Catalog>, quorum: Arc<Quorum>) -> Self {
        Self { storage, catalog, quorum }
    }

    /// Writes a checkpoint of every directory in which something changed. It is durable when this returns, but for the directories that
    /// are returned. Waits for the disk.
    pub(crate) fn write(&self, checkpoint: Checkpoint, now: Instant) -> Vec<Uuid> {
        let view = self.catalog.view();
        let partitions: Vec<&Partition> = view.led.values().chain([self.quorum.partition()]).map(Arc::as_ref).collect();
        let mut unwritten = vec![];
        for volume in self.storage.all() {
            let here = partitions.iter().copied().filter(|partition| partition.is_on(volume));
            let news: Vec<News> = here.filter_map(|partition| news_of(partition, checkpoint)).collect();
            let written = !volume.is_offline()
                && volume
                    .marks
                    .write(checkpoint, news.iter().copied())
                    .inspect_err(|failure| volume.fail_unless_full(failure, now))
                    .is_ok();
            if !written {
                unwritten.push(volume.id);
            } else if checkpoint == Checkpoint::HighWatermark {
                let stayed = news.iter().filter(|(partition, _)| partition.is_on(volume));
                stayed.for_each(|(partition, offset)| partition.note_marked(*offset));
            }
        }
        unwritten
    }
}

/// What a checkpoint is to say of a partition: an offset, or nothing.
type News<'a> = (&'a Partition, Option<Offset>);

/// None where the checkpoint says it already, as far as that is known without looking.
fn news_of(partition: &Partition, checkpoint: Checkpoint) -> Option<News<'_>> {
    let of = |look: fn(&Log) -> Offset| partition.glance(look).ok();
    let offset = match checkpoint {
        Checkpoint::RecoveryPoint => of(Log::synced),
        // The one that is asked for every few seconds: many partitions cost little where few of them have moved.
        Checkpoint::HighWatermark => Some(partition.unmarked()?),
        // A log that begins where its first segment does needs no line.
        Checkpoint::LogStart => of(Log::start).filter(|start| *start > Offset::ZERO),
        // Written when they change.
        Checkpoint::Cleaner | Checkpoint::Scrub => None,
    };
    Some((partition, offset))
}
