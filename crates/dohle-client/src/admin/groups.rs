//! Groups: which there are, who is in them, and the end of one.

use std::collections::{BTreeMap, BTreeSet};

use dohle_base::{BrokerId, ErrorCode, Partition, TopicName};
use dohle_protocol::message::consumer_group_describe::{Assignment, DescribedGroup as ModernGroup};
use dohle_protocol::message::describe_groups::DescribedGroup as ClassicGroup;
use dohle_protocol::message::{
    ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest,
};

use super::Admin;
use crate::consumer::wire;
use crate::core::TopicPartition;
use crate::transport::{AskError, CallError, refuse_unless_none};

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// Its name.
    pub group: String,
    /// `classic`, `consumer`, `share` or `streams`; empty from brokers that do not tell.
    pub kind: String,
    /// What its members speak: `consumer` for consumers, empty when it only keeps offsets.
    pub protocol_type: String,
    /// Its state; empty from brokers that do not tell.
    pub state: String,
    /// Who keeps it.
    pub coordinator: BrokerId,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its name.
    pub group: String,
    /// `classic` or `consumer`.
    pub kind: String,
    /// Its state, as Kafka names it.
    pub state: String,
    /// How it shares out.
    pub assignor: String,
    /// Who keeps it.
    pub coordinator: BrokerId,
    /// Its members.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// The id that the coordinator gave.
    pub id: String,
    /// The id that its operator gave.
    pub instance: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it comes from.
    pub host: String,
    /// What it reads.
    pub assigned: BTreeSet<TopicPartition>,
}

impl Admin {
    /// All groups of all brokers, by name.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>, AskError> {
        self.cluster.persist(|| self.cluster.refresh()).await?;
        let brokers: Vec<BrokerId> = self.cluster.routing().brokers().map(|(id, _)| id).collect();
        let mut groups = vec![];
        for coordinator in brokers {
            let listed = self.cluster.persist(|| async move {
                let answer = self.cluster.ask(coordinator, &ListGroupsRequest::default()).await?;
                refuse_unless_none(answer.error_code, None, || format!("groups of broker {coordinator}"))?;
                Ok(answer.groups)
            });
            groups.extend(listed.await?.into_iter().map(|group| GroupListing {
                group: group.group_id.to_string(),
                kind: group.group_type.to_ascii_lowercase(),
                protocol_type: group.protocol_type.to_string(),
                state: group.group_state.to_string(),
                coordinator,
            }));
        }
        groups.sort_by(|a, b| a.group.cmp(&b.group));
        Ok(groups)
    }

    /// One group, whichever protocol its members speak.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription, AskError> {
        let modern = self.cluster.persist(|| self.describe_modern(group)).await;
        match modern {
            Err(AskError::Refused { code: ErrorCode::GroupIdNotFound | ErrorCode::UnsupportedVersion, .. })
            | Err(AskError::Call(CallError::Unsupported { .. })) => {
                self.cluster.persist(|| self.describe_classic(group)).await
            }
            modern => modern,
        }
    }

    async fn describe_modern(&self, group: &str) -> Result<GroupDescription, AskError> {
        let request =
            ConsumerGroupDescribeRequest { group_ids: vec![group.into()], ..ConsumerGroupDescribeRequest::default() };
        let answer = self.cluster.ask_coordinator(group, &request).await?;
        let described = answer.groups.into_iter().next().unwrap_or_default();
        self.cluster.refused_by_coordinator(group, described.error_code)?;
        Ok(modern(described, self.cluster.coordinator(group).await?))
    }

    async fn describe_classic(&self, group: &str) -> Result<GroupDescription, AskError> {
        let request = DescribeGroupsRequest { groups: vec![group.into()], ..DescribeGroupsRequest::default() };
        let answer = self.cluster.ask_coordinator(group, &request).await?;
        let described = answer.groups.into_iter().next().unwrap_or_default();
        self.cluster.refused_by_coordinator(group, described.error_code)?;
        // Brokers that cannot say that there is no such group say that it is dead.
        if &*described.group_state == "Dead" {
            let code = ErrorCode::GroupIdNotFound;
            return Err(AskError::Refused { what: format!("group {group}"), code, message: None });
        }
        Ok(classic(described, self.cluster.coordinator(group).await?))
    }

    /// Deletes a group without members, and its offsets.
    pub async fn delete_group(&self, group: &str) -> Result<(), AskError> {
        let request = DeleteGroupsRequest { groups_names: vec![group.into()], ..DeleteGroupsRequest::default() };
        self.cluster
            .persist(|| async {
                let answer = self.cluster.ask_coordinator(group, &request).await?;
                let codes = answer.results.iter().map(|result| result.error_code);
                codes.into_iter().try_for_each(|code| self.cluster.refused_by_coordinator(group, code))
            })
            .await
    }
}

fn classic(group: ClassicGroup, coordinator: BrokerId) -> GroupDescription {
    let member = |member: dohle_protocol::message::describe_groups::DescribedGroupMember| GroupMember {
        id: member.member_id.to_string(),
        instance: member.group_instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        // Members that are no consumers say it in their own way.
        assigned: wire::assigned(member.member_assignment).unwrap_or_default(),
    };
    GroupDescription {
        group: group.group_id.to_string(),
        kind: "classic".to_owned(),
        state: group.group_state.to_string(),
        assignor: group.protocol_data.to_string(),
        coordinator,
        members: group.members.into_iter().map(member).collect(),
    }
}

fn modern(group: ModernGroup, coordinator: BrokerId) -> GroupDescription {
    let member = |member: dohle_protocol::message::consumer_group_describe::Member| GroupMember {
        id: member.member_id.to_string(),
        instance: member.instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        assigned: assigned(&member.assignment),
    };
    GroupDescription {
        group: group.group_id.to_string(),
        kind: "consumer".to_owned(),
        state: group.group_state.to_string(),
        assignor: group.assignor_name.to_string(),
        coordinator,
        members: group.members.into_iter().map(member).collect(),
    }
}

fn assigned(assignment: &Assignment) -> BTreeSet<TopicPartition> {
    let mut topics: BTreeMap<TopicName, &[i32]> = BTreeMap::new();
    for topic in &assignment.topic_partitions {
        topics.extend(TopicName::parse(&topic.topic_name).ok().map(|name| (name, &*topic.partitions)));
    }
    let places = topics.into_iter().flat_map(|(name, partitions)| {
        partitions.iter().map(move |number| TopicPartition::new(name.clone(), Partition(*number)))
    });
    places.collect()
}
