//! DeleteTopics (KIP-4, KIP-516): topics with everything that is in them, by name or by id.

use dohle_base::{ErrorCode, Uuid};
use dohle_metadata::Refusal;
use dohle_metadata::controller::topics::{Deletion, TopicRef};
use dohle_metadata::controller::{Command, Reply};
use dohle_protocol::message::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use dohle_protocol::{ApiKey, Str};

use super::Api;
use super::controlling::{self, Verdict};
use crate::context::Context;
use crate::dispatch::Client;

pub(crate) const API: Api = Api::of(ApiKey::DeleteTopics);

/// The version since which clients know the code for a broker that deletes nothing (KIP-322).
const DISABLED_FROM: i16 = 3;

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    version: i16,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let by_name = |name| DeleteTopicState { name: Some(name), ..Default::default() };
    let topics: Vec<_> = request.topics.into_iter().chain(request.topic_names.into_iter().map(by_name)).collect();
    let refuse = |refusal: &Refusal| {
        let refused = |topic: &DeleteTopicState| told(client, topic.name.clone(), topic.topic_id, Some(refusal));
        topics.iter().map(refused).collect()
    };
    if !cx.settings.topics.delete {
        return DeleteTopicsResponse { responses: refuse(&disabled(version)), ..Default::default() };
    }
    let mut responses = vec![];
    let mut wanted = vec![];
    for topic in &topics {
        match TopicRef::parse(topic.name.as_deref(), topic.topic_id) {
            Ok(named) => wanted.push(named),
            Err(refusal) => responses.push(told(client, topic.name.clone(), topic.topic_id, Some(&refusal))),
        }
    }
    match controlling::ask_within(cx, request.timeout_ms, Command::DeleteTopics(wanted)).await {
        Ok(Reply::TopicsDeleted(deletions)) => responses.extend(deletions.into_iter().map(|d| deletion(client, d))),
        Ok(other) => unreachable!("a deletion is answered as one, not as {other:?}"),
        Err(refusal) => responses = refuse(&refusal),
    }
    DeleteTopicsResponse { responses, ..Default::default() }
}

fn deletion(client: &Client, deletion: Deletion) -> DeletableTopicResult {
    told(client, deletion.name.map(Into::into), deletion.id, deletion.error.as_ref())
}

fn told(client: &Client, name: Option<Str>, topic_id: Uuid, refused: Option<&Refusal>) -> DeletableTopicResult {
    let Verdict { code, message } = Verdict::of(client, refused);
    DeletableTopicResult { name, topic_id, error_code: code, error_message: message, ..Default::default() }
}

fn disabled(version: i16) -> Refusal {
    let code = if version < DISABLED_FROM { ErrorCode::InvalidRequest } else { ErrorCode::TopicDeletionDisabled };
    Refusal::new(code, "this cluster deletes no topics: delete.topic.enable is false")
}
