//! What requests name, and what is found under the names: topics and their partitions.

use std::sync::Arc;

use dohle_base::{ErrorCode, Partition as Index, TopicId};
use dohle_metadata::image::{Assignment, Topic};

use crate::catalog::View;
use crate::partition::Partition;

/// How a request names a topic.
#[derive(Clone, Copy, Debug)]
pub(super) enum Named<'a> {
    /// As clients call it.
    Name(&'a str),
    /// By its identity, since some version of the API.
    Id(TopicId),
}

impl<'a> Named<'a> {
    /// One of the two fields, of which the version fills one.
    pub(super) fn by(is_by_id: bool, name: &'a str, id: TopicId) -> Self {
        if is_by_id { Self::Id(id) } else { Self::Name(name) }
    }
}

/// The topic of this name.
pub(super) fn topic<'a>(view: &'a View, named: Named<'_>) -> Result<&'a Arc<Topic>, ErrorCode> {
    match named {
        Named::Name(name) => view.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition),
        Named::Id(id) => view.image.topics.get(id).ok_or(ErrorCode::UnknownTopicId),
    }
}

/// The partition of a topic.
pub(super) fn assignment(topic: &Topic, index: i32) -> Result<&Arc<Assignment>, ErrorCode> {
    topic.partition(Index(index)).ok_or(ErrorCode::UnknownTopicOrPartition)
}

/// The partition, if it exists and is led here.
pub(super) fn led<'a>(view: &'a View, name: &str, index: i32) -> Result<&'a Arc<Partition>, ErrorCode> {
    let topic = topic(view, Named::Name(name))?;
    view.find(topic.id, Index(index), assignment(topic, index)?)
}

/// Items of a request in their order, of which some are refused at once and the others are asked for together.
#[derive(Debug, Default)]
pub(super) struct Docket(Vec<Option<ErrorCode>>);

impl Docket {
    /// The next item is asked for.
    pub(super) fn ask(&mut self) {
        self.0.push(None);
    }

    /// The next item is refused.
    pub(super) fn refuse(&mut self, code: ErrorCode) {
        self.0.push(Some(code));
    }

    /// What became of each item, given what became of those that were asked for: each one's own, or the same for all.
    pub(super) fn settle(self, asked: Result<Vec<ErrorCode>, ErrorCode>) -> impl Iterator<Item = ErrorCode> {
        let (each, all) = match asked {
            Ok(each) => (each, ErrorCode::UnknownServerError),
            Err(all) => (vec![], all),
        };
        let mut each = each.into_iter();
        self.0.into_iter().map(move |refused| refused.or_else(|| each.next()).unwrap_or(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_docket_keeps_the_order_of_what_was_refused_and_what_was_asked_for() {
        let docket = || {
            let mut docket = Docket::default();
            docket.ask();
            docket.refuse(ErrorCode::UnknownTopicId);
            docket.ask();
            docket
        };
        let each = docket().settle(Ok(vec![ErrorCode::None, ErrorCode::OffsetMetadataTooLarge]));
        let expected = [ErrorCode::None, ErrorCode::UnknownTopicId, ErrorCode::OffsetMetadataTooLarge];
        assert_eq!(each.collect::<Vec<_>>(), expected);
        let all = docket().settle(Err(ErrorCode::NotCoordinator));
        let expected = [ErrorCode::NotCoordinator, ErrorCode::UnknownTopicId, ErrorCode::NotCoordinator];
        assert_eq!(all.collect::<Vec<_>>(), expected);
    }
}
