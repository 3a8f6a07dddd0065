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
use crate::lock::hold;

/// Topics that clients may read and not write.
const INTERNAL: [&str; 3] = [OFFSETS_TOPIC, "__transaction_state", "__share_group_state"];
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

    /// Creates the topic of groups and their offsets, in a while.
    pub(crate) fn create_offsets_topic(&self, cx: &Context) {
        if let Ok(name) = TopicName::parse(OFFSETS_TOPIC) {
            self.create_later(cx, &[name]);
        }
    }
}

/// A topic as it is created when nobody says how.
fn specify(cx: &Context, name: &TopicName) -> NewTopic {
    if name.as_str() == OFFSETS_TOPIC {
        return offsets_topic(cx);
    }
    NewTopic::named(name)
}

fn offsets_topic(cx: &Context) -> NewTopic {
    let settings = &cx.groups.settings;
    let live = cx.catalog.view().image.brokers.live().count();
    let value = |value: String| Some(value);
    NewTopic {
        partitions: settings.offsets_topic_partitions,
        // Kafka's default of three would leave a small cluster without groups.
        replication_factor: settings.offsets_topic_replication_factor.min(live.clamp(1, i16::MAX as usize) as i16),
        configs: vec![
            ("cleanup.policy".to_owned(), value("compact".to_owned())),
            ("compression.type".to_owned(), value("producer".to_owned())),
            ("segment.bytes".to_owned(), value(settings.offsets_topic_segment_bytes.to_string())),
        ],
        ..NewTopic::named(OFFSETS_TOPIC)
    }
}

fn tell(result: &TopicResult) {
    match &result.outcome {
        Ok(created) => {
            tracing::info!(topic = result.name, partitions = created.partitions, "topic created for a client")
        }
        Err(refusal) => tracing::warn!(topic = result.name, "topic not created for a client: {refusal}"),
    }
}
