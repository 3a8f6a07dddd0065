//! Where the newest batches of the active segment lie: whoever reads at the end of a log finds them without looking into the file.
//!
//! Laws: at most [`BATCHES_MAX`] places, oldest first, each behind the one before.

use std::collections::VecDeque;

use dohle_base::Offset;
use dohle_records::Header;

/// How many batches a reader may lag behind and still be served from here.
const BATCHES_MAX: usize = 32;

/// Where a batch lies in its segment's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) base: Offset,
    /// The offset of its last record is this much above the first.
    reach: u32,
    pub(crate) position: u32,
    pub(crate) size: u32,
}

impl Place {
    /// The place of a batch with this header at `position`.
    pub(crate) fn of(header: &Header, position: u64) -> Self {
        let reach = header.last_offset().since(header.base_offset) as u32;
        Self { base: header.base_offset, reach, position: position as u32, size: header.size_in_bytes() as u32 }
    }

    /// The offset of its last record.
    pub(crate) fn last(&self) -> Offset {
        self.base + i64::from(self.reach)
    }
}

/// The places of the newest batches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent(VecDeque<Place>);

impl Recent {
    /// Notes the newest batch.
    pub(crate) fn push(&mut self, place: Place) {
        if self.0.len() == BATCHES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(place);
    }

    /// The batch that holds `offset` or is the first behind it; none if that may be an older batch than those that are known, or there is no
    /// such batch yet.
    pub(crate) fn reach(&self, offset: Offset) -> Option<Place> {
        self.0.front().filter(|oldest| oldest.base <= offset)?;
        let at = self.0.partition_point(|place| place.last() < offset);
        self.0.get(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_that_reaches_an_offset_is_found_unless_it_is_too_old_or_not_written_yet() {
        let mut recent = Recent::default();
        assert_eq!(recent.reach(Offset(0)), None);
        // Batches of ten offsets, with a gap of five behind each.
        for number in 0..BATCHES_MAX as u32 + 2 {
            recent.push(Place { base: Offset(i64::from(number) * 15), reach: 9, position: number * 100, size: 100 });
        }
        let found = |offset| recent.reach(Offset(offset)).map(|place| place.base.0);
        assert_eq!([29, 30, 39, 40, 44, 45].map(found), [None, Some(30), Some(30), Some(45), Some(45), Some(45)]);
        let newest = (BATCHES_MAX as i64 + 1) * 15;
        assert_eq!([newest + 9, newest + 10].map(found), [Some(newest), None]);
    }
}
