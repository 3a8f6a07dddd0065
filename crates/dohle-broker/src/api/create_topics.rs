//! CreateTopics (KIP-4, KIP-464, KIP-525): topics with their partitions, replicas and configuration.

use dohle_base::BrokerId;
use dohle_metadata::Refusal;
use dohle_metadata::controller::topics::{CreateTopics, Created, NewTopic, TopicResult};
use dohle_metadata::controller::{Command, Reply};
use dohle_metadata::effective::Entry;
use dohle_protocol::message::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use dohle_protocol::{ApiKey, Str};

use super::Api;
use super::controlling::{self, Verdict};
use crate::context::Context;
use crate::dispatch::Client;

pub(crate) const API: Api = Api::of(ApiKey::CreateTopics);

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    _version: i16,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let names: Vec<Str> = request.topics.iter().map(|topic| topic.name.clone()).collect();
    let topics = request.topics.into_iter().map(new_topic).collect();
    let command = Command::CreateTopics(CreateTopics { topics, validate_only: request.validate_only });
    let topics = match controlling::ask_within(cx, request.timeout_ms, command).await {
        Ok(Reply::TopicsCreated(results)) => results.into_iter().map(|result| told(client, result)).collect(),
        Ok(other) => unreachable!("a creation is answered as one, not as {other:?}"),
        Err(refusal) => names.into_iter().map(|name| refused(client, name, &refusal)).collect(),
    };
    CreateTopicsResponse { topics, ..Default::default() }
}

fn new_topic(topic: CreatableTopic) -> NewTopic {
    let brokers = |ids: Vec<i32>| ids.into_iter().map(BrokerId).collect();
    let assignments = topic.assignments.into_iter();
    let configs = topic.configs.into_iter();
    NewTopic {
        name: topic.name.into(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assignments.map(|assigned| (assigned.partition_index, brokers(assigned.broker_ids))).collect(),
        configs: configs.map(|config| (config.name.into(), config.value.map(String::from))).collect(),
    }
}

fn told(client: &Client, result: TopicResult) -> CreatableTopicResult {
    match result.outcome {
        Ok(created) => made(client, result.name.into(), created),
        Err(refusal) => refused(client, result.name.into(), &refusal),
    }
}

fn made(client: &Client, name: Str, created: Created) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        topic_id: created.id,
        error_code: Verdict::of(client, None).code,
        error_message: None,
        num_partitions: created.partitions,
        replication_factor: created.replication_factor,
        configs: Some(created.configs.into_iter().map(config).collect()),
        ..Default::default()
    }
}

fn config(entry: Entry) -> CreatableTopicConfigs {
    let is_sensitive = entry.is_sensitive();
    CreatableTopicConfigs {
        name: entry.key.name.into(),
        value: entry.value.filter(|_| !is_sensitive).map(Into::into),
        read_only: false,
        config_source: entry.source.code(),
        is_sensitive,
        ..Default::default()
    }
}

fn refused(client: &Client, name: Str, refusal: &Refusal) -> CreatableTopicResult {
    let Verdict { code, message } = Verdict::of(client, Some(refusal));
    CreatableTopicResult { name, error_code: code, error_message: message, configs: Some(vec![]), ..Default::default() }
}
