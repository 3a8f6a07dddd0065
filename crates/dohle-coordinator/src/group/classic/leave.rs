//! LeaveGroup: members go, or an operator sends them away (KIP-345).

use dohle_base::ErrorCode;

use super::{Group, Phase};
use crate::turn::Turn;
use crate::{InstanceId, Leaving, Left, MemberId};

impl Group {
    /// Several may go at once; one rebalance follows for all of them.
    pub(crate) fn leave(&mut self, turn: &mut Turn<'_>, leaving: Vec<Leaving>) -> Vec<Left> {
        let mut left = Vec::with_capacity(leaving.len());
        for Leaving { member, instance } in leaving {
            let code = self.leave_one(turn, member.as_ref(), instance.as_ref());
            left.push(Left { member, instance, code });
        }
        if left.iter().any(|one| one.code.is_none()) {
            match self.phase {
                Phase::Empty => {}
                Phase::Preparing(_) | Phase::Completing(_) | Phase::Stable(_) => self.rebalance(turn),
            }
        }
        left
    }

    fn leave_one(
        &mut self,
        turn: &mut Turn<'_>,
        member: Option<&MemberId>,
        instance: Option<&InstanceId>,
    ) -> ErrorCode {
        let found = match (member, instance) {
            (None, None) => Err(ErrorCode::UnknownMemberId),
            (None, Some(instance)) => self.instances.get(instance).cloned().ok_or(ErrorCode::UnknownMemberId),
            (Some(member), _) if self.pending.contains_key(member) => Ok(member.clone()),
            (Some(member), instance) => self.validate(member, instance).map(|()| member.clone()),
        };
        match found {
            Ok(member) => {
                self.remove(&member, turn);
                ErrorCode::None
            }
            Err(code) => code,
        }
    }
}
