//! Subscriptions and assignments as members of the classic protocol exchange them through the coordinator, which does not
//! read them: two bytes of version, then the message.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};
use dohle_base::{Partition, TopicName};
use dohle_protocol::record::consumer::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, consumer_protocol_assignment,
    consumer_protocol_subscription,
};
use dohle_protocol::{DecodeError, Message, Reader, Rope};

use crate::core::TopicPartition;
use crate::core::assign::Member;
use crate::core::membership::Membership;

/// What members say of themselves in this protocol.
pub(crate) const PROTOCOL_TYPE: &str = "consumer";

/// What a member wants, and what it still holds.
pub(super) fn subscription(membership: &Membership) -> Bytes {
    let owned = by_topic(membership.held()).into_iter();
    write(&ConsumerProtocolSubscription {
        topics: membership.topics().iter().map(|topic| topic.as_str().into()).collect(),
        owned_partitions: owned
            .map(|(topic, partitions)| consumer_protocol_subscription::TopicPartition {
                topic: topic.into(),
                partitions,
            })
            .collect(),
        generation_id: membership.generation(),
        ..ConsumerProtocolSubscription::default()
    })
}

/// A member from its subscription.
pub(super) fn member(id: &str, instance: Option<&str>, subscription: Bytes) -> Result<Member, DecodeError> {
    let subscription: ConsumerProtocolSubscription = read(subscription)?;
    let owned = subscription.owned_partitions.iter().map(|owned| (&*owned.topic, &*owned.partitions));
    Ok(Member {
        id: id.to_owned(),
        instance: instance.map(str::to_owned),
        // A name that no topic can have is wanted in vain.
        topics: subscription.topics.iter().filter_map(|topic| TopicName::parse(topic).ok()).collect(),
        owned: partitions(owned),
        generation: subscription.generation_id,
    })
}

/// What a member is to read.
pub(super) fn assignment(assigned: &BTreeSet<TopicPartition>) -> Bytes {
    write(&ConsumerProtocolAssignment {
        assigned_partitions: by_topic(assigned)
            .into_iter()
            .map(|(topic, partitions)| consumer_protocol_assignment::TopicPartition { topic: topic.into(), partitions })
            .collect(),
        ..ConsumerProtocolAssignment::default()
    })
}

/// What this member is to read; no bytes at all say nothing.
pub(crate) fn assigned(assignment: Bytes) -> Result<BTreeSet<TopicPartition>, DecodeError> {
    if assignment.is_empty() {
        return Ok(BTreeSet::new());
    }
    let assignment: ConsumerProtocolAssignment = read(assignment)?;
    Ok(partitions(assignment.assigned_partitions.iter().map(|given| (&*given.topic, &*given.partitions))))
}

fn by_topic(partitions: &BTreeSet<TopicPartition>) -> BTreeMap<&str, Vec<i32>> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for place in partitions {
        topics.entry(place.topic.as_str()).or_default().push(place.partition.0);
    }
    topics
}

fn partitions<'a>(topics: impl Iterator<Item = (&'a str, &'a [i32])>) -> BTreeSet<TopicPartition> {
    let known = topics.filter_map(|(topic, partitions)| Some((TopicName::parse(topic).ok()?, partitions)));
    known
        .flat_map(|(topic, partitions)| {
            partitions.iter().map(move |number| TopicPartition::new(topic.clone(), Partition(*number)))
        })
        .collect()
}

fn write<M: Message>(message: &M) -> Bytes {
    let version = *M::VERSIONS.end();
    let mut rope = Rope::new();
    message.encode(&mut rope, version).expect("the newest version can say everything");
    let mut bytes = BytesMut::new();
    bytes.put_i16(version);
    bytes.put(rope.into_bytes());
    bytes.freeze()
}

/// What a newer member wrote is read as the newest version that is known: fields are only ever added behind.
fn read<M: Message>(bytes: Bytes) -> Result<M, DecodeError> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16().min(*M::VERSIONS.end());
    M::decode(&mut reader, version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_survives_the_way_through_bytes() {
        let place =
            |topic: &str, partition| TopicPartition::new(TopicName::parse(topic).unwrap(), Partition(partition));
        let given: BTreeSet<TopicPartition> = [place("a", 0), place("a", 7), place("b", 1)].into();
        assert_eq!(assigned(assignment(&given)), Ok(given));
        assert_eq!(assigned(Bytes::new()), Ok(BTreeSet::new()));
        assert!(assigned(Bytes::from_static(&[0, 1, 9])).is_err());
    }

    #[test]
    fn a_subscription_of_the_oldest_version_is_understood() {
        let bytes = [0, 0, 0, 0, 0, 1, 0, 1, b't', 255, 255, 255, 255];
        let member = member("m", None, Bytes::copy_from_slice(&bytes)).unwrap();
        assert_eq!(member.topics.iter().map(|topic| topic.as_str()).collect::<Vec<_>>(), ["t"]);
        assert_eq!(member.generation, -1);
    }
}
