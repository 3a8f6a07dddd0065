//! Where reading stands in each partition: the next offset, how to find it when it is not known, and what may be committed.
//!
//! Knows neither requests nor records. Laws: a position only moves forward unless the caller seeks; nothing is committed
//! beyond what the caller was given; what is asked for ahead of the caller follows on what came before without a gap.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dohle_base::{Instant, LeaderEpoch, Offset};

use crate::core::TopicPartition;

/// Where to begin when there is no committed offset, or when it is out of range (`auto.offset.reset`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// At the first record that is there.
    Earliest,
    /// At the end.
    Latest,
    /// At the first record that is not older than so long (KIP-1106).
    Since(Duration),
    /// Nowhere: the caller is told.
    Fail,
}

/// A place to continue from, with what the committer wrote beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The offset of the next record to read.
    pub offset: Offset,
    /// The reign in which the record before it was written; unknown is [`LeaderEpoch::NONE`].
    pub epoch: LeaderEpoch,
    /// The committer's own words.
    pub metadata: String,
}

/// How far a partition is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The group's committed offset is to be asked for.
    Uncommitted,
    /// An offset is to be found by rule.
    Resetting(Reset),
    /// Reading goes on here.
    At { offset: Offset, epoch: LeaderEpoch },
    /// No rule says where to begin.
    Lost,
}

#[derive(Clone, Debug)]
struct Reading {
    standing: Standing,
    /// Where the next records are to be asked for, when some that came are not yet handed to the caller.
    ahead: Option<Offset>,
    paused: bool,
    /// A request is under way.
    busy: bool,
    /// Nothing is asked before: the last attempt failed.
    rest_until: Instant,
    committed: Option<Committed>,
    /// The end that the leader told last, exclusive.
    end: Option<Offset>,
    start: Option<Offset>,
}

/// What a partition needs next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Partitions whose committed offsets are to be asked for.
    pub committed: Vec<TopicPartition>,
    /// Partitions whose offsets are to be found by rule.
    pub reset: Vec<(TopicPartition, Reset)>,
    /// Partitions that can be read on, and from where.
    pub fetch: Vec<(TopicPartition, Offset)>,
    /// Partitions of which no rule says where to begin.
    pub lost: Vec<TopicPartition>,
}

/// The partitions that are read.
#[derive(Clone, Debug)]
pub struct Positions {
    reset: Reset,
    readings: BTreeMap<TopicPartition, Reading>,
}

impl Positions {
    /// Reads nothing yet.
    pub fn new(reset: Reset) -> Self {
        Self { reset, readings: BTreeMap::new() }
    }

    /// Reads these too, from their committed offsets if `grouped`, else from where the rule says.
    pub fn add(&mut self, partitions: impl IntoIterator<Item = TopicPartition>, grouped: bool) {
        let standing = if grouped { Standing::Uncommitted } else { self.fallback() };
        for partition in partitions {
            self.readings.entry(partition).or_insert_with(|| Reading::new(standing));
        }
    }

    /// Reads these no more.
    pub fn remove(&mut self, partitions: &BTreeSet<TopicPartition>) {
        self.readings.retain(|partition, _| !partitions.contains(partition));
    }

