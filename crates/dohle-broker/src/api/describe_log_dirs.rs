//! DescribeLogDirs (KIP-113, KIP-827): the disks of this broker, how full they are, and which partitions lie on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dohle_base::ErrorCode;
use dohle_protocol::ApiKey;
use dohle_protocol::message::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};

use super::Api;
use crate::catalog::View;
use crate::context::Context;
use crate::dispatch::Client;
use crate::moves::{Move, Moves};
use crate::partition::Partition;
use crate::space::Space;
use crate::volume::Volume;

pub(crate) const API: Api = Api::of(ApiKey::DescribeLogDirs);

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    _version: i16,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let view = cx.catalog.view();
    let asked = request.topics.as_deref().map(partitions);
    let online = cx.storage.volumes().iter().map(|volume| describe(client, &view, &cx.moves, volume, asked.as_ref()));
    let dead = cx.storage.dead().iter().map(|dir| offline(client, &dir.to_string_lossy()));
    let results = online.chain(dead).collect();
    DescribeLogDirsResponse { error_code: client.code(ErrorCode::None), results, ..Default::default() }
}

/// The partitions that were asked for, by topic and number.
fn partitions(topics: &[DescribableLogDirTopic]) -> BTreeSet<(&str, i32)> {
    topics.iter().flat_map(|topic| topic.partitions.iter().map(|index| (topic.topic.as_str(), *index))).collect()
}

fn describe(
    client: &Client,
    view: &View,
    moves: &Moves,
    volume: &Arc<Volume>,
    asked: Option<&BTreeSet<(&str, i32)>>,
) -> DescribeLogDirsResult {
    let space = if volume.is_offline() { None } else { volume.space().ok() };
    let Some(Space { total, usable }) = space else { return offline(client, &volume.path().to_string_lossy()) };
    let log_dir = volume.path().to_string_lossy().as_ref().into();
    let is_asked = |partition: &Partition| {
        asked.is_none_or(|asked| asked.contains(&(partition.topic.as_str(), partition.index.0)))
    };
    let mut topics: BTreeMap<&str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for partition in view.led.values().filter(|partition| Arc::ptr_eq(&partition.volume(), volume)) {
        if is_asked(partition) && let Ok(size) = partition.look(|log, _| log.size()) {
            topics.entry(&partition.topic).or_default().push(placed(partition.index.0, size));
        }
    }
    let coming = moves.to(volume);
    for moving in coming.iter().filter(|moving| is_asked(&moving.partition)) {
        topics.entry(&moving.partition.topic).or_default().push(on_its_way(moving));
    }
    let topic = |(name, partitions): (&str, _)| DescribeLogDirsTopic { name: name.into(), partitions, ..Default::default() };
    DescribeLogDirsResult {
        error_code: ErrorCode::None.code(),
        log_dir,
        topics: topics.into_iter().map(topic).collect(),
        total_bytes: number(total),
        usable_bytes: number(usable),
        ..Default::default()
    }
}

/// A directory that cannot be used.
fn offline(client: &Client, log_dir: &str) -> DescribeLogDirsResult {
    let error_code = client.code(ErrorCode::KafkaStorageError);
    DescribeLogDirsResult { error_code, log_dir: log_dir.into(), ..Default::default() }
}

/// A replica that leads does not lag.
fn placed(partition_index: i32, size: u64) -> DescribeLogDirsPartition {
    let (offset_lag, is_future_key) = (0, false);
    DescribeLogDirsPartition { partition_index, partition_size: number(size), offset_lag, is_future_key, ..Default::default() }
}

/// A replica that is being copied to this directory, and how many offsets it lags behind the one that is served.
fn on_its_way(moving: &Move) -> DescribeLogDirsPartition {
    DescribeLogDirsPartition {
        partition_index: moving.partition.index.0,
        partition_size: number(moving.size()),
        offset_lag: number(moving.lag()),
        is_future_key: true,
        ..Default::default()
    }
}

fn number(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
