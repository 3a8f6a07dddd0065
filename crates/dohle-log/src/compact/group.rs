//! Which segments become one (`Cleaner.groupSegmentsBySize`), so that segments do not shrink to nothing.
//!
//! A pure chooser over sizes: by the bytes before compaction, because how much is left is known only afterwards.

use std::ops::Range;

use dohle_base::Offset;

/// A segment below the end of a pass, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) base: Offset,
    pub(super) end: Offset,
    pub(super) bytes: u64,
    /// Of its larger index.
    pub(super) index_bytes: u64,
}

/// The most that one segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) bytes: u64,
    pub(super) index_bytes: u64,
}

/// The indexes of a segment count in 31 bits.
const REACH_MAX: u64 = i32::MAX as u64;

/// Cuts the segments into ranges of places, each of which becomes one segment. A segment that is too large already is one by itself.
pub(super) fn group(segments: &[Size], room: &Room) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for (place, segment) in segments.iter().enumerate() {
        match groups.last_mut() {
            Some(group) if fits(&segments[group.clone()], segment, room) => group.end = place + 1,
            Some(_) | None => groups.push(place..place + 1),
        }
    }
    groups
}

fn fits(group: &[Size], next: &Size, room: &Room) -> bool {
    let bytes: u64 = group.iter().map(|size| size.bytes).sum();
    let index_bytes: u64 = group.iter().map(|size| size.index_bytes).sum();
    bytes + next.bytes <= room.bytes
        && index_bytes + next.index_bytes <= room.index_bytes
        && next.end.since(group[0].base) <= REACH_MAX + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_joined_as_long_as_they_fit() {
        let room = Room { bytes: 250, index_bytes: 100 };
        let of = |sizes: &[(i64, u64, u64)]| {
            let mut base = Offset(0);
            let sizes = sizes.iter().map(|(offsets, bytes, index_bytes)| {
                let size = Size { base, end: base + *offsets, bytes: *bytes, index_bytes: *index_bytes };
                base = size.end;
                size
            });
            group(&sizes.collect::<Vec<_>>(), &room)
        };
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[(10, 100, 1), (10, 150, 1), (10, 1, 1)]), [0..2, 2..3], "bytes");
        assert_eq!(of(&[(10, 1, 60), (10, 1, 41), (10, 1, 59)]), [0..1, 1..3], "an index");
        assert_eq!(of(&[(10, 900, 1), (10, 900, 1), (10, 0, 0)]), [0..1, 1..2, 2..3], "too large already");
        let most = i64::from(i32::MAX) + 1;
        assert_eq!(of(&[(most - 1, 1, 1), (1, 1, 1), (1, 1, 1)]), [0..2, 2..3], "offsets");
    }
}
