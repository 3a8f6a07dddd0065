//! Where records lie, by rule: asked of each partition's leader.

use std::collections::BTreeMap;

use dohle_base::{BrokerId, ErrorCode, LeaderEpoch, Offset, Partition, Timestamp, TopicName};
use dohle_protocol::message::ListOffsetsRequest;
use dohle_protocol::message::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};

use crate::config::Isolation;
use crate::core::TopicPartition;
use crate::transport::{AskError, Cluster, Lane};

/// A rule that names an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OffsetSpec {
    /// The first record that is there.
    Earliest,
    /// The end: behind the last record.
    Latest,
    /// The record with the largest timestamp (KIP-734).
    MaxTimestamp,
    /// The first record that is not older.
    At(Timestamp),
}

/// Where a rule led.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The offset; none when no record satisfies the rule.
    pub offset: Option<Offset>,
    /// The record's timestamp, when the rule was about timestamps.
    pub timestamp: Option<Timestamp>,
    /// The reign in which it was written.
    pub leader_epoch: LeaderEpoch,
}

impl OffsetSpec {
    fn timestamp(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::MaxTimestamp => -3,
            Self::At(timestamp) => timestamp.0.max(0),
        }
    }

    /// The first version of the API that knows the rule.
    fn version_min(self) -> i16 {
        match self {
            Self::Earliest | Self::Latest | Self::At(_) => 1,
            Self::MaxTimestamp => 7,
        }
    }
}

/// Asks every leader once. Each partition has an answer of its own.
pub(crate) async fn find(
    cluster: &Cluster,
    isolation: Isolation,
    wanted: &BTreeMap<TopicPartition, OffsetSpec>,
) -> BTreeMap<TopicPartition, Result<Found, AskError>> {
    let mut answers = BTreeMap::new();
    let mut by_leader: BTreeMap<BrokerId, Vec<(TopicPartition, OffsetSpec, LeaderEpoch)>> = BTreeMap::new();
    for (place, spec) in wanted {
        match cluster.leader(place) {
            Some((leader, epoch)) => by_leader.entry(leader).or_default().push((place.clone(), *spec, epoch)),
            None => {
                cluster.routing().invalidate();
                answers.insert(place.clone(), Err(AskError::Nobody { what: place.to_string() }));
            }
        }
    }
    for (leader, asked) in by_leader {
        match ask(cluster, leader, isolation, &asked).await {
            Ok(found) => answers.extend(found),
            Err(error) => {
                cluster.routing().invalidate();
                let what = format!("offsets ({error})");
                let retriable = error.is_retriable();
                for (place, ..) in asked {
                    let error = if retriable {
                        AskError::Nobody { what: what.clone() }
                    } else {
                        AskError::Refused { what: what.clone(), code: ErrorCode::UnsupportedVersion, message: None }
                    };
                    answers.insert(place, Err(error));
                }
            }
        }
    }
    answers
}

async fn ask(
    cluster: &Cluster,
    leader: BrokerId,
    isolation: Isolation,
    asked: &[(TopicPartition, OffsetSpec, LeaderEpoch)],
) -> Result<BTreeMap<TopicPartition, Result<Found, AskError>>, AskError> {
    let mut topics: BTreeMap<&TopicName, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for (place, spec, epoch) in asked {
        topics.entry(&place.topic).or_default().push(ListOffsetsPartition {
            partition_index: place.partition.0,
            current_leader_epoch: epoch.0,
            timestamp: spec.timestamp(),
            ..ListOffsetsPartition::default()
        });
    }
    let request = ListOffsetsRequest {
        replica_id: BrokerId::NONE.0,
        isolation_level: match isolation {
            Isolation::ReadUncommitted => 0,
            Isolation::ReadCommitted => 1,
        },
        topics: topics
            .into_iter()
            .map(|(name, partitions)| ListOffsetsTopic {
                name: name.as_str().into(),
                partitions,
                ..ListOffsetsTopic::default()
            })
            .collect(),
        timeout_ms: cluster.common.request_timeout.as_millis() as i32,
        ..ListOffsetsRequest::default()
    };
    let connection = cluster.broker(leader, Lane::Control).await?;
    let version = connection.version::<ListOffsetsRequest>(i16::MAX)?;
    if let Some((place, ..)) = asked.iter().find(|(_, spec, _)| spec.version_min() > version) {
        let message = Some("the broker is too old to find the largest timestamp".to_owned());
        return Err(AskError::Refused { what: place.to_string(), code: ErrorCode::UnsupportedVersion, message });
    }
    let answer = connection.call_in(version, &request, cluster.common.request_timeout).await?;
    let mut answers = BTreeMap::new();
    for topic in &answer.topics {
        let Ok(name) = TopicName::parse(&topic.name) else { continue };
        for partition in &topic.partitions {
            let place = TopicPartition::new(name.clone(), Partition(partition.partition_index));
            let found = match ErrorCode::from_code(partition.error_code) {
                ErrorCode::None => Ok(Found {
                    offset: (partition.offset >= 0).then_some(Offset(partition.offset)),
                    timestamp: (partition.timestamp >= 0).then_some(Timestamp(partition.timestamp)),
                    leader_epoch: LeaderEpoch(partition.leader_epoch),
                }),
                code => {
                    cluster.routing().invalidate();
                    Err(AskError::Refused { what: place.to_string(), code, message: None })
                }
            };
            answers.insert(place, found);
        }
    }
    Ok(answers)
}
