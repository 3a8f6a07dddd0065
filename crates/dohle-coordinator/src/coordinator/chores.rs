//! What is done when nobody asks: deleted topics are forgotten, and places that outlived their retention, each a piece at
//! a time.

use super::{GroupCoordinator, Soft};
use crate::offsets::{Expired, PLACES_PER_PIECE, Retained};
use crate::turn::{Attempt, Turn};
use crate::{GroupId, GroupMetadata, Record, Reply};

impl GroupCoordinator {
    /// Does the next piece of what is due.
    pub(super) fn do_chore(&self, soft: &mut Soft, turn: &mut Turn<'_>) {
        if !soft.chores.purges.is_empty() {
            self.purge(soft, turn);
        } else if soft.chores.expiry.is_some() || soft.chores.expiry_at <= turn.now.instant {
            self.expire_offsets(soft, turn);
        }
    }

    fn purge(&self, soft: &mut Soft, turn: &mut Turn<'_>) {
        let Some(mut purge) = soft.chores.purges.pop_front() else { return };
        purge.cursor = self.offsets.purge(turn, &purge);
        match purge.cursor {
            Some(_) => soft.chores.purges.push_front(purge),
            None => turn.answer(purge.token, Reply::TopicsDeleted),
        }
    }

    fn expire_offsets(&self, soft: &mut Soft, turn: &mut Turn<'_>) {
        let mut looked_at = 0;
        let from = soft.chores.expiry.take().unwrap_or_else(|| GroupId::from(""));
        for (id, stored) in self.groups.range(from..) {
            if looked_at >= PLACES_PER_PIECE || !self.expire_group(soft, turn, id, stored, &mut looked_at) {
                soft.chores.expiry = Some(id.clone());
                return;
            }
        }
        soft.chores.expiry_at = turn.now.instant + turn.settings.offsets_retention_check;
    }

    /// Forgets what is expired of one group, and an empty group of which nothing is left. False when the batch is full
    /// and the group must be looked at again.
    fn expire_group(
        &self,
        soft: &Soft,
        turn: &mut Turn<'_>,
        id: &GroupId,
        stored: &GroupMetadata,
        looked_at: &mut usize,
    ) -> bool {
        *looked_at += 1;
        let live = soft.get(id);
        let retained = match live {
            Some(group) if group.is_settled() => Retained::SinceCommit,
            Some(group) if !group.is_empty() => Retained::WhileSo,
            Some(_) | None => retained_empty(stored),
        };
        let is_subscribed = |topic: &_| live.is_some_and(|group| group.is_subscribed(topic));
        match self.offsets.expire(turn, id, retained, is_subscribed, looked_at) {
            Expired::Unfinished => false,
            Expired::Some => true,
            Expired::All if live.is_some() => true,
            Expired::All => turn.try_write(Record::Group { group: id.clone(), value: None }) != Attempt::Full,
        }
    }
}

/// The retention of a group that nobody is in: from its last member's end, or from each commit if it never had members.
fn retained_empty(stored: &GroupMetadata) -> Retained {
    match (&stored.protocol_type, stored.since) {
        (Some(_), Some(since)) => Retained::Since(since),
        (Some(_), None) | (None, _) => Retained::SinceCommit,
    }
}
