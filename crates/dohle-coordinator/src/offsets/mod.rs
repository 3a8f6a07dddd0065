//! How far groups have read.
//!
//! Owns the committed places and those that open transactions hold back; a clone shares what did not change.
//! Laws: a producer holds a place if and only if its open transaction has one there; an open transaction has places.

mod commit;
mod delete;
mod expire;
mod fetch;

use dohle_base::{ErrorCode, Offset, Partition, ProducerEpoch, ProducerId, TopicName};
use imbl::{OrdMap, OrdSet};

use crate::transaction::{Outcome, Version};
use crate::{GroupId, OffsetValue, Producer};

pub(crate) use commit::commit;
pub(crate) use expire::{Chores, Expired, PLACES_PER_PIECE, Purge, Retained};

/// A group's place in a partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OffsetKey {
    /// The group.
    pub group: GroupId,
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: Partition,
}

impl OffsetKey {
    /// A key at or before every key of the group, and after every key of the groups before it.
    fn first_of(group: &GroupId) -> Self {
        let topic = TopicName::parse("-").expect("the least of all legal names");
        Self { group: group.clone(), topic, partition: Partition(i32::MIN) }
    }
}

/// A place, and where in the log it was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) value: OffsetValue,
    recorded_at: Offset,
}

/// A producer's open transaction, as far as it has places.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Open {
    epoch: ProducerEpoch,
    places: OrdMap<OffsetKey, Place>,
}

/// All places of one partition of the offsets topic.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Offsets {
    committed: OrdMap<OffsetKey, Place>,
    /// What counts only once its producer's transaction is committed.
    open: OrdMap<ProducerId, Open>,
    /// Whose open transactions hold which places back.
    held: OrdSet<(OffsetKey, ProducerId)>,
}

impl Offsets {
    pub(crate) fn get(&self, key: &OffsetKey) -> Option<&Place> {
        self.committed.get(key)
    }

    /// How many places there are, committed or held.
    pub(crate) fn len(&self) -> usize {
        self.committed.len() + self.held.len()
    }

    /// The committed places of a group, by topic and partition.
    pub(crate) fn of_group<'a>(&'a self, group: &'a GroupId) -> impl Iterator<Item = (&'a OffsetKey, &'a Place)> {
        self.committed.range(OffsetKey::first_of(group)..).take_while(move |(key, _)| key.group == *group)
    }

    /// The places of a group that only open transactions have.
    fn open_of_group<'a>(&'a self, group: &'a GroupId) -> impl Iterator<Item = &'a OffsetKey> {
        let held = self.held.range((OffsetKey::first_of(group), ProducerId(i64::MIN))..);
        held.map(|(key, _)| key).take_while(move |key| key.group == *group)
    }

    /// Whether an open transaction may move the place.
    pub(crate) fn is_held(&self, key: &OffsetKey) -> bool {
        self.holders(key).next().is_some()
    }

    /// Whether an open transaction has a place of the group.
    pub(crate) fn holds_any_of(&self, group: &GroupId) -> bool {
        self.open_of_group(group).next().is_some()
    }

    fn holders<'a>(&'a self, key: &'a OffsetKey) -> impl Iterator<Item = ProducerId> + 'a {
        let held = self.held.range((key.clone(), ProducerId(i64::MIN))..);
        held.take_while(move |(held, _)| held == key).map(|(_, producer)| *producer)
    }

    /// Takes in a place that the log has at `recorded_at`.
    pub(crate) fn put(&mut self, recorded_at: Offset, key: &OffsetKey, value: OffsetValue) {
        let place = Place { value, recorded_at };
        match self.committed.get_mut(key) {
            Some(known) => *known = place,
            None => drop(self.committed.insert(self.shared(key), place)),
        }
    }

    /// Whether the producer may have places here: not if a later incarnation has some.
    pub(crate) fn allow_hold(&self, producer: Producer) -> Result<(), ErrorCode> {
        let is_late = self.open.get(&producer.id).is_some_and(|open| producer.epoch < open.epoch);
        if is_late { Err(ErrorCode::InvalidProducerEpoch) } else { Ok(()) }
    }

    /// Whether a marker of this epoch may end the producer's transaction: not if it is an earlier one's (KIP-1228).
    pub(crate) fn allow_end(&self, producer: Producer, version: Version) -> Result<(), ErrorCode> {
        let is_late = |open: &Open| match version.raises_epoch() {
            true => producer.epoch <= open.epoch,
            false => producer.epoch < open.epoch,
        };
        if self.open.get(&producer.id).is_some_and(is_late) { Err(ErrorCode::InvalidProducerEpoch) } else { Ok(()) }
    }

    /// Takes in a place that counts once the producer's transaction is committed.
    pub(crate) fn hold(&mut self, recorded_at: Offset, key: &OffsetKey, value: OffsetValue, producer: Producer) {
        let key = self.shared(key);
        self.held.insert((key.clone(), producer.id));
        let nothing = Open { epoch: producer.epoch, places: OrdMap::new() };
        let open = self.open.entry(producer.id).or_insert(nothing);
        open.epoch = open.epoch.max(producer.epoch);
        open.places.insert(key, Place { value, recorded_at });
    }

    /// Forgets a place, held or not.
    pub(crate) fn remove(&mut self, key: &OffsetKey) {
        self.committed.remove(key);
        let holders: Vec<ProducerId> = self.holders(key).collect();
        for producer in holders {
            self.held.remove(&(key.clone(), producer));
            let open = self.open.get_mut(&producer).expect("a holder has an open transaction");
            open.places.remove(key);
            if open.places.is_empty() {
                self.open.remove(&producer);
            }
        }
    }

    /// The producer's transaction is over. A place that was committed later than the transaction's stays.
    pub(crate) fn end(&mut self, producer: ProducerId, outcome: Outcome) {
        let Some(open) = self.open.remove(&producer) else { return };
        for (key, place) in open.places {
            self.held.remove(&(key.clone(), producer));
            let later = self.committed.get(&key).is_some_and(|known| known.recorded_at >= place.recorded_at);
            if outcome == Outcome::Commit && !later {
                self.committed.insert(key, place);
            }
        }
    }

    /// The key with its texts shared with those of its neighbour, where they are the same.
    fn shared(&self, key: &OffsetKey) -> OffsetKey {
        let mut key = key.clone();
        if let Some((neighbour, _)) = self.committed.get_prev(&key).or_else(|| self.committed.get_next(&key)) {
            if neighbour.group == key.group {
                key.group = neighbour.group.clone();
            }
            if neighbour.topic == key.topic {
                key.topic = neighbour.topic.clone();
            }
        }
        key
    }

    /// The laws.
    pub(crate) fn check(&self) {
        let held: usize = self.open.values().map(|open| open.places.len()).sum();
        assert!(self.held.len() == held);
        assert!(self.open.values().all(|open| !open.places.is_empty()));
        let is_open =
            |key: &OffsetKey, producer| self.open.get(producer).is_some_and(|open| open.places.contains_key(key));
        assert!(self.held.iter().all(|(key, producer)| is_open(key, producer)));
    }
}

