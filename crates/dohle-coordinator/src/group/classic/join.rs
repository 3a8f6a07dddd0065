//! JoinGroup: who may wait in the first barrier, and who is answered at once.

use std::sync::Arc;

use dohle_base::{ErrorCode, Token};

use super::member::{Awaits, Member};
use super::{Group, NEWCOMER_TIMEOUT, PENDING_MAX, Phase, SUBSCRIPTION_BYTES_MAX};
use crate::turn::Turn;
use crate::{Join, JoinRefusal, Joined, JoinedMember, MemberId, Protocol, Reply, Settings};

/// What does not depend on the group at all.
pub(crate) fn validate(join: &Join, settings: &Settings) -> Result<(), ErrorCode> {
    let sessions = settings.session_timeout_min..=settings.session_timeout_max;
    let subscription: usize = join.protocols.iter().map(|protocol| protocol.metadata.len()).sum();
    if join.group.as_str().is_empty() {
        Err(ErrorCode::InvalidGroupId)
    } else if !sessions.contains(&join.session_timeout) {
        Err(ErrorCode::InvalidSessionTimeout)
    } else if subscription > SUBSCRIPTION_BYTES_MAX {
        Err(ErrorCode::InvalidRequest)
    } else {
        Ok(())
    }
}

/// Tells the caller that it did not join.
pub(crate) fn refuse(turn: &mut Turn<'_>, token: Token, code: ErrorCode, member: Option<MemberId>) {
    turn.answer(token, Reply::Join(Err(JoinRefusal { code, member })));
}

impl Group {
    /// A member, old or new, wants to be in the next generation.
    pub(crate) fn join(&mut self, turn: &mut Turn<'_>, token: Token, join: Join) {
        if !self.accepts(join.member.as_ref(), turn.settings.group_size_max) {
            if let Some(member) = &join.member {
                self.remove(member, turn);
                self.complete_if_all_joined(turn);
            }
            return refuse(turn, token, ErrorCode::GroupMaxSizeReached, None);
        }
        if !self.could_agree(&join) {
            return refuse(turn, token, ErrorCode::InconsistentGroupProtocol, join.member);
        }
        match join.member.clone() {
            None => self.join_as_newcomer(turn, token, join),
            Some(member) if self.pending.contains_key(&member) => self.join_as_pending(turn, token, join, member),
            Some(member) => match self.validate(&member, join.instance.as_ref()) {
                Err(code) => refuse(turn, token, code, Some(member)),
                Ok(()) => self.join_again(turn, token, join, member),
            },
        }
    }

    /// Whether there is room. During a rebalance those count that have joined it, so that a group above its size shrinks.
    fn accepts(&self, member: Option<&MemberId>, most: usize) -> bool {
        let known = member.and_then(|member| self.members.get(member));
        match self.phase {
            Phase::Empty => true,
            Phase::Preparing(_) => known.is_some_and(Member::is_joining) || self.joining() < most,
            Phase::Completing(_) | Phase::Stable(_) => known.is_some() || self.members.len() < most,
        }
    }

    /// Whether the member knows a protocol that all others know, too.
    fn could_agree(&self, join: &Join) -> bool {
        if self.is_empty() {
            return !join.protocol_type.is_empty() && !join.protocols.is_empty();
        }
        // A group that lost its last member while it prepares is open to any protocol of its type.
        self.protocol_type.as_ref() == Some(&join.protocol_type)
            && join.protocols.iter().any(|protocol| self.is_known_to_all(&protocol.name))
    }

    fn is_known_to_all(&self, protocol: &str) -> bool {
        self.members.values().all(|member| member.metadata(protocol).is_some())
    }

    fn joining(&self) -> usize {
        self.members.values().filter(|member| member.is_joining()).count()
    }

    fn join_as_newcomer(&mut self, turn: &mut Turn<'_>, token: Token, join: Join) {
        let stem = join.instance.as_ref().map_or(&*join.client_id, |instance| instance.as_str());
        let member = MemberId::fresh(stem, join.fresh);
        match join.instance.as_ref().and_then(|instance| self.instances.get(instance)).cloned() {
            Some(before) => self.replace(turn, token, &join, &before, member),
            None if join.instance.is_none() && join.must_come_again => self.expect_again(turn, token, &join, member),
            None => self.add(turn, token, &join, member),
        }
    }

    /// Gives the newcomer its name and sends it away to come again with it (KIP-394): a client that gave up waiting
    /// leaves no member behind.
    fn expect_again(&mut self, turn: &mut Turn<'_>, token: Token, join: &Join, member: MemberId) {
        if self.pending.len() >= PENDING_MAX {
            return refuse(turn, token, ErrorCode::GroupMaxSizeReached, None);
        }
        let until = turn.now.instant + join.session_timeout;
        self.arm(until);
        self.pending.insert(member.clone(), until);
        refuse(turn, token, ErrorCode::MemberIdRequired, Some(member));
    }

    fn join_as_pending(&mut self, turn: &mut Turn<'_>, token: Token, join: Join, member: MemberId) {
        if join.instance.is_some() {
            // Only dynamic members are told to come again: the client mixes two lives up.
            return refuse(turn, token, ErrorCode::UnknownServerError, Some(member));
        }
        self.add(turn, token, &join, member);
    }