    /// What is read.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.readings.keys()
    }

    /// Whether a partition is read.
    pub fn contains(&self, partition: &TopicPartition) -> bool {
        self.readings.contains_key(partition)
    }

    /// Goes on from `offset`. False when the partition is not read.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> bool {
        self.set(partition, Standing::At { offset, epoch: LeaderEpoch::NONE })
    }

    /// Goes on from where `reset` says. False when the partition is not read.
    pub fn seek_by(&mut self, partition: &TopicPartition, reset: Reset) -> bool {
        self.set(partition, Standing::Resetting(reset))
    }

    /// Asks for no more records of a partition, or asks again. False when the partition is not read.
    pub fn pause(&mut self, partition: &TopicPartition, paused: bool) -> bool {
        self.readings.get_mut(partition).map(|reading| reading.paused = paused).is_some()
    }

    fn set(&mut self, partition: &TopicPartition, standing: Standing) -> bool {
        let Some(reading) = self.readings.get_mut(partition) else { return false };
        reading.standing = standing;
        reading.ahead = None;
        true
    }

    /// What is to be asked for now, records only of partitions that `may_fetch` admits. Whatever is named is busy until
    /// its end is reported.
    pub fn needs(&mut self, now: Instant, may_fetch: impl Fn(&TopicPartition) -> bool) -> Needs {
        let mut needs = Needs::default();
        for (partition, reading) in &mut self.readings {
            if reading.busy || reading.rest_until > now {
                continue;
            }
            match reading.standing {
                Standing::Uncommitted => needs.committed.push(partition.clone()),
                Standing::Resetting(Reset::Fail) | Standing::Lost => {
                    reading.standing = Standing::Lost;
                    needs.lost.push(partition.clone());
                    continue;
                }
                Standing::Resetting(reset) => needs.reset.push((partition.clone(), reset)),
                Standing::At { .. } if reading.paused || !may_fetch(partition) => continue,
                Standing::At { offset, .. } => needs.fetch.push((partition.clone(), reading.ahead.unwrap_or(offset))),
            }
            reading.busy = true;
        }
        needs
    }

    /// When something that rests is to be asked for again.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let resting = self.readings.values().filter(|reading| !reading.busy && reading.rest_until > now);
        resting.map(|reading| reading.rest_until).min()
    }

    /// What was asked for has come to its end, good or bad; nothing is asked again before `rest_until`.
    pub fn free(&mut self, partition: &TopicPartition, rest_until: Instant) {
        if let Some(reading) = self.readings.get_mut(partition) {
            reading.busy = false;
            reading.rest_until = rest_until;
        }
    }

    /// The committed offset of a partition was told: none means that there is none.
    pub fn found_committed(&mut self, partition: &TopicPartition, committed: Option<Committed>) {
        let fallback = self.fallback();
        let Some(reading) = self.readings.get_mut(partition) else { return };
        reading.busy = false;
        if reading.standing == Standing::Uncommitted {
            reading.standing = committed
                .as_ref()
                .map_or(fallback, |committed| Standing::At { offset: committed.offset, epoch: committed.epoch });
        }
        reading.committed = committed;
    }

    /// The rule was turned into an offset.
    pub fn found_offset(&mut self, partition: &TopicPartition, offset: Offset, epoch: LeaderEpoch) {
        let Some(reading) = self.readings.get_mut(partition) else { return };
        reading.busy = false;
        if matches!(reading.standing, Standing::Resetting(_)) {
            reading.standing = Standing::At { offset, epoch };
        }
    }

    /// The offset is not in the partition: the rule decides.
    pub fn out_of_range(&mut self, partition: &TopicPartition, asked: Offset) {
        let fallback = self.fallback();
        let Some(reading) = self.readings.get_mut(partition) else { return };
        reading.busy = false;
        // What is kept is handed over first; then this is asked again.
        if matches!(reading.standing, Standing::At { offset, .. } if offset == asked) {
            reading.standing = fallback;
            reading.ahead = None;
        }
    }

    /// Records from `asked` up to `next` came and are kept for the caller. False when it has gone elsewhere meanwhile:
    /// then they must not be kept.
    #[must_use]
    pub fn fetched(&mut self, partition: &TopicPartition, asked: Offset, next: Offset) -> bool {
        let Some(reading) = self.readings.get_mut(partition) else { return false };
        reading.busy = false;
        let Standing::At { offset, .. } = reading.standing else { return false };
        let wanted = reading.ahead.unwrap_or(offset) == asked;
        if wanted {
            reading.ahead = Some(next);
        }
        wanted
    }

    /// The leader told where the partition begins and ends.
    pub fn told_bounds(&mut self, partition: &TopicPartition, start: Offset, end: Offset) {
        if let Some(reading) = self.readings.get_mut(partition) {
            reading.start = (start >= Offset::ZERO).then_some(start).or(reading.start);
            reading.end = (end >= Offset::ZERO).then_some(end).or(reading.end);
        }
    }

    /// Records from `from` on were handed to the caller, or skipped because they are not for it. False when the
    /// caller has gone elsewhere meanwhile: then they must not be handed over.
    #[must_use]
    pub fn advance(&mut self, partition: &TopicPartition, from: Offset, to: Offset, epoch: LeaderEpoch) -> bool {
        let Some(reading) = self.readings.get_mut(partition) else { return false };
        match &mut reading.standing {
            Standing::At { offset, epoch: known } if *offset == from => {
                assert!(to >= from, "reading goes forward");
                *offset = to;
                *known = epoch;
                true
            }
            Standing::At { .. } | Standing::Uncommitted | Standing::Resetting(_) | Standing::Lost => false,
        }
    }

    /// Where the caller's next record is.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        match self.readings.get(partition)?.standing {
            Standing::At { offset, .. } => Some(offset),
            Standing::Uncommitted | Standing::Resetting(_) | Standing::Lost => None,
        }
    }

    /// The partition's end, as its leader told last.
    pub fn end(&self, partition: &TopicPartition) -> Option<Offset> {
        self.readings.get(partition)?.end
    }

    /// How many offsets the caller is behind the end that was told last.
    pub fn lag(&self, partition: &TopicPartition) -> Option<u64> {
        Some(self.end(partition)?.since(self.position(partition)?))
    }

    /// What would be committed: every position that is not committed as it is.
    pub fn uncommitted(&self) -> BTreeMap<TopicPartition, Committed> {
        let moved = self.readings.iter().filter_map(|(partition, reading)| match reading.standing {
            Standing::At { offset, epoch } if reading.committed.as_ref().is_none_or(|c| c.offset != offset) => {
                Some((partition.clone(), Committed { offset, epoch, metadata: String::new() }))
            }
            Standing::At { .. } | Standing::Uncommitted | Standing::Resetting(_) | Standing::Lost => None,
        });
        moved.collect()
    }

    /// The coordinator keeps this now.
    pub fn committed(&mut self, partition: &TopicPartition, committed: Committed) {
        if let Some(reading) = self.readings.get_mut(partition) {
            reading.committed = Some(committed);
        }
    }

    fn fallback(&self) -> Standing {
        Standing::Resetting(self.reset)
    }
}

