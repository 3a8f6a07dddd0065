//! What a group is to the log, and the machines of the kinds of groups.
//!
//! `classic` is the protocol of JoinGroup and SyncGroup; the newer kinds will stand beside it.

pub(crate) mod classic;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_base::Timestamp;

use crate::{Generation, InstanceId, MemberId};

/// What the log remembers of a classic group: its last generation that was shared out, or that it is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// What the group is for; none where it never had members.
    pub protocol_type: Option<Arc<str>>,
    /// The generation.
    pub generation: Generation,
    /// What its members agreed on; none while it is empty.
    pub protocol: Option<Arc<str>>,
    /// Who shared the work out; none while it is empty.
    pub leader: Option<MemberId>,
    /// When its state last changed; none in records from before Kafka 2.1.
    pub since: Option<Timestamp>,
    /// Its members, each once.
    pub members: Arc<[StoredMember]>,
}

/// What the log remembers of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMember {
    /// Its name.
    pub id: MemberId,
    /// The operator's name for it.
    pub instance: Option<InstanceId>,
    /// The client's name for itself.
    pub client_id: Arc<str>,
    /// The client's address.
    pub client_host: Arc<str>,
    /// How long a rebalance waits for it.
    pub rebalance_timeout: Duration,
    /// Silence after which it counts as dead.
    pub session_timeout: Duration,
    /// Its subscription under the protocol that was agreed on.
    pub subscription: Bytes,
    /// Its share.
    pub assignment: Bytes,
}

impl GroupMetadata {
    /// A group that only keeps offsets: it never had members.
    pub(crate) fn simple() -> Self {
        Self {
            protocol_type: None,
            generation: Generation(0),
            protocol: None,
            leader: None,
            since: None,
            members: [].into(),
        }
    }
}
