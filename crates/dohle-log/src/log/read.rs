//! Reading by offset: which bytes of which file.
//!
//! [`Log::plan`] looks at memory only and is made under the partition's lock; [`Plan::resolve`] reads an index and a few headers, and
//! [`Slice::read`] the bytes, both outside of it. Whoever sends a file needs the slice only. Between plan and bytes the log may have been
//! truncated or its oldest segments dropped: that is [`ReadError::Moved`], and the plan is made anew.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dohle_base::{ErrorCode, Offset};
use thiserror::Error;

use super::Log;
use crate::disk::{Disk, File};
use crate::failure::Failure;
use crate::segment::scan::{CHUNK_SMALL, Damage, Found, Scan, Stopped};
use crate::segment::{self, InRange, Sealed, name::Content};

/// Bytes that were appended this lately are likely to be in the page cache still: it is looked whether they are.
const NEAR_BYTES: u64 = 64 << 20;

/// What a reader wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    from: Offset,
    upto: Offset,
    bytes_max: u64,
    minimum_one: bool,
}

/// Where to look for the bytes that a reader wants.
#[derive(Debug)]
pub struct Plan<D: Disk> {
    disk: D,
    dir: Arc<Path>,
    wanted: Wanted,
    place: Place<D::File>,
}

#[derive(Debug)]
enum Place<F> {
    /// Nothing there yet.
    Nowhere,
    Sealed(Vec<Arc<Sealed>>, Tail<F>),
    Active(Tail<F>),
}

/// The segment that is written to, as it was when the plan was made.
#[derive(Clone, Debug)]
struct Tail<F> {
    file: F,
    base: Offset,
    next: Offset,
    size: u64,
    revision: u64,
    from_hint: u64,
    upto_hint: u64,
    /// The bytes themselves, where they are among the newest.
    exact: Option<Exact>,
    near: bool,
}

/// A batch to begin with, and where the last one ends that is wanted.
#[derive(Clone, Copy, Debug)]
struct Exact {
    first: segment::Place,
    limit: u64,
}

/// Bytes of a segment's file: whole batches, but for the last, which the limit may cut.
#[derive(Clone, Debug)]
pub struct Slice<F> {
    /// The file, open.
    pub file: F,
    /// Where in it.
    pub range: Range<u64>,
    /// The offset of the first record: at or below the one that was asked for.
    pub base_offset: Offset,
    /// The first offset of the segment.
    pub segment: Offset,
    /// Whether the bytes were appended so lately that they are likely to be in memory: [`Slice::is_in_memory`] looks whether they are.
    pub near: bool,
    /// Which of the segments that had this name it is.
    pub(super) revision: u64,
}

/// Why nothing can be read there.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The log does not have that offset: OFFSET_OUT_OF_RANGE.
    #[error("offset {offset} is not within {start} and {end}")]
    OutOfRange {
        /// The one asked for.
        offset: Offset,
        /// The first that may be read.
        start: Offset,
        /// The end of the log.
        end: Offset,
    },
    /// The log has changed since the plan was made: make it anew.
    #[error("the log has changed under the reader")]
    Moved,
    /// What lies there is no batch. The reader has to go to another replica.
    #[error("{damage} in segment {segment} at {position}")]
    Damaged {
        /// The first offset of the segment.
        segment: Offset,
        /// Where in its file.
        position: u64,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] Failure),
}

impl ReadError {
    /// What the client is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            Self::Moved | Self::Damaged { .. } | Self::Storage(_) => ErrorCode::KafkaStorageError,
        }
    }

    pub(super) fn stopped(segment: &Segment<'_>, stopped: Stopped) -> Self {
        match stopped {
            Stopped::Damaged { position, damage } => Self::Damaged { segment: segment.base, position, damage },
            Stopped::Io(error) => Self::io(segment, error),
        }
    }

    pub(super) fn io(segment: &Segment<'_>, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => Self::Moved,
            _ => {
                let path = segment::path(segment.dir, segment.base, Content::Log);
                Self::Storage(Failure { action: "read", path, source })
            }
        }
    }
}

/// Which segment an error is about.
pub(super) struct Segment<'a> {
    pub(super) dir: &'a Path,
    pub(super) base: Offset,
}

