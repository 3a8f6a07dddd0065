//! What is asked of groups as such: their offsets, their end, and how they look.

use std::sync::Arc;

use dohle_base::{ErrorCode, Token, TopicName};

use super::{GROUPS_MAX, GroupCoordinator, PLACES_MAX, Soft};
use crate::offsets::commit;
use crate::turn::Turn;
use crate::{
    CommitOffsets, CommitOffsetsInTransaction, DeleteOffsets, DeletedGroup, EndTransaction, GroupFilter, GroupId,
    GroupMetadata, GroupView, ListedGroup, Producer, Record, Reply,
};

/// The name of the only kind of group that this coordinator serves.
const CLASSIC: &str = "classic";

impl GroupCoordinator {
    pub(super) fn commit_offsets(&self, soft: &mut Soft, turn: &mut Turn<'_>, token: Token, request: &CommitOffsets) {
        let allowed = self.allow_commit(soft, turn, request);
        soft.settle(&request.group);
        let reply = allowed.and_then(|()| commit(turn, request, None));
        turn.answer(token, Reply::CommitOffsets(reply));
    }

    pub(super) fn commit_offsets_in_transaction(
        &self,
        soft: &Soft,
        turn: &mut Turn<'_>,
        token: Token,
        request: &CommitOffsetsInTransaction,
    ) {
        let CommitOffsetsInTransaction { producer, commit: places } = request;
        let allowed = self.allow_commit_in_transaction(soft, *producer, places);
        let reply = allowed.and_then(|()| commit(turn, places, Some(*producer)));
        turn.answer(token, Reply::CommitOffsetsInTransaction(reply));
    }

    fn allow_commit_in_transaction(
        &self,
        soft: &Soft,
        producer: Producer,
        request: &CommitOffsets,
    ) -> Result<(), ErrorCode> {
        if self.offsets.len() >= PLACES_MAX {
            return Err(ErrorCode::PolicyViolation);
        }
        self.offsets.allow_hold(producer)?;
        match soft.get(&request.group) {
            Some(group) => group.allow_commit_in_transaction(request),
            None => self.allow_commit_of_nobody(request),
        }
    }

    /// Ends a transaction for every group that had a place in it. One that has none here ends all the same.
    pub(super) fn end_transaction(&self, turn: &mut Turn<'_>, token: Token, end: EndTransaction) {
        let EndTransaction { producer, outcome, version, coordinator_epoch } = end;
        let allowed = self.offsets.allow_end(producer, version);
        if allowed.is_ok() {
            turn.write(Record::TransactionEnded { producer, outcome, coordinator_epoch });
        }
        turn.answer(token, Reply::EndTransaction(allowed));
    }

    fn allow_commit(&self, soft: &mut Soft, turn: &Turn<'_>, request: &CommitOffsets) -> Result<(), ErrorCode> {
        if self.offsets.len() >= PLACES_MAX {
            return Err(ErrorCode::PolicyViolation);
        }
        match soft.get_mut(&request.group) {
            Some(group) => group.allow_commit(turn.now.instant, request),
            None => self.allow_commit_of_nobody(request),
        }
    }

    /// Whether places may be committed for a group that nobody is in, or that is not known.
    fn allow_commit_of_nobody(&self, request: &CommitOffsets) -> Result<(), ErrorCode> {
        let is_known = self.groups.contains_key(&request.group);
        match request.generation.0 < 0 {
            true if is_known || self.groups.len() < GROUPS_MAX => Ok(()),
            true => Err(ErrorCode::PolicyViolation),
            false if is_known => Err(ErrorCode::UnknownMemberId),
            false => Err(ErrorCode::GroupIdNotFound),
        }
    }

    pub(super) fn delete_offsets(&self, soft: &Soft, turn: &mut Turn<'_>, token: Token, request: &DeleteOffsets) {
        let id = &request.group;
        let live = soft.get(id);
        let is_subscribed = |topic: &TopicName| live.is_some_and(|group| group.is_subscribed(topic));
        let reply = if id.as_str().is_empty() {
            Err(ErrorCode::InvalidGroupId)
        } else if !self.groups.contains_key(id) {
            Err(ErrorCode::GroupIdNotFound)
        } else if live.is_some_and(|group| !group.is_empty() && !group.is_of_consumers()) {
            Err(ErrorCode::NonEmptyGroup)
        } else {
            self.offsets.delete(turn, id, &request.partitions, is_subscribed)
        };
        turn.answer(token, Reply::DeleteOffsets(reply));
    }

    pub(super) fn delete_groups(&self, soft: &mut Soft, turn: &mut Turn<'_>, token: Token, groups: Vec<GroupId>) {
        let delete = |group: GroupId| DeletedGroup { code: self.delete_group(soft, turn, &group), group };
        let deleted = groups.into_iter().map(delete).collect();
        turn.answer(token, Reply::DeleteGroups(deleted));
    }

    fn delete_group(&self, soft: &mut Soft, turn: &mut Turn<'_>, id: &GroupId) -> ErrorCode {
        if !self.groups.contains_key(id) {
            return ErrorCode::GroupIdNotFound;
        }
        if soft.get(id).is_some_and(|group| !group.is_empty()) {
            return ErrorCode::NonEmptyGroup;
        }
        let mut records = self.offsets.tombstones(id);
        records.push(Record::Group { group: id.clone(), value: None });
        if !turn.has_room_for(records.iter().map(Record::weight).sum()) {
            return ErrorCode::UnknownServerError;
        }
        records.into_iter().for_each(|record| turn.write(record));
        soft.remove(id);
        ErrorCode::None
    }

    pub(super) fn describe_groups(&self, soft: &Soft, turn: &mut Turn<'_>, token: Token, groups: Vec<GroupId>) {
        let described = groups.into_iter().map(|group| (self.view(soft, &group), group)).map(|(view, id)| (id, view));
        turn.answer(token, Reply::DescribeGroups(described.collect()));
    }

    pub(super) fn list_groups(&self, soft: &Soft, turn: &mut Turn<'_>, token: Token, filter: &GroupFilter) {
        let listed = self.groups.iter().map(|(id, stored)| listed(soft, id, stored));
        let groups = listed.filter(|group| filter.passes(group)).collect();
        turn.answer(token, Reply::ListGroups(groups));
    }

    /// How a group looks right now, with whatever is still on its way to the log; none if it is not known.
    pub fn view(&self, soft: &Soft, id: &GroupId) -> Option<GroupView> {
        let stored = self.groups.get(id)?;
        Some(soft.get(id).map_or_else(|| empty_view(stored), |group| group.view()))
    }
}

impl GroupFilter {
    fn passes(&self, group: &ListedGroup) -> bool {
        let holds = |wanted: &[String], has: &str| {
            wanted.is_empty() || wanted.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(has))
        };
        holds(&self.states, group.state) && holds(&self.kinds, group.kind)
    }
}

fn listed(soft: &Soft, id: &GroupId, stored: &GroupMetadata) -> ListedGroup {
    let (state, protocol_type) = match soft.get(id) {
        Some(group) => (group.state(), group.protocol_type()),
        None => (empty_view(stored).state, protocol_type(stored)),
    };
    ListedGroup { group: id.clone(), protocol_type, state, kind: CLASSIC }
}

fn protocol_type(stored: &GroupMetadata) -> Arc<str> {
    stored.protocol_type.clone().unwrap_or_else(|| "".into())
}

/// How a group looks of which only the log knows: nobody is in it.
fn empty_view(stored: &GroupMetadata) -> GroupView {
    GroupView { state: "Empty", protocol_type: protocol_type(stored), protocol: "".into(), members: vec![] }
}
