//! ListOffsets: where a partition begins and ends, and where a moment lies in it (KIP-79, KIP-734, KIP-405).

use std::collections::BTreeSet;

use dohle_base::{ErrorCode, LeaderEpoch, Offset, Timestamp};
use dohle_log::log::Moment;
use dohle_protocol::ApiKey;
use dohle_protocol::message::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
    ListOffsetsTopicResponse,
};

use super::{Api, lookup};
use crate::catalog::View;
use crate::context::Context;
use crate::dispatch::Client;
use crate::partition::{Isolation, Sought};

pub(crate) const API: Api = Api::of(ApiKey::ListOffsets);

/// Moments that are none: what they stand for, and since which version.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const LARGEST_TIME: (i64, i16) = (-3, 7);
const EARLIEST_LOCAL: (i64, i16) = (-4, 8);
const LATEST_TIERED: (i64, i16) = (-5, 9);
const EARLIEST_PENDING_UPLOAD: (i64, i16) = (-6, 11);

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    version: i16,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let isolation = if request.isolation_level == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
    let answer = Answer { view: &cx.catalog.view(), client, version, isolation };
    let topics = request.topics.iter().map(|topic| answer.topic(topic)).collect();
    ListOffsetsResponse { topics, ..Default::default() }
}

struct Answer<'a> {
    view: &'a View,
    client: &'a Client,
    version: i16,
    isolation: Isolation,
}

impl Answer<'_> {
    fn topic(&self, topic: &ListOffsetsTopic) -> ListOffsetsTopicResponse {
        let asked = &topic.partitions;
        let mut seen = BTreeSet::new();
        let repeated = asked.iter().map(|other| other.partition_index).filter(|index| !seen.insert(*index));
        let repeated: BTreeSet<i32> = repeated.collect();
        let answer = |partition: &ListOffsetsPartition| {
            let found = if repeated.contains(&partition.partition_index) {
                Err(ErrorCode::InvalidRequest)
            } else {
                self.partition(&topic.name, partition)
            };
            self.response(partition.partition_index, found)
        };
        let partitions = asked.iter().map(answer).collect();
        ListOffsetsTopicResponse { name: topic.name.clone(), partitions, ..Default::default() }
    }

    fn partition(&self, topic: &str, asked: &ListOffsetsPartition) -> Result<Option<Moment>, ErrorCode> {
        let sought = self.sought(asked.timestamp)?;
        let partition = lookup::led(self.view, topic, asked.partition_index)?;
        match sought {
            Some(sought) => partition.seek(sought, asked.current_leader_epoch),
            None => Ok(None),
        }
    }

    /// What a moment stands for; none where there is nothing of the kind, because nothing is kept elsewhere.
    fn sought(&self, timestamp: i64) -> Result<Option<Sought>, ErrorCode> {
        let since = |(moment, version): (i64, i16)| timestamp == moment && self.version >= version;
        Ok(match timestamp {
            LATEST => Some(Sought::Latest(self.isolation)),
            EARLIEST => Some(Sought::Earliest),
            0.. => Some(Sought::NotBefore(Timestamp(timestamp))),
            _ if since(LARGEST_TIME) => Some(Sought::LargestTime),
            _ if since(EARLIEST_LOCAL) => Some(Sought::Earliest),
            _ if since(LATEST_TIERED) || since(EARLIEST_PENDING_UPLOAD) => None,
            _ => return Err(ErrorCode::UnsupportedVersion),
        })
    }

    fn response(&self, partition_index: i32, found: Result<Option<Moment>, ErrorCode>) -> ListOffsetsPartitionResponse {
        let (error, moment) = match found {
            Ok(moment) => (ErrorCode::None, moment),
            Err(error) => (error, None),
        };
        let nowhere = Moment { time: Timestamp::NONE, offset: Offset::NONE, epoch: LeaderEpoch::NONE };
        let moment = moment.unwrap_or(nowhere);
        ListOffsetsPartitionResponse {
            partition_index,
            error_code: self.client.code(error),
            timestamp: moment.time.0,
            offset: moment.offset.0,
            // Versions before 4 do not know epochs.
            leader_epoch: if self.version >= 4 { moment.epoch.0 } else { LeaderEpoch::NONE.0 },
            ..Default::default()
        }
    }
}
