//! The way from one generation to the next.

use std::time::Duration;

use bytes::Bytes;
use dohle_base::ErrorCode;

use super::member::Awaits;
use super::{First, Group, MemberId, Phase, Preparing, Unsynced};
use crate::turn::Turn;

/// The least wait until a rebalance that nobody joined is tried again.
const RETRY_DELAY_MIN: Duration = Duration::from_millis(100);

impl Group {
    /// The group must come to a new generation: begins one, or goes on with the one that has begun.
    pub(super) fn rebalance(&mut self, turn: &mut Turn<'_>) {
        match self.phase {
            Phase::Empty | Phase::Completing(_) | Phase::Stable(_) => self.prepare(turn),
            Phase::Preparing(_) => self.complete_if_all_joined(turn),
        }
    }

    /// Opens the first barrier.
    pub(crate) fn prepare(&mut self, turn: &mut Turn<'_>) {
        if matches!(self.phase, Phase::Completing(_)) {
            self.withdraw_assignments(turn, ErrorCode::RebalanceInProgress);
        }
        if self.is_empty() {
            return self.prepare_first(turn);
        }
        let deadline = turn.now.instant + self.rebalance_timeout();
        self.arm(deadline);
        self.enter(Phase::Preparing(Preparing { deadline, first: None }), turn.now);
        self.complete_if_all_joined(turn);
    }

    /// Opens the first barrier of a group that was empty, and waits for company.
    fn prepare_first(&mut self, turn: &mut Turn<'_>) {
        let delay = turn.settings.initial_rebalance_delay;
        let remaining = self.rebalance_timeout().saturating_sub(delay);
        let deadline = turn.now.instant + delay;
        self.arm(deadline);
        let first = First { delay, remaining, grown: false };
        self.enter(Phase::Preparing(Preparing { deadline, first: Some(first) }), turn.now);
        if delay.is_zero() {
            self.complete(turn);
        }
    }

    /// The first barrier's time is over.
    pub(super) fn end_of_preparing(&mut self, turn: &mut Turn<'_>, preparing: Preparing) {
        match preparing.first {
            Some(first) if first.grown && !first.remaining.is_zero() => self.wait_longer(turn, first),
            Some(_) | None => self.complete(turn),
        }
    }

    fn wait_longer(&mut self, turn: &mut Turn<'_>, first: First) {
        let delay = turn.settings.initial_rebalance_delay.min(first.remaining);
        let remaining = first.remaining.saturating_sub(first.delay);
        let deadline = turn.now.instant + delay;
        self.arm(deadline);
        let first = First { delay, remaining, grown: false };
        self.phase = Phase::Preparing(Preparing { deadline, first: Some(first) });
    }

    /// Closes the first barrier if everybody is inside and the group need not wait for company.
    pub(super) fn complete_if_all_joined(&mut self, turn: &mut Turn<'_>) {
        if matches!(self.phase, Phase::Preparing(Preparing { first: None, .. })) && self.all_have_joined() {
            self.complete(turn);
        }
    }

    pub(super) fn all_have_joined(&self) -> bool {
        self.pending.is_empty() && self.members.values().all(|member| member.is_joining())
    }

    /// Closes the first barrier: whoever is not inside is dropped, but for static members, whose sessions decide.
    pub(super) fn complete(&mut self, turn: &mut Turn<'_>) {
        let absent = |member: &super::Member| member.instance.is_none() && !member.is_joining();
        let dropped: Vec<MemberId> =
            self.members.iter().filter(|(_, member)| absent(member)).map(|(id, _)| id.clone()).collect();
        for id in dropped {
            self.remove(&id, turn);
        }
        if self.members.is_empty() {
            self.become_empty(turn);
        } else if self.elect_leader() {
            self.share_out(turn);
        } else {
            self.try_again_later(turn);
        }
    }

    /// Only absent static members are left: their sessions will end, or they will come.
    fn try_again_later(&mut self, turn: &mut Turn<'_>) {
        let deadline = turn.now.instant + self.rebalance_timeout().max(RETRY_DELAY_MIN);
        self.arm(deadline);
        if let Phase::Preparing(preparing) = &mut self.phase {
            preparing.deadline = deadline;
        }
    }

    /// A leader that did not join gives way to a member that did. False when nobody joined.
    fn elect_leader(&mut self) -> bool {
        let is_joining = |id: &MemberId| self.members.get(id).is_some_and(|member| member.is_joining());
        if self.leader.as_ref().is_some_and(is_joining) {
            return true;
        }
        match self.members.iter().find(|(_, member)| member.is_joining()) {
            Some((id, _)) => {
                self.leader = Some(id.clone());
                true
            }
            None => false,
        }
    }

    fn become_empty(&mut self, turn: &mut Turn<'_>) {
        self.generation = self.generation.next();
        self.protocol = None;
        self.topics = self.subscribed_topics();
        self.enter(Phase::Empty, turn.now);
        turn.write(self.record(|_, _| Bytes::new()));
    }

    /// Begins the new generation: all learn who leads, the leader learns who is in it.
    fn share_out(&mut self, turn: &mut Turn<'_>) {
        self.generation = self.generation.next();
        self.protocol = self.choose_protocol();
        self.topics = self.subscribed_topics();
        let deadline = turn.now.instant + self.rebalance_timeout();
        self.arm(deadline);
        let unsynced = Unsynced { members: self.members.keys().cloned().collect(), deadline };
        self.enter(Phase::Completing(unsynced), turn.now);
        let ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in ids {
            let members = if self.is_leader(&id) { self.joined_members() } else { vec![] };
            let member = self.members.get_mut(&id).expect("the names were just read");
            member.is_new = false;
            let token = member.awaits.take();
            self.renew_session(&id, turn.now.instant);
            if let Some(token) = token {
                self.answer_join(turn, token, id, members);
            }
        }
    }

    /// The generation comes to nothing: nobody has a share, and whoever waits for one is told why.
    pub(super) fn withdraw_assignments(&mut self, turn: &mut Turn<'_>, code: ErrorCode) {
        let ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in ids {
            let member = self.members.get_mut(&id).expect("the names were just read");
            member.assignment = Bytes::new();
            if matches!(member.awaits, Awaits::Sync(_)) {
                member.dismiss(turn, code, None);
                self.renew_session(&id, turn.now.instant);
            }
        }
    }
}
