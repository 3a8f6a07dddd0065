//! Markers: how the end of a transaction gets into the partitions that it wrote to (`TransactionMarkerChannelManager`,
//! `WriteTxnMarkers`).
//!
//! Owns the way of one marker into one partition, and the task that writes those of a coordinator for as long as it leads. Which
//! transactions have ended, and who still has to be told, the machine knows.
//! Laws: a marker is written only for an outcome that is committed; it counts once the high watermark has passed it; a partition that
//! does not exist any more needs none.

use std::sync::Arc;
use std::time::Duration;

use dohle_base::{ErrorCode, LeaderEpoch, Offset, Partition as Index, Timestamp};
use dohle_coordinator::transaction::{self, MarkersWritten, Outcome, TopicPartition, Version};
use dohle_coordinator::{Command, Producer, Reply};
use dohle_records::Batch;
use dohle_records::control::EndTransaction;
use tokio::task::JoinSet;

use super::groups::{Groups, OFFSETS_TOPIC};
use super::host::Unanswered;
use super::transactions::Transactor;
use crate::catalog::{Catalog, View};
use crate::clock::Clock;
use crate::partition::guards::Author;
use crate::partition::{Outcome as Safety, Partition};
use crate::quorum::Quorum;

/// How long a marker may take to be safe before it is written again.
const PATIENCE: Duration = Duration::from_secs(30);
/// Transactions of one coordinator that are ended at a time; the others wait.
const ENDING_MAX: usize = 1_000;
/// How long a partition that did not take its marker is left alone: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The end of a producer's transaction, as partitions are told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marker {
    pub(crate) producer: Producer,
    pub(crate) outcome: Outcome,
    /// The leader epoch of the coordinator that says so; an older one is refused.
    pub(crate) coordinator_epoch: LeaderEpoch,
    /// The protocol that it follows (KIP-1228).
    pub(crate) version: Version,
}

impl Marker {
    fn record(&self) -> EndTransaction {
        EndTransaction { committed: self.outcome == Outcome::Commit, coordinator_epoch: self.coordinator_epoch.0 }
    }

    fn batch(&self, now: Timestamp) -> Batch {
        self.record().to_batch(now, self.producer.id, self.producer.epoch)
    }
}

/// The way of markers into the partitions of this broker.
pub(crate) struct Markers {
    pub(crate) clock: Clock,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) groups: Arc<Groups>,
}

impl Markers {
    /// Writes a marker into a partition and waits until it is safe.
    pub(crate) async fn write(&self, marker: &Marker, topic: &str, index: Index) -> Result<(), ErrorCode> {
        let view = self.catalog.view();
        let found = view.topic(topic).filter(|topic| topic.partition(index).is_some());
        let found = found.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if topic == OFFSETS_TOPIC {
            return self.tell_groups(marker, index).await;
        }
        let partition = view.partition(found.id, index).ok_or(ErrorCode::NotLeaderOrFollower)?;
        self.append(marker, partition).await
    }

    async fn append(&self, marker: &Marker, partition: &Arc<Partition>) -> Result<(), ErrorCode> {
        let now = self.clock.now();
        partition.check_in_sync(partition.options()?.in_sync_min).map_err(|refusal| refusal.code())?;
        let author = Author::Coordinator { transaction_version: marker.version.level() };
        let appended =
            partition.append(&marker.batch(now.wall), author, None, now).map_err(|refusal| refusal.code())?;
        match partition.safe(&self.clock, appended.last_offset.next(), now.instant + PATIENCE).await {
            Safety::Safe => Ok(()),
            Safety::Expired => Err(ErrorCode::RequestTimedOut),
            Safety::Refused => Err(partition.stopped().unwrap_or(ErrorCode::NotLeaderOrFollower)),
        }
    }

    /// In the topic of groups markers are records of the coordinator, which holds offsets back until it has them.
    async fn tell_groups(&self, marker: &Marker, index: Index) -> Result<(), ErrorCode> {
        let groups = self.groups.over(index).ok_or(ErrorCode::NotLeaderOrFollower)?;
        let Marker { producer, outcome, coordinator_epoch, version } = *marker;
        let command = dohle_coordinator::EndTransaction { producer, outcome, version, coordinator_epoch };
        let (batch, record) = (marker.batch(self.clock.wall()), marker.record());
        let check = |partition: &Partition| partition.check_marker(&batch, record, version.level());
        let asked = groups.ask_if(check, Command::EndTransaction(command));
        match tokio::time::timeout(PATIENCE, asked).await.unwrap_or(Err(Unanswered::TimedOut)) {
            Ok(Ok(Reply::EndTransaction(ended))) => ended,
            Ok(Ok(other)) => unreachable!("the end of a transaction is answered as one, not as {other:?}"),
            Ok(Err(refusal)) => Err(refusal.code()),
            // Coordinators of transactions understand no other code that tells them to come again.
            Err(Unanswered::TimedOut | Unanswered::NoRoom) => Err(ErrorCode::RequestTimedOut),
            Err(Unanswered::Loading | Unanswered::Lost | Unanswered::TooLarge) => Err(ErrorCode::NotLeaderOrFollower),
        }
    }
}

/// The task that writes the markers of one coordinator.
pub(crate) struct MarkerWriter {
    pub(crate) host: Arc<Transactor>,
    pub(crate) markers: Arc<Markers>,
    pub(crate) quorum: Arc<Quorum>,
}

