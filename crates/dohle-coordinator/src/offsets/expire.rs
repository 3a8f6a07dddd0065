//! What time and deleted topics make of committed places: chores that are done a piece at a time, so that none of them
//! holds a caller up for long or outgrows a batch.

use std::collections::VecDeque;

use dohle_base::{Instant, ProducerId, Timestamp, Token, TopicName};

use super::delete::tombstone;
use super::{OffsetKey, Offsets, Place};
use crate::turn::{Attempt, Turn};
use crate::{DeletedTopic, GroupId, OffsetValue};

/// The most places that one piece of a chore looks at.
pub(crate) const PLACES_PER_PIECE: usize = 10_000;

/// What remains to be done.
#[derive(Clone, Debug)]
pub(crate) struct Chores {
    /// When expired places are looked for next.
    pub(crate) expiry_at: Instant,
    /// The group at which the search under way goes on.
    pub(crate) expiry: Option<GroupId>,
    /// Deleted topics that groups may still remember, the oldest first.
    pub(crate) purges: VecDeque<Purge>,
}

/// Deleted topics on their way out of the state, and who wants to know when they are.
#[derive(Clone, Debug)]
pub(crate) struct Purge {
    pub(crate) topics: Vec<DeletedTopic>,
    pub(crate) token: Token,
    /// Where the search goes on; none at its beginning.
    pub(crate) cursor: Option<Cursor>,
}

/// A place in the walk through all committed places and then through those of open transactions.
#[derive(Clone, Debug)]
pub(crate) enum Cursor {
    Committed(OffsetKey),
    Open(OffsetKey, ProducerId),
}

/// From when the retention of a group's places is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retained {
    /// Places do not expire while the group is as it is.
    WhileSo,
    /// From this moment.
    Since(Timestamp),
    /// From the commit of each place.
    SinceCommit,
}

impl Chores {
    pub(crate) fn new(expiry_at: Instant) -> Self {
        Self { expiry_at, expiry: None, purges: VecDeque::new() }
    }

    /// When the next piece is due.
    pub(crate) fn deadline(&self) -> Instant {
        if self.purges.is_empty() && self.expiry.is_none() { self.expiry_at } else { Instant::ZERO }
    }
}

/// What a look at one group found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// Nothing of the group remains.
    All,
    /// Something of it remains.
    Some,
    /// The batch is full: this group must be looked at again.
    Unfinished,
}

impl Offsets {
    /// Forgets the expired places of a group.
    pub(crate) fn expire(
        &self,
        turn: &mut Turn<'_>,
        group: &GroupId,
        retained: Retained,
        is_subscribed: impl Fn(&TopicName) -> bool,
        looked_at: &mut usize,
    ) -> Expired {
        let mut all = !self.holds_any_of(group);
        for (key, place) in self.of_group(group) {
            *looked_at += 1;
            if is_subscribed(&key.topic) || !is_expired(turn, retained, &place.value) || self.is_held(key) {
                all = false;
                continue;
            }
            match turn.try_write(tombstone(key.clone())) {
                Attempt::Written => {}
                Attempt::Full => return Expired::Unfinished,
                Attempt::Impossible => all = false,
            }
        }
        if all { Expired::All } else { Expired::Some }
    }

    /// Does one piece of a purge; where it goes on, or none if it is done.
    pub(crate) fn purge(&self, turn: &mut Turn<'_>, purge: &Purge) -> Option<Cursor> {
        let committed = match &purge.cursor {
            None => self.purge_committed(turn, &purge.topics, self.committed.iter()),
            Some(Cursor::Committed(key)) => {
                self.purge_committed(turn, &purge.topics, self.committed.range(key.clone()..))
            }
            Some(Cursor::Open(key, producer)) => {
                return self.purge_open(turn, &purge.topics, self.held.range((key.clone(), *producer)..));
            }
        };
        match committed {
            Some(key) => Some(Cursor::Committed(key)),
            None => self.held.get_min().map(|(key, producer)| Cursor::Open(key.clone(), *producer)),
        }
    }

    fn purge_committed<'a>(
        &self,
        turn: &mut Turn<'_>,
        topics: &[DeletedTopic],
        places: impl Iterator<Item = (&'a OffsetKey, &'a Place)>,
    ) -> Option<OffsetKey> {
        for (looked_at, (key, place)) in places.enumerate() {
            let full = is_gone(topics, key, &place.value) && turn.try_write(tombstone(key.clone())) == Attempt::Full;
            if full || looked_at == PLACES_PER_PIECE {
                return Some(key.clone());
            }
        }
        None
    }

    fn purge_open<'a>(
        &self,
        turn: &mut Turn<'_>,
        topics: &[DeletedTopic],
        held: impl Iterator<Item = &'a (OffsetKey, ProducerId)>,
    ) -> Option<Cursor> {
        for (looked_at, (key, producer)) in held.enumerate() {
            let place = self.open.get(producer).and_then(|open| open.places.get(key)).expect("what is held is open");
            let full = is_gone(topics, key, &place.value) && turn.try_write(tombstone(key.clone())) == Attempt::Full;
            if full || looked_at == PLACES_PER_PIECE {
                return Some(Cursor::Open(key.clone(), *producer));
            }
        }
        None
    }
}

fn is_gone(topics: &[DeletedTopic], key: &OffsetKey, value: &OffsetValue) -> bool {
    topics.iter().any(|topic| topic.name == key.topic && (value.topic_id.is_zero() || value.topic_id == topic.id))
}

fn is_expired(turn: &Turn<'_>, retained: Retained, value: &OffsetValue) -> bool {
    let now = turn.now.wall;
    let since = match (value.expires_at, retained) {
        (_, Retained::WhileSo) => return false,
        (Some(expires_at), _) => return now >= expires_at,
        (None, Retained::Since(moment)) => moment,
        (None, Retained::SinceCommit) => value.committed_at,
    };
    now.saturating_since(since) >= turn.settings.offsets_retention
}
