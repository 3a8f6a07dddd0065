//! Which log is compacted next, and which part of it (`LogCleanerManager`, `LogToClean`).
//!
//! A pure chooser: it is shown segments and says how dirty they are. Knows no file.

use std::ops::Range;

use dohle_base::{Offset, Timestamp};

/// A closed segment, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Its first offset.
    pub base: Offset,
    /// The offset behind its last.
    pub end: Offset,
    /// Its bytes.
    pub size: u64,
    /// The largest time of its records; where they have none, when it was last written.
    pub newest: Timestamp,
    /// The time of its first batch, where that was looked for and is one.
    pub oldest: Option<Timestamp>,
}

/// What bounds a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The first offset that may be read.
    pub start: Offset,
    /// The end of the log. Exclusive.
    pub end: Offset,
    /// Up to where it was compacted before, as the checkpoint says. One that is not within the log counts for nothing.
    pub cleaned: Option<Offset>,
    /// The last stable offset: behind it fates are open.
    pub stable: Offset,
    /// The recovery point as it is on the disk: segments that reach it are read after a crash.
    pub durable: Offset,
    /// `min.compaction.lag.ms`: a record stays at least this long.
    pub lag_min_ms: i64,
    /// `max.compaction.lag.ms`: after this a record is compacted, however little is dirty.
    pub lag_max_ms: i64,
    /// The time.
    pub now: Timestamp,
}

/// What there is to compact in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirt {
    /// From the first record that no pass has seen to the first that may not be touched.
    pub dirty: Range<Offset>,
    /// Bytes of segments that lie below it.
    pub clean_bytes: u64,
    /// Bytes of the segments in it.
    pub dirty_bytes: u64,
    /// Whether something in it is older than `max.compaction.lag.ms`.
    pub overdue: bool,
}

impl Dirt {
    /// The part of the bytes that is dirty.
    pub fn ratio(&self) -> f64 {
        let all = self.clean_bytes + self.dirty_bytes;
        if all == 0 { 0.0 } else { self.dirty_bytes as f64 / all as f64 }
    }

    /// Whether a pass is due where `min.cleanable.dirty.ratio` is this.
    pub fn is_due(&self, ratio_min: f64) -> bool {
        self.dirty_bytes > 0 && (self.overdue || self.ratio() > ratio_min)
    }
}

/// Says how dirty a log is.
pub fn examine(segments: &[View], limits: &Limits) -> Dirt {
    let known = limits.cleaned.filter(|cleaned| (limits.start..=limits.end).contains(cleaned));
    let first_dirty = known.unwrap_or(limits.start);
    let is_settled = |segment: &View| segment.end <= limits.stable && segment.end < limits.durable;
    let young = |segment: &View| segment.newest.0 > limits.now.0.saturating_sub(limits.lag_min_ms);
    let lags = |segment: &View| limits.lag_min_ms > 0 && segment.end > first_dirty && young(segment);
    let cleanable = segments.iter().take_while(|segment| is_settled(segment) && !lags(segment)).count();
    let end = cleanable.checked_sub(1).map_or(first_dirty, |last| segments[last].end.max(first_dirty));
    let (clean, dirty): (Vec<View>, Vec<View>) =
        segments[..cleanable].iter().partition(|segment| segment.end <= first_dirty);
    let bytes = |segments: &[View]| segments.iter().map(|segment| segment.size).sum();
    let oldest = dirty.iter().filter_map(|segment| segment.oldest).min();
    Dirt {
        dirty: first_dirty..end,
        clean_bytes: bytes(&clean),
        dirty_bytes: bytes(&dirty),
        overdue: oldest.is_some_and(|oldest| oldest.0 < limits.now.0.saturating_sub(limits.lag_max_ms)),
    }
}

