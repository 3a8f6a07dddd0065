//! What the log of a coordinator remembers, and Kafka's form of it in `__consumer_offsets`
//! (`GroupCoordinatorRecordHelpers`, `GroupCoordinatorRecordSerde`).
//!
//! Does not know batches, timestamps of records, or who appends.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_base::{InvalidTopicName, LeaderEpoch, Offset, Partition, Timestamp, TopicId, TopicName};
use dohle_protocol::Str;
use dohle_protocol::record::group::{
    GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue, group_metadata::MemberMetadata,
};
use dohle_protocol::record::{GroupRecord, RecordError};

use crate::transaction::Outcome;
use crate::{Generation, GroupId, GroupMetadata, InstanceId, MemberId, OffsetKey, Producer, StoredMember};

/// The version in which groups are written, as Kafka 4.4 does: the next one is not written by any release yet.
const GROUP_VERSION: i16 = 3;
/// The version in which offsets are written.
const OFFSET_VERSION: i16 = 4;
/// The only version that can say when an offset expires.
const OFFSET_VERSION_WITH_EXPIRY: i16 = 1;

/// The most bytes that a record needs beside its texts and bytes: the fields of fixed size, the lengths, and the record's
/// own head in the batch.
const RECORD_BYTES_FIXED: usize = 128;
/// The same for each member in a group's record.
const MEMBER_BYTES_FIXED: usize = 32;

/// One fact of the log.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A group has read up to a place, or the place is forgotten.
    Offset {
        /// Whose place, and in which partition.
        key: OffsetKey,
        /// The place; none to forget it.
        value: Option<OffsetValue>,
        /// The producer whose transaction this is part of: the place counts when that is committed. All records of a
        /// batch have the same one.
        producer: Option<Producer>,
    },
    /// What a group agreed on, or that it is no more.
    Group {
        /// The group.
        group: GroupId,
        /// What it agreed on; none to forget it.
        value: Option<Arc<GroupMetadata>>,
    },
    /// The end of a producer's transaction: a control record of the log, alone in its batch.
    TransactionEnded {
        /// The producer, in the epoch of the marker.
        producer: Producer,
        /// Whether its places count.
        outcome: Outcome,
        /// The leader epoch of the transaction coordinator.
        coordinator_epoch: LeaderEpoch,
    },
}

/// A place up to which a group has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetValue {
    /// The next record that is to be read.
    pub offset: Offset,
    /// The epoch of the last record that was read, [`LeaderEpoch::NONE`] if unknown.
    pub leader_epoch: LeaderEpoch,
    /// The client's own words; none for no words.
    pub metadata: Option<Arc<str>>,
    /// When it was committed.
    pub committed_at: Timestamp,
    /// When it is to be forgotten, where the client decided.
    pub expires_at: Option<Timestamp>,
    /// The topic's identity, [`TopicId::ZERO`] if unknown.
    pub topic_id: TopicId,
}

/// Key and value of a record in the log; no value stands for a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Option<Bytes>,
}

