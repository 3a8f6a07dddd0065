//! OffsetDelete and DeleteGroups: places that an operator wants forgotten.

use dohle_base::{ErrorCode, Partition, TopicName};

use super::{OffsetKey, Offsets};
use crate::turn::Turn;
use crate::{GroupId, Record};

impl Offsets {
    /// Forgets places of a group, but none in a topic that it is subscribed to; one code for each.
    pub(crate) fn delete(
        &self,
        turn: &mut Turn<'_>,
        group: &GroupId,
        partitions: &[(TopicName, Partition)],
        is_subscribed: impl Fn(&TopicName) -> bool,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        let mut codes = Vec::with_capacity(partitions.len());
        let mut records = vec![];
        for (topic, partition) in partitions {
            if is_subscribed(topic) {
                codes.push(ErrorCode::GroupSubscribedToTopic);
                continue;
            }
            codes.push(ErrorCode::None);
            let key = OffsetKey { group: group.clone(), topic: topic.clone(), partition: *partition };
            if self.get(&key).is_some() || self.is_held(&key) {
                records.push(tombstone(key));
            }
        }
        if !turn.has_room_for(records.iter().map(Record::weight).sum()) {
            return Err(ErrorCode::UnknownServerError);
        }
        records.into_iter().for_each(|record| turn.write(record));
        Ok(codes)
    }

    /// What must be written so that nothing remains of a group's places.
    pub(crate) fn tombstones(&self, group: &GroupId) -> Vec<Record> {
        let mut keys: Vec<OffsetKey> = self.of_group(group).map(|(key, _)| key.clone()).collect();
        keys.extend(self.open_of_group(group).filter(|key| self.get(key).is_none()).cloned());
        // A place that two transactions hold is forgotten once.
        keys.dedup();
        keys.into_iter().map(tombstone).collect()
    }
}

pub(super) fn tombstone(key: OffsetKey) -> Record {
    Record::Offset { key, value: None, producer: None }
}
