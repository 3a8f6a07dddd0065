//! Topics that come into being because somebody asked for them, and those that belong to the broker itself.
//!
//! Owns who is being created: a topic that many ask for at once is created once (`AutoTopicCreationManager`). The answer to the request
//! that asked does not show it yet, clients come again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use dohle_base::TopicName;
use dohle_metadata::controller::topics::{CreateTopics, NewTopic, TopicResult};
use dohle_metadata::controller::{Command, Reply};

use crate::context::Context;
use crate::ledgers::groups::OFFSETS_TOPIC;
use crate::ledgers::transactions::TRANSACTIONS_TOPIC;
use crate::lock::hold;

/// Topics that clients may read and not write.
const INTERNAL: [&str; 3] = [OFFSETS_TOPIC, TRANSACTIONS_TOPIC, "__share_group_state"];
/// Topics that are being created because clients asked for them; further ones have to be asked for again.
const CREATIONS_MAX: usize = 1_000;

/// Whether a topic belongs to the broker itself (`Topic.isInternal`).
pub(crate) fn is_internal(name: &str) -> bool {
    INTERNAL.contains(&name)
}

/// Topics that are being created.
#[derive(Debug, Default)]
pub(crate) struct Creations(Arc<Mutex<BTreeSet<TopicName>>>);

impl Creations {
    /// Creates what is missing, in a while; what is being created already is left alone.
    pub(crate) fn create_later(&self, cx: &Context, missing: &[TopicName]) {
        let new: Vec<TopicName> = {
            let mut underway = hold(&self.0);
            let room = CREATIONS_MAX.saturating_sub(underway.len());
            missing.iter().filter(|name| underway.insert(TopicName::clone(name))).take(room).cloned().collect()
        };
        if new.is_empty() {
            return;
        }
        let topics = new.iter().map(|name| specify(cx, name)).collect();
        let command = Command::CreateTopics(CreateTopics { topics, validate_only: false });
        let (quorum, underway) = (Arc::clone(&cx.quorum), Arc::clone(&self.0));
        cx.cores.deal(Box::new(move || {
            Box::pin(async move {
                match quorum.ask(command).await {
                    Ok(Reply::TopicsCreated(results)) => results.iter().for_each(tell),
                    Ok(other) => unreachable!("a creation is answered as one, not as {other:?}"),
                    Err(unanswered) => tracing::warn!(topics = ?new, "not created: {unanswered:?}"),
                }
                let mut underway = hold(&underway);
                underway.retain(|name| !new.contains(name));
            })
        }));
    }

    /// Creates a topic in which coordinators keep what they know, in a while.
    pub(crate) fn create_internal(&self, cx: &Context, topic: &'static str) {
        if let Ok(name) = TopicName::parse(topic) {
            self.create_later(cx, &[name]);
        }
    }
}

/// A topic as it is created when nobody says how.
fn specify(cx: &Context, name: &TopicName) -> NewTopic {
    match name.as_str() {
        OFFSETS_TOPIC => offsets_topic(cx),
        TRANSACTIONS_TOPIC => transactions_topic(cx),
        _ => NewTopic::named(name),
    }
}

fn offsets_topic(cx: &Context) -> NewTopic {
    let settings = &cx.groups.settings;
    NewTopic {
        partitions: settings.offsets_topic_partitions,
        replication_factor: at_most_live(cx, settings.offsets_topic_replication_factor),
        configs: configs(&[
            ("cleanup.policy", "compact"),
            ("compression.type", "producer"),
            ("segment.bytes", &settings.offsets_topic_segment_bytes.to_string()),
        ]),
        ..NewTopic::named(OFFSETS_TOPIC)
    }
}

fn transactions_topic(cx: &Context) -> NewTopic {
    let settings = &cx.transactions.settings;
    let replication_factor = at_most_live(cx, settings.topic_replication_factor);
    let in_sync_min = settings.topic_in_sync_min.min(replication_factor.into());
    NewTopic {
        partitions: settings.topic_partitions,
        replication_factor,
        configs: configs(&[
            ("cleanup.policy", "compact"),
            ("compression.type", "uncompressed"),
            ("min.insync.replicas", &in_sync_min.to_string()),
            ("segment.bytes", &settings.topic_segment_bytes.to_string()),
            ("unclean.leader.election.enable", "false"),
        ]),
        ..NewTopic::named(TRANSACTIONS_TOPIC)
    }
}

/// Kafka's default of three would leave a small cluster without coordinators.
fn at_most_live(cx: &Context, replication_factor: i16) -> i16 {
    let live = cx.catalog.view().image.brokers.live().count();
    replication_factor.min(live.clamp(1, i16::MAX as usize) as i16)
}

fn configs(pairs: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned()))).collect()
}

fn tell(result: &TopicResult) {
    match &result.outcome {
        Ok(created) => {
            tracing::info!(topic = result.name, partitions = created.partitions, "topic created for a client")
        }
        Err(refusal) => tracing::warn!(topic = result.name, "topic not created for a client: {refusal}"),
    }
}
