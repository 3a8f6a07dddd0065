//! What a pass works on: the closed segments of a log as they were at one moment, and the first half of the work, which finds the last record of
//! each key.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dohle_base::{Offset, Timestamp};
use dohle_records::Batch;
use dohle_records::batch::decode::Malformed;

use super::choose::{self, Dirt, Limits, View};
use super::fates::Fates;
use super::filter::Lasts;
use super::group::{self, Room, Size};
use super::pass::{Figures, Pass};
use super::{CompactError, GoOn, KeyMap, target};
use crate::disk::Disk;
use crate::log::marker_of;
use crate::options::Options;
use crate::segment::name::Content;
use crate::segment::scan::{CHUNK_LARGE, CHUNK_SMALL, Damage, Found, Scan, Stopped};
use crate::segment::{self, Aborted, InRange, Sealed};

/// A log as compaction sees it: taken under the lock, looked at outside of it.
#[derive(Debug)]
pub struct Survey<D: Disk> {
    pub(crate) disk: D,
    pub(crate) dir: Arc<Path>,
    pub(crate) options: Options,
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    pub(crate) stable: Offset,
    pub(crate) sealed: Vec<Arc<Sealed>>,
    /// Of the segment that is written to.
    pub(crate) aborted: Vec<Aborted>,
    pub(super) lasts: Lasts,
    /// What the rewritten segments are told apart by from those that bore their names before.
    pub(crate) revision: u64,
}

impl<D: Disk> Survey<D> {
    /// Says what there is to compact. Reads the last entry of time indexes, once each, and with a `max.compaction.lag.ms` the
    /// first header of dirty segments.
    pub fn dirt(&self, cleaned: Option<Offset>, durable: Offset, now: Timestamp) -> Result<Dirt, CompactError> {
        let options = &self.options;
        let limits = Limits {
            start: self.start,
            end: self.end,
            cleaned,
            stable: self.stable,
            durable,
            lag_min_ms: options.compaction_lag_min_ms,
            lag_max_ms: options.compaction_lag_max_ms,
            now,
        };
        // A segment whose indexes are not stored yet is a new one: its turn comes.
        let stored = self.sealed.iter().take_while(|segment| !segment.is_held());
        let views = stored.map(|segment| self.view(segment)).collect::<Result<Vec<_>, _>>()?;
        Ok(choose::examine(&views, &limits))
    }

    fn view(&self, segment: &Sealed) -> Result<View, CompactError> {
        let failed = |error| self.cut_short(segment, 0, error);
        let newest = segment.largest(&self.disk).map_err(failed)?.map_or(segment.modified, |largest| largest.time);
        let oldest = if self.options.compaction_lag_max_ms < i64::MAX { self.oldest(segment)? } else { None };
        Ok(View { base: segment.base, end: segment.end, size: segment.size, newest, oldest })
    }

    fn oldest(&self, segment: &Sealed) -> Result<Option<Timestamp>, CompactError> {
        let path = self.path(segment);
        let file = segment.open(&self.disk).map_err(|error| CompactError::io("open", &path, error))?;
        let first = Scan::new(file, 0, segment.size, CHUNK_SMALL).next();
        let first = first.map_err(|stopped| self.stopped(segment, 0, stopped))?;
        Ok(first.map(|first| first.header.max_timestamp).filter(|time| time.0 > 0))
    }

    fn path(&self, segment: &Sealed) -> PathBuf {
        segment::path(&self.dir, segment.base, Content::Log)
    }

    /// Why a walk over a segment ends at `position`.
    fn stopped(&self, segment: &Sealed, position: u64, stopped: Stopped) -> CompactError {
        match stopped {
            Stopped::Damaged { position, damage } => CompactError::Damaged { segment: segment.base, position, damage },
            Stopped::Io(source) => self.cut_short(segment, position, source),
        }
    }

    /// Why a segment cannot be read at `position`. A closed segment becomes shorter when it was dropped and is being removed: then its name is gone. A
    /// truncation makes one shorter too, and then it is not closed any more. Whatever else does is damage, which is there the next time too.
    fn cut_short(&self, segment: &Sealed, position: u64, source: io::Error) -> CompactError {
        match source.kind() {
            io::ErrorKind::UnexpectedEof if self.is_gone(segment) => CompactError::Moved,
            io::ErrorKind::UnexpectedEof => {
                let damage = Damage::CutOff(segment.size - position);
                CompactError::Damaged { segment: segment.base, position, damage }
            }
            _ => CompactError::io("read", &self.path(segment), source),
        }
    }