impl<D: Disk> Log<D> {
    /// Where the batches lie that hold the records from `from` on, below `upto`, and no more than `bytes_max` bytes of them; with
    /// `minimum_one` the first batch whatever its size. `upto` is the high watermark or the last stable offset.
    pub fn plan(&self, from: Offset, upto: Offset, bytes_max: u64, minimum_one: bool) -> Result<Plan<D>, ReadError> {
        let (start, end) = (self.start, self.end());
        if from < start || from > end {
            return Err(ReadError::OutOfRange { offset: from, start, end });
        }
        let wanted = Wanted { from, upto: upto.min(end), bytes_max, minimum_one };
        let place = if from >= wanted.upto {
            Place::Nowhere
        } else if from >= self.active.base {
            Place::Active(self.tail(&wanted))
        } else {
            // Compaction may have emptied the rest of a segment: what follows then is in a later one.
            let first = self.sealed.partition_point(|segment| segment.end <= from);
            Place::Sealed(self.sealed.range(first..).cloned().collect(), self.tail(&wanted))
        };
        Ok(Plan { disk: self.disk.clone(), dir: self.dir.clone(), wanted, place })
    }

    fn tail(&self, wanted: &Wanted) -> Tail<D::File> {
        let active = &self.active;
        let whole = wanted.upto >= active.next;
        let limit =
            if whole { Some(active.size) } else { active.recent.reach(wanted.upto).map(|it| it.position.into()) };
        let exact = active.recent.reach(wanted.from).zip(limit).map(|(first, limit)| Exact { first, limit });
        let from_hint = exact.map_or_else(|| active.hint(wanted.from), |exact| exact.first.position.into());
        Tail {
            file: active.file.clone(),
            base: active.base,
            next: active.next,
            size: active.size,
            revision: self.revision,
            from_hint,
            upto_hint: active.hint(wanted.upto),
            exact,
            near: from_hint >= active.written_from.max(active.size.saturating_sub(NEAR_BYTES)),
        }
    }

    /// Plan and resolution in one, for whoever holds no lock: none when there is nothing to read yet.
    pub fn read(
        &self,
        from: Offset,
        upto: Offset,
        bytes_max: u64,
        minimum_one: bool,
    ) -> Result<Option<Slice<D::File>>, ReadError> {
        self.plan(from, upto, bytes_max, minimum_one)?.resolve()
    }
}

impl<D: Disk> Plan<D> {
    /// Whether the bytes can be found without waiting for the disk.
    pub fn is_near(&self) -> bool {
        match &self.place {
            Place::Nowhere => true,
            Place::Sealed(..) => false,
            Place::Active(tail) => tail.near && tail.is_found_in_memory(),
        }
    }

    /// Finds the bytes. None when there is no batch yet, or none that fits. May wait for the disk where the segment is not the last.
    pub fn resolve(self) -> Result<Option<Slice<D::File>>, ReadError> {
        let (sealed, tail) = match self.place {
            Place::Nowhere => return Ok(None),
            Place::Active(tail) => (Vec::new(), tail),
            Place::Sealed(sealed, tail) => (sealed, tail),
        };
        for segment in &sealed {
            let at = Segment { dir: &self.dir, base: segment.base };
            match find_in_sealed(&self.disk, segment, &self.wanted, &at)? {
                Search::Found(slice) => return Ok(slice),
                Search::Beyond => {}
            }
        }
        let at = Segment { dir: &self.dir, base: tail.base };
        match find_in_tail(tail, &self.wanted, &at)? {
            Search::Found(slice) => Ok(slice),
            Search::Beyond => Ok(None),
        }
    }
}

impl<F: File> Tail<F> {
    /// Whether the file need not be read to find the first batch, or is in memory where it begins to be read.
    fn is_found_in_memory(&self) -> bool {
        let upto = self.size.min(self.from_hint + CHUNK_SMALL as u64);
        self.exact.is_some() || self.file.is_in_memory(self.from_hint..upto)
    }
}

enum Search<F> {
    Found(Option<Slice<F>>),
    /// No batch of this segment reaches the offset.
    Beyond,
}

