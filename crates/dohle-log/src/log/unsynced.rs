//! What a log has that is not durable yet, for a journal that makes it so in the log's place.
//!
//! Law: from what is durable in the log's own files, what was journaled since leads to [`Log::durable`] without a gap. It is taken
//! up again by [`Log::append_as_follower`]; it says nothing of names and truncations, which are the flush's.

use std::io;
use std::ops::Range;

use dohle_base::Offset;

use super::Log;
use crate::disk::{Disk, File};

/// Where a batch stands, or would stand if it were there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: Offset,
    /// The first offset of the segment.
    pub(super) segment: Offset,
    pub(super) position: u64,
}

/// The batches at the end of a log that are not durable.
#[derive(Debug)]
pub struct Unsynced<D: Disk> {
    upto: Place,
    revision: u64,
    generation: u64,
    parts: Vec<(D::File, Range<u64>)>,
}

impl<D: Disk> Log<D> {
    /// Up to where a power cut takes nothing: what is synced in the log's own files, and what a journal has. Exclusive.
    pub fn durable(&self) -> Offset {
        let journaled = self.durable.reached.map_or(Offset::ZERO, |reached| reached.offset);
        self.durable.synced.max(journaled)
    }

    /// What a journal may make durable now, where an acknowledgement waits for that. None where nothing waits, and where only a flush can do it:
    /// as long as nothing of the log is known to be durable, its directory may vanish.
    pub fn unsynced(&self) -> Option<Unsynced<D>> {
        let reached = self.durable.reached?;
        if !self.awaits_disk() || self.durable.failed {
            return None;
        }
        let from = |segment| if segment == reached.segment { reached.position } else { 0 };
        let mut parts = vec![(self.active.file.clone(), from(self.active.base)..self.active.size)];
        for sealed in self.sealed.iter().rev().take_while(|sealed| sealed.end > reached.offset) {
            // One that no flush has taken yet is open. What cannot be opened now, a flush may.
            let open = self.durable.unsynced.iter().find(|(base, _)| *base == sealed.base);
            let file = open.map_or_else(|| sealed.open(&self.disk), |(_, file)| Ok(file.clone())).ok()?;
            parts.push((file, from(sealed.base)..sealed.size));
        }
        parts.reverse();
        let (revision, generation) = (self.revision, self.durable.generation);
        Some(Unsynced { upto: self.end_place(), revision, generation, parts })
    }

    /// Notes what a journal has, and says up to where all is durable now.
    pub fn note_journaled(&mut self, unsynced: &Unsynced<D>) -> Offset {
        if unsynced.revision == self.revision && unsynced.generation == self.durable.generation {
            self.reach(unsynced.upto);
        }
        self.durable()
    }

    pub(super) fn end_place(&self) -> Place {
        Place { offset: self.end(), segment: self.active.base, position: self.active.size }
    }

    /// All up to there is durable.
    pub(super) fn reach(&mut self, place: Place) {
        if self.durable.reached.is_none_or(|reached| reached.offset < place.offset) {
            self.durable.reached = Some(place);
        }
    }
}

impl<D: Disk> Unsynced<D> {
    /// How many bytes of batches that are.
    pub fn size(&self) -> u64 {
        self.parts.iter().map(|(_, range)| range.end - range.start).sum()
    }

    /// Fills `into`, which is as large, with the batches.
    pub(crate) fn read(&self, mut into: &mut [u8]) -> io::Result<()> {
        for (file, range) in &self.parts {
            let (part, rest) = into.split_at_mut((range.end - range.start) as usize);
            if file.read_at(range.start, part)? < part.len() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            into = rest;
        }
        Ok(())
    }
}