    fn is_gone(&self, segment: &Sealed) -> bool {
        segment.open(&self.disk).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    /// What is to be done about `dirt`.
    pub fn job(self, dirt: &Dirt) -> Job<D> {
        Job { survey: self, dirt: dirt.clone() }
    }
}

/// A pass, not begun yet.
#[derive(Debug)]
pub struct Job<D: Disk> {
    survey: Survey<D>,
    dirt: Dirt,
}

impl<D: Disk> Job<D> {
    /// Reads what is dirty and notes where the last record of each key lies, until the end or until `keys` is full. The pass that follows
    /// reaches to there.
    pub fn map(self, keys: &mut KeyMap, go_on: &mut GoOn<'_>) -> Result<Pass<D>, CompactError> {
        let Self { survey, dirt } = self;
        target::clear(&survey.disk, &survey.dir)?;
        let dirty = dirt.dirty;
        keys.begin(dirty.start, dirty.end.since(dirty.start));
        let mut mapping = Mapping { survey: &survey, keys, from: dirty.start, fates: Fates::default() };
        let mut figures = Figures::default();
        let mut mapped = dirty.end;
        for segment in survey.sealed.iter().filter(|segment| segment.end > dirty.start && segment.end <= dirty.end) {
            if let Some(full) = mapping.take(segment, &mut figures, go_on)? {
                mapped = full;
                break;
            }
        }
        let originals: Vec<Arc<Sealed>> =
            survey.sealed.iter().filter(|segment| segment.base < mapped && segment.end <= dirty.end).cloned().collect();
        figures.keys = keys.len() as u64;
        let groups = groups(&originals, &survey.options);
        Ok(Pass::new(survey, mapped, groups, figures))
    }
}

fn groups(originals: &[Arc<Sealed>], options: &Options) -> Vec<Vec<Arc<Sealed>>> {
    let sizes: Vec<Size> = originals
        .iter()
        .map(|segment| Size {
            base: segment.base,
            end: segment.end,
            bytes: segment.size,
            index_bytes: segment.indexes.bytes_max(),
        })
        .collect();
    let room = Room { bytes: options.segment_bytes, index_bytes: options.index_bytes_max };
    group::group(&sizes, &room).into_iter().map(|places| originals[places].to_vec()).collect()
}

struct Mapping<'a, D: Disk> {
    survey: &'a Survey<D>,
    keys: &'a mut KeyMap,
    from: Offset,
    fates: Fates,
}

impl<D: Disk> Mapping<'_, D> {
    /// Notes the keys of a segment; when they do not fit, says which record did not.
    fn take(
        &mut self,
        segment: &Sealed,
        figures: &mut Figures,
        go_on: &mut GoOn<'_>,
    ) -> Result<Option<Offset>, CompactError> {
        self.fates.announce(&self.survey.aborted_in(segment)?);
        let mut walk = Walk::over(self.survey, segment)?;
        while let Some((found, batch)) = walk.next()? {
            let header = &found.header;
            figures.bytes_read += header.size_in_bytes() as u64;
            if !go_on(header.size_in_bytes() as u64) {
                return Err(CompactError::Stopped);
            }
            if header.attributes.is_control() {
                let marker = marker_of(&batch).map_err(|_| walk.malformed(&found, Malformed::Control))?;
                self.fates.pass_control(header, marker);
            } else if !self.fates.pass_data(header)
                && header.last_offset() >= self.from
                && let Some(full) = self.note(&walk, &found, &batch)?
            {
                return Ok(Some(full));
            }
        }
        Ok(None)
    }

    fn note(&mut self, walk: &Walk<'_, D>, found: &Found, batch: &Batch) -> Result<Option<Offset>, CompactError> {
        let malformed = |malformed| walk.malformed(found, malformed);
        for record in batch.records(self.survey.options.budget).map_err(malformed)? {
            let record = record.map_err(malformed)?;
            let in_batch = (found.header.base_offset..=found.header.last_offset()).contains(&record.offset);
            if let Some(key) = record.key.filter(|_| in_batch && record.offset >= self.from)
                && !self.keys.put(&key, record.offset)
            {
                return Ok(Some(record.offset));
            }
        }
        Ok(None)
    }
}

