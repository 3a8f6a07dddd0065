//! Carrying out one move, on a thread that may wait for disks.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dohle_base::Offset;
use dohle_log::Failure;
use dohle_log::directory::Checkpoint;

use super::{Move, Moves};
use crate::lock::hold_over_disk;
use crate::partition::{CopyError, Log, Relocated, Successor, flush_copy};
use crate::removals::Doomed;
use crate::volume::Volume;

/// So much is read at a time.
const CHUNK_BYTES: u64 = 1 << 20;
/// After so many bytes the copy is made durable, which gives back what its closed segments cost.
const FLUSH_AFTER_BYTES: u64 = 64 << 20;
/// A copy that had no more to catch up with since its last flush is tried for the last step.
const CLOSE_BYTES: u64 = 1 << 20;

/// Why a move has ended.
enum Ended {
    /// The partition is where it was wanted.
    Moved,
    /// The broker stops, and the next start goes on.
    Stopping,
    /// Somebody wanted it elsewhere.
    Unwanted,
    /// It cannot be.
    Failed(CopyError),
    /// Nobody knows what the other disk has made of the last step.
    Torn(Failure),
}

impl<E: Into<CopyError>> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Moves {
    pub(super) fn carry(&self, moving: &Arc<Move>) {
        let ended = match self.copy(moving) {
            Ok(()) => Ended::Moved,
            Err(ended) => ended,
        };
        let (partition, to) = (&moving.partition, moving.target.root().display());
        match &ended {
            Ended::Moved => tracing::info!(?partition, %to, bytes = moving.size(), "moved"),
            Ended::Stopping => return,
            Ended::Unwanted => tracing::info!(?partition, %to, "a move is given up"),
            Ended::Failed(error) => {
                tracing::error!(?partition, %to, "a move has ended, the partition is where it was: {error}")
            }
            Ended::Torn(failure) => {
                tracing::error!(?partition, %to, "the last step of a move has failed, the partition is not served until the next start: {failure}");
                moving.target.fail(failure);
            }
        }
        self.forget(moving);
        if let Ended::Failed(error) = &ended
            && let Some(failure) = error.failure_of_target()
        {
            moving.target.fail_unless_full(failure, self.clock.instant());
        }
        if matches!(ended, Ended::Failed(_) | Ended::Unwanted) {
            let mut rng = hold_over_disk(&self.turn);
            self.sweep(&moving.target, &moving.path, partition, &mut rng);
            self.take_back_marks(moving);
        }
    }

    /// What was written down on the other disk is about a log that is not there. One that has been made there since keeps its own.
    fn take_back_marks(&self, moving: &Move) {
        let (target, name) = (&moving.target, moving.partition.name());
        if !target.is_offline()
            && !target.directory.path_of(&name).is_dir()
            && let Err(failure) = target.forget(&name)
        {
            target.fail_unless_full(&failure, self.clock.instant());
        }
    }

    fn copy(&self, moving: &Arc<Move>) -> Result<(), Ended> {
        let Move { partition, target, path, .. } = &**moving;
        let name = partition.name();
        // A record that was copied must meet the tombstone that took it back, which compaction may remove (`abortAndPauseCleaning`).
        let _left_alone = self.desk.pause(moving.id());
        self.check(moving)?;
        // What lay there once under this name was another log.
        target.forget(&name)?;
        let mut copy = Box::new(partition.begin_copy(path, self.clock.wall())?);
        loop {
            self.catch_up(moving, &mut copy)?;
            match self.last_step(moving, copy)? {
                ControlFlow::Break(()) => return Ok(()),
                ControlFlow::Continue(behind) => copy = behind,
            }
        }
    }

    /// Copies, beside those who write, until next to nothing is missing. The copy is durable then.
    fn catch_up(&self, moving: &Move, copy: &mut Log) -> Result<(), Ended> {
        loop {
            let end = moving.partition.look(|log, _| log.end()).map_err(CopyError::Stopped)?;
            let (mut behind, mut unflushed) = (0, 0);
            while copy.end() < end {
                self.check(moving)?;
                let pulled = moving.partition.pull(copy, CHUNK_BYTES, self.clock.wall())?;
                if pulled == 0 {
                    break;
                }
                if !moving.target.room.take(pulled as usize) {
                    return Err(CopyError::NoRoom.into());
                }
                behind += pulled;
                unflushed += pulled;
                moving.note(copy);
                if unflushed >= FLUSH_AFTER_BYTES {
                    flush_copy(copy, self.clock.wall())?;
                    unflushed = 0;
                }
            }
            self.check(moving)?;
            flush_copy(copy, self.clock.wall())?;
            if behind <= CLOSE_BYTES {
                return Ok(());
            }
        }
    }

