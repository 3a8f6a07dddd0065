//! DescribeProducers (KIP-664): who writes to a partition, and with which open transaction.

use dohle_base::{ErrorCode, TopicName};
use dohle_log::producers::Producer;
use dohle_protocol::ApiKey;
use dohle_protocol::message::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};

use super::{Api, lookup};
use crate::catalog::View;
use crate::context::Context;
use crate::dispatch::Client;

pub(crate) const API: Api = Api::of(ApiKey::DescribeProducers);

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    _version: i16,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let view = cx.catalog.view();
    let told = |topic: &str, index: i32| {
        let (error, active_producers) = match producers(&view, topic, index) {
            Ok(producers) => (ErrorCode::None, producers),
            Err(error) => (error, vec![]),
        };
        PartitionResponse {
            partition_index: index,
            error_code: client.code(error),
            error_message: (!error.is_none()).then(|| error.words().into()),
            active_producers,
            ..Default::default()
        }
    };
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|index| told(&topic.name, *index)).collect();
        TopicResponse { name: topic.name, partitions, ..Default::default() }
    });
    DescribeProducersResponse { topics: topics.collect(), ..Default::default() }
}

fn producers(view: &View, topic: &str, index: i32) -> Result<Vec<ProducerState>, ErrorCode> {
    TopicName::parse(topic).map_err(|_| ErrorCode::InvalidTopic)?;
    lookup::led(view, topic, index)?.look(|log, _| log.producers().iter().map(state).collect())
}

fn state(producer: &Producer) -> ProducerState {
    ProducerState {
        producer_id: producer.id.0,
        producer_epoch: i32::from(producer.epoch.0),
        last_sequence: producer.last_sequence(),
        last_timestamp: producer.last_timestamp.0,
        coordinator_epoch: producer.coordinator_epoch,
        current_txn_start_offset: producer.transaction_start.map_or(-1, |offset| offset.0),
        ..Default::default()
    }
}