/// The place of the log with the largest part of dirty bytes among those for which a pass is due, each with its
/// `min.cleanable.dirty.ratio`.
pub fn filthiest<'a>(logs: impl IntoIterator<Item = (&'a Dirt, f64)>) -> Option<usize> {
    let due = logs.into_iter().enumerate().filter(|(_, (dirt, ratio_min))| dirt.is_due(*ratio_min));
    due.max_by(|(_, (one, _)), (_, (other, _))| one.ratio().total_cmp(&other.ratio())).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments of ten offsets and 100 bytes; the number is their newest time.
    fn segments(newest: &[i64]) -> Vec<View> {
        let view = |(place, newest): (usize, &i64)| {
            let base = Offset(place as i64 * 10);
            let newest = Timestamp(*newest);
            View { base, end: base + 10, size: 100, newest, oldest: Some(newest) }
        };
        newest.iter().enumerate().map(view).collect()
    }

    fn limits() -> Limits {
        Limits {
            start: Offset(0),
            end: Offset(45),
            cleaned: None,
            stable: Offset(45),
            durable: Offset(45),
            lag_min_ms: 0,
            lag_max_ms: i64::MAX,
            now: Timestamp(1_000),
        }
    }

    #[test]
    fn what_is_dirty_lies_between_the_checkpoint_and_what_may_not_be_touched() {
        let all = limits();
        let cases = [
            ("never compacted", all, 0..40, 0, 400),
            ("compacted before", Limits { cleaned: Some(Offset(20)), ..all }, 20..40, 200, 200),
            ("within a segment", Limits { cleaned: Some(Offset(25)), ..all }, 25..40, 200, 200),
            (
                "a checkpoint below the start",
                Limits { cleaned: Some(Offset(5)), start: Offset(10), ..all },
                10..40,
                100,
                300,
            ),
            ("a checkpoint of another log", Limits { cleaned: Some(Offset(46)), ..all }, 0..40, 0, 400),
            ("an open transaction", Limits { stable: Offset(25), ..all }, 0..20, 0, 200),
            ("not checkpointed yet", Limits { durable: Offset(40), ..all }, 0..30, 0, 300),
            ("young records", Limits { lag_min_ms: 350, ..all }, 0..20, 0, 200),
            ("lag does not count below", Limits { lag_min_ms: 990, cleaned: Some(Offset(20)), ..all }, 20..20, 200, 0),
            ("nothing below the stable offset", Limits { stable: Offset(5), ..all }, 0..0, 0, 0),
            ("all compacted", Limits { cleaned: Some(Offset(40)), ..all }, 40..40, 400, 0),
        ];
        for (name, limits, dirty, clean_bytes, dirty_bytes) in cases {
            let dirty = Offset(dirty.start)..Offset(dirty.end);
            let expected = Dirt { dirty, clean_bytes, dirty_bytes, overdue: false };
            assert_eq!(examine(&segments(&[100, 400, 700, 900]), &limits), expected, "{name}");
        }
    }

    #[test]
    fn the_dirtiest_goes_first_and_what_is_overdue_goes_at_all() {
        let of = |cleaned, lag_max_ms| {
            examine(
                &segments(&[100, 400, 700, 900]),
                &Limits { cleaned: Some(Offset(cleaned)), lag_max_ms, ..limits() },
            )
        };
        let (half, quarter, none) = (of(20, i64::MAX), of(30, i64::MAX), of(40, 0));
        assert_eq!(half.ratio(), 0.5);
        assert!(half.is_due(0.4) && !half.is_due(0.5), "above, not at");
        assert!(of(30, 50).is_due(0.9), "one record is older than the largest lag");
        assert!(!of(30, 150).is_due(0.9));
        assert!(!none.is_due(0.0), "there is nothing to do");
        assert_eq!(filthiest([(&quarter, 0.1), (&half, 0.1), (&none, 0.0)]), Some(1));
        assert_eq!(filthiest([(&quarter, 0.1), (&half, 0.5)]), Some(0));
        assert_eq!(filthiest([(&quarter, 0.5), (&half, 0.5)]), None);
    }
}
