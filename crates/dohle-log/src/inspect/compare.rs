//! The indexes of one segment, compared with the batches that were passed.

use std::io;
use std::path::Path;

use dohle_base::{Offset, ProducerId, Timestamp};

use super::SegmentFile;
use super::finding::{Finding, Flaw};
use crate::disk::{Disk, read_whole};
use crate::failure::Failure;
use crate::segment::index::{self, Entry, OffsetEntry, TimeEntry};
use crate::segment::name::{Content, Name};
use crate::segment::{Aborted, abort_index};

/// What the batches of one segment say.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Sound ones, in order.
    pub(super) batches: Vec<Passed>,
    /// The transactions that were aborted in it, as far as they began where the log begins, or behind that.
    pub(super) aborted: Vec<Aborted>,
    /// Who has aborted at which offset, whatever there was to abort.
    pub(super) abort_markers: Vec<(ProducerId, Offset)>,
    /// Then its indexes are of no use anyway.
    pub(super) is_damaged: bool,
    /// Then nobody can say what was aborted in it.
    pub(super) is_behind_tear: bool,
}

/// A batch that was passed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passed {
    pub(super) position: u64,
    pub(super) base: Offset,
    pub(super) last: Offset,
    pub(super) time: Timestamp,
    /// What compaction has left without records keeps its time.
    pub(super) has_records: bool,
}

impl Facts {
    /// Compares all three indexes. The last segment has them only after a clean stop, and a closed one has all of its times.
    pub(super) fn compare_indexes<D: Disk>(
        &self,
        disk: &D,
        dir: &Path,
        segment: &SegmentFile,
        is_closed: bool,
        needs_indexes: bool,
    ) -> Result<Vec<Finding>, Failure> {
        let mut findings = Vec::new();
        if self.is_damaged {
            return Ok(findings);
        }
        let judged: &[Content] = if self.is_behind_tear {
            &[Content::Offsets, Content::Times]
        } else {
            &[Content::Offsets, Content::Times, Content::Aborted]
        };
        for content in judged.iter().copied() {
            let name = Name::live(segment.base, content).to_string();
            let flaw = match read(disk, &dir.join(&name))? {
                None => self.flaw_of_absence(content, needs_indexes),
                Some(bytes) => match content {
                    Content::Offsets => self.flaw_of_offsets(segment.base, &bytes),
                    Content::Times => self.flaw_of_times(segment.base, &bytes, is_closed),
                    Content::Aborted => self.flaw_of_aborted(&bytes),
                    Content::Log | Content::Producers => None,
                },
            };
            findings.extend(flaw.map(|flaw| Finding { file: name, position: None, flaw }));
        }
        Ok(findings)
    }

    fn flaw_of_absence(&self, content: Content, needs_indexes: bool) -> Option<Flaw> {
        let is_needed = match content {
            Content::Offsets | Content::Times => true,
            // No file where nothing was aborted.
            Content::Aborted | Content::Log | Content::Producers => !self.aborted.is_empty(),
        };
        (needs_indexes && is_needed).then_some(Flaw::Missing)
    }

    fn flaw_of_offsets(&self, base: Offset, bytes: &[u8]) -> Option<Flaw> {
        let Some(entries) = index::parse::<OffsetEntry>(used::<OffsetEntry>(bytes)) else {
            return Some(Flaw::IndexMalformed);
        };
        let is_wrong = |entry: &OffsetEntry| {
            let found = self.batches.binary_search_by_key(&u64::from(entry.position), |batch| batch.position);
            found.map_or(true, |place| self.batches[place].last != base + i64::from(entry.offset))
        };
        let wrong = entries.iter().position(is_wrong)?;
        let entry = entries[wrong];
        let (offset, at) = (base + i64::from(entry.offset), u64::from(entry.position));
        Some(Flaw::IndexEntry { entry: wrong, offset, at })
    }

    fn flaw_of_times(&self, base: Offset, bytes: &[u8], is_closed: bool) -> Option<Flaw> {
        let Some(entries) = index::parse::<TimeEntry>(used::<TimeEntry>(bytes)) else {
            return Some(Flaw::IndexMalformed);
        };
        let (of_all, of_records) = (self.latest_times(|_| true), self.latest_times(|batch| batch.has_records));
        for (place, entry) in entries.iter().enumerate() {
            let offset = base + i64::from(entry.offset);
            let batch = self.batches.partition_point(|batch| batch.last < offset);
            let is_there = self.batches.get(batch).is_some_and(|batch| batch.base <= offset);
            // Kafka counts what has no records, and we do not.
            if !is_there || ![of_all[batch], of_records[batch]].contains(&entry.time) {
                return Some(Flaw::TimeEntry { entry: place, offset, time: entry.time });
            }
        }
        let told = entries.last().map_or(Timestamp::NONE, |entry| entry.time);
        let latest = of_records.last().copied().unwrap_or(Timestamp::NONE);
        (is_closed && told < latest).then_some(Flaw::TimesEnd { latest })
    }

    /// The latest time up to and with each batch, of those that count.
    fn latest_times(&self, counts: impl Fn(&Passed) -> bool) -> Vec<Timestamp> {
        let times = self.batches.iter().scan(Timestamp::NONE, |latest, batch| {
            *latest = if counts(batch) { batch.time.max(*latest) } else { *latest };
            Some(*latest)
        });
        times.collect()
    }

    fn flaw_of_aborted(&self, bytes: &[u8]) -> Option<Flaw> {
        let Some(entries) = abort_index::parse(bytes) else { return Some(Flaw::IndexMalformed) };
        let is_told = |aborted: &&Aborted| {
            entries.iter().any(|entry| (entry.producer, entry.last) == (aborted.producer, aborted.last))
        };
        if let Some(aborted) = self.aborted.iter().find(|aborted| !is_told(aborted)) {
            return Some(Flaw::AbortMissing { producer: aborted.producer, last: aborted.last });
        }
        // Where the marker is gone, by compaction, nothing can be said.
        let is_unknown = |entry: &&Aborted| {
            let there = self.batches.binary_search_by_key(&entry.last, |batch| batch.last).is_ok();
            there && !self.abort_markers.contains(&(entry.producer, entry.last))
        };
        let unknown = entries.iter().find(is_unknown)?;
        Some(Flaw::AbortUnknown { producer: unknown.producer, last: unknown.last })
    }
}

/// What is in use of an index: Kafka maps its indexes at their full size and does not cut all of them when it stops.
fn used<E: Entry>(bytes: &[u8]) -> &[u8] {
    let mut used = bytes;
    while used.len() >= E::BYTES && used[used.len() - E::BYTES..].iter().all(|byte| *byte == 0) {
        used = &used[..used.len() - E::BYTES];
    }
    used
}

fn read<D: Disk>(disk: &D, path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match read_whole(disk, path) {
        // Longer than any index: not one that can be parsed.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Some(vec![1])),
        read => read.map_err(Failure::of("read", path)),
    }
}
