//! The second half of the work: every group of segments is read once more and what stays of it is written.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use dohle_base::{Offset, Timestamp};
use dohle_records::Batch;
use dohle_records::batch::decode::Malformed;

use super::fates::Fates;
use super::filter::{Kept, Left, Terms};
use super::job::{Survey, Walk};
use super::target::{Rewritten, Target};
use super::{CompactError, GoOn, KeyMap};
use crate::disk::Disk;
use crate::log::marker_of;
use crate::segment::Sealed;
use crate::segment::scan::Found;

/// A pass under way: gives one rewritten segment after the other, oldest first.
#[derive(Debug)]
pub struct Pass<D: Disk> {
    survey: Survey<D>,
    mapped: Offset,
    groups: VecDeque<Vec<Arc<Sealed>>>,
    fates: Fates,
    figures: Figures,
}

/// What a pass has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Keys in what was dirty.
    pub keys: u64,
    /// Bytes of batches that were read, twice where they were dirty.
    pub bytes_read: u64,
    /// Records that were looked at.
    pub records_read: u64,
    /// Records that stayed.
    pub records_kept: u64,
    /// Bytes of batches before.
    pub bytes_before: u64,
    /// Bytes of batches after.
    pub bytes_after: u64,
    /// Segments before.
    pub segments_before: u64,
    /// Segments after.
    pub segments_after: u64,
}

impl<D: Disk> Pass<D> {
    pub(super) fn new(survey: Survey<D>, mapped: Offset, groups: Vec<Vec<Arc<Sealed>>>, figures: Figures) -> Self {
        Self { survey, mapped, groups: groups.into(), fates: Fates::default(), figures }
    }

    /// Up to where the log is compacted when all its groups are swapped in. Exclusive.
    pub fn reaches(&self) -> Offset {
        self.mapped
    }

    /// The partition's directory.
    pub fn dir(&self) -> &Path {
        &self.survey.dir
    }

    /// What was done so far.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Writes the next group that changes; none when all are done. What it gives is durable under a name that nobody reads.
    pub fn next(
        &mut self,
        keys: &KeyMap,
        now: Timestamp,
        go_on: &mut GoOn<'_>,
    ) -> Result<Option<Rewritten<D>>, CompactError> {
        while let Some(group) = self.groups.pop_front() {
            if let Some(rewritten) = self.rewrite(group, keys, now, go_on)? {
                return Ok(Some(rewritten));
            }
        }
        Ok(None)
    }

    fn rewrite(
        &mut self,
        group: Vec<Arc<Sealed>>,
        keys: &KeyMap,
        now: Timestamp,
        go_on: &mut GoOn<'_>,
    ) -> Result<Option<Rewritten<D>>, CompactError> {
        let Self { survey, mapped, fates, figures, .. } = self;
        let options = &survey.options;
        let terms = Terms {
            keys,
            mapped: *mapped,
            lasts: &survey.lasts,
            now,
            delete_retention_ms: options.delete_retention_ms,
            budget: options.budget,
        };
        let target = Target::create(&survey.disk, &survey.dir, group[0].base, options.index_interval_bytes, now)?;
        let mut writing = Writing { survey, terms, fates, figures, target, changed: group.len() > 1 };
        let written = writing.take_all(&group, go_on);
        let (target, changed) = (writing.target, writing.changed);
        if let Err(error) = written {
            // What cannot be removed now is removed by the next pass, or when the log is opened again.
            drop(target.discard());
            return Err(error);
        }
        if !changed {
            target.discard()?;
            return Ok(None);
        }
        target.finish(group, survey.revision).map(Some)
    }
}

/// One group on its way.
struct Writing<'a, D: Disk> {
    survey: &'a Survey<D>,
    terms: Terms<'a>,
    fates: &'a mut Fates,
    figures: &'a mut Figures,
    target: Target<D>,
    /// Whether the new segment differs from what is there.
    changed: bool,
}

impl<D: Disk> Writing<'_, D> {
    fn take_all(&mut self, group: &[Arc<Sealed>], go_on: &mut GoOn<'_>) -> Result<(), CompactError> {
        self.figures.segments_before += group.len() as u64;
        self.figures.segments_after += 1;
        let last = group.iter().rposition(|segment| segment.size > 0);
        for (place, segment) in group.iter().enumerate() {
            self.figures.bytes_before += segment.size;
            self.take(segment, Some(place) == last, go_on)?;
        }
        Ok(())
    }

    /// What stays of a segment. The last batch of a group stays at least as a header: so that the new segment reaches as far as the old ones, and
    /// whoever finds it after a crash knows what it is in the place of.
    fn take(&mut self, segment: &Sealed, is_last: bool, go_on: &mut GoOn<'_>) -> Result<(), CompactError> {
        self.fates.announce(&self.survey.aborted_in(segment)?);
        let mut walk = Walk::over(self.survey, segment)?;
        while let Some((found, batch)) = walk.next()? {
            let is_last = is_last && walk.is_last(&found);
            let kept = self.judge(&walk, &found, &batch, is_last)?;
            let written = match kept.left {
                Left::Whole => Some(batch),
                Left::Rewritten(rewritten) => {
                    self.changed = true;
                    Some(rewritten)
                }
                Left::Nothing => {
                    self.changed = true;
                    None
                }
            };
            let size = written.as_ref().map_or(0, |batch| batch.bytes().len() as u64);
            if let Some(batch) = &written {
                self.target.append(batch)?;
            }
            self.count(&found, kept.records, size);
            if !go_on(found.header.size_in_bytes() as u64 + size) {
                return Err(CompactError::Stopped);
            }
        }
        Ok(())
    }

    fn judge(&mut self, walk: &Walk<'_, D>, found: &Found, batch: &Batch, is_last: bool) -> Result<Kept, CompactError> {
        let header = &found.header;
        let judged = if header.attributes.is_control() {
            let marker = marker_of(batch).map_err(|_| walk.malformed(found, Malformed::Control))?;
            let marker = self.fates.pass_control(header, marker);
            if let Some(aborted) = marker.aborted {
                self.target.note_aborted(aborted);
            }
            self.terms.judge_control(batch, &marker, is_last)
        } else {
            let aborted = self.fates.pass_data(header);
            self.terms.judge_data(batch, aborted, is_last)
        };
        judged.map_err(|malformed| walk.malformed(found, malformed))
    }

    fn count(&mut self, found: &Found, records_kept: u64, bytes_after: u64) {
        self.figures.bytes_read += found.header.size_in_bytes() as u64;
        self.figures.records_read += found.header.record_count.max(0) as u64;
        self.figures.records_kept += records_kept;
        self.figures.bytes_after += bytes_after;
    }
}
