//! The coordinator as the fold of its log: commands come in, the state says what becomes of them.
//!
//! Laws: whoever is live is known to the log; a live group is listed in the agenda at its alarm; no deadline is missed.

mod chores;
mod groups;
mod membership;
mod soft;

use std::sync::Arc;

use dohle_base::{Instant, Now, Offset, Token};
use dohle_replication::ledger::{Decision, Folded};
use imbl::OrdMap;

use crate::offsets::Offsets;
use crate::turn::Turn;
use crate::{
    Command, FetchOffsets, FetchedOffset, GroupId, GroupMetadata, OffsetKey, OffsetValue, Record, Reply, Settings,
};

pub use soft::Soft;

/// The most groups that one coordinator keeps; a new one beyond them is refused.
const GROUPS_MAX: usize = 1_000_000;
/// The most places that one coordinator keeps, held ones beside committed ones; a commit beyond them is refused.
const PLACES_MAX: usize = 20_000_000;

/// The groups of one partition of `__consumer_offsets`, as far as the log remembers them.
#[derive(Clone, Debug)]
pub struct GroupCoordinator {
    settings: Arc<Settings>,
    groups: OrdMap<GroupId, Arc<GroupMetadata>>,
    offsets: Offsets,
}

impl GroupCoordinator {
    /// The coordinator of an empty log.
    pub fn new(settings: Arc<Settings>) -> Self {
        Self { settings, groups: OrdMap::new(), offsets: Offsets::default() }
    }

    /// Where a group stands. Asked of the committed state, it tells what is safe and waits for nothing; a question that
    /// must not overtake a commit on its way is a [`Command::FetchOffsets`].
    pub fn fetch_offsets(&self, question: &FetchOffsets) -> Vec<FetchedOffset> {
        self.offsets.fetch(question)
    }

    /// The names of all groups.
    pub fn group_ids(&self) -> impl Iterator<Item = &GroupId> {
        self.groups.keys()
    }

    /// The committed places of a group, by topic and partition.
    pub fn offsets_of<'a>(&'a self, group: &'a GroupId) -> impl Iterator<Item = (&'a OffsetKey, &'a OffsetValue)> {
        self.offsets.of_group(group).map(|(key, place)| (key, &place.value))
    }

    /// What the log remembers of a group.
    pub fn group(&self, group: &GroupId) -> Option<&GroupMetadata> {
        self.groups.get(group).map(|stored| &**stored)
    }

    /// The laws; `soft` belongs to the latest state.
    pub fn check(&self, soft: &Soft) {
        self.offsets.check();
        soft.check(self);
    }
}

impl Folded for GroupCoordinator {
    type Command = Command;
    type Record = Record;
    type Reply = Reply;
    type Soft = Soft;

    fn lead(&self, now: Now) -> Soft {
        Soft::lead(self, now)
    }

    fn decide(&self, soft: &mut Soft, now: Now, token: Token, command: Command) -> Decision<Record, Reply> {
        let mut turn = Turn::new(now, &self.settings);
        match command {
            Command::Join(join) => self.join(soft, &mut turn, token, *join),
            Command::Sync(sync) => self.sync(soft, &mut turn, token, sync),
            Command::Heartbeat(heartbeat) => self.heartbeat(soft, &mut turn, token, &heartbeat),
            Command::Leave(leave) => self.leave(soft, &mut turn, token, leave),
            Command::CommitOffsets(request) => self.commit_offsets(soft, &mut turn, token, &request),
            Command::CommitOffsetsInTransaction(request) => {
                self.commit_offsets_in_transaction(soft, &mut turn, token, &request);
            }
            Command::EndTransaction(end) => self.end_transaction(&mut turn, token, end),
            Command::FetchOffsets(question) => {
                turn.answer(token, Reply::FetchOffsets(self.offsets.fetch(&question)));
            }
            Command::DeleteOffsets(request) => self.delete_offsets(soft, &mut turn, token, &request),
            Command::DeleteGroups(groups) => self.delete_groups(soft, &mut turn, token, groups),
            Command::DescribeGroups(groups) => self.describe_groups(soft, &mut turn, token, groups),
            Command::ListGroups(filter) => self.list_groups(soft, &mut turn, token, &filter),
            Command::TopicsDeleted(topics) => soft.purge(topics, token),
        }
        turn.decided()
    }

    fn tick(&self, soft: &mut Soft, now: Now) -> Decision<Record, Reply> {
        let mut turn = Turn::new(now, &self.settings);
        soft.expire(&mut turn);
        if turn.writes_nothing() {
            self.do_chore(soft, &mut turn);
        }
        turn.decided()
    }

    fn deadline(&self, soft: &Soft) -> Option<Instant> {
        Some(soft.deadline())
    }

    fn parked(soft: &mut Soft) -> Vec<Token> {
        soft.parked()
    }

    fn apply(&mut self, offset: Offset, record: &Record) {
        match record {
            Record::Offset { key, value: Some(value), producer } => {
                // Whoever commits without being a member makes a group that only keeps offsets.
                if !self.groups.contains_key(&key.group) {
                    self.groups.insert(key.group.clone(), Arc::new(GroupMetadata::simple()));
                }
                match producer {
                    None => self.offsets.put(offset, key, value.clone()),
                    Some(producer) => self.offsets.hold(offset, key, value.clone(), *producer),
                }
            }
            Record::Offset { key, value: None, producer: _ } => self.offsets.remove(key),
            Record::Group { group, value: Some(value) } => {
                self.groups.insert(group.clone(), Arc::clone(value));
            }
            Record::Group { group, value: None } => drop(self.groups.remove(group)),
            Record::TransactionEnded { producer, outcome, coordinator_epoch: _ } => {
                self.offsets.end(producer.id, *outcome);
            }
        }
    }

    fn weight(record: &Record) -> usize {
        record.weight()
    }
}
