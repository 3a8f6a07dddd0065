//! A classic group as operators see it.

use super::{Group, Phase};
use crate::{GroupView, MemberView};

impl Group {
    /// The name of the state, as Kafka writes it.
    pub(crate) fn state(&self) -> &'static str {
        match self.phase {
            Phase::Empty => "Empty",
            Phase::Preparing(_) => "PreparingRebalance",
            Phase::Completing(_) => "CompletingRebalance",
            Phase::Stable(_) => "Stable",
        }
    }

    /// What the group is for.
    pub(crate) fn protocol_type(&self) -> std::sync::Arc<str> {
        self.protocol_type.clone().unwrap_or_else(|| "".into())
    }

    /// The group with its members. Subscriptions are shown only while the members agree on a protocol.
    pub(crate) fn view(&self) -> GroupView {
        let protocol = match self.phase {
            Phase::Stable(_) => self.protocol.clone(),
            Phase::Empty | Phase::Preparing(_) | Phase::Completing(_) => None,
        };
        let members = self.members.iter().map(|(id, member)| MemberView {
            member: id.clone(),
            instance: member.instance.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: protocol.as_ref().and_then(|name| member.metadata(name)).cloned().unwrap_or_default(),
            assignment: member.assignment.clone(),
        });
        GroupView {
            state: self.state(),
            protocol_type: self.protocol_type(),
            members: members.collect(),
            protocol: protocol.unwrap_or_else(|| "".into()),
        }
    }
}