    fn add(&mut self, turn: &mut Turn<'_>, token: Token, join: &Join, id: MemberId) {
        if let Phase::Preparing(preparing) = &mut self.phase
            && let Some(first) = &mut preparing.first
        {
            first.grown = true;
        }
        let mut member = Member::new(join);
        member.awaits = Awaits::Join(token);
        member.session_ends = turn.now.instant + NEWCOMER_TIMEOUT;
        self.arm(member.session_ends);
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        self.instances.extend(join.instance.clone().map(|instance| (instance, id.clone())));
        self.leader.get_or_insert_with(|| id.clone());
        self.pending.remove(&id);
        self.members.insert(id, member);
        self.rebalance(turn);
    }

    fn join_again(&mut self, turn: &mut Turn<'_>, token: Token, join: Join, id: MemberId) {
        let leads = self.is_leader(&id);
        let unchanged = self.members.get(&id).is_some_and(|member| member.protocols == join.protocols);
        match self.phase {
            Phase::Empty => unreachable!("an empty group has no members"),
            // The member may not have received its first answer: it gets the same again.
            Phase::Completing(_) if unchanged => {
                let members = if leads { self.joined_members() } else { vec![] };
                self.answer_join(turn, token, id, members);
            }
            // A follower only wants to know where the group stands. A leader may have seen what concerns all.
            Phase::Stable(_) if unchanged && !leads => self.answer_join(turn, token, id, vec![]),
            Phase::Preparing(_) | Phase::Completing(_) | Phase::Stable(_) => {
                let member = self.members.get_mut(&id).expect("the caller is a member");
                member.update(&join, &id, token, turn);
                self.rebalance(turn);
            }
        }
    }

    /// A static member came back under a new name (KIP-345): the old one is fenced. Where everybody works and the
    /// protocol stays, the new one takes the old one's place without a rebalance.
    fn replace(&mut self, turn: &mut Turn<'_>, token: Token, join: &Join, before: &MemberId, id: MemberId) {
        let leader_before = self.leader.clone();
        let mut member = self.members.remove(before).expect("an instance is a member");
        member.dismiss(turn, ErrorCode::FencedInstanceId, Some(before));
        member.is_new = false;
        member.session_ends = turn.now.instant + member.session_timeout;
        self.arm(member.session_ends);
        member.update(join, &id, token, turn);
        self.members.insert(id.clone(), member);
        self.instances.extend(join.instance.clone().map(|instance| (instance, id.clone())));
        if self.is_leader(before) {
            self.leader = Some(id.clone());
        }
        match &mut self.phase {
            Phase::Empty => unreachable!("an empty group has no members"),
            Phase::Preparing(_) => return self.complete_if_all_joined(turn),
            // The old name may already be with the leader: its share would go to nobody.
            Phase::Completing(unsynced) => unsynced.remove(before),
            Phase::Stable(unsynced) => {
                unsynced.remove(before);
                let record = self.record(|_, member| member.assignment.clone());
                if self.protocol == self.choose_protocol() && turn.has_room_for(record.weight()) {
                    turn.write(record);
                    return self.answer_replaced(turn, join, leader_before, id);
                }
            }
        }
        self.prepare(turn);
    }

    /// Since version 9 a leader learns that it leads and need not share anything out (KIP-814); before, it is told that
    /// its former self leads, so that it shares nothing out either.
    fn answer_replaced(&mut self, turn: &mut Turn<'_>, join: &Join, leader_before: Option<MemberId>, id: MemberId) {
        let leads = self.is_leader(&id);
        let skips = join.may_skip_assignment;
        let leader = if skips { self.leader.clone() } else { leader_before };
        let members = if skips && leads { self.joined_members() } else { vec![] };
        let joined = Joined {
            member: id.clone(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: leader.expect("a group with members has a leader"),
            skip_assignment: skips && leads,
            members,
        };
        let member = self.members.get_mut(&id).expect("it has just been put there");
        let token = member.awaits.take().expect("it has just begun to wait");
        turn.answer(token, Reply::Join(Ok(joined)));
    }

    /// Tells the caller where the group stands.
    pub(super) fn answer_join(&self, turn: &mut Turn<'_>, token: Token, member: MemberId, members: Vec<JoinedMember>) {
        let joined = Joined {
            member,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().expect("a group with members has a leader"),
            skip_assignment: false,
            members,
        };
        turn.answer(token, Reply::Join(Ok(joined)));
    }

    /// All members, as their leader sees them.
    pub(super) fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let shown = self.members.iter().map(|(id, member)| JoinedMember {
            member: id.clone(),
            instance: member.instance.clone(),
            metadata: member.metadata(protocol).cloned().unwrap_or_default(),
        });
        shown.collect()
    }

    /// What the members agree on: among the protocols that all know, each votes for the dearest to it. Where votes are
    /// equal the leader's taste decides.
    pub(super) fn choose_protocol(&self) -> Option<Arc<str>> {
        let leader = self.members.get(self.leader.as_ref()?)?;
        let candidates: Vec<&Protocol> =
            leader.protocols.iter().filter(|protocol| self.is_known_to_all(&protocol.name)).collect();
        let mut votes = vec![0_usize; candidates.len()];
        for member in self.members.values() {
            let places =
                member.protocols.iter().filter_map(|dear| candidates.iter().position(|it| it.name == dear.name));
            if let Some(place) = places.into_iter().next() {
                votes[place] += 1;
            }
        }
        let most = votes.iter().copied().max()?;
        let place = votes.iter().position(|count| *count == most)?;
        Some(candidates[place].name.clone())
    }
}
