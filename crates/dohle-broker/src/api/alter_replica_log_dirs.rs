//! AlterReplicaLogDirs (KIP-113): partitions go to other directories of this broker, and are served meanwhile.

use std::collections::BTreeMap;
use std::path::Path;

use dohle_base::{ErrorCode, Partition as Index, TopicName};
use dohle_log::directory::PartitionName;
use dohle_protocol::message::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};
use dohle_protocol::{ApiKey, Str};

use super::{Api, lookup};
use crate::catalog::View;
use crate::context::Context;
use crate::dispatch::Client;
use crate::moves::Moves;
use crate::storage::Storage;

pub(crate) const API: Api = Api::of(ApiKey::AlterReplicaLogDirs);

/// Answered when the moves have begun; DescribeLogDirs says how far they are.
pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    _version: i16,
    request: AlterReplicaLogDirsRequest,
) -> AlterReplicaLogDirsResponse {
    let wishes = wishes(request.dirs);
    let (view, storage, moves) = (cx.catalog.view(), cx.storage.clone(), cx.moves.clone());
    let asked = wishes.clone();
    let obey = move || -> Vec<ErrorCode> {
        let obey = |((topic, index), path): (&(Str, i32), &Str)| alter(&view, &storage, &moves, topic, *index, path);
        asked.iter().map(|wish| obey(wish).err().unwrap_or(ErrorCode::None)).collect()
    };
    let codes = cx.readers.begin(obey).await;
    let codes = codes.unwrap_or_else(|| vec![ErrorCode::UnknownServerError; wishes.len()]);
    let mut results: Vec<AlterReplicaLogDirTopicResult> = vec![];
    for ((topic_name, partition_index), code) in wishes.into_keys().zip(codes) {
        let error_code = client.code(code);
        let partition = AlterReplicaLogDirPartitionResult { partition_index, error_code, ..Default::default() };
        match results.last_mut().filter(|last| last.topic_name == topic_name) {
            Some(topic) => topic.partitions.push(partition),
            None => results.push(AlterReplicaLogDirTopicResult { topic_name, partitions: vec![partition], ..Default::default() }),
        }
    }
    AlterReplicaLogDirsResponse { results, ..Default::default() }
}

/// Where each partition is wanted; of several wishes for one the last counts.
fn wishes(dirs: Vec<AlterReplicaLogDir>) -> BTreeMap<(Str, i32), Str> {
    let mut wishes = BTreeMap::new();
    for dir in dirs {
        for topic in dir.topics {
            wishes.extend(topic.partitions.iter().map(|index| ((topic.name.clone(), *index), dir.path.clone())));
        }
    }
    wishes
}

fn alter(view: &View, storage: &Storage, moves: &Moves, topic: &Str, index: i32, path: &Str) -> Result<(), ErrorCode> {
    let can_be_moved = |topic| PartitionName { topic, partition: Index(index) }.can_be_moved();
    if TopicName::parse(topic).is_ok_and(|topic| !can_be_moved(topic)) {
        return Err(ErrorCode::InvalidTopic);
    }
    let target = storage.directory_at(Path::new(path.as_str()))?;
    let partition = lookup::led(view, topic, index).map_err(|code| match code {
        // As Kafka says it here to a client that takes one broker for another.
        ErrorCode::NotLeaderOrFollower => ErrorCode::ReplicaNotAvailable,
        code => code,
    })?;
    moves.alter(partition, target)
}
