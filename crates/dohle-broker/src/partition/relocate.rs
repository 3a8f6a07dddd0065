//! Going on in another directory of logs: the last step of a move, under the lock.
//!
//! Owns the order of names, which a crash may stop anywhere: the copy is durable before it bears the partition's name, and bears it for good
//! before the old directory loses it. From the moment that both bear it nothing is written to the old one any more, whatever fails.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dohle_base::{ErrorCode, Now, Offset, Rng};
use dohle_log::Failure;
use dohle_replication::partition::{Effect, Event};

use super::copy::{CopyError, flush_copy, pull_rest};
use super::{Aftermath, Leading, Log, Partition, State};
use crate::lock::{hold_over_disk, write, write_over_disk};
use crate::volume::Volume;

/// So much is copied under the lock at most, while nobody can write.
const LAST_BYTES: u64 = 4 << 20;

/// The copy of a partition's log that is to take its place.
pub(crate) struct Successor<'a> {
    pub(crate) copy: Box<Log>,
    /// Where the copy lies.
    pub(crate) path: &'a Path,
    /// The disk that it lies on.
    pub(crate) target: &'a Arc<Volume>,
    /// The start of the log that is written down there.
    pub(crate) start: Offset,
    /// Whether the move is still wanted.
    pub(crate) is_wanted: &'a dyn Fn() -> bool,
    pub(crate) rng: &'a mut Rng,
}

/// What became of the last step.
pub(crate) enum Relocated {
    /// The partition is served from the copy. What it left, and where that is to be removed.
    Done(Arc<Volume>, Result<PathBuf, Failure>),
    /// The copy has to go on first: more was written than can be copied under the lock, or the log's start has moved.
    Behind(Box<Log>),
    /// Nobody wants the move any more.
    Unwanted,
    /// It is served from where it was.
    Failed(CopyError),
    /// It is not served any more: both directories hold all of it, durably, and the next start finds out which one counts.
    Torn(Failure),
}

impl Partition {
    /// Puts a copy in the place of the log. Waits for both disks.
    pub(crate) fn relocate(self: &Arc<Self>, successor: Successor<'_>, now: Now) -> Relocated {
        let mut aftermath = Aftermath::default();
        // No flush is under way that would have to be waited for, if the log is to be closed.
        let source = self.volume();
        let alone = write_over_disk(&source.syncing);
        let relocated = {
            let mut state = hold_over_disk(&self.state);
            let leading = match &mut *state {
                State::Stopped(why) => return Relocated::Failed(CopyError::Stopped(*why)),
                State::Leading(leading) => leading,
            };
            let relocated = successor.replace(self, leading, now, &mut aftermath.effects);
            aftermath.moved = self.show(leading);
            if let Relocated::Torn(_) = relocated
                && let Some(mut log) = state.stop(ErrorCode::KafkaStorageError, &mut aftermath.effects)
                && let Err(failure) = log.close(now.wall)
            {
                source.fail(&failure);
            }
            relocated
        };
        drop(alone);
        self.settle(aftermath);
        self.watchers.tell();
        relocated
    }
}

impl Successor<'_> {
    fn replace(
        mut self,
        partition: &Partition,
        leading: &mut Leading,
        now: Now,
        effects: &mut Vec<Effect>,
    ) -> Relocated {
        match self.finish(&leading.log, now) {
            Ok(true) if (self.is_wanted)() => {}
            Ok(true) => return Relocated::Unwanted,
            Ok(false) => return Relocated::Behind(self.copy),
            Err(error) => return Relocated::Failed(error),
        }
        let (name, target) = (partition.name(), self.target);
        let path = match target.directory.promote(self.path, &name) {
            Ok(path) => path,
            Err(failure) => return Relocated::Failed(failure.into()),
        };
        if let Err(failure) = target.directory.sync().and_then(|()| self.copy.relocate(&path)) {
            return Relocated::Torn(failure);
        }
        let source = std::mem::replace(&mut *write(&partition.volume), Arc::clone(target));
        partition.note_marked(None);
        leading.log = *self.copy;
        leading.leader.step(now.instant, Event::Synced { upto: leading.log.synced() }, effects);
        let left = source.directory.delete_partition(&name, self.rng);
        Relocated::Done(source, left)
    }

    /// Makes the copy all that the log is, and durable; false when too much is missing.
    fn finish(&mut self, log: &Log, now: Now) -> Result<bool, CopyError> {
        if log.is_offline() {
            return Err(CopyError::SourceLost);
        }
        if log.start() != self.start || !pull_rest(log, &mut self.copy, LAST_BYTES, now.wall)? {
            return Ok(false);
        }
        self.copy.take_over(log)?;
        flush_copy(&mut self.copy, now.wall)?;
        assert!(self.copy.synced() == log.end(), "a copy is whole and durable before it counts");
        Ok(true)
    }
}
