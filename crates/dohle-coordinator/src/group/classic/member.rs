//! One member of a classic group.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_base::{ErrorCode, Instant, Token};

use crate::turn::Turn;
use crate::{InstanceId, Join, JoinRefusal, MemberId, Protocol, Reply, StoredMember};

/// A member, and the caller who waits in its name.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) instance: Option<InstanceId>,
    pub(super) client_id: Arc<str>,
    pub(super) client_host: Arc<str>,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    pub(super) protocols: Vec<Protocol>,
    pub(super) assignment: Bytes,
    pub(super) awaits: Awaits,
    /// It has not been in any generation: even while it waits in the barrier its time may run out.
    pub(super) is_new: bool,
    /// When it counts as dead; [`Instant::NEVER`] while it waits in a barrier longer than its session.
    pub(super) session_ends: Instant,
}

/// The barrier in which a member's caller waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Awaits {
    #[default]
    Nothing,
    Join(Token),
    Sync(Token),
}

impl Awaits {
    /// The caller, who no longer waits here.
    pub(super) fn take(&mut self) -> Option<Token> {
        match std::mem::take(self) {
            Self::Nothing => None,
            Self::Join(token) | Self::Sync(token) => Some(token),
        }
    }
}

impl Member {
    /// A newcomer, with copies of what the request lent it.
    pub(super) fn new(join: &Join) -> Self {
        Self {
            instance: join.instance.clone(),
            client_id: Arc::clone(&join.client_id),
            client_host: Arc::clone(&join.client_host),
            session_timeout: join.session_timeout,
            rebalance_timeout: join.rebalance_timeout,
            protocols: copied(&join.protocols),
            assignment: Bytes::new(),
            awaits: Awaits::Nothing,
            is_new: true,
            session_ends: Instant::NEVER,
        }
    }

    /// A member as the log remembers it: of its protocols only the one that was agreed on.
    pub(super) fn restore(stored: &StoredMember, protocol: Arc<str>, now: Instant) -> Self {
        Self {
            instance: stored.instance.clone(),
            client_id: Arc::clone(&stored.client_id),
            client_host: Arc::clone(&stored.client_host),
            session_timeout: stored.session_timeout,
            rebalance_timeout: stored.rebalance_timeout,
            protocols: vec![Protocol { name: protocol, metadata: stored.subscription.clone() }],
            assignment: stored.assignment.clone(),
            awaits: Awaits::Nothing,
            is_new: false,
            session_ends: now + stored.session_timeout,
        }
    }

    /// Takes over what the member says when it joins again; `token` waits in its name from now on.
    pub(super) fn update(&mut self, join: &Join, id: &MemberId, token: Token, turn: &mut Turn<'_>) {
        self.protocols = copied(&join.protocols);
        self.session_timeout = join.session_timeout;
        self.rebalance_timeout = join.rebalance_timeout;
        self.await_join(token, id, turn);
    }

    /// Lets the caller wait in the first barrier. An earlier one in the same name, whom Kafka would leave without an
    /// answer, is told to join again.
    pub(super) fn await_join(&mut self, token: Token, id: &MemberId, turn: &mut Turn<'_>) {
        self.dismiss(turn, ErrorCode::RebalanceInProgress, Some(id));
        self.awaits = Awaits::Join(token);
    }

    /// Lets the caller wait in the second barrier; an earlier one is told to join again.
    pub(super) fn await_sync(&mut self, token: Token, id: &MemberId, turn: &mut Turn<'_>) {
        self.dismiss(turn, ErrorCode::RebalanceInProgress, Some(id));
        self.awaits = Awaits::Sync(token);
    }

    /// Tells the caller who waits in the member's name that it waits in vain.
    pub(super) fn dismiss(&mut self, turn: &mut Turn<'_>, code: ErrorCode, id: Option<&MemberId>) {
        match std::mem::take(&mut self.awaits) {
            Awaits::Nothing => {}
            Awaits::Join(token) => {
                turn.answer(token, Reply::Join(Err(JoinRefusal { code, member: id.cloned() })));
            }
            Awaits::Sync(token) => turn.answer(token, Reply::Sync(Err(code))),
        }
    }

    pub(super) fn is_joining(&self) -> bool {
        matches!(self.awaits, Awaits::Join(_))
    }

    /// Whether the member, though silent, is known to live: it waits for us.
    pub(super) fn is_excused(&self) -> bool {
        !self.is_new && self.awaits != Awaits::Nothing
    }

    /// The subscription under a protocol.
    pub(super) fn metadata(&self, protocol: &str) -> Option<&Bytes> {
        self.protocols.iter().find(|known| &*known.name == protocol).map(|known| &known.metadata)
    }
}

fn copied(protocols: &[Protocol]) -> Vec<Protocol> {
    let copy = |protocol: &Protocol| Protocol {
        name: Arc::clone(&protocol.name),
        metadata: Bytes::copy_from_slice(&protocol.metadata),
    };
    protocols.iter().map(copy).collect()
}
