//! CreatePartitions (KIP-195): more partitions for topics that exist.

use dohle_base::BrokerId;
use dohle_metadata::Refusal;
use dohle_metadata::controller::partitions::{CreatePartitions, GrowingTopic};
use dohle_metadata::controller::{Command, Reply};
use dohle_protocol::message::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};
use dohle_protocol::{ApiKey, Str};

use super::Api;
use super::controlling::{self, Verdict};
use crate::context::Context;
use crate::dispatch::Client;

pub(crate) const API: Api = Api::of(ApiKey::CreatePartitions);

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    _version: i16,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let names: Vec<Str> = request.topics.iter().map(|topic| topic.name.clone()).collect();
    let topics = request.topics.into_iter().map(growing).collect();
    let command = Command::CreatePartitions(CreatePartitions { topics, validate_only: request.validate_only });
    let told = |name, refused: Option<&Refusal>| {
        let Verdict { code, message } = Verdict::of(client, refused);
        CreatePartitionsTopicResult { name, error_code: code, error_message: message, ..Default::default() }
    };
    let results = match controlling::ask_within(cx, request.timeout_ms, command).await {
        Ok(Reply::PartitionsCreated(growths)) => {
            growths.into_iter().map(|growth| told(growth.name.into(), growth.error.as_ref())).collect()
        }
        Ok(other) => unreachable!("a growth is answered as one, not as {other:?}"),
        Err(refusal) => names.into_iter().map(|name| told(name, Some(&refusal))).collect(),
    };
    CreatePartitionsResponse { results, ..Default::default() }
}

fn growing(topic: CreatePartitionsTopic) -> GrowingTopic {
    let brokers = |assigned: CreatePartitionsAssignment| assigned.broker_ids.into_iter().map(BrokerId).collect();
    let assignments = topic.assignments.map(|assignments| assignments.into_iter().map(brokers).collect());
    GrowingTopic { name: topic.name.into(), count: topic.count, assignments }
}
