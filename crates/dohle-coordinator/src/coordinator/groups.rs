//! What is asked of groups as such: their offsets, their end, and how they look.

use std::sync::Arc;

use dohle_base::{ErrorCode, Token, TopicName};

use super::{GROUPS_MAX, GroupCoordinator, PLACES_MAX, Soft};
use crate::offsets::commit;
use crate::turn::Turn;
use crate::{
    CommitOffsets, DeleteOffsets, DeletedGroup, GroupFilter, GroupId, GroupMetadata, GroupView, ListedGroup, Record,
    Reply,
};

/// The name of the only kind of group that this coordinator serves.
const CLASSIC: &str = "classic";

impl GroupCoordinator {
    pub(super) fn commit_offsets(&self, soft: &mut Soft, turn: &mut Turn<'_>, token: Token, request: &CommitOffsets) {
        let allowed = self.allow_commit(soft, turn, request);
        soft.settle(&request.group);
        let reply = allowed.and_then(|()| commit(turn, request));
        turn.answer(token, Reply::CommitOffsets(reply));
    }

    fn allow_commit(&self, soft: &mut Soft, turn: &Turn<'_>, request: &CommitOffsets) -> Result<(), ErrorCode> {
        if self.offsets.len() >= PLACES_MAX {
            return Err(ErrorCode::PolicyViolation);
        }
        let outside = request.generation.0 < 0;
        match (soft.get_mut(&request.group), self.groups.get(&request.group)) {
            (Some(group), _) => group.allow_commit(turn.now.instant, request),
            (None, Some(_)) if outside => Ok(()),
            (None, Some(_)) => Err(ErrorCode::UnknownMemberId),
            (None, None) if !outside => Err(ErrorCode::GroupIdNotFound),
            (None, None) if self.groups.len() >= GROUPS_MAX => Err(ErrorCode::PolicyViolation),
            (None, None) => Ok(()),
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
