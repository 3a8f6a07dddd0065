//! From a committed image to what this broker does about it, in a fixed order: partitions are told first, ledgers follow, and the catalog
//! shows the image last. So nothing is advertised that does not lead yet.
//!
//! Owns the thread on which that happens: opening, creating and deleting logs may take its time there.
//! Law: images are published in the order in which they were committed; one that was overtaken may be left out.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use dohle_base::config::InvalidValue;
use dohle_base::{BrokerId, ErrorCode, Offset, Partition as Index, Uuid};
use dohle_coordinator::DeletedTopic;
use dohle_coordinator::transaction::Version;
use dohle_log::options::Options;
use dohle_metadata::delta::{Delta, PartitionDelta};
use dohle_metadata::image::features::TRANSACTION_VERSION;
use dohle_metadata::image::{Resource, ResourceKind, Topic};
use dohle_metadata::{Image, directory};

use crate::catalog::{Catalog, Led, View};
use crate::clock::Clock;
use crate::ledgers::groups::{Groups, OFFSETS_TOPIC};
use crate::ledgers::transactions::{TRANSACTIONS_TOPIC, Transactions};
use crate::lock::hold;
use crate::moves::Moves;
use crate::partition::{Identity, Outcome, Partition};
use crate::placements::Placements;
use crate::removals::{Doomed, Removals};
use crate::storage::{Opened, Storage, Wanted};
use crate::vital;
use crate::waiters::Waiters;

/// The newest committed image, waiting to be published.
#[derive(Default)]
pub(crate) struct Mailbox {
    mail: Mutex<Mail>,
    filled: Condvar,
}

#[derive(Default)]
struct Mail {
    image: Option<Image>,
    closed: bool,
}

impl Mailbox {
    /// Leaves an image to be published; one that still lies here was overtaken.
    pub(crate) fn post(&self, image: &Image) {
        if image.in_transaction() {
            return;
        }
        hold(&self.mail).image = Some(image.clone());
        self.filled.notify_one();
    }

    /// Lets the publisher end.
    pub(crate) fn close(&self) {
        hold(&self.mail).closed = true;
        self.filled.notify_one();
    }

    fn next(&self) -> Option<Image> {
        let waiting = |mail: &mut Mail| mail.image.is_none() && !mail.closed;
        let woken = self.filled.wait_while(hold(&self.mail), waiting);
        woken.unwrap_or_else(PoisonError::into_inner).image.take()
    }
}

/// Everybody who is told of a new image.
pub(crate) struct Publisher {
    pub(crate) node: BrokerId,
    pub(crate) clock: Clock,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) storage: Arc<Storage>,
    pub(crate) groups: Arc<Groups>,
    pub(crate) transactions: Arc<Transactions>,
    pub(crate) removals: Arc<Removals>,
    pub(crate) moves: Arc<Moves>,
    pub(crate) placements: Placements,
    pub(crate) waiters: Arc<Waiters<Outcome>>,
    /// This life of the broker, by which the cluster tells it from the one before.
    pub(crate) incarnation: Uuid,
    /// Whether an image has shown that the cluster counts on this life: before that, what it says of this broker is about an earlier
    /// one, and all logs would be opened for nothing.
    pub(crate) begun: bool,
}

impl Publisher {
    /// Publishes on a thread of its own until the mailbox is closed.
    pub(crate) fn start(mut self, mailbox: Arc<Mailbox>) -> std::io::Result<JoinHandle<()>> {
        vital::spawn("publisher", move || {
            while let Some(image) = mailbox.next() {
                self.publish(image);
            }
        })
    }

    fn publish(&mut self, image: Image) {
        let shown = self.catalog.view();
        if !self.begun && !self.is_counted_on(&image) {
            return self.catalog.publish(View { image, led: Led::new(), node: self.node });
        }
        let before = if self.begun { shown.image.clone() } else { Image::new(&image.cluster_id) };
        self.begun = true;
        let delta = Delta::between(&before, &image);
        let local = delta.local(self.node);
        let mut led = shown.led.clone();
        for (topic, index) in &local.stop {
            self.stop(&mut led, topic, *index);
        }
        // What has no leader any more, or another one, is not served here. Its log stays.
        for change in &local.follow {
            self.close(&mut led, change);
        }
        // What is opened for this image obeys it from the first: to tell it again would make each ask for a flush.
        self.reconfigure(&led, &image, &delta);
        self.lead(&mut led, &before, &image, &local.lead);
        let gone = |topic: &Arc<Topic>| DeletedTopic { name: topic.name.clone(), id: topic.id };
        self.groups.forget(&delta.topics_deleted.iter().map(gone).collect::<Vec<_>>());
        self.catalog.publish(View { image, led, node: self.node });
    }

    fn is_counted_on(&self, image: &Image) -> bool {
        image.brokers.get(self.node).is_some_and(|broker| broker.incarnation == self.incarnation && !broker.fenced)
    }

    /// Serves a partition no more and deletes its log.
    fn stop(&self, led: &mut Led, topic: &Topic, index: Index) {
        self.resign(&topic.name, index);
        let partition = led.remove(&(topic.id, index));
        let log = partition.and_then(|partition| partition.stop(ErrorCode::UnknownTopicOrPartition));
        // Whoever still reads it may go on for as long as after any deletion.
        let delay = log.map(|log| log.options().file_delete_delay).unwrap_or_default();
        let at = self.clock.instant() + delay;
        for (volume, path) in self.storage.delete(topic, index) {
            self.removals.add(at, Doomed::Partition(volume, path));
        }
    }