impl<D: Disk> Survey<D> {
    /// The aborted transactions that have records in a segment, or their marker: the abort index that says so may be that of a later one.
    pub(super) fn aborted_in(&self, segment: &Sealed) -> Result<Vec<Aborted>, CompactError> {
        let mut found = Vec::new();
        let first = self.sealed.partition_point(|other| other.base < segment.base);
        for other in &self.sealed[first..] {
            let failed = |error| CompactError::io("read the abort index of", &self.path(other), error);
            let entries = other.aborted(&self.disk).map_err(failed)?;
            if collect(&entries, segment, &mut found) {
                return Ok(found);
            }
        }
        collect(&self.aborted, segment, &mut found);
        Ok(found)
    }
}

/// Adds those that concern the segment, and says whether later ones cannot.
fn collect(entries: &[Aborted], segment: &Sealed, found: &mut Vec<Aborted>) -> bool {
    for entry in entries {
        if entry.last >= segment.base && entry.first < segment.end {
            found.push(*entry);
        }
        if entry.last_stable >= segment.end {
            return true;
        }
    }
    false
}

/// A walk over all of a segment's batches, each held to its checksum and its place.
pub(super) struct Walk<'a, D: Disk> {
    survey: &'a Survey<D>,
    segment: &'a Sealed,
    scan: Scan<D::File>,
    position: u64,
    next: Offset,
}

impl<'a, D: Disk> Walk<'a, D> {
    pub(super) fn over(survey: &'a Survey<D>, segment: &'a Sealed) -> Result<Self, CompactError> {
        let path = survey.path(segment);
        let file = segment.open(&survey.disk).map_err(|error| CompactError::io("open", &path, error))?;
        let scan = Scan::new(file, 0, segment.size, CHUNK_LARGE);
        Ok(Self { survey, segment, scan, position: 0, next: segment.base })
    }

    pub(super) fn next(&mut self) -> Result<Option<(Found, Batch)>, CompactError> {
        let stopped = |stopped| self.survey.stopped(self.segment, self.position, stopped);
        let found = self.scan.next().map_err(stopped)?;
        let Some(found) = found else { return Ok(None) };
        if !found.header.lies_in(&(self.next..self.segment.end)) {
            return Err(self.damaged(&found, Damage::Order(found.header.base_offset)));
        }
        (self.position, self.next) = (found.end(), found.header.next_offset());
        let cut_short = |error| self.survey.cut_short(self.segment, found.position, error);
        let batch = self.scan.batch(&found).map_err(cut_short)?;
        if !batch.is_intact() {
            return Err(self.damaged(&found, Damage::Checksum));
        }
        Ok(Some((found, batch)))
    }

    /// Whether the batch is the last of the segment.
    pub(super) fn is_last(&self, found: &Found) -> bool {
        found.end() == self.segment.size
    }

    fn damaged(&self, found: &Found, damage: Damage) -> CompactError {
        CompactError::Damaged { segment: self.segment.base, position: found.position, damage }
    }

    pub(super) fn malformed(&self, found: &Found, malformed: Malformed) -> CompactError {
        CompactError::Malformed { segment: self.segment.base, position: found.position, malformed }
    }
}

impl<D: Disk> Survey<D> {
    pub(crate) fn taken(log: Taken<'_, D>) -> Self {
        let Taken { disk, dir, options, start, end, stable, sealed, aborted, producers, revision } = log;
        Self {
            disk: disk.clone(),
            dir: dir.clone(),
            options: options.clone(),
            start,
            end,
            stable,
            sealed: sealed.iter().cloned().collect(),
            aborted: aborted.to_vec(),
            lasts: Lasts::of(producers),
            revision,
        }
    }
}

/// What a survey is made of.
pub(crate) struct Taken<'a, D: Disk> {
    pub(crate) disk: &'a D,
    pub(crate) dir: &'a Arc<Path>,
    pub(crate) options: &'a Options,
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    pub(crate) stable: Offset,
    pub(crate) sealed: &'a std::collections::VecDeque<Arc<Sealed>>,
    pub(crate) aborted: &'a [Aborted],
    pub(crate) producers: &'a crate::producers::Producers,
    pub(crate) revision: u64,
}