/// Bytes that are no record of this log.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRecord {
    /// The bytes do not follow their schema.
    #[error("group record")]
    Malformed(#[source] RecordError),
    /// An offset for a topic that cannot exist.
    #[error("offset of a topic that cannot exist")]
    Topic(#[source] InvalidTopicName),
}

impl Record {
    /// Reads a record of the log. `producer` is the one of the batch if the batch is part of a transaction.
    ///
    /// None for a record of a type that this room does not know: Kafka passes over those, too.
    pub fn decode(
        key: &Bytes,
        value: Option<&Bytes>,
        producer: Option<Producer>,
    ) -> Result<Option<Self>, InvalidRecord> {
        let record = match GroupRecord::decode(key, value) {
            Ok(record) => record,
            Err(RecordError::UnknownType(_)) => return Ok(None),
            Err(error) => return Err(InvalidRecord::Malformed(error)),
        };
        match record {
            GroupRecord::OffsetCommit { key, value } => {
                let key = offset_key(&key.group, &key.topic, key.partition)?;
                Ok(Some(Self::Offset { key, value: value.as_ref().map(OffsetValue::from), producer }))
            }
            GroupRecord::LegacyOffsetCommit { key, value } => {
                let key = offset_key(&key.group, &key.topic, key.partition)?;
                let value = value.map(|value| OffsetValue {
                    offset: Offset(value.offset),
                    leader_epoch: LeaderEpoch::NONE,
                    metadata: words(&value.metadata),
                    committed_at: Timestamp(value.commit_timestamp),
                    expires_at: None,
                    topic_id: TopicId::ZERO,
                });
                Ok(Some(Self::Offset { key, value, producer }))
            }
            GroupRecord::GroupMetadata { key, value } => {
                let value = value.as_ref().map(|value| Arc::new(GroupMetadata::from(value)));
                Ok(Some(Self::Group { group: GroupId::from(&*key.group), value }))
            }
            // Groups of the newer protocols: this coordinator serves none yet and leaves their records as they are.
            GroupRecord::ConsumerGroupCurrentMemberAssignment { .. }
            | GroupRecord::ConsumerGroupMemberMetadata { .. }
            | GroupRecord::ConsumerGroupMetadata { .. }
            | GroupRecord::ConsumerGroupPartitionMetadata { .. }
            | GroupRecord::ConsumerGroupRegularExpression { .. }
            | GroupRecord::ConsumerGroupTargetAssignmentMember { .. }
            | GroupRecord::ConsumerGroupTargetAssignmentMetadata { .. }
            | GroupRecord::ShareGroupCurrentMemberAssignment { .. }
            | GroupRecord::ShareGroupMemberMetadata { .. }
            | GroupRecord::ShareGroupMetadata { .. }
            | GroupRecord::ShareGroupStatePartitionMetadata { .. }
            | GroupRecord::ShareGroupTargetAssignmentMember { .. }
            | GroupRecord::ShareGroupTargetAssignmentMetadata { .. }
            | GroupRecord::StreamsGroupCurrentMemberAssignment { .. }
            | GroupRecord::StreamsGroupMemberMetadata { .. }
            | GroupRecord::StreamsGroupMetadata { .. }
            | GroupRecord::StreamsGroupTargetAssignmentMember { .. }
            | GroupRecord::StreamsGroupTargetAssignmentMetadata { .. }
            | GroupRecord::StreamsGroupTopology { .. } => Ok(None),
        }
    }

    /// The record as the log keeps it; none for the end of a transaction, which the log itself writes.
    pub fn encode(&self) -> Option<Encoded> {
        let (record, version) = match self {
            Self::Offset { key, value, producer: _ } => (offset_record(key, value.as_ref()), offset_version(value)),
            Self::Group { group, value } => {
                let key = GroupMetadataKey { group: group.as_str().into() };
                let value = value.as_ref().map(|value| GroupMetadataValue::from(&**value));
                (GroupRecord::GroupMetadata { key, value }, GROUP_VERSION)
            }
            Self::TransactionEnded { .. } => return None,
        };
        let (key, value) = record.encode(version).expect("no text is longer than the wire on which it came");
        Some(Encoded { key, value })
    }

    /// An upper bound of the record's size in a batch, in bytes.
    pub fn weight(&self) -> usize {
        match self {
            Self::Offset { key, value, producer: _ } => {
                let words = value.as_ref().and_then(|value| value.metadata.as_ref()).map_or(0, |words| words.len());
                RECORD_BYTES_FIXED + key.group.as_str().len() + key.topic.len() + words
            }
            Self::Group { group, value } => {
                RECORD_BYTES_FIXED + group.as_str().len() + value.as_ref().map_or(0, |value| value.weight())
            }
            Self::TransactionEnded { .. } => RECORD_BYTES_FIXED,
        }
    }
}

impl GroupMetadata {
    /// An upper bound of its size in a record, beside the fields of fixed size.
    fn weight(&self) -> usize {
        let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
        let leader = self.leader.as_ref().map_or(0, |leader| leader.as_str().len());
        let members: usize = self.members.iter().map(StoredMember::weight).sum();
        text(&self.protocol_type) + text(&self.protocol) + leader + members
    }
}

impl StoredMember {
    fn weight(&self) -> usize {
        let instance = self.instance.as_ref().map_or(0, |instance| instance.as_str().len());
        let texts = self.id.as_str().len() + instance + self.client_id.len() + self.client_host.len();
        MEMBER_BYTES_FIXED + texts + self.subscription.len() + self.assignment.len()
    }
}

fn offset_key(group: &str, topic: &str, partition: i32) -> Result<OffsetKey, InvalidRecord> {
    let topic = TopicName::parse(topic).map_err(InvalidRecord::Topic)?;
    Ok(OffsetKey { group: GroupId::from(group), topic, partition: Partition(partition) })
}

fn offset_version(value: &Option<OffsetValue>) -> i16 {
    match value {
        Some(OffsetValue { expires_at: Some(_), .. }) => OFFSET_VERSION_WITH_EXPIRY,
        Some(_) | None => OFFSET_VERSION,
    }
}

fn offset_record(key: &OffsetKey, value: Option<&OffsetValue>) -> GroupRecord {
    GroupRecord::OffsetCommit {
        key: OffsetCommitKey {
            group: key.group.as_str().into(),
            topic: key.topic.as_str().into(),
            partition: key.partition.0,
        },
        value: value.map(|value| OffsetCommitValue {
            offset: value.offset.0,
            leader_epoch: value.leader_epoch.0,
            metadata: value.metadata.as_deref().map(Str::from).unwrap_or_default(),
            commit_timestamp: value.committed_at.0,
            expire_timestamp: value.expires_at.unwrap_or(Timestamp::NONE).0,
            topic_id: value.topic_id,
            ..OffsetCommitValue::default()
        }),
    }
}

impl From<&OffsetCommitValue> for OffsetValue {
    fn from(value: &OffsetCommitValue) -> Self {
        let expires_at = Timestamp(value.expire_timestamp);
        Self {
            offset: Offset(value.offset),
            leader_epoch: LeaderEpoch(value.leader_epoch),
            metadata: words(&value.metadata),
            committed_at: Timestamp(value.commit_timestamp),
            expires_at: (expires_at != Timestamp::NONE).then_some(expires_at),
            topic_id: value.topic_id,
        }
    }
}

impl From<&GroupMetadataValue> for GroupMetadata {
    fn from(value: &GroupMetadataValue) -> Self {
        let since = Timestamp(value.current_state_timestamp);
        Self {
            protocol_type: words(&value.protocol_type),
            generation: Generation(value.generation),
            protocol: value.protocol.as_deref().map(Arc::from),
            leader: value.leader.as_deref().map(MemberId::from),
            since: (since != Timestamp::NONE).then_some(since),
            members: value.members.iter().map(StoredMember::from).collect(),
        }
    }
}

impl From<&MemberMetadata> for StoredMember {
    fn from(member: &MemberMetadata) -> Self {
        let session_timeout = millis(member.session_timeout);
        // The first version of the record did not have the second timeout.
        let no_rebalance_timeout = member.rebalance_timeout == -1;
        Self {
            id: MemberId::from(&*member.member_id),
            instance: member.group_instance_id.as_deref().map(InstanceId::from),
            client_id: Arc::from(&*member.client_id),
            client_host: Arc::from(&*member.client_host),
            rebalance_timeout: if no_rebalance_timeout { session_timeout } else { millis(member.rebalance_timeout) },
            session_timeout,
            subscription: Bytes::copy_from_slice(&member.subscription),
            assignment: Bytes::copy_from_slice(&member.assignment),
        }
    }
}

impl From<&GroupMetadata> for GroupMetadataValue {
    fn from(group: &GroupMetadata) -> Self {
        Self {
            protocol_type: group.protocol_type.as_deref().map(Str::from).unwrap_or_default(),
            generation: group.generation.0,
            protocol: group.protocol.as_deref().map(Str::from),
            leader: group.leader.as_ref().map(|leader| leader.as_str().into()),
            current_state_timestamp: group.since.unwrap_or(Timestamp::NONE).0,
            members: group.members.iter().map(MemberMetadata::from).collect(),
            ..Self::default()
        }
    }
}

impl From<&StoredMember> for MemberMetadata {
    fn from(member: &StoredMember) -> Self {
        Self {
            member_id: member.id.as_str().into(),
            group_instance_id: member.instance.as_ref().map(|instance| instance.as_str().into()),
            client_id: (&*member.client_id).into(),
            client_host: (&*member.client_host).into(),
            rebalance_timeout: whole_millis(member.rebalance_timeout),
            session_timeout: whole_millis(member.session_timeout),
            subscription: member.subscription.clone(),
            assignment: member.assignment.clone(),
            ..Self::default()
        }
    }
}

/// Text as the state keeps it: no text at all where it is empty.
fn words(text: &str) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| text.into())
}

