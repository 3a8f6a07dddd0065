//! Scrubbing: closed segments are read now and then, and every batch is held to its checksum, before a reader needs it.
//!
//! Owns the choice of the segment that is next and the reading; where a log has got to, whoever runs it writes down. What is found damaged is told to
//! the log ([`crate::log::Log::note_damage`]), which serves it no more. Slowness is the caller's, who is asked after every batch.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use dohle_base::Offset;

use crate::disk::{Disk, File};
use crate::failure::Failure;
use crate::segment::index::OffsetEntry;
use crate::segment::name::Content;
use crate::segment::scan::{CHUNK_LARGE, Found, Scan, Stopped};
use crate::segment::{self, Damage, InRange, Sealed};

/// The most damaged places that are told apart in a segment; from the last of them on all of it counts as damaged.
pub const DAMAGES_MAX: usize = 64;

/// The closed segments of a log as they were at one moment.
#[derive(Debug)]
pub struct Scrub<D: Disk> {
    pub(crate) disk: D,
    pub(crate) dir: Arc<Path>,
    pub(crate) sealed: Vec<Arc<Sealed>>,
}

/// What a segment was found to be.
#[derive(Debug)]
pub enum Finding {
    /// Every batch is sound.
    Sound,
    /// These are not.
    Damaged(Damages),
    /// It was dropped or rewritten meanwhile.
    Gone,
    /// The caller wanted to end.
    Stopped,
}

/// Where a segment is damaged.
#[derive(Clone, Debug)]
pub struct Damages {
    /// The segment's first offset.
    pub segment: Offset,
    /// Ranges of positions in its file, in order.
    pub places: Vec<Range<u64>>,
    /// What is wrong with the first.
    pub damage: Damage,
    pub(crate) revision: u64,
}

/// The place of the segment that is next when all below `reached` were read: the first that has something behind it. None when the round is
/// over.
pub fn choose(segments: &[Range<Offset>], reached: Offset) -> Option<usize> {
    segments.iter().position(|segment| segment.end > reached)
}

impl<D: Disk> Scrub<D> {
    /// The offsets of the segments, oldest first.
    pub fn segments(&self) -> Vec<Range<Offset>> {
        self.sealed.iter().map(|segment| segment.base..segment.end).collect()
    }

    /// Reads a segment, by its place. `go_on` is asked after every batch with its size.
    pub fn read(&self, place: usize, go_on: &mut dyn FnMut(u64) -> bool) -> Result<Finding, Failure> {
        let segment = &*self.sealed[place];
        let path = segment::path(&self.dir, segment.base, Content::Log);
        match self.look(segment, go_on) {
            Ok(finding) => Ok(finding),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Finding::Gone),
            Err(error) => Err(Failure::of("read", &path)(error)),
        }
    }

    fn look(&self, segment: &Sealed, go_on: &mut dyn FnMut(u64) -> bool) -> io::Result<Finding> {
        let file = segment.open(&self.disk)?;
        let mut scan = Scan::new(file, 0, segment.size, CHUNK_LARGE);
        let mut found: Option<Damages> = None;
        let (mut position, mut least) = (0, segment.base);
        loop {
            let (range, damage) = match self.step(&mut scan, segment, least, go_on) {
                Ok(Step::End) => break,
                Ok(Step::Stopped) => return Ok(Finding::Stopped),
                Ok(Step::Sound(batch)) => {
                    (position, least) = (batch.end(), batch.header.next_offset());
                    continue;
                }
                Ok(Step::Damaged(range, damage)) => (range, damage),
                // A file that is shorter than it was: rewritten meanwhile, or damaged in its length.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    (position..segment.size, Damage::CutOff(segment.size - position))
                }
                Err(error) => return Err(error),
            };
            position = range.end;
            scan.go(position);
            let damages = found.get_or_insert_with(|| Damages {
                segment: segment.base,
                places: Vec::new(),
                damage,
                revision: segment.revision,
            });
            damages.places.push(range);
            if damages.places.len() == DAMAGES_MAX {
                damages.places[DAMAGES_MAX - 1].end = segment.size;
                break;
            }
        }
        Ok(found.map_or(Finding::Sound, Finding::Damaged))
    }

    /// Reads the next batch, none of whose offsets may lie below `least`.
    fn step(
        &self,
        scan: &mut Scan<D::File>,
        segment: &Sealed,
        least: Offset,
        go_on: &mut dyn FnMut(u64) -> bool,
    ) -> io::Result<Step> {
        let batch = match scan.next() {
            Ok(None) => return Ok(Step::End),
            Ok(Some(batch)) => batch,
            Err(Stopped::Damaged { position, damage }) => {
                return Ok(Step::Damaged(position..self.next_sound(segment, position)?, damage));
            }
            Err(Stopped::Io(error)) => return Err(error),
        };
        if !go_on(batch.header.size_in_bytes() as u64) {
            return Ok(Step::Stopped);
        }
        Ok(match judge(scan, &batch, &(least..segment.end))? {
            None => Step::Sound(batch),
            Some(damage) => Step::Damaged(batch.position..batch.end(), damage),
        })
    }

    /// Where the index says that a batch begins behind what cannot be read.
    fn next_sound(&self, segment: &Sealed, position: u64) -> io::Result<u64> {
        let upto = |entry: OffsetEntry| u64::from(entry.position) <= position;
        let (_, behind) = segment.indexes.offsets.around(&self.disk, upto)?;
        Ok(behind.map_or(segment.size, |entry| u64::from(entry.position).min(segment.size)))
    }
}

/// What was found at one position.
enum Step {
    End,
    Stopped,
    Sound(Found),
    Damaged(Range<u64>, Damage),
}

fn judge<F: File>(scan: &mut Scan<F>, found: &Found, range: &Range<Offset>) -> io::Result<Option<Damage>> {
    if !found.header.lies_in(range) {
        return Ok(Some(Damage::Order(found.header.base_offset)));
    }
    Ok((!scan.is_intact(found)?).then_some(Damage::Checksum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_goes_from_segment_to_segment_and_on_from_where_it_was() {
        let segments = [Offset(0)..Offset(10), Offset(10)..Offset(20), Offset(20)..Offset(30)];
        let cases = [(0, Some(0)), (9, Some(0)), (10, Some(1)), (25, Some(2)), (30, None), (99, None)];
        for (reached, expected) in cases {
            assert_eq!(choose(&segments, Offset(reached)), expected, "{reached}");
        }
        assert_eq!(choose(&[], Offset(0)), None);
    }
}