impl Reading {
    fn new(standing: Standing) -> Self {
        Self {
            standing,
            ahead: None,
            paused: false,
            busy: false,
            rest_until: Instant::ZERO,
            committed: None,
            end: None,
            start: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use dohle_base::{Partition, TopicName};

    use super::*;

    fn place(number: i32) -> TopicPartition {
        TopicPartition::new(TopicName::parse("t").unwrap(), Partition(number))
    }

    fn at(offset: i64) -> Committed {
        Committed { offset: Offset(offset), ..Committed::default() }
    }

    #[test]
    fn a_group_goes_on_where_it_committed_and_else_where_the_rule_says() {
        let mut positions = Positions::new(Reset::Earliest);
        positions.add([place(0), place(1)], true);
        assert_eq!(positions.needs(Instant(0), |_| true).committed.len(), 2);
        assert_eq!(positions.needs(Instant(0), |_| true), Needs::default(), "what was named is busy");
        positions.found_committed(&place(0), Some(at(7)));
        positions.found_committed(&place(1), None);
        let needs = positions.needs(Instant(0), |_| true);
        assert_eq!(needs.fetch, [(place(0), Offset(7))]);
        assert_eq!(needs.reset, [(place(1), Reset::Earliest)]);
        positions.found_offset(&place(1), Offset(3), LeaderEpoch(1));
        assert_eq!(positions.position(&place(1)), Some(Offset(3)));
    }

    #[test]
    fn records_from_before_a_seek_are_not_handed_over() {
        let mut positions = Positions::new(Reset::Latest);
        positions.add([place(0)], false);
        assert!(positions.seek(&place(0), Offset(10)));
        assert_eq!(positions.needs(Instant(0), |_| true).fetch.len(), 1);
        assert!(positions.seek(&place(0), Offset(50)));
        assert!(!positions.advance(&place(0), Offset(10), Offset(12), LeaderEpoch::NONE));
        positions.free(&place(0), Instant(0));
        assert!(positions.advance(&place(0), Offset(50), Offset(60), LeaderEpoch::NONE));
        assert_eq!(positions.position(&place(0)), Some(Offset(60)));
    }

    #[test]
    fn records_are_asked_for_ahead_of_the_caller_without_a_gap() {
        let mut positions = Positions::new(Reset::Earliest);
        positions.add([place(0)], false);
        positions.seek(&place(0), Offset(0));
        assert_eq!(positions.needs(Instant(0), |_| true).fetch, [(place(0), Offset(0))]);
        assert!(positions.fetched(&place(0), Offset(0), Offset(5)));
        assert_eq!(positions.needs(Instant(0), |_| true).fetch, [(place(0), Offset(5))]);
        assert_eq!(positions.position(&place(0)), Some(Offset(0)));
        assert!(positions.advance(&place(0), Offset(0), Offset(5), LeaderEpoch(1)));
        positions.seek(&place(0), Offset(2));
        assert!(!positions.fetched(&place(0), Offset(5), Offset(9)), "the caller has gone elsewhere");
        assert_eq!(positions.needs(Instant(0), |_| true).fetch, [(place(0), Offset(2))]);
    }

    #[test]
    fn only_what_moved_is_committed() {
        let mut positions = Positions::new(Reset::Earliest);
        positions.add([place(0)], true);
        positions.needs(Instant(0), |_| true);
        positions.found_committed(&place(0), Some(at(5)));
        assert!(positions.uncommitted().is_empty());
        assert!(positions.advance(&place(0), Offset(5), Offset(9), LeaderEpoch(2)));
        let expected = Committed { offset: Offset(9), epoch: LeaderEpoch(2), metadata: String::new() };
        assert_eq!(positions.uncommitted(), [(place(0), expected.clone())].into());
        positions.committed(&place(0), expected);
        assert!(positions.uncommitted().is_empty());
    }

    #[test]
    fn what_is_out_of_range_is_found_by_rule_or_reported() {
        for (reset, lost) in [(Reset::Earliest, false), (Reset::Fail, true)] {
            let mut positions = Positions::new(reset);
            positions.add([place(0)], false);
            positions.seek(&place(0), Offset(10));
            positions.needs(Instant(0), |_| true);
            positions.out_of_range(&place(0), Offset(10));
            assert_eq!(positions.needs(Instant(0), |_| true).lost.len(), usize::from(lost));
        }
    }

    #[test]
    fn what_rests_or_is_paused_is_not_asked_for() {
        let mut positions = Positions::new(Reset::Earliest);
        positions.add([place(0)], false);
        positions.seek(&place(0), Offset(0));
        positions.free(&place(0), Instant(100));
        assert_eq!(positions.needs(Instant(99), |_| true), Needs::default());
        assert_eq!(positions.deadline(Instant(99)), Some(Instant(100)));
        positions.pause(&place(0), true);
        assert_eq!(positions.needs(Instant(100), |_| true), Needs::default());
        positions.pause(&place(0), false);
        assert_eq!(positions.needs(Instant(100), |_| true).fetch.len(), 1);
    }
}
