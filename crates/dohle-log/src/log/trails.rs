//! Where readers of old records go on: whoever reads a log from front to back asks next for what follows his last answer, and that was seen
//! when the answer was read. So neither an index nor a header has to be looked up for him.
//!
//! Laws: a trail is a guess that is checked when the bytes are there ([`Slice::read`](super::Slice::read)); those of a log that was cut off are
//! not those that it has afterwards.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dohle_base::Offset;
use dohle_records::Header;
use dohle_records::batch::header;

use crate::segment::scan::Found;

/// How many are known of one log. A reader who is overtaken by more answers than this looks up where he is.
const TRAILS_MAX: usize = 16;

/// Where readers go on, the newest at the end.
#[derive(Debug, Default)]
pub(super) struct Trails(Mutex<VecDeque<Trail>>);

/// The first batch of a segment that holds an offset or lies behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trail {
    /// The first offset of the segment.
    pub(super) segment: Offset,
    /// Which of those that had this name it is.
    pub(super) revision: u64,
    /// The offset that is asked for next.
    pub(super) from: Offset,
    pub(super) found: Found,
}

impl Trail {
    /// What follows the last whole batch of the first `size` bytes that lie at `position`: none where its header is not among `bytes`.
    pub(super) fn behind(segment: Offset, revision: u64, position: u64, bytes: &[u8], size: usize) -> Option<Self> {
        let (mut last, mut end) = (0, 0);
        while let Ok(Some(batch)) = header::size(&bytes[end..])
            && batch <= size - end
        {
            (last, end) = (end, end + batch);
        }
        let from = Header::parse(&bytes[last..end]).ok()?.next_offset();
        let header = Header::parse(&bytes[end..]).ok()?;
        let sound = header.base_offset >= from && header.last_offset() >= header.base_offset;
        sound.then_some(Self { segment, revision, from, found: Found { position: position + end as u64, header } })
    }
}

impl Trails {
    /// Where the batch lies that a reader of `from` gets first, if someone has read up to there lately.
    pub(super) fn find(&self, segment: Offset, revision: u64, from: Offset) -> Option<Found> {
        let trails = self.trails();
        let sought = trails.iter().find(|it| (it.segment, it.revision, it.from) == (segment, revision, from));
        sought.map(|trail| trail.found)
    }

    /// Notes where a reader goes on. Others may come the same way, so that what he has left behind stays until there are too many.
    pub(super) fn note(&self, trail: Trail) {
        let mut trails = self.trails();
        trails.retain(|it| *it != trail);
        if trails.len() == TRAILS_MAX {
            trails.pop_front();
        }
        trails.push_back(trail);
    }

    /// Forgets what has led to a place where something else was.
    pub(super) fn forget(&self, segment: Offset, position: u64) {
        self.trails().retain(|it| (it.segment, it.found.position) != (segment, position));
    }

    fn trails(&self) -> MutexGuard<'_, VecDeque<Trail>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
