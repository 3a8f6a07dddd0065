//! Signs of life: heartbeats, and commits of offsets, which count as such.

use dohle_base::{ErrorCode, Instant};

use super::{Group, MemberId, Phase};
use crate::{CommitOffsets, Heartbeat};

impl Group {
    /// A member lives.
    pub(crate) fn heartbeat(&mut self, now: Instant, heartbeat: &Heartbeat) -> Result<(), ErrorCode> {
        self.validate(&heartbeat.member, heartbeat.instance.as_ref())?;
        if heartbeat.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        self.renew_session(&heartbeat.member, now);
        match self.phase {
            Phase::Empty => Err(ErrorCode::UnknownMemberId),
            Phase::Preparing(_) => Err(ErrorCode::RebalanceInProgress),
            Phase::Completing(_) | Phase::Stable(_) => Ok(()),
        }
    }

    /// Whether the caller may commit offsets for the group; if so, that is a sign of life.
    pub(crate) fn allow_commit(&mut self, now: Instant, request: &CommitOffsets) -> Result<(), ErrorCode> {
        if self.is_empty() && request.generation.0 < 0 {
            // Neither an operator's tool nor a consumer that chooses its partitions itself belongs to a generation.
            return Ok(());
        }
        let member = request.member.clone().unwrap_or_else(|| MemberId::from(""));
        self.validate(&member, request.instance.as_ref())?;
        if request.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        match self.phase {
            Phase::Empty => Err(ErrorCode::UnknownMemberId),
            // The member has joined the new generation and knows no share of it yet: this place is of an older one.
            Phase::Completing(_) => Err(ErrorCode::RebalanceInProgress),
            Phase::Preparing(_) | Phase::Stable(_) => {
                self.renew_session(&member, now);
                Ok(())
            }
        }
    }

    /// Whether the caller may commit offsets for the group as part of a transaction. Before KIP-447 nobody says who commits,
    /// and whoever says nothing is believed; a place of an older share does no harm, for the transaction can still be fenced.
    pub(crate) fn allow_commit_in_transaction(&self, request: &CommitOffsets) -> Result<(), ErrorCode> {
        let is_silent = request.member.is_none() && request.instance.is_none();
        if request.generation.0 < 0 && (self.is_empty() || is_silent) {
            return Ok(());
        }
        let member = request.member.clone().unwrap_or_else(|| MemberId::from(""));
        self.validate(&member, request.instance.as_ref())?;
        if request.generation == self.generation { Ok(()) } else { Err(ErrorCode::IllegalGeneration) }
    }

    /// The member's session begins anew.
    pub(super) fn renew_session(&mut self, id: &MemberId, now: Instant) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.session_ends = now + member.session_timeout;
        let at = member.session_ends;
        self.arm(at);
    }
}