#[cfg(test)]
mod tests {
    use dohle_base::{LeaderEpoch, Timestamp, TopicId};

    use super::*;

    fn key(group: &str, topic: &str, partition: i32) -> OffsetKey {
        let topic = TopicName::parse(topic).unwrap();
        OffsetKey { group: group.into(), topic, partition: Partition(partition) }
    }

    fn value(offset: i64) -> OffsetValue {
        OffsetValue {
            offset: Offset(offset),
            leader_epoch: LeaderEpoch::NONE,
            metadata: None,
            committed_at: Timestamp(0),
            expires_at: None,
            topic_id: TopicId::ZERO,
        }
    }

    fn producer(id: i64, epoch: i16) -> Producer {
        Producer { id: ProducerId(id), epoch: ProducerEpoch(epoch) }
    }

    fn at(offsets: &Offsets, key: &OffsetKey) -> Option<i64> {
        offsets.get(key).map(|place| place.value.offset.0)
    }

    #[test]
    fn the_places_of_a_group_are_found_among_its_neighbours() {
        let mut offsets = Offsets::default();
        for (place, group) in ["a", "b", "b-", "c"].into_iter().enumerate() {
            for partition in [1, 0, -1] {
                offsets.put(Offset(place as i64), &key(group, "-", partition), value(1));
                offsets.put(Offset(place as i64), &key(group, "z", partition), value(1));
            }
        }
        let group = GroupId::from("b");
        let found: Vec<_> = offsets.of_group(&group).map(|(key, _)| (key.topic.to_string(), key.partition.0)).collect();
        assert_eq!(
            found,
            [("-", -1), ("-", 0), ("-", 1), ("z", -1), ("z", 0), ("z", 1)].map(|(t, p)| (t.to_owned(), p))
        );
    }

    #[test]
    fn a_transaction_counts_when_it_is_committed_unless_a_later_commit_overtook_it() {
        let mut offsets = Offsets::default();
        let (one, two) = (key("g", "t", 1), key("g", "t", 2));
        offsets.hold(Offset(1), &one, value(10), producer(7, 0));
        offsets.hold(Offset(2), &two, value(20), producer(7, 0));
        offsets.put(Offset(3), &two, value(25));
        assert_eq!((at(&offsets, &one), offsets.is_held(&one), offsets.len()), (None, true, 3));
        offsets.check();
        offsets.end(ProducerId(7), Outcome::Commit);
        assert_eq!((at(&offsets, &one), at(&offsets, &two)), (Some(10), Some(25)));
        assert_eq!(offsets.len(), 2);
        assert!(!offsets.holds_any_of(&"g".into()));
        offsets.check();
    }

    #[test]
    fn an_aborted_transaction_leaves_nothing_and_a_tombstone_reaches_into_open_ones() {
        let mut offsets = Offsets::default();
        let place = key("g", "t", 1);
        offsets.hold(Offset(1), &place, value(10), producer(7, 0));
        offsets.end(ProducerId(7), Outcome::Abort);
        assert_eq!(at(&offsets, &place), None);
        offsets.hold(Offset(2), &place, value(10), producer(8, 0));
        offsets.remove(&place);
        offsets.check();
        offsets.end(ProducerId(8), Outcome::Commit);
        assert_eq!(at(&offsets, &place), None);
        assert_eq!(offsets, Offsets::default());
    }

    #[test]
    fn a_late_marker_does_not_end_the_next_transaction() {
        let mut offsets = Offsets::default();
        offsets.hold(Offset(1), &key("g", "t", 1), value(10), producer(7, 3));
        let late = Err(ErrorCode::InvalidProducerEpoch);
        assert_eq!(offsets.allow_end(producer(7, 3), Version::Two), late);
        assert_eq!(offsets.allow_end(producer(7, 4), Version::Two), Ok(()));
        assert_eq!(offsets.allow_end(producer(7, 2), Version::Zero), late);
        assert_eq!(offsets.allow_end(producer(7, 3), Version::Zero), Ok(()));
        assert_eq!(offsets.allow_end(producer(8, 0), Version::Two), Ok(()));
        assert_eq!(offsets.allow_hold(producer(7, 2)), late);
    }
}
