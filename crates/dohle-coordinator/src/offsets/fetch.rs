//! OffsetFetch: where a group stands.

use dohle_base::{ErrorCode, TopicId};

use super::{OffsetKey, Offsets};
use crate::{FetchOffsets, FetchedOffset, GroupId, OffsetValue, Wanted, Wish};

impl Offsets {
    /// The wanted places. An unknown group has none, and that is no error.
    pub(crate) fn fetch(&self, question: &FetchOffsets) -> Vec<FetchedOffset> {
        match &question.wanted {
            Wanted::All => self.fetch_all(&question.group, question.require_stable),
            Wanted::Listed(wishes) => {
                wishes.iter().map(|wish| self.fetch_one(&question.group, wish, question.require_stable)).collect()
            }
        }
    }

    fn fetch_all(&self, group: &GroupId, require_stable: bool) -> Vec<FetchedOffset> {
        self.of_group(group)
            .map(|(key, place)| FetchedOffset {
                topic: key.topic.clone(),
                partition: key.partition,
                committed: self.unless_held(key, require_stable, Some(&place.value)),
            })
            .collect()
    }

    fn fetch_one(&self, group: &GroupId, wish: &Wish, require_stable: bool) -> FetchedOffset {
        let key = OffsetKey { group: group.clone(), topic: wish.topic.clone(), partition: wish.partition };
        let place =
            self.get(&key).map(|place| &place.value).filter(|value| is_same_topic(value.topic_id, wish.topic_id));
        let committed = self.unless_held(&key, require_stable, place);
        FetchedOffset { topic: key.topic, partition: key.partition, committed }
    }

    fn unless_held(
        &self,
        key: &OffsetKey,
        require_stable: bool,
        place: Option<&OffsetValue>,
    ) -> Result<Option<OffsetValue>, ErrorCode> {
        if require_stable && self.is_held(key) { Err(ErrorCode::UnstableOffsetCommit) } else { Ok(place.cloned()) }
    }
}

/// Whether two identities may be the same topic's: either may be unknown.
fn is_same_topic(one: TopicId, other: TopicId) -> bool {
    one.is_zero() || other.is_zero() || one == other
}
