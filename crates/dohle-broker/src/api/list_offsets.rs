//! ListOffsets (KIP-79, KIP-734, KIP-1005, KIP-1023): where a reader may begin, at an end of a partition or by time.

use std::collections::BTreeSet;

use dohle_base::{ErrorCode, Timestamp};
use dohle_log::log::Moment;
use dohle_protocol::ApiKey;
use dohle_protocol::message::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};

use super::{Api, lookup};
use crate::catalog::View;
use crate::context::Context;
use crate::dispatch::Client;
use crate::partition::{Isolation, Looker, Spot};

pub(crate) const API: Api = Api::of(ApiKey::ListOffsets);

/// The number that a consumer gives where a replica would give its own.
const CONSUMER: i32 = -1;
/// The version since which the answer tells epochs.
const EPOCHS_FROM: i16 = 4;

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    version: i16,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let view = cx.catalog.view();
    let isolation = (request.replica_id == CONSUMER).then_some(match request.isolation_level {
        1 => Isolation::ReadCommitted,
        _ => Isolation::ReadUncommitted,
    });
    let question = Question { view: &view, client, version, isolation, repeated: repeated(&request) };
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| question.answer(&topic.name, partition)).collect();
        ListOffsetsTopicResponse { name: topic.name, partitions, ..Default::default() }
    });
    ListOffsetsResponse { topics: topics.collect(), ..Default::default() }
}

struct Question<'a> {
    view: &'a View,
    client: &'a Client,
    version: i16,
    isolation: Option<Isolation>,
    repeated: BTreeSet<(String, i32)>,
}

impl Question<'_> {
    fn answer(&self, topic: &str, asked: &ListOffsetsPartition) -> ListOffsetsPartitionResponse {
        let found = self.find(topic, asked);
        let error = found.err().unwrap_or(ErrorCode::None);
        let told = ListOffsetsPartitionResponse {
            partition_index: asked.partition_index,
            error_code: self.client.code(error),
            ..Default::default()
        };
        let Ok(Some(Moment { time, offset, epoch })) = found else { return told };
        let leader_epoch = if self.version >= EPOCHS_FROM { epoch.0 } else { told.leader_epoch };
        ListOffsetsPartitionResponse { timestamp: time.0, offset: offset.0, leader_epoch, ..told }
    }

    fn find(&self, topic: &str, asked: &ListOffsetsPartition) -> Result<Option<Moment>, ErrorCode> {
        let index = asked.partition_index;
        if self.repeated.contains(&(topic.to_owned(), index)) {
            return Err(ErrorCode::InvalidRequest);
        }
        let spot = spot(asked.timestamp, self.version)?;
        let partition = lookup::led(self.view, topic, index)?;
        let looker = Looker { isolation: self.isolation, current_epoch: asked.current_leader_epoch };
        spot.map_or(Ok(None), |spot| partition.find(spot, looker))
    }
}

/// What a time stands for: those below zero are words, each known since some version. None is a place in remote storage, of
/// which there is none.
fn spot(timestamp: i64, version: i16) -> Result<Option<Spot>, ErrorCode> {
    match timestamp {
        0.. => Ok(Some(Spot::NotBefore(Timestamp(timestamp)))),
        -1 => Ok(Some(Spot::Latest)),
        -2 => Ok(Some(Spot::Earliest)),
        -3 if version >= 7 => Ok(Some(Spot::LargestTime)),
        // The earliest that is on a local disk: all is.
        -4 if version >= 8 => Ok(Some(Spot::Earliest)),
        -5 if version >= 9 => Ok(None),
        -6 if version >= 11 => Ok(None),
        _ => Err(ErrorCode::UnsupportedVersion),
    }
}

/// Partitions that are asked for more than once.
fn repeated(request: &ListOffsetsRequest) -> BTreeSet<(String, i32)> {
    let mut seen = BTreeSet::new();
    let each = request.topics.iter().flat_map(|topic| topic.partitions.iter().map(|asked| (&topic.name, asked)));
    let each = each.map(|(name, asked)| (name.to_string(), asked.partition_index));
    each.filter(|partition| !seen.insert(partition.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_below_zero_is_a_word_that_some_versions_know() {
        assert_eq!(spot(0, 1), Ok(Some(Spot::NotBefore(Timestamp(0)))));
        assert_eq!(spot(-1, 1), Ok(Some(Spot::Latest)));
        for (word, since) in [(-3, 7), (-4, 8), (-5, 9), (-6, 11)] {
            assert_eq!(spot(word, since - 1), Err(ErrorCode::UnsupportedVersion), "{word}");
            assert!(spot(word, since).is_ok(), "{word}");
        }
        assert_eq!(spot(-7, 11), Err(ErrorCode::UnsupportedVersion));
    }
}
