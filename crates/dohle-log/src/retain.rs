//! Which of a log's oldest segments are not kept any longer (`UnifiedLog.deleteOldSegments`).
//!
//! A pure chooser: it is shown the segments and says how many go. Knows no file.

use dohle_base::{Offset, Timestamp};

/// One segment, oldest first; the last is the one that is written to.
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
}

/// What a topic keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The bytes that a partition may have (`retention.bytes`).
    pub bytes: Option<u64>,
    /// The age in milliseconds up to which records are kept (`retention.ms`).
    pub age_ms: Option<i64>,
    /// Whether age and size count at all (`cleanup.policy` has `delete`).
    pub deletes: bool,
    /// The first offset of the log: segments below it go under any policy.
    pub start: Offset,
    /// No segment goes that reaches it or beyond.
    pub high_watermark: Offset,
}

/// What becomes of the segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// All stay.
    Keep,
    /// So many go, the oldest ones; when it is all of them, a new one has to begin.
    Drop(usize),
}

/// Chooses.
pub fn choose(segments: &[View], now: Timestamp, limits: &Limits) -> Choice {
    let replicated = segments.iter().take_while(|segment| segment.end <= limits.high_watermark).count();
    let candidates = &segments[..replicated];
    // An empty segment in which the log ends is no burden.
    let candidates = match candidates.split_last() {
        Some((last, rest)) if replicated == segments.len() && last.size == 0 => rest,
        Some(_) | None => candidates,
    };
    let passed =
        candidates.iter().take_while(|segment| segment.end <= limits.start && has_next(segments, segment)).count();
    let dropped = if limits.deletes { passed.max(too_old(candidates, now, limits)) } else { passed };
    let dropped = if limits.deletes { too_large(segments, candidates, dropped, limits) } else { dropped };
    if dropped == 0 { Choice::Keep } else { Choice::Drop(dropped) }
}

fn has_next(segments: &[View], segment: &View) -> bool {
    segments.last().is_some_and(|last| last.base != segment.base)
}

fn too_old(candidates: &[View], now: Timestamp, limits: &Limits) -> usize {
    let Some(age_ms) = limits.age_ms else { return 0 };
    candidates.iter().take_while(|segment| now.0.saturating_sub(segment.newest.0) > age_ms).count()
}

/// Of what is left after `dropped`: as many as can go without falling below the size to be kept.
fn too_large(segments: &[View], candidates: &[View], dropped: usize, limits: &Limits) -> usize {
    let Some(bytes) = limits.bytes else { return dropped };
    let left: u64 = segments[dropped..].iter().map(|segment| segment.size).sum();
    let mut over = left.saturating_sub(bytes);
    let mut dropped = dropped;
    while let Some(oldest) = candidates.get(dropped).filter(|oldest| over > 0 && over >= oldest.size) {
        over -= oldest.size;
        dropped += 1;
    }
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments of ten offsets and 100 bytes; the number is their newest time.
    fn segments(newest: &[i64]) -> Vec<View> {
        let view = |(place, newest): (usize, &i64)| {
            let base = Offset(place as i64 * 10);
            View { base, end: base + 10, size: 100, newest: Timestamp(*newest) }
        };
        newest.iter().enumerate().map(view).collect()
    }

    #[test]
    fn the_oldest_go_by_age_by_size_and_by_start() {
        let now = Timestamp(1_000);
        let all = Limits { bytes: None, age_ms: None, deletes: true, start: Offset(0), high_watermark: Offset(40) };
        let cases = [
            ("nothing asked", all, Choice::Keep),
            ("age", Limits { age_ms: Some(500), ..all }, Choice::Drop(2)),
            ("age of all, the last included", Limits { age_ms: Some(10), ..all }, Choice::Drop(4)),
            (
                "age, but not replicated",
                Limits { age_ms: Some(500), high_watermark: Offset(15), ..all },
                Choice::Drop(1),
            ),
            ("size", Limits { bytes: Some(250), ..all }, Choice::Drop(1)),
            ("size to the byte", Limits { bytes: Some(200), ..all }, Choice::Drop(2)),
            ("no size", Limits { bytes: Some(0), ..all }, Choice::Drop(4)),
            ("size behind age", Limits { age_ms: Some(800), bytes: Some(250), ..all }, Choice::Drop(1)),
            ("start", Limits { start: Offset(25), ..all }, Choice::Drop(2)),
            ("start at the end leaves the last", Limits { start: Offset(40), ..all }, Choice::Drop(3)),
            ("compaction keeps", Limits { deletes: false, age_ms: Some(10), bytes: Some(0), ..all }, Choice::Keep),
            ("but not below the start", Limits { deletes: false, start: Offset(10), ..all }, Choice::Drop(1)),
        ];
        for (name, limits, expected) in cases {
            assert_eq!(choose(&segments(&[100, 400, 700, 900]), now, &limits), expected, "{name}");
        }
    }

    #[test]
    fn one_new_record_keeps_what_is_behind_it_and_an_empty_last_segment_stays() {
        let limits =
            Limits { bytes: None, age_ms: Some(100), deletes: true, start: Offset(0), high_watermark: Offset(30) };
        assert_eq!(choose(&segments(&[990, 1, 1]), Timestamp(1_000), &limits), Choice::Keep);
        let mut empty = segments(&[1, 1, 1]);
        empty[2] = View { size: 0, end: Offset(20), ..empty[2] };
        assert_eq!(choose(&empty, Timestamp(1_000), &limits), Choice::Drop(2));
        let far = Timestamp(i64::MAX);
        assert_eq!(
            choose(&segments(&[i64::MIN, i64::MAX]), far, &Limits { high_watermark: Offset(20), ..limits }),
            Choice::Drop(1)
        );
    }
}
