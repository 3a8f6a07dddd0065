//! DescribeQuorum (KIP-595, KIP-836, KIP-853): who votes on the cluster's metadata, and how far each has read. A quorum of one has read
//! everything.

use dohle_base::ErrorCode;
use dohle_protocol::ApiKey;
use dohle_protocol::message::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, Listener, Node, ReplicaState, RequestTopicData,
    ResponsePartitionData, ResponseTopicData,
};

use super::Api;
use crate::context::Context;
use crate::dispatch::Client;
use crate::quorum::METADATA_TOPIC;

pub(crate) const API: Api = Api::of(ApiKey::DescribeQuorum);

/// The version since which voters are known by their directories and listeners.
const DIRECTORIES_FROM: i16 = 2;

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    version: i16,
    request: DescribeQuorumRequest,
) -> DescribeQuorumResponse {
    let answer = Answer { cx, client, version };
    DescribeQuorumResponse {
        error_code: client.code(ErrorCode::None),
        error_message: None,
        topics: request.topics.into_iter().map(|topic| answer.topic(topic)).collect(),
        nodes: if version >= DIRECTORIES_FROM { vec![answer.node()] } else { vec![] },
        ..Default::default()
    }
}

struct Answer<'a> {
    cx: &'a Context,
    client: &'a Client,
    version: i16,
}

impl Answer<'_> {
    fn topic(&self, asked: RequestTopicData) -> ResponseTopicData {
        let is_metadata = |index: i32| asked.topic_name == METADATA_TOPIC && index == 0;
        let partitions = asked.partitions.iter().map(|partition| {
            let index = partition.partition_index;
            let described = if is_metadata(index) { self.quorum() } else { Err(ErrorCode::UnknownTopicOrPartition) };
            let error = described.as_ref().err().copied().unwrap_or(ErrorCode::None);
            ResponsePartitionData {
                partition_index: index,
                error_code: self.client.code(error),
                error_message: (self.version >= DIRECTORIES_FROM && !error.is_none()).then(|| error.words().into()),
                ..described.unwrap_or_default()
            }
        });
        ResponseTopicData { partitions: partitions.collect(), topic_name: asked.topic_name.clone(), ..Default::default() }
    }

    fn quorum(&self) -> Result<ResponsePartitionData, ErrorCode> {
        let voter = self.cx.quorum.voter();
        let (epoch, high_watermark, end) = self
            .cx
            .quorum
            .partition()
            .look(|log, leader| (leader.epoch(), leader.high_watermark(), log.end()))?;
        let now = self.cx.clock.wall().0;
        let mut itself = ReplicaState {
            replica_id: voter.id.0,
            log_end_offset: end.0,
            last_fetch_timestamp: now,
            last_caught_up_timestamp: now,
            ..Default::default()
        };
        if self.version >= DIRECTORIES_FROM {
            itself.replica_directory_id = voter.directory;
        }
        Ok(ResponsePartitionData {
            leader_id: voter.id.0,
            leader_epoch: epoch.0,
            high_watermark: high_watermark.0,
            current_voters: vec![itself],
            ..Default::default()
        })
    }

    fn node(&self) -> Node {
        let voter = self.cx.quorum.voter();
        let listeners = voter.endpoints.iter().map(|endpoint| Listener {
            name: endpoint.name.clone(),
            host: endpoint.host.clone(),
            port: endpoint.port,
            ..Default::default()
        });
        Node { node_id: voter.id.0, listeners: listeners.collect(), ..Default::default() }
    }
}
