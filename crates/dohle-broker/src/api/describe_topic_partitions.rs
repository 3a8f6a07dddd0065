//! DescribeTopicPartitions (KIP-966): topics in pages, by name and partition.

use std::collections::BTreeSet;
use std::sync::Arc;

use dohle_base::{ErrorCode, LeaderEpoch, TopicName};
use dohle_metadata::image::{Assignment, Topic};
use dohle_protocol::ApiKey;
use dohle_protocol::message::describe_topic_partitions::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic, RequestCursor, ResponseCursor,
};

use super::replicas::{Replicas, numbers};
use super::{Api, operations};
use crate::catalog::View;
use crate::context::Context;
use crate::dispatch::Client;
use crate::topics::is_internal;

pub(crate) const API: Api = Api::of(ApiKey::DescribeTopicPartitions);

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    _version: i16,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let view = cx.catalog.view();
    let asked: BTreeSet<&str> = request.topics.iter().map(|topic| topic.name.as_str()).collect();
    let cursor = request.cursor.as_ref();
    if cursor.is_some_and(|cursor| !is_valid(cursor, &asked)) {
        let topic_authorized_operations = operations::UNASKED;
        let refused = asked.iter().map(|name| DescribeTopicPartitionsResponseTopic {
            topic_authorized_operations,
            ..refused(client, name, ErrorCode::InvalidRequest)
        });
        return DescribeTopicPartitionsResponse { topics: refused.collect(), ..Default::default() };
    }
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let limit = limit.min(cx.settings.topics.described_partitions_max).max(1);
    let mut page = Page { view: &view, client, room: limit, response: Default::default() };
    let (from, first) = cursor.map_or(("", 0), |cursor| (&*cursor.topic_name, cursor.partition_index as usize));
    let first_of = |name: &str| if name == from { first } else { 0 };
    if asked.is_empty() {
        let mut topics = view.image.topics.from(from);
        while topics.next().is_some_and(|topic| page.add(topic, first_of(&topic.name))) {}
    } else {
        let mut names = asked.range(from..);
        while names.next().is_some_and(|name| page.add_named(name, first_of(name))) {}
    }
    page.response
}

/// A page that goes on with a topic must be asked for with that topic.
fn is_valid(cursor: &RequestCursor, asked: &BTreeSet<&str>) -> bool {
    cursor.partition_index >= 0 && (asked.is_empty() || asked.contains(&*cursor.topic_name))
}

/// An answer with room for a number of partitions.
struct Page<'a> {
    view: &'a View,
    client: &'a Client,
    room: usize,
    response: DescribeTopicPartitionsResponse,
}

impl Page<'_> {
    /// Adds a topic or its refusal, and says whether there may be more.
    fn add_named(&mut self, name: &str, first: usize) -> bool {
        if let Some(topic) = self.view.topic(name) {
            return self.add(topic, first);
        }
        if self.room == 0 {
            return self.go_on_with(name, 0);
        }
        let exists_not =
            if TopicName::parse(name).is_ok() { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::InvalidTopic };
        self.response.topics.push(refused(self.client, name, exists_not));
        true
    }

    /// Adds the partitions of a topic from `first` on, as many as there is room for, and says whether there may be more.
    fn add(&mut self, topic: &Arc<Topic>, first: usize) -> bool {
        if self.room == 0 {
            return self.go_on_with(&topic.name, 0);
        }
        let some = topic.partitions().skip(first).take(self.room);
        let partitions: Vec<_> = some.map(|(index, assignment)| partition(self.view, index.0, assignment)).collect();
        let next = first + partitions.len();
        self.room -= partitions.len();
        self.response.topics.push(DescribeTopicPartitionsResponseTopic {
            error_code: self.client.code(ErrorCode::None),
            name: Some(topic.name.as_str().into()),
            topic_id: topic.id,
            is_internal: is_internal(&topic.name),
            partitions,
            topic_authorized_operations: operations::TOPIC,
            ..Default::default()
        });
        next >= topic.partition_count() || self.go_on_with(&topic.name, next)
    }

    /// The page ends here.
    fn go_on_with(&mut self, topic: &str, partition: usize) -> bool {
        let (topic_name, partition_index) = (topic.into(), partition as i32);
        self.response.next_cursor = Some(ResponseCursor { topic_name, partition_index, ..Default::default() });
        false
    }
}

fn partition(
    view: &View,
    partition_index: i32,
    assignment: &Assignment,
) -> DescribeTopicPartitionsResponsePartition {
    let Replicas { leader, all, in_sync, offline } = Replicas::of(view, assignment);
    let LeaderEpoch(leader_epoch) = assignment.leader_epoch;
    DescribeTopicPartitionsResponsePartition {
        error_code: ErrorCode::None.code(),
        partition_index,
        leader_id: leader.unwrap_or(-1),
        leader_epoch,
        replica_nodes: all,
        isr_nodes: in_sync,
        eligible_leader_replicas: Some(numbers(&assignment.eligible_leaders)),
        last_known_elr: Some(numbers(&assignment.last_known_leaders)),
        offline_replicas: offline,
        ..Default::default()
    }
}

fn refused(client: &Client, name: &str, code: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: client.code(code),
        name: Some(name.into()),
        is_internal: is_internal(name),
        topic_authorized_operations: operations::TOPIC,
        ..Default::default()
    }
}