    fn check(&self, moving: &Move) -> Result<(), Ended> {
        if self.is_closed() {
            return Err(Ended::Stopping);
        }
        if !moving.is_wanted() {
            return Err(Ended::Unwanted);
        }
        Ok(())
    }

    /// Puts the copy in the place of the log; the copy again when it is not near enough.
    fn last_step(&self, moving: &Move, copy: Box<Log>) -> Result<ControlFlow<(), Box<Log>>, Ended> {
        let Move { partition, target, path, .. } = moving;
        let (name, source) = (partition.name(), partition.volume());
        let start = partition.look(|log, _| log.start()).map_err(CopyError::Stopped)?;
        if start > Offset::ZERO {
            // What was deleted stays so: this is on the other disk before the partition is.
            target.marks.write_one(Checkpoint::LogStart, partition, start)?;
        }
        // Where both directories bear the partition's name after a crash, this says which one counts.
        source.directory.note_successor(&name, target.id).map_err(|failure| self.lost(moving, &source, &failure))?;
        let mut rng = hold_over_disk(&self.turn);
        let is_wanted = &|| moving.is_wanted();
        let successor = Successor { copy, path, target, start, is_wanted, rng: &mut rng };
        let relocated = partition.relocate(successor, self.clock.now());
        drop(rng);
        let stayed = match relocated {
            Relocated::Done(source, left) => {
                self.settle(moving, &source, left);
                return Ok(ControlFlow::Break(()));
            }
            Relocated::Torn(failure) => return Err(Ended::Torn(failure)),
            Relocated::Behind(copy) => Ok(ControlFlow::Continue(copy)),
            Relocated::Unwanted => Err(Ended::Unwanted),
            Relocated::Failed(error) => Err(error.into()),
        };
        source.directory.forget_successor(&name).map_err(|failure| self.lost(moving, &source, &failure))?;
        stayed
    }

    fn lost(&self, moving: &Move, source: &Volume, failure: &Failure) -> Ended {
        // A topic that was deleted meanwhile has taken its directory along, and nothing is wrong with the disk.
        if let Some(why) = moving.partition.stopped() {
            return CopyError::Stopped(why).into();
        }
        source.fail_unless_full(failure, self.clock.instant());
        CopyError::SourceLost.into()
    }

    /// What is known of the partition goes along, and what it has left goes.
    fn settle(&self, moving: &Move, source: &Arc<Volume>, left: Result<std::path::PathBuf, Failure>) {
        let Move { partition, target, .. } = moving;
        let name = partition.name();
        let synced = partition.look(|log, _| log.synced()).ok();
        let marks = [
            (Checkpoint::RecoveryPoint, synced),
            (Checkpoint::HighWatermark, Some(partition.high_watermark())),
            (Checkpoint::Cleaner, source.marks.get(Checkpoint::Cleaner, &name)),
        ];
        for (kind, offset) in marks.into_iter().filter_map(|(kind, offset)| Some((kind, offset?))) {
            // What cannot be written costs time at the next start.
            if let Err(failure) = target.marks.write_one(kind, partition, offset) {
                target.fail_unless_full(&failure, self.clock.instant());
            }
        }
        if let Err(failure) = source.forget(&name) {
            source.fail_unless_full(&failure, self.clock.instant());
        }
        source.count_log(-1);
        target.count_log(1);
        match left {
            Ok(path) => {
                let delay = partition.options().map(|options| options.file_delete_delay).unwrap_or_default();
                self.removals.add(self.clock.instant() + delay, Doomed::Partition(Arc::clone(source), path));
            }
            Err(failure) => source.fail(&failure),
        }
        self.placements.tell(partition, target.id);
    }
}

impl Move {
    fn note(&self, copy: &Log) {
        self.end.store(copy.end().0, Ordering::Relaxed);
        self.size.store(copy.size(), Ordering::Relaxed);
    }
}
