//! One request for records to one leader, and its answer cut into what each partition gave.

use std::collections::BTreeMap;

use bytes::Bytes;
use dohle_base::{BrokerId, ErrorCode, LeaderEpoch, Offset, Partition, ProducerId, TopicId, TopicName};
use dohle_protocol::message::fetch::{FetchPartition, FetchTopic, PartitionData};
use dohle_protocol::message::{FetchRequest, FetchResponse};
use dohle_records::Batches;

use crate::config::{ConsumerConfig, Isolation};
use crate::core::TopicPartition;
use crate::core::routing::Routing;
use crate::transport::{AskError, Cluster, Lane};

/// The last version that names topics; later ones only know ids (KIP-516).
const VERSION_MAX_BY_NAME: i16 = 12;

/// What a partition is asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) place: TopicPartition,
    pub(super) offset: Offset,
    pub(super) epoch: LeaderEpoch,
}

/// What a partition gave.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) place: TopicPartition,
    pub(super) asked: Offset,
    pub(super) answer: Answer,
}

#[derive(Debug)]
pub(super) enum Answer {
    /// Whole batches from the one that holds the asked offset on; none when there is nothing new.
    Records { records: Bytes, next: Offset, start: Offset, end: Offset, aborted: Vec<(ProducerId, Offset)> },
    /// It refused.
    Refused(ErrorCode),
    /// It was not spoken of, or what it gave is no batch.
    Nothing,
}

/// Asks one leader for records of its partitions.
pub(super) async fn fetch(
    cluster: &Cluster,
    config: &ConsumerConfig,
    leader: BrokerId,
    asked: &[Asked],
) -> Result<Vec<Given>, AskError> {
    let (request, names) = request(config, &cluster.routing(), asked);
    let connection = cluster.broker(leader, Lane::Records).await?;
    let version_max = if names.contains_key(&TopicId::ZERO) { VERSION_MAX_BY_NAME } else { i16::MAX };
    let version = connection.version::<FetchRequest>(version_max)?;
    let wait = config.common.request_timeout + config.fetch_wait_max;
    let answer = connection.call_in(version, &request, wait).await?;
    crate::transport::refuse_unless_none(answer.error_code, None, || "records".to_owned())?;
    Ok(read(answer, &names, asked))
}

fn request(
    config: &ConsumerConfig,
    routing: &Routing,
    asked: &[Asked],
) -> (FetchRequest, BTreeMap<TopicId, TopicName>) {
    let mut topics: BTreeMap<&TopicName, Vec<FetchPartition>> = BTreeMap::new();
    for one in asked {
        topics.entry(&one.place.topic).or_default().push(FetchPartition {
            partition: one.place.partition.0,
            current_leader_epoch: one.epoch.0,
            fetch_offset: one.offset.0,
            partition_max_bytes: config.partition_bytes_max as i32,
            ..FetchPartition::default()
        });
    }
    let id = |name: &TopicName| routing.topic(name).map_or(TopicId::ZERO, |topic| topic.id);
    let names = topics.keys().map(|name| (id(name), (*name).clone())).collect();
    let request = FetchRequest {
        max_wait_ms: config.fetch_wait_max.as_millis() as i32,
        min_bytes: config.fetch_bytes_min as i32,
        max_bytes: config.fetch_bytes_max as i32,
        isolation_level: match config.isolation {
            Isolation::ReadUncommitted => 0,
            Isolation::ReadCommitted => 1,
        },
        topics: topics
            .into_iter()
            .map(|(name, partitions)| FetchTopic {
                topic: name.as_str().into(),
                topic_id: id(name),
                partitions,
                ..FetchTopic::default()
            })
            .collect(),
        ..FetchRequest::default()
    };
    (request, names)
}

fn read(answer: FetchResponse, names: &BTreeMap<TopicId, TopicName>, asked: &[Asked]) -> Vec<Given> {
    let mut given: BTreeMap<TopicPartition, PartitionData> = BTreeMap::new();
    for topic in answer.responses {
        // Either the name or the id is there, as the version wants.
        let name = TopicName::parse(&topic.topic).ok().or_else(|| names.get(&topic.topic_id).cloned());
        let Some(name) = name else { continue };
        for partition in topic.partitions {
            given.insert(TopicPartition::new(name.clone(), Partition(partition.partition_index)), partition);
        }
    }
    let one = |one: &Asked| Given {
        place: one.place.clone(),
        asked: one.offset,
        answer: given.remove(&one.place).map_or(Answer::Nothing, |data| partition(data, one.offset)),
    };
    asked.iter().map(one).collect()
}

fn partition(data: PartitionData, asked: Offset) -> Answer {
    match ErrorCode::from_code(data.error_code) {
        ErrorCode::None => {}
        code => return Answer::Refused(code),
    }
    let records = data.records.unwrap_or_default().into_held();
    let mut next = asked;
    for batch in Batches::over(records.clone()) {
        match batch {
            Ok(batch) => next = next.max(batch.header().next_offset()),
            Err(error) => {
                tracing::warn!(offset = %next, %error, "unreadable records in an answer");
                return Answer::Nothing;
            }
        }
    }
    let aborted = data.aborted_transactions.unwrap_or_default();
    Answer::Records {
        records,
        next,
        start: Offset(data.log_start_offset),
        end: Offset(data.high_watermark),
        aborted: aborted.iter().map(|it| (ProducerId(it.producer_id), Offset(it.first_offset))).collect(),
    }
}
