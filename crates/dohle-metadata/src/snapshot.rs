//! An image as the shortest list of records that folds into it again.
//!
//! Owns the order, which is that of Kafka's `MetadataImage.write`: a reader that stops at any record has seen nothing
//! that refers to a later one.

use dohle_protocol::record::MetadataRecord;
use dohle_protocol::record::metadata::{
    ClientQuotaRecord, ConfigRecord, FeatureLevelRecord, ProducerIdsRecord, TopicRecord, client_quota::EntityData,
};

use crate::image::features::METADATA_VERSION;
use crate::image::{Image, Resource, Topic};

/// The records of an image that is not within a transaction.
pub fn records(image: &Image) -> impl Iterator<Item = MetadataRecord> {
    assert!(!image.in_transaction(), "what is not certain yet is not remembered");
    features(image)
        .chain(nodes(image))
        .chain(topics(image))
        .chain(configs(image))
        .chain(quotas(image))
        .chain(rest(image))
}

/// The version of the records comes before all records.
fn features(image: &Image) -> impl Iterator<Item = MetadataRecord> {
    let version = image.features.iter().filter(|(name, _)| *name == METADATA_VERSION);
    let others = image.features.iter().filter(|(name, _)| *name != METADATA_VERSION);
    version.chain(others).map(|(name, level)| {
        let name = name.into();
        MetadataRecord::FeatureLevel(FeatureLevelRecord { name, feature_level: level, ..Default::default() })
    })
}

fn nodes(image: &Image) -> impl Iterator<Item = MetadataRecord> {
    let brokers = image.brokers.iter().map(|broker| MetadataRecord::RegisterBroker(broker.record()));
    let controllers = image.brokers.controllers();
    brokers.chain(controllers.map(|controller| MetadataRecord::RegisterController(controller.record())))
}

fn topics(image: &Image) -> impl Iterator<Item = MetadataRecord> {
    image.topics.iter().flat_map(|topic| std::iter::once(topic_record(topic)).chain(partitions(topic)))
}

fn topic_record(topic: &Topic) -> MetadataRecord {
    let name = topic.name.as_str().into();
    MetadataRecord::Topic(TopicRecord { name, topic_id: topic.id, ..Default::default() })
}

fn partitions(topic: &Topic) -> impl Iterator<Item = MetadataRecord> {
    topic.partitions().map(|(index, assignment)| MetadataRecord::Partition(assignment.record(topic.id, index)))
}

fn configs(image: &Image) -> impl Iterator<Item = MetadataRecord> {
    let values = image.configs.all().iter();
    values.flat_map(|(resource, values)| values.iter().map(|(key, value)| config_record(resource, key, Some(value))))
}

/// The record that gives a key its value, or takes it away.
pub(crate) fn config_record(resource: &Resource, key: &str, value: Option<&str>) -> MetadataRecord {
    MetadataRecord::Config(ConfigRecord {
        resource_type: resource.kind.code(),
        resource_name: (&*resource.name).into(),
        name: key.into(),
        value: value.map(Into::into),
        ..Default::default()
    })
}

fn quotas(image: &Image) -> impl Iterator<Item = MetadataRecord> {
    let part = |(kind, name): &(String, Option<String>)| EntityData {
        entity_type: kind.into(),
        entity_name: name.as_deref().map(Into::into),
        ..Default::default()
    };
    image.quotas.iter().flat_map(move |(entity, limits)| {
        limits.iter().map(move |(key, value)| {
            let entity = entity.iter().map(part).collect();
            let key = key.into();
            MetadataRecord::ClientQuota(ClientQuotaRecord { entity, key, value: *value, ..Default::default() })
        })
    })
}

fn rest(image: &Image) -> impl Iterator<Item = MetadataRecord> {
    let next = image.next_producer_id;
    let ids = ProducerIdsRecord { broker_id: -1, next_producer_id: next, ..Default::default() };
    let ids = (next > 0).then_some(MetadataRecord::ProducerIds(ids)).into_iter();
    let rules = image.access.rules().cloned().map(MetadataRecord::AccessControlEntry);
    let credentials = image.access.credentials().cloned().map(MetadataRecord::UserScramCredential);
    ids.chain(rules).chain(credentials).chain(image.access.tokens().cloned().map(MetadataRecord::DelegationToken))
}
