//! What this broker tells clients that the cluster is: an image, and the partitions that it leads itself.
//!
//! Owns the pointer that is swapped when the metadata changed; whoever holds a view keeps it. Nothing is advertised in a view before
//! its partitions lead.

use std::sync::{Arc, RwLock};

use dohle_base::{BrokerId, ErrorCode, Offset, Partition as Index, TopicId};
use dohle_metadata::Image;
use dohle_metadata::image::{Assignment, Topic};
use tokio::sync::watch;

use crate::lock::{read, write};
use crate::partition::Partition;

/// The partitions of one topic that are led here, by number.
pub(crate) type Led = imbl::OrdMap<(TopicId, Index), Arc<Partition>>;

/// The cluster as of one moment.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) image: Image,
    pub(crate) led: Led,
    /// Whose view it is.
    pub(crate) node: BrokerId,
}

impl View {
    /// The topic of this name.
    pub(crate) fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.image.topics.named(name)
    }

    /// The partition, if it is led here.
    pub(crate) fn partition(&self, topic: TopicId, index: Index) -> Option<&Arc<Partition>> {
        self.led.get(&(topic, index))
    }

    /// The same of a partition that exists; whoever looks for it here is told why it is not served: another broker leads it, or its log
    /// lies in a directory that cannot be used (`HostedPartition.Offline`).
    pub(crate) fn find(
        &self,
        topic: TopicId,
        index: Index,
        assignment: &Assignment,
    ) -> Result<&Arc<Partition>, ErrorCode> {
        self.partition(topic, index).ok_or_else(|| {
            let online = |directory| self.image.brokers.get(self.node).is_none_or(|broker| broker.serves(directory));
            let is_lost =
                !assignment.has_leader() && assignment.directory(self.node).is_some_and(|directory| !online(directory));
            let is_away = assignment.leader == self.node || is_lost;
            if is_away { ErrorCode::KafkaStorageError } else { ErrorCode::NotLeaderOrFollower }
        })
    }
}

/// The newest view.
pub(crate) struct Catalog {
    view: RwLock<Arc<View>>,
    /// The last metadata record that the view shows.
    shown: watch::Sender<Offset>,
}

impl Catalog {
    /// Shows `view`.
    pub(crate) fn new(view: View) -> Self {
        let shown = watch::Sender::new(view.image.offset);
        Self { view: RwLock::new(Arc::new(view)), shown }
    }

    /// The newest view. Costs a moment under a lock that only a publication takes alone.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&read(&self.view))
    }

    /// Shows a newer view.
    pub(crate) fn publish(&self, view: View) {
        let offset = view.image.offset;
        let before = std::mem::replace(&mut *write(&self.view), Arc::new(view));
        // Letting go of a large image takes time that nobody should wait for under the lock.
        drop(before);
        self.shown.send_replace(offset);
    }

    /// Waits until the record at `offset` is shown.
    pub(crate) async fn shows(&self, offset: Offset) {
        // The sender is this catalog's own: it is not dropped while somebody waits here.
        let _ = self.shown.subscribe().wait_for(|shown| *shown >= offset).await;
    }
}