    fn close(&self, led: &mut Led, change: &PartitionDelta) {
        self.resign(&change.topic.name, change.index);
        if let Some(partition) = led.remove(&(change.topic.id, change.index)) {
            self.storage.close(&partition, self.clock.wall());
        }
    }

    fn lead(&self, led: &mut Led, shown: &Image, image: &Image, changes: &[PartitionDelta]) {
        let (mut new, mut options) = (vec![], BTreeMap::new());
        for change in changes {
            let topic = &change.topic;
            match led.get(&(topic.id, change.index)) {
                Some(partition) => {
                    partition.set_in_sync(change.after.in_sync.len());
                    if partition.epoch() != Ok(change.after.leader_epoch) {
                        partition.succeed(change.after.leader_epoch);
                    }
                }
                None => {
                    let of_topic = || Arc::new(self.options(image, &topic.name));
                    let options = Arc::clone(options.entry(topic.id).or_insert_with(of_topic));
                    let (index, is_new) = (change.index, is_new(shown, change));
                    let wanted = |directory| (change, Wanted { topic, index, directory, is_new, options });
                    new.extend(change.after.directory(self.node).map(wanted));
                }
            }
        }
        let open = |some: &[(&PartitionDelta, Wanted<'_>)]| {
            let opened = self.storage.open_logs(some.iter().map(|(_, wanted)| wanted), self.clock.wall());
            let led = some.iter().zip(opened);
            led.filter_map(|((change, wanted), opened)| self.begin(change, wanted.directory, opened)).collect()
        };
        for partition in self.storage.open_all(&new, open) {
            led.insert((partition.topic_id, partition.index), Arc::clone(&partition));
            self.coordinate(&partition, image);
        }
    }

    /// Begins to coordinate what a partition keeps, if it is one of those that keep what others coordinate by.
    fn coordinate(&self, partition: &Arc<Partition>, image: &Image) {
        match partition.topic.as_str() {
            OFFSETS_TOPIC => self.groups.lead(partition),
            TRANSACTIONS_TOPIC => {
                let level = image.features.level(TRANSACTION_VERSION);
                self.transactions.lead(partition, Version::from_level(level).unwrap_or_default());
            }
            _ => {}
        }
    }

    fn resign(&self, topic: &str, index: Index) {
        match topic {
            OFFSETS_TOPIC => self.groups.resign(index),
            TRANSACTIONS_TOPIC => self.transactions.resign(index),
            _ => {}
        }
    }

    /// Leads a partition whose log was opened; one that cannot be opened is told of, and not served.
    fn begin(&self, change: &PartitionDelta, told: Uuid, opened: Opened) -> Option<Arc<Partition>> {
        let PartitionDelta { topic, index, after, .. } = change;
        match opened {
            Ok((log, volume)) => {
                let identity = Identity { topic: topic.name.clone(), topic_id: topic.id, index: *index };
                let waiters = Arc::clone(&self.waiters);
                let partition = Partition::lead(identity, log, after.leader_epoch, volume, waiters);
                partition.set_in_sync(after.in_sync.len());
                self.place(&partition, told);
                Some(partition)
            }
            Err(error) => {
                tracing::error!(topic = %topic.name, partition = %index, "partition is not served: {error}");
                None
            }
        }
    }

    /// Takes up where a partition was, and was to be, in an earlier life: on its way to another directory, or in another than the
    /// controller was told of.
    fn place(&self, partition: &Arc<Partition>, told: Uuid) {
        let lies_in = partition.volume().id;
        if told != lies_in && !directory::is_reserved(told) {
            self.placements.tell(partition, lies_in);
        }
        self.moves.resume(partition);
    }

    /// Tells partitions of altered configurations: those of a topic its own, those of brokers all.
    fn reconfigure(&self, led: &Led, image: &Image, delta: &Delta) {
        let of_broker = |resource: &Resource| resource.kind == ResourceKind::Broker;
        let all = delta.configs.iter().any(of_broker);
        let touched = |name: &str| {
            let own = |resource: &Resource| resource.kind == ResourceKind::Topic && &*resource.name == name;
            all || delta.configs.iter().any(own)
        };
        if delta.configs.is_empty() {
            return;
        }
        let mut options = BTreeMap::new();
        for partition in led.values().filter(|partition| touched(&partition.topic)) {
            let of_topic = || Arc::new(self.options(image, &partition.topic));
            partition.alter(Arc::clone(options.entry(partition.topic_id).or_insert_with(of_topic)));
        }
    }

    fn options(&self, image: &Image, topic: &str) -> Options {
        self.storage.options(image, topic).unwrap_or_else(|error: InvalidValue| {
            // The controller accepts no such value; an older release may have.
            tracing::error!(topic, "configured values are not obeyed: {error}");
            Options::default()
        })
    }
}

/// Whether a partition was created since `shown`, the newest image that was published. What the first one shows was there before this
/// broker started.
fn is_new(shown: &Image, change: &PartitionDelta) -> bool {
    let known = shown.topics.get(change.topic.id).is_some_and(|topic| topic.partition(change.index).is_some());
    shown.offset != Offset::NONE && !known
}
