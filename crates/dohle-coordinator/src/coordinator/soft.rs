//! What lives only as long as a leadership: groups with members, their deadlines, and chores under way.

use std::collections::{BTreeMap, BTreeSet};

use dohle_base::{Instant, Now, Token};

use super::GroupCoordinator;
use crate::group::classic::Group;
use crate::offsets::{Chores, Purge};
use crate::turn::Turn;
use crate::{DeletedTopic, GroupId};

/// The bytes that a batch must have left for the deadlines of one more group to be dealt with in it.
const GROUP_BYTES: usize = 64 << 10;

/// The soft state.
#[derive(Clone, Debug)]
pub struct Soft {
    live: BTreeMap<GroupId, Live>,
    /// When which group must be looked at.
    agenda: BTreeSet<(Instant, GroupId)>,
    pub(super) chores: Chores,
}

/// A group and where the agenda has it.
#[derive(Clone, Debug)]
struct Live {
    group: Group,
    listed: Instant,
}

impl Soft {
    /// Members that the log remembers live until their sessions end.
    pub(super) fn lead(coordinator: &GroupCoordinator, now: Now) -> Self {
        let chores = Chores::new(now.instant + coordinator.settings.offsets_retention_check);
        let mut soft = Self { live: BTreeMap::new(), agenda: BTreeSet::new(), chores };
        for (id, stored) in coordinator.groups.iter().filter(|(_, stored)| !stored.members.is_empty()) {
            let mut group = Group::restore(id.clone(), stored, now);
            let mut turn = Turn::new(now, &coordinator.settings);
            group.shrink(&mut turn);
            assert!(turn.writes_nothing());
            soft.insert(id, group);
        }
        soft
    }

    /// The group, if it has members or expects some.
    pub(super) fn get(&self, id: &GroupId) -> Option<&Group> {
        self.live.get(id).map(|live| &live.group)
    }

    /// The same, to be changed; [`Soft::settle`] must follow.
    pub(super) fn get_mut(&mut self, id: &GroupId) -> Option<&mut Group> {
        self.live.get_mut(id).map(|live| &mut live.group)
    }

    /// The group, brought to life if need be; [`Soft::settle`] must follow.
    pub(super) fn get_or_insert(&mut self, id: &GroupId, group: impl FnOnce() -> Group) -> &mut Group {
        let live = self.live.entry(id.clone()).or_insert_with(|| Live { group: group(), listed: Instant::NEVER });
        &mut live.group
    }

    fn insert(&mut self, id: &GroupId, group: Group) {
        self.get_or_insert(id, || group);
        self.settle(id);
    }

    /// Forgets the group if only the log need remember it, else lists its next deadline.
    pub(super) fn settle(&mut self, id: &GroupId) {
        let Some(live) = self.live.get_mut(id) else { return };
        if live.group.is_vacant() {
            self.remove(id);
        } else if live.group.alarm() != live.listed {
            self.agenda.remove(&(live.listed, id.clone()));
            live.listed = live.group.alarm();
            self.agenda.insert((live.listed, id.clone()));
        }
    }

    /// Forgets the group.
    pub(super) fn remove(&mut self, id: &GroupId) {
        if let Some(live) = self.live.remove(id) {
            self.agenda.remove(&(live.listed, id.clone()));
        }
    }

    /// Lets deleted topics be forgotten, a piece at each tick.
    pub(super) fn purge(&mut self, topics: Vec<DeletedTopic>, token: Token) {
        self.chores.purges.push_back(Purge { topics, token, cursor: None });
    }

    /// Deals with the deadlines that have come, as many as fit into one batch.
    pub(super) fn expire(&mut self, turn: &mut Turn<'_>) {
        while let Some((at, id)) = self.agenda.first().cloned() {
            if at > turn.now.instant || !(turn.writes_nothing() || turn.has_room_for(GROUP_BYTES)) {
                return;
            }
            if let Some(group) = self.get_mut(&id) {
                group.expire(turn);
            }
            self.settle(&id);
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        let groups = self.agenda.first().map_or(Instant::NEVER, |(at, _)| *at);
        groups.min(self.chores.deadline())
    }

    /// Everybody who waits, and no longer does.
    pub(super) fn parked(&mut self) -> Vec<Token> {
        let members = self.live.values_mut().flat_map(|live| live.group.parked());
        members.chain(self.chores.purges.drain(..).map(|purge| purge.token)).collect()
    }

    /// How many callers wait in the barriers.
    pub fn waiting(&self) -> usize {
        self.live.values().map(|live| live.group.waiting()).sum::<usize>() + self.chores.purges.len()
    }

    pub(super) fn check(&self, coordinator: &GroupCoordinator) {
        assert!(self.agenda.len() == self.live.len());
        for (id, live) in &self.live {
            assert!(!live.group.is_vacant());
            assert!(live.listed == live.group.alarm());
            assert!(self.agenda.contains(&(live.listed, id.clone())));
            assert!(coordinator.groups.contains_key(id));
            live.group.check(coordinator.group(id));
        }
        let stored_members = coordinator.groups.iter().filter(|(_, stored)| !stored.members.is_empty());
        stored_members.for_each(|(id, _)| assert!(self.live.contains_key(id)));
    }
}
