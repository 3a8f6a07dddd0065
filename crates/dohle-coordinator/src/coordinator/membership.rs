//! JoinGroup, SyncGroup, Heartbeat, LeaveGroup: finds the group, or says that there is none.

use std::sync::Arc;

use dohle_base::{ErrorCode, Token};

use super::{GROUPS_MAX, GroupCoordinator, Soft};
use crate::group::classic::{Group, join};
use crate::turn::Turn;
use crate::{GroupId, GroupMetadata, Heartbeat, Join, Leave, Leaving, Left, Record, Reply, Sync};

impl GroupCoordinator {
    pub(super) fn join(&self, soft: &mut Soft, turn: &mut Turn<'_>, token: Token, join: Join) {
        if let Err(code) = join::validate(&join, turn.settings) {
            return join::refuse(turn, token, code, join.member);
        }
        let id = join.group.clone();
        match self.groups.get(&id) {
            None if join.member.is_some() => join::refuse(turn, token, ErrorCode::UnknownMemberId, join.member),
            None if self.groups.len() >= GROUPS_MAX => join::refuse(turn, token, ErrorCode::PolicyViolation, None),
            None => self.join_new_group(soft, turn, token, join),
            Some(stored) => {
                soft.get_or_insert(&id, || Group::restore(id.clone(), stored, turn.now)).join(turn, token, join);
                soft.settle(&id);
            }
        }
    }

    /// The first member makes the group: the log knows of it before anybody is told. Who is refused makes none.
    fn join_new_group(&self, soft: &mut Soft, turn: &mut Turn<'_>, token: Token, join: Join) {
        let id = join.group.clone();
        let stored = GroupMetadata { since: Some(turn.now.wall), ..GroupMetadata::simple() };
        let group = soft.get_or_insert(&id, || Group::restore(id.clone(), &stored, turn.now));
        group.join(turn, token, join);
        if !group.is_vacant() {
            turn.write(Record::Group { group: id.clone(), value: Some(Arc::new(stored)) });
        }
        soft.settle(&id);
    }

    pub(super) fn sync(&self, soft: &mut Soft, turn: &mut Turn<'_>, token: Token, sync: Sync) {
        let id = sync.group.clone();
        match living(soft, &id) {
            Ok(group) => group.sync(turn, token, sync),
            Err(code) => turn.answer(token, Reply::Sync(Err(code))),
        }
        soft.settle(&id);
    }

    pub(super) fn heartbeat(&self, soft: &mut Soft, turn: &mut Turn<'_>, token: Token, heartbeat: &Heartbeat) {
        let lives = living(soft, &heartbeat.group).and_then(|group| group.heartbeat(turn.now.instant, heartbeat));
        turn.answer(token, Reply::Heartbeat(lives));
        soft.settle(&heartbeat.group);
    }

    pub(super) fn leave(&self, soft: &mut Soft, turn: &mut Turn<'_>, token: Token, leave: Leave) {
        let Leave { group: id, members } = leave;
        let left = match soft.get_mut(&id) {
            _ if id.as_str().is_empty() => Err(ErrorCode::InvalidGroupId),
            Some(group) => Ok(group.leave(turn, members)),
            None => Ok(members.into_iter().map(unknown).collect()),
        };
        turn.answer(token, Reply::Leave(left));
        soft.settle(&id);
    }
}

/// The group, if anybody is in it.
fn living<'a>(soft: &'a mut Soft, id: &GroupId) -> Result<&'a mut Group, ErrorCode> {
    if id.as_str().is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    soft.get_mut(id).filter(|group| !group.is_empty()).ok_or(ErrorCode::UnknownMemberId)
}

fn unknown(leaving: Leaving) -> Left {
    Left { member: leaving.member, instance: leaving.instance, code: ErrorCode::UnknownMemberId }
}