fn millis(number: i32) -> Duration {
    Duration::from_millis(u64::try_from(number).unwrap_or(0))
}

fn whole_millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(record: &Record) -> Record {
        let Encoded { key, value } = record.encode().unwrap();
        Record::decode(&key, value.as_ref(), None).unwrap().unwrap()
    }

    fn key() -> OffsetKey {
        OffsetKey { group: "g".into(), topic: TopicName::parse("t").unwrap(), partition: Partition(3) }
    }

    fn place() -> OffsetValue {
        OffsetValue {
            offset: Offset(42),
            leader_epoch: LeaderEpoch(7),
            metadata: Some("mine".into()),
            committed_at: Timestamp(1_000),
            expires_at: None,
            topic_id: TopicId::METADATA_TOPIC,
        }
    }

    fn group() -> GroupMetadata {
        GroupMetadata {
            protocol_type: Some("consumer".into()),
            generation: Generation(5),
            protocol: Some("range".into()),
            leader: Some("m".into()),
            since: Some(Timestamp(2_000)),
            members: [StoredMember {
                id: "m".into(),
                instance: Some("i".into()),
                client_id: "c".into(),
                client_host: "/127.0.0.1".into(),
                rebalance_timeout: Duration::from_secs(60),
                session_timeout: Duration::from_secs(10),
                subscription: Bytes::from_static(b"sub"),
                assignment: Bytes::from_static(b"share"),
            }]
            .into(),
        }
    }

    fn records() -> Vec<Record> {
        let expiring = OffsetValue { expires_at: Some(Timestamp(9_000)), topic_id: TopicId::ZERO, ..place() };
        let without_epoch = OffsetValue { leader_epoch: LeaderEpoch::NONE, ..expiring };
        vec![
            Record::Offset { key: key(), value: Some(place()), producer: None },
            Record::Offset { key: key(), value: Some(without_epoch), producer: None },
            Record::Offset { key: key(), value: None, producer: None },
            Record::Group { group: "g".into(), value: Some(Arc::new(group())) },
            Record::Group { group: "g".into(), value: Some(Arc::new(GroupMetadata::simple())) },
            Record::Group { group: "g".into(), value: None },
        ]
    }

    #[test]
    fn records_survive_the_way_through_the_log() {
        for record in records() {
            assert_eq!(there_and_back(&record), record);
        }
    }

    #[test]
    fn the_weight_is_an_upper_bound() {
        for record in records() {
            let Encoded { key, value } = record.encode().unwrap();
            assert!(key.len() + value.map_or(0, |value| value.len()) + 40 <= record.weight(), "{record:?}");
        }
    }

    #[test]
    fn offsets_and_groups_are_written_in_the_versions_that_kafka_writes() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let records: Vec<Encoded> = records().iter().filter_map(Record::encode).collect();
        assert_eq!(hex(&records[0].key), "0001000167000174".to_owned() + "00000003");
        let place = "0004000000000000002a00000007056d696e6500000000000003e8".to_owned();
        assert_eq!(hex(records[0].value.as_ref().unwrap()), place + "01001000000000000000000000000000000001");
        let expiring = "0001000000000000002a00046d696e6500000000000003e80000000000002328";
        assert_eq!(hex(records[1].value.as_ref().unwrap()), expiring);
        assert_eq!(records[2].value, None);
        assert_eq!(hex(&records[3].key), "0002000167");
        assert!(hex(records[3].value.as_ref().unwrap()).starts_with("00030008636f6e73756d6572"));
    }

    #[test]
    fn what_is_unknown_is_passed_over_and_what_is_broken_is_an_error() {
        assert!(Record::decode(&Bytes::from_static(&[0, 99, 1]), None, None).unwrap().is_none());
        let encoded = Record::Offset { key: key(), value: Some(place()), producer: None }.encode().unwrap();
        let torn = encoded.value.unwrap().slice(..8);
        assert!(Record::decode(&encoded.key, Some(&torn), None).is_err());
        assert!(Record::decode(&Bytes::new(), None, None).is_err());
    }
}
