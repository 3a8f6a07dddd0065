//! SyncGroup: the second barrier, which the leader's answer opens once it is in the log.

use std::collections::BTreeMap;

use bytes::Bytes;
use dohle_base::{ErrorCode, Token};

use super::member::Awaits;
use super::{Group, MemberId, Phase, Unsynced};
use crate::turn::Turn;
use crate::{Reply, Sync, Synced};

impl Group {
    /// A member asks for its share.
    pub(crate) fn sync(&mut self, turn: &mut Turn<'_>, token: Token, sync: Sync) {
        if let Err(code) = self.validate_sync(&sync) {
            return turn.answer(token, Reply::Sync(Err(code)));
        }
        match &mut self.phase {
            Phase::Empty => unreachable!("an empty group has no members"),
            Phase::Preparing(_) => turn.answer(token, Reply::Sync(Err(ErrorCode::RebalanceInProgress))),
            Phase::Completing(unsynced) => {
                unsynced.remove(&sync.member);
                let member = self.members.get_mut(&sync.member).expect("the caller is a member");
                member.await_sync(token, &sync.member, turn);
                if self.is_leader(&sync.member) {
                    self.stabilize(turn, sync.assignments);
                }
            }
            Phase::Stable(unsynced) => {
                unsynced.remove(&sync.member);
                let synced = self.share_of(&sync.member);
                turn.answer(token, Reply::Sync(Ok(synced)));
            }
        }
    }

    fn validate_sync(&self, sync: &Sync) -> Result<(), ErrorCode> {
        self.validate(&sync.member, sync.instance.as_ref())?;
        let differs = |said: &Option<_>, known: &Option<_>| said.is_some() && known.is_some() && said != known;
        if sync.generation != self.generation {
            Err(ErrorCode::IllegalGeneration)
        } else if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            Err(ErrorCode::InconsistentGroupProtocol)
        } else {
            Ok(())
        }
    }

    /// Takes the leader's answer: it is written, and with that all who wait learn their share. Shares that no batch can
    /// hold are no answer; the group then tries another generation.
    fn stabilize(&mut self, turn: &mut Turn<'_>, assignments: Vec<(MemberId, Bytes)>) {
        let shares: BTreeMap<MemberId, Bytes> = assignments.into_iter().collect();
        let record = self.record(|id, _| shares.get(id).map(|share| Bytes::copy_from_slice(share)).unwrap_or_default());
        if !turn.has_room_for(record.weight()) {
            self.withdraw_assignments(turn, ErrorCode::UnknownServerError);
            return self.rebalance(turn);
        }
        if let crate::Record::Group { value: Some(stored), .. } = &record {
            for member in stored.members.iter() {
                let known = self.members.get_mut(&member.id).expect("the record was made of the members");
                known.assignment = member.assignment.clone();
            }
        }
        turn.write(record);
        let unsynced = match &mut self.phase {
            Phase::Completing(unsynced) => std::mem::take(unsynced),
            Phase::Empty | Phase::Preparing(_) | Phase::Stable(_) => Unsynced::nobody(),
        };
        self.enter(Phase::Stable(unsynced), turn.now);
        self.release_synced(turn);
    }

    fn release_synced(&mut self, turn: &mut Turn<'_>) {
        let ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in ids {
            let member = self.members.get_mut(&id).expect("the names were just read");
            if let Awaits::Sync(token) = member.awaits {
                member.awaits = Awaits::Nothing;
                self.renew_session(&id, turn.now.instant);
                let synced = self.share_of(&id);
                turn.answer(token, Reply::Sync(Ok(synced)));
            }
        }
    }

    fn share_of(&self, member: &MemberId) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self.members.get(member).map(|member| member.assignment.clone()).unwrap_or_default(),
        }
    }
}