/// A transaction whose markers are being written.
struct Ending {
    prepared_at: Offset,
    marker: Marker,
    partitions: Vec<TopicPartition>,
}

impl MarkerWriter {
    /// Writes what is to be written, for as long as the leadership lasts.
    pub(crate) async fn run(self: Arc<Self>) {
        let (mut tasks, mut next) = (JoinSet::new(), Offset::ZERO);
        loop {
            match self.outstanding(next, ENDING_MAX.saturating_sub(tasks.len())) {
                Ok(more) => {
                    for transaction in more {
                        next = transaction.prepared_at.next();
                        tasks.spawn_local(Arc::clone(&self).end(transaction));
                    }
                }
                Err(Unanswered::Lost) => return,
                Err(Unanswered::Loading | Unanswered::TooLarge | Unanswered::TimedOut | Unanswered::NoRoom) => {}
            }
            self.give_spare_id().await;
            tokio::select! {
                // A task that died has told so itself; its transaction is ended by the next leadership.
                Some(_) = tasks.join_next() => {}
                () = self.host.news() => {}
            }
        }
    }

    /// The next transactions that nobody is ending yet: those whose outcome stands at `since` or later.
    fn outstanding(&self, since: Offset, room: usize) -> Result<Vec<Ending>, Unanswered> {
        // A partition that has stopped leads no more, and its host is told in a moment.
        let coordinator_epoch = self.host.partition().epoch().map_err(|_| Unanswered::Loading)?;
        self.host.look(|ledger| {
            let outstanding = ledger.committed().outstanding(ledger.soft(), since).take(room);
            let each = outstanding.map(|transaction| Ending {
                prepared_at: transaction.prepared_at,
                marker: Marker {
                    producer: transaction.producer,
                    outcome: transaction.outcome,
                    coordinator_epoch,
                    version: transaction.version,
                },
                partitions: transaction.partitions,
            });
            each.collect()
        })
    }

    /// Ends one transaction in all its partitions, however long that takes.
    async fn end(self: Arc<Self>, mut transaction: Ending) {
        let (prepared_at, mut pause, mut untold) = (transaction.prepared_at, PAUSE_MIN, vec![]);
        loop {
            let (done, left) = Arc::clone(&self).round(&transaction).await;
            transaction.partitions = left;
            untold.extend(done);
            if transaction.partitions.is_empty() || !untold.is_empty() {
                let written = MarkersWritten { prepared_at, partitions: untold.clone() };
                match self.host.ask(transaction::Command::MarkersWritten(written)).await {
                    Ok(_) if transaction.partitions.is_empty() => return,
                    Ok(_) => untold.clear(),
                    Err(Unanswered::NoRoom | Unanswered::TimedOut) => {}
                    // Whoever leads after this one asks again.
                    Err(Unanswered::Lost | Unanswered::Loading | Unanswered::TooLarge) => return,
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Writes a marker into every partition once; which need no more, and which did not take it.
    async fn round(self: Arc<Self>, transaction: &Ending) -> (Vec<TopicPartition>, Vec<TopicPartition>) {
        let mut writes = JoinSet::new();
        for place in transaction.partitions.iter().cloned() {
            let (writer, marker) = (Arc::clone(&self), transaction.marker);
            writes.spawn_local(async move { writer.settle(&marker, &place).await.then_some(place) });
        }
        let mut done = vec![];
        while let Some(written) = writes.join_next().await {
            // A write that died has taken no marker anywhere that anybody knows of.
            done.extend(written.ok().flatten());
        }
        transaction.partitions.iter().cloned().partition(|place| done.contains(place))
    }

    /// Whether the partition needs no more marker.
    async fn settle(&self, marker: &Marker, place: &TopicPartition) -> bool {
        let TopicPartition { topic, partition } = place;
        let view = self.markers.catalog.view();
        if !self.is_shown(&view) {
            return false;
        }
        match self.markers.write(marker, topic, *partition).await {
            Ok(()) => true,
            Err(ErrorCode::UnknownTopicOrPartition) => true,
            Err(ErrorCode::InvalidProducerEpoch) => {
                // A later life of the producer has written there, which it could not have before this transaction was over.
                tracing::warn!(%topic, %partition, ?marker, "the partition knows a later epoch than the marker's");
                true
            }
            Err(code) => {
                tracing::debug!(%topic, %partition, ?marker, "marker not taken: {code}");
                false
            }
        }
    }

    /// Whether a view is as new as this leadership: what an older one does not show may exist.
    fn is_shown(&self, view: &View) -> bool {
        let own = self.host.partition();
        view.partition(own.topic_id, own.index).is_some_and(|shown| Arc::ptr_eq(shown, own))
    }

    /// Gives the coordinator the producer id that it needs to abort what has timed out.
    async fn give_spare_id(&self) {
        if self.host.look(|ledger| ledger.soft().wants_producer_id()) != Ok(true) {
            return;
        }
        match self.quorum.producer_id().await {
            // Whoever leads no more needs no id.
            Ok(id) => drop(self.host.ask(transaction::Command::Spare(id)).await),
            Err(refusal) => tracing::warn!("no producer id for a transaction that has timed out: {refusal}"),
        }
    }
}
