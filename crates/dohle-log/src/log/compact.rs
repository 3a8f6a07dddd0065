//! The log's part in compaction: its closed segments are handed out, and taken back rewritten.
//!
//! The swap is done under the lock and is names only: every file was made durable before. Whatever stops it, the next opening finds the old segments
//! or the new one ([`crate::recover`]); for that the names change in one order: the new files become `.swap`, then the old ones `.deleted`, then the
//! new ones take their names, the batches first.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use dohle_base::Offset;

use super::Log;
use crate::compact::Taken;
use crate::compact::{Rewritten, Survey};
use crate::disk::Disk;
use crate::failure::Failure;
use crate::removal::Removal;
use crate::segment::Sealed;
use crate::segment::name::{Content, Name, Stage};

/// What became of a rewritten segment.
#[derive(Debug)]
#[must_use = "a swap has to be made durable, and what it replaced to be removed"]
pub enum Swap<D: Disk> {
    /// It is in its place.
    Done(Swapped<D>),
    /// What it was made of is not there any more; its files are to be thrown away.
    Refused(Rewritten<D>),
}

/// A segment that is in its place.
#[derive(Debug)]
#[must_use = "a swap has to be made durable, and what it replaced to be removed"]
pub struct Swapped<D: Disk> {
    disk: D,
    dir: Arc<Path>,
    replaced: Removal<D>,
}

impl<D: Disk> Swapped<D> {
    /// Makes the names durable; waits for the disk. Before that nobody may note the log as compacted: a power cut could bring back what a
    /// later pass would not look at. Gives the files that were replaced, to be removed when nobody reads them any more.
    pub fn confirm(self) -> Result<Removal<D>, Failure> {
        self.disk.sync_dir(&self.dir).map_err(Failure::of("sync", &self.dir))?;
        Ok(self.replaced)
    }
}

impl<D: Disk> Log<D> {
    /// What compaction has to know of the log now. Copies a pointer for each segment and a line for each producer.
    pub fn survey(&mut self, high_watermark: Offset) -> Survey<D> {
        let stable = self.last_stable(high_watermark);
        self.rewritings += 1;
        Survey::taken(Taken {
            disk: &self.disk,
            dir: &self.dir,
            options: &self.options,
            start: self.start,
            end: self.end(),
            stable,
            sealed: &self.sealed,
            aborted: &self.active.aborted,
            producers: &self.producers,
            revision: self.rewritings,
        })
    }

    /// Puts a rewritten segment in the place of those that it was made of, if these are still there. When that fails the log is offline, and
    /// whole when it is opened again.
    pub fn swap(&mut self, rewritten: Rewritten<D>) -> Result<Swap<D>, Failure> {
        let Some(places) = self.places_of(&rewritten.originals) else { return Ok(Swap::Refused(rewritten)) };
        if self.durable.failed {
            return Ok(Swap::Refused(rewritten));
        }
        // Offline until all is done: half of the names are no log.
        self.durable.failed = true;
        self.restage(&rewritten, Stage::Cleaned, Stage::Swap)?;
        let mut files = Vec::new();
        for original in &rewritten.originals {
            files.extend_from_slice(self.doom_segment(original.base)?.files());
        }
        self.restage(&rewritten, Stage::Swap, Stage::Live)?;
        let Rewritten { sealed, .. } = rewritten;
        self.sealed.drain(places.clone());
        self.sealed.insert(places.start, sealed);
        self.durable.failed = false;
        let replaced = Removal::of_files(self.disk.clone(), files);
        Ok(Swap::Done(Swapped { disk: self.disk.clone(), dir: self.dir.clone(), replaced }))
    }

    /// Where these very segments are.
    fn places_of(&self, originals: &[Arc<Sealed>]) -> Option<Range<usize>> {
        let first = self.sealed.partition_point(|segment| segment.base < originals[0].base);
        let places = first..first + originals.len();
        let same = |(ours, theirs): (&Arc<Sealed>, &Arc<Sealed>)| Arc::ptr_eq(ours, theirs);
        let all = places.end <= self.sealed.len() && self.sealed.range(places.clone()).zip(originals).all(same);
        all.then_some(places)
    }

    /// Gives the files of a rewritten segment other names, its batches first.
    fn restage(&self, rewritten: &Rewritten<D>, from: Stage, to: Stage) -> Result<(), Failure> {
        let path =
            |content: Content, stage| self.dir.join(Name::live(rewritten.sealed.base, content).at(stage).to_string());
        for content in &rewritten.contents {
            let from = path(*content, from);
            self.disk.rename(&from, &path(*content, to)).map_err(Failure::of("rename", &from))?;
        }
        Ok(())
    }
}