fn find_in_sealed<D: Disk>(
    disk: &D,
    segment: &Sealed,
    wanted: &Wanted,
    at: &Segment<'_>,
) -> Result<Search<D::File>, ReadError> {
    let io = |error| ReadError::io(at, error);
    let file = segment.open(disk).map_err(io)?;
    let end = segment.damaged_tail().unwrap_or(segment.size);
    // A rewritten segment may bear the name by now.
    if file.size().map_err(io)? < end {
        return Err(ReadError::Moved);
    }
    let hint = segment.hint(disk, &file, wanted.from).map_err(io)?;
    let mut scan = Scan::new(file.clone(), hint, end, CHUNK_SMALL);
    let Some(first) = reach(&mut scan, wanted.from, at)? else {
        let damaged = ReadError::Damaged { segment: segment.base, position: end, damage: Damage::Checksum };
        return if end < segment.size { Err(damaged) } else { Ok(Search::Beyond) };
    };
    if !first.header.lies_in(&(segment.base..segment.end)) {
        let damage = Damage::Order(first.header.base_offset);
        return Err(ReadError::Damaged { segment: segment.base, position: first.position, damage });
    }
    let limit = if wanted.upto >= segment.end {
        segment.size
    } else {
        let hint = segment.hint(disk, &file, wanted.upto).map_err(io)?;
        limit(&mut scan, &first, hint, wanted.upto, at)?.unwrap_or(segment.size)
    };
    // What is known to be damaged is not served, and neither is what lies behind it in the same answer.
    let limit = match segment.damaged_from(first.position) {
        Some(place) if place.start <= first.position => {
            let (position, damage) = (first.position, Damage::Checksum);
            return Err(ReadError::Damaged { segment: segment.base, position, damage });
        }
        Some(place) => limit.min(place.start),
        None => limit,
    };
    let slice = Slice {
        file,
        range: first.position..limit,
        base_offset: first.header.base_offset,
        segment: at.base,
        revision: segment.revision,
        near: false,
    };
    Ok(Search::Found(slice.cut(first.header.size_in_bytes() as u64, wanted)))
}

fn find_in_tail<F: File>(tail: Tail<F>, wanted: &Wanted, at: &Segment<'_>) -> Result<Search<F>, ReadError> {
    let (first, limit) = match tail.exact {
        Some(Exact { first, limit }) => (first, limit),
        None => {
            let mut scan = Scan::new(tail.file.clone(), tail.from_hint, tail.size, CHUNK_SMALL);
            let Some(first) = reach(&mut scan, wanted.from, at)? else { return Ok(Search::Beyond) };
            let limit = if wanted.upto >= tail.next {
                tail.size
            } else {
                limit(&mut scan, &first, tail.upto_hint, wanted.upto, at)?.unwrap_or(tail.size)
            };
            (segment::Place::of(&first.header, first.position), limit)
        }
    };
    let range = u64::from(first.position)..limit;
    let Tail { file, revision, near, .. } = tail;
    let slice = Slice { file, range, base_offset: first.base, segment: at.base, revision, near };
    Ok(Search::Found(slice.cut(first.size.into(), wanted)))
}

/// The first batch that holds `offset` or lies behind it.
fn reach<F: File>(scan: &mut Scan<F>, offset: Offset, at: &Segment<'_>) -> Result<Option<Found>, ReadError> {
    loop {
        match scan.next().map_err(|stopped| ReadError::stopped(at, stopped))? {
            Some(found) if found.header.last_offset() < found.header.base_offset => {
                let damage = Damage::Order(found.header.last_offset());
                return Err(ReadError::Damaged { segment: at.base, position: found.position, damage });
            }
            Some(found) if found.header.last_offset() < offset => {}
            found => return Ok(found),
        }
    }
}

/// Where the first batch begins that reaches `upto`; none when none does. `first` is a batch before which nothing is wanted.
fn limit<F: File>(
    scan: &mut Scan<F>,
    first: &Found,
    hint: u64,
    upto: Offset,
    at: &Segment<'_>,
) -> Result<Option<u64>, ReadError> {
    scan.go(hint.max(first.position));
    Ok(reach(scan, upto, at)?.map(|found| found.position))
}

impl<F: File> Slice<F> {
    /// As much of it as the reader takes, where the first batch has `batch` bytes.
    fn cut(mut self, batch: u64, wanted: &Wanted) -> Option<Self> {
        let there = self.range.end.saturating_sub(self.range.start);
        let taken = if wanted.minimum_one { wanted.bytes_max.max(batch) } else { wanted.bytes_max };
        if there == 0 || taken < batch {
            return None;
        }
        self.range.end = self.range.start + there.min(taken);
        Some(self)
    }

    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Whether there is none: never, as long as nobody has cut it.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Whether they can be read without waiting for the disk, as far as the first and the last byte tell.
    pub fn is_in_memory(&self) -> bool {
        self.file.is_in_memory(self.range.clone())
    }

    /// Waits until the bytes are in memory, where they may not be.
    pub fn warm(&self) -> Result<(), ReadError> {
        let at = Segment { dir: Path::new(""), base: self.segment };
        self.file.warm(self.range.clone()).map_err(|error| ReadError::io(&at, error))
    }

    /// Reads the bytes: one copy from the page cache.
    pub fn read(&self) -> Result<Bytes, ReadError> {
        let mut bytes = vec![0; self.len() as usize];
        let at = Segment { dir: Path::new(""), base: self.segment };
        let read = self.file.read_at(self.range.start, &mut bytes).map_err(|error| ReadError::io(&at, error))?;
        if read < bytes.len() {
            return Err(ReadError::Moved);
        }
        Ok(Bytes::from(bytes))
    }
}
