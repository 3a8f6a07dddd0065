//! One pass over one log.

use std::sync::Arc;

use dohle_log::compact::{CompactError, KeyMap, Pass, Rewritten};
use dohle_log::directory::Checkpoint;
use dohle_log::disk::Files;
use dohle_log::log::Swap;

use super::Cleaner;
use super::desk::{self, Work};
use crate::partition::Partition;
use crate::removals::Doomed;

/// After so many bytes it is asked whether to go on, and the rate is kept.
const ASK_AFTER_BYTES: u64 = 256 << 10;

impl Cleaner {
    /// Compacts as much as there are keys in memory for, and notes how far that is.
    pub(super) fn pass(&self, work: Work, keys: &mut KeyMap) -> Result<(), CompactError> {
        let Work { partition, survey, dirt } = work;
        let (begun, now) = (self.clock.instant(), self.clock.wall());
        let mut moved = 0;
        let mut go_on = |bytes: u64| {
            moved += bytes;
            moved < ASK_AFTER_BYTES || self.may_go_on(&partition, std::mem::take(&mut moved))
        };
        let mut pass = survey.job(&dirt).map(keys, &mut go_on)?;
        while let Some(rewritten) = pass.next(keys, now, &mut go_on)? {
            self.swap(&partition, &pass, rewritten)?;
        }
        partition.volume().marks.write_one(Checkpoint::Cleaner, &partition, pass.reaches())?;
        self.count(&pass);
        let (figures, took) = (pass.figures(), self.clock.instant() - begun);
        tracing::info!(
            ?partition,
            from = dirt.dirty.start.0,
            upto = pass.reaches().0,
            keys = figures.keys,
            records = figures.records_read,
            kept = figures.records_kept,
            bytes = figures.bytes_before,
            left = figures.bytes_after,
            ms = took.as_millis(),
            "compacted"
        );
        Ok(())
    }

    fn swap(
        &self,
        partition: &Arc<Partition>,
        pass: &Pass<Files>,
        rewritten: Rewritten<Files>,
    ) -> Result<(), CompactError> {
        let Some((swap, delay)) = partition.swap(rewritten)? else { return Err(CompactError::Moved) };
        match swap {
            Swap::Refused(rewritten) => {
                rewritten.discard(pass.dir())?;
                Err(CompactError::Moved)
            }
            Swap::Done(swapped) => {
                let replaced = Doomed::Segments(partition.volume(), swapped.confirm()?);
                self.removals.add(self.clock.instant() + delay, replaced);
                Ok(())
            }
        }
    }

    /// Rests as long as the rate wants it; false when the pass is to end.
    fn may_go_on(&self, partition: &Partition, bytes: u64) -> bool {
        let rest = self.rate.pay(self.clock.instant(), bytes);
        self.desk.wait_over(desk::id(partition), rest) && partition.stopped().is_none()
    }

    fn count(&self, pass: &Pass<Files>) {
        let figures = pass.figures();
        self.cells.passes.add(1);
        self.cells.bytes_read.add(figures.bytes_read);
        self.cells.bytes_removed.add(figures.bytes_before.saturating_sub(figures.bytes_after));
        self.cells.records_removed.add(figures.records_read.saturating_sub(figures.records_kept));
    }
}
