//! Metadata: the brokers, the topics and who leads their partitions. Asking for a topic that does not exist may create it.

use dohle_base::{BrokerId, ErrorCode, TopicId, TopicName};
use dohle_metadata::image::{Assignment, Topic};
use dohle_protocol::message::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use dohle_protocol::{ApiKey, Str};

use super::replicas::Replicas;
use super::{Api, operations};
use crate::catalog::View;
use crate::context::Context;
use crate::dispatch::Client;
use crate::topics::is_internal;

pub(crate) const API: Api = Api::of(ApiKey::Metadata);

/// The first version in which a topic may be asked for by its id alone.
const BY_ID_FROM: i16 = 12;

pub(crate) async fn handle(cx: &Context, client: &Client, version: i16, request: MetadataRequest) -> MetadataResponse {
    let view = cx.catalog.view();
    let answer = Answer { view: &view, client, version, operations: request.include_topic_authorized_operations };
    let (topics, missing) = answer.topics(request.topics);
    if request.allow_auto_topic_creation && cx.settings.topics.auto_create {
        cx.topics.create_later(cx, &missing);
    }
    client.count(ErrorCode::None);
    MetadataResponse {
        brokers: answer.brokers(),
        cluster_id: Some((&*view.image.cluster_id).into()),
        controller_id: cx.settings.node.id.0,
        topics,
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            operations::CLUSTER
        } else {
            operations::UNASKED
        },
        ..Default::default()
    }
}

struct Answer<'a> {
    view: &'a View,
    client: &'a Client,
    version: i16,
    operations: bool,
}

impl Answer<'_> {
    fn brokers(&self) -> Vec<MetadataResponseBroker> {
        let listener = &self.client.peer.listener.bind.name;
        let live = self.view.image.brokers.live();
        let reachable = live.filter_map(|broker| {
            let listener = broker.listener(listener)?;
            Some(MetadataResponseBroker {
                node_id: broker.id.0,
                host: listener.host.as_str().into(),
                port: i32::from(listener.port),
                rack: broker.rack.as_deref().map(Into::into),
                ..Default::default()
            })
        });
        reachable.collect()
    }

    /// The topics that were asked for, and the names of those that are missing and could be created.
    fn topics(&self, asked: Option<Vec<MetadataRequestTopic>>) -> (Vec<MetadataResponseTopic>, Vec<TopicName>) {
        let all = || self.view.image.topics.iter().map(|topic| self.found(topic)).collect();
        match asked {
            None => (all(), vec![]),
            // The oldest version has no other way to ask for all.
            Some(none) if none.is_empty() && self.version == 0 => (all(), vec![]),
            Some(asked) => {
                let mut missing = vec![];
                let topics = asked.into_iter().map(|asked| self.topic(asked, &mut missing)).collect();
                (topics, missing)
            }
        }
    }

    fn topic(&self, asked: MetadataRequestTopic, missing: &mut Vec<TopicName>) -> MetadataResponseTopic {
        let Some(name) = asked.name else { return self.topic_by_id(asked.topic_id) };
        if let Some(topic) = self.view.topic(&name) {
            return self.found(topic);
        }
        let error = match TopicName::parse(&name) {
            Ok(name) => {
                missing.push(name);
                ErrorCode::UnknownTopicOrPartition
            }
            Err(_) => ErrorCode::InvalidTopic,
        };
        let is_internal = is_internal(&name);
        self.refused(error, MetadataResponseTopic { name: Some(name), is_internal, ..Default::default() })
    }

    fn topic_by_id(&self, id: TopicId) -> MetadataResponseTopic {
        let nameless = |error| {
            // Versions before cannot leave the name out.
            let name = (self.version < BY_ID_FROM).then(Str::default);
            self.refused(error, MetadataResponseTopic { topic_id: id, name, ..Default::default() })
        };
        if self.version < BY_ID_FROM || id.is_zero() {
            return nameless(ErrorCode::InvalidRequest);
        }
        self.view.image.topics.get(id).map_or_else(|| nameless(ErrorCode::UnknownTopicId), |topic| self.found(topic))
    }

    fn refused(&self, error: ErrorCode, topic: MetadataResponseTopic) -> MetadataResponseTopic {
        MetadataResponseTopic { error_code: self.client.code(error), topic_authorized_operations: operations::UNASKED, ..topic }
    }

    fn found(&self, topic: &Topic) -> MetadataResponseTopic {
        let partitions = topic.partitions().map(|(index, assignment)| self.partition(index.0, assignment));
        MetadataResponseTopic {
            name: Some(topic.name.as_str().into()),
            topic_id: topic.id,
            is_internal: is_internal(&topic.name),
            partitions: partitions.collect(),
            topic_authorized_operations: if self.operations { operations::TOPIC } else { operations::UNASKED },
            ..Default::default()
        }
    }

    fn partition(&self, partition_index: i32, assignment: &Assignment) -> MetadataResponsePartition {
        let Replicas { leader, all, in_sync, offline } = Replicas::of(self.view, assignment);
        let error = if leader.is_some() { ErrorCode::None } else { ErrorCode::LeaderNotAvailable };
        MetadataResponsePartition {
            error_code: error.code(),
            partition_index,
            leader_id: leader.unwrap_or(BrokerId::NONE.0),
            leader_epoch: assignment.leader_epoch.0,
            replica_nodes: all,
            isr_nodes: in_sync,
            offline_replicas: offline,
            ..Default::default()
        }
    }
}
