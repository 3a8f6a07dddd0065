//! What time does to a group: sessions end, barriers close.

use dohle_base::Instant;

use super::{Group, MemberId, Phase, Preparing, Unsynced};
use crate::turn::Turn;

/// Something whose time has come.
enum Due {
    Pending(MemberId),
    Session(MemberId),
    Preparing(Preparing),
    Unsynced,
}

impl Group {
    /// Does everything whose time has come, and finds out when to come back.
    pub(crate) fn expire(&mut self, turn: &mut Turn<'_>) {
        while let Some(due) = self.due(turn.now.instant) {
            match due {
                Due::Pending(id) => self.end_of_pending(turn, &id),
                Due::Session(id) => self.end_of_session(turn, &id),
                Due::Preparing(preparing) => self.end_of_preparing(turn, preparing),
                Due::Unsynced => self.end_of_unsynced(turn),
            }
        }
        self.alarm = self.earliest().unwrap_or(Instant::NEVER);
    }

    fn due(&self, now: Instant) -> Option<Due> {
        if let Some((id, _)) = self.pending.iter().find(|(_, until)| **until <= now) {
            return Some(Due::Pending(id.clone()));
        }
        if let Some((id, _)) = self.members.iter().find(|(_, member)| member.session_ends <= now) {
            return Some(Due::Session(id.clone()));
        }
        match &self.phase {
            Phase::Empty => None,
            Phase::Preparing(preparing) => (preparing.deadline <= now).then_some(Due::Preparing(*preparing)),
            Phase::Completing(unsynced) | Phase::Stable(unsynced) => {
                (unsynced.deadline <= now).then_some(Due::Unsynced)
            }
        }
    }

    /// When the next deadline comes.
    pub(super) fn earliest(&self) -> Option<Instant> {
        let barrier = match &self.phase {
            Phase::Empty => Instant::NEVER,
            Phase::Preparing(preparing) => preparing.deadline,
            Phase::Completing(unsynced) | Phase::Stable(unsynced) => unsynced.deadline,
        };
        let sessions = self.members.values().map(|member| member.session_ends);
        let earliest = self.pending.values().copied().chain(sessions).fold(barrier, Instant::min);
        (earliest != Instant::NEVER).then_some(earliest)
    }

    fn end_of_pending(&mut self, turn: &mut Turn<'_>, id: &MemberId) {
        self.remove(id, turn);
        self.close_if_all_joined(turn);
    }

    fn end_of_session(&mut self, turn: &mut Turn<'_>, id: &MemberId) {
        let member = self.members.get_mut(id).expect("the session was a member's");
        if member.is_excused() {
            member.session_ends = Instant::NEVER;
            return;
        }
        self.remove(id, turn);
        match self.phase {
            Phase::Empty => {}
            Phase::Preparing(_) => self.close_if_all_joined(turn),
            Phase::Completing(_) | Phase::Stable(_) => self.rebalance(turn),
        }
    }

    /// The last one that was missing is gone: nobody is left to wait for, not even in a group that was empty.
    fn close_if_all_joined(&mut self, turn: &mut Turn<'_>) {
        if matches!(self.phase, Phase::Preparing(_)) && self.all_have_joined() {
            self.complete(turn);
        }
    }

    /// Members of the generation that never asked for their share are gone.
    fn end_of_unsynced(&mut self, turn: &mut Turn<'_>) {
        let missing = match &mut self.phase {
            Phase::Completing(unsynced) | Phase::Stable(unsynced) => std::mem::replace(unsynced, Unsynced::nobody()),
            Phase::Empty | Phase::Preparing(_) => return,
        };
        for id in &missing.members {
            self.remove(id, turn);
        }
        self.prepare(turn);
    }

    /// A coordinator took over a group that is larger than it may be: the rebalance drops whoever comes last.
    pub(crate) fn shrink(&mut self, turn: &mut Turn<'_>) {
        if self.size() > turn.settings.group_size_max {
            self.prepare(turn);
        }
    }
}
