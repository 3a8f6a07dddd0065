//! OffsetDelete (KIP-496): a group forgets how far it has read.

use dohle_base::{ErrorCode, Partition, TopicName};
use dohle_coordinator::{Command, DeleteOffsets, Reply};
use dohle_protocol::ApiKey;
use dohle_protocol::message::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};

use super::lookup::{self, Docket, Named};
use super::{Api, coordination};
use crate::context::Context;
use crate::dispatch::Client;

pub(crate) const API: Api = Api::of(ApiKey::OffsetDelete);

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    _version: i16,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let view = cx.catalog.view();
    let mut docket = Docket::default();
    let mut partitions = vec![];
    for topic in &request.topics {
        let found = lookup::topic(&view, Named::Name(&topic.name));
        for OffsetDeleteRequestPartition { partition_index, .. } in &topic.partitions {
            match found.and_then(|topic| lookup::assignment(topic, *partition_index).map(|_| topic)) {
                Ok(topic) => {
                    docket.ask();
                    partitions.push((topic.name.clone(), Partition(*partition_index)));
                }
                Err(code) => docket.refuse(code),
            }
        }
    }
    let deleted = match delete(cx, &request.group_id, partitions).await {
        Ok(deleted) => deleted,
        Err(code) => return OffsetDeleteResponse { error_code: client.code(code), ..Default::default() },
    };
    let mut codes = docket.settle(Ok(deleted));
    let mut told = |place: OffsetDeleteRequestPartition| OffsetDeleteResponsePartition {
        partition_index: place.partition_index,
        error_code: client.code(codes.next().unwrap_or(ErrorCode::UnknownServerError)),
    };
    let topics = request.topics.into_iter().map(|topic| OffsetDeleteResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(&mut told).collect(),
    });
    OffsetDeleteResponse { topics: topics.collect(), ..Default::default() }
}

/// Asks also when nothing is left to delete: whether the group may forget anything is told in any case.
async fn delete(
    cx: &Context,
    group: &str,
    partitions: Vec<(TopicName, Partition)>,
) -> Result<Vec<ErrorCode>, ErrorCode> {
    let command = Command::DeleteOffsets(DeleteOffsets { group: group.into(), partitions });
    match coordination::ask_promptly(cx, group, command).await? {
        Reply::DeleteOffsets(deleted) => deleted,
        other => unreachable!("a deletion is answered as one, not as {other:?}"),
    }
}
