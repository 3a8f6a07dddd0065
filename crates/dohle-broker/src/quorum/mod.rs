//! The metadata quorum, as a quorum of one: its log, its epoch, and the controller that leads it.
//!
//! Owns the way to the controller and this broker's own life in the cluster. What the controller allows is its own affair.
//! Laws: a new epoch is durable before its first record; whoever changed the metadata is answered when the catalog shows it.

mod control;
mod producer_ids;
pub(crate) mod state;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dohle_base::{ErrorCode, Offset, Partition as Index, TopicId, Uuid};
use dohle_metadata::Refusal;
use dohle_metadata::controller::brokers::{Heartbeat, RegisterBroker, Standing};
use dohle_metadata::controller::directories::PlaceReplicas;
use dohle_metadata::controller::{Command, Controller, Reply};
use dohle_metadata::image::BrokerEpoch;

use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::ledgers::host::{Host, Unanswered};
use crate::ledgers::load::{LoadError, load};
use crate::partition::guards::Author;
use crate::partition::{AppendRefusal, Partition};
use crate::storage::Storage;

pub(crate) use control::Voter;
pub(crate) use producer_ids::ProducerIdBlock;

/// The topic of the metadata log, which is in no image.
pub(crate) const METADATA_TOPIC: &str = "__cluster_metadata";
/// How often a broker tells the controller that it lives (`broker.heartbeat.interval.ms`).
const HEARTBEAT_EVERY: Duration = Duration::from_secs(2);

/// How soon a broker that has just registered asks again whether it may serve.
const SETTLING_PAUSE: Duration = Duration::from_millis(5);

/// The way to the controller.
pub(crate) struct Quorum {
    host: Arc<Host<Controller>>,
    catalog: Arc<Catalog>,
    voter: Voter,
    /// This broker's life, -1 before it is registered.
    broker_epoch: AtomicI64,
    producer_ids: ProducerIdBlock,
    storage: Arc<Storage>,
}

/// Why the controller cannot lead its log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeadError {
    #[error("metadata log: {0}")]
    Load(#[from] LoadError),
    #[error("metadata log: {0}")]
    Append(#[from] AppendRefusal),
}

impl Quorum {
    /// Reads the metadata log, whose partition leads in the new epoch already, and begins to decide. `observe` is shown every state
    /// that is committed.
    pub(crate) fn lead(
        partition: Arc<Partition>,
        controller: Controller,
        voter: &Voter,
        catalog: Arc<Catalog>,
        storage: Arc<Storage>,
        clock: Clock,
        observe: Box<dyn Fn(&Controller) + Send + Sync>,
    ) -> Result<Arc<Self>, LeadError> {
        let (state, end) = load(&partition, controller)?;
        let began = control::begin_epoch(voter, end == Offset::ZERO, clock.wall());
        let author = Author::Coordinator { transaction_version: 0 };
        let appended = partition.append(&began, author, None, clock.now())?;
        let host = Host::new(partition, clock, observe);
        host.begin(state, appended.last_offset.next());
        let producer_ids = ProducerIdBlock::default();
        let broker_epoch = AtomicI64::new(-1);
        Ok(Arc::new(Self { host, catalog, voter: voter.clone(), broker_epoch, producer_ids, storage }))
    }

    /// The only voter, which leads.
    pub(crate) fn voter(&self) -> &Voter {
        &self.voter
    }

    /// The metadata log.
    pub(crate) fn partition(&self) -> &Arc<Partition> {
        self.host.partition()
    }

    /// This broker's life.
    pub(crate) fn broker_epoch(&self) -> BrokerEpoch {
        BrokerEpoch(self.broker_epoch.load(Ordering::Acquire))
    }

    /// Asks the controller and waits until the catalog shows what it decided.
    pub(crate) async fn ask(&self, command: Command) -> Result<Reply, Unanswered> {
        let reply = self.host.ask(command).await?;
        let offset = self.host.committed(|controller| controller.image().offset)?;
        self.catalog.shows(offset).await;
        Ok(reply)
    }

    /// The same, for `patience` at most.
    pub(crate) async fn ask_within(&self, patience: Duration, command: Command) -> Result<Reply, Unanswered> {
        tokio::time::timeout(patience, self.ask(command)).await.unwrap_or(Err(Unanswered::TimedOut))
    }

    /// Makes sure that the cluster exists and that this broker belongs to it and serves. The controller does meanwhile what time demands.
    pub(crate) async fn join(&self, broker: RegisterBroker) -> Result<(), Refusal> {
        tokio::select! {
            joined = self.enter(broker) => joined,
            () = Arc::clone(&self.host).keep_time() => Err(unled(Unanswered::Lost)),
        }
    }

    async fn enter(&self, broker: RegisterBroker) -> Result<(), Refusal> {
        self.ask(Command::Bootstrap).await.map_err(unled)?;
        let log_end = self.host.end().map_err(unled)?;
        match self.ask(Command::RegisterBroker(RegisterBroker { log_end, ..broker })).await.map_err(unled)? {
            Reply::Registered(registered) => self.broker_epoch.store(registered?.0, Ordering::Release),
            _ => unreachable!("a registration is answered as one"),
        }
        // A client that found the cluster without this broker would take it for gone: what became of its last life is settled first.
        while self.heartbeat().await?.is_fenced {
            tokio::time::sleep(SETTLING_PAUSE).await;
        }
        let unfenced = self.host.committed(|controller| controller.image().offset).map_err(unled)?;
        tokio::select! {
            () = self.catalog.shows(unfenced) => Ok(()),
            never = self.beat() => match never {},
        }
    }

    /// Says in which of this broker's directories a replica lies.
    pub(crate) async fn place(&self, topic_id: TopicId, index: Index, directory: Uuid) -> Result<(), Refusal> {
        let (broker, epoch, replicas) = (self.voter.id, self.broker_epoch(), vec![(topic_id, index)]);
        let command = Command::PlaceReplicas(PlaceReplicas { broker, epoch, directory, replicas });
        match self.ask(command).await.map_err(unled)? {
            Reply::ReplicasPlaced(placed) => placed,
            _ => unreachable!("a placement is answered as one"),
        }
    }

    /// Keeps the sessions of brokers, this one's among them, for as long as the leadership lasts.
    pub(crate) async fn keep_time(self: Arc<Self>) {
        // The heartbeat first: a process that was suspended must not fence itself before it could say that it lives.
        tokio::select! {
            biased;
            never = self.beat() => match never {},
            () = Arc::clone(&self.host).keep_time() => {}
        }
    }

    async fn beat(&self) -> Infallible {
        loop {
            tokio::time::sleep(HEARTBEAT_EVERY).await;
            if let Err(refusal) = self.heartbeat().await {
                tracing::warn!("heartbeat refused: {refusal}");
            }
        }
    }

    /// Says that this broker lives. Does not wait until the catalog shows anything: opening logs may take longer than a session lasts.
    async fn heartbeat(&self) -> Result<Standing, Refusal> {
        let beat = Heartbeat {
            id: self.voter.id,
            epoch: self.broker_epoch(),
            metadata_offset: self.catalog.view().image.offset,
            offline_directories: self.storage.failed(),
            ..Heartbeat::default()
        };
        match self.host.ask(Command::Heartbeat(beat)).await.map_err(unled)? {
            Reply::Heartbeat(standing) => standing,
            _ => unreachable!("a heartbeat is answered as one"),
        }
    }
}

fn unled(unanswered: Unanswered) -> Refusal {
    Refusal::new(unanswered_code(unanswered), "the controller has lost its log")
}

/// The code for a caller whom the controller did not answer.
pub(crate) fn unanswered_code(unanswered: Unanswered) -> ErrorCode {
    match unanswered {
        Unanswered::Loading | Unanswered::Lost => ErrorCode::NotController,
        Unanswered::TooLarge => ErrorCode::PolicyViolation,
        Unanswered::TimedOut => ErrorCode::RequestTimedOut,
        Unanswered::NoRoom => ErrorCode::KafkaStorageError,
    }
}

#[cfg(test)]
mod tests {
    use dohle_base::{BrokerId, Rng};
    use dohle_metadata::Image;

    use super::*;
    use crate::catalog::{Led, View};
    use crate::config::properties;
    use crate::config::settings::Settings;
    use crate::flusher;
    use crate::membership::Membership;
    use crate::publish::Mailbox;
    use crate::waiters::Waiters;

    /// So long nothing takes that works.
    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn a_broker_that_takes_long_to_open_its_logs_is_heard_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("log.dirs={}", dir.path().display());
        let settings = Settings::resolve(properties::parse(&text)).unwrap();
        let storage = Arc::new(Storage::open(&settings, Rng::new(1)).unwrap());
        let view = View { image: Image::new(storage.cluster_id()), led: Led::new(), node: BrokerId(1) };
        let catalog = Arc::new(Catalog::new(view));
        let clock = Clock::start();
        let flushers: Vec<_> = storage.all().flat_map(|volume| flusher::start(volume, clock, 0).unwrap()).collect();
        let membership = Membership { settings: &settings, listeners: &[], storage: &storage, clock };
        // Nobody empties the mailbox: the catalog shows nothing of what is decided.
        let quorum = membership.lead(Arc::clone(&catalog), Arc::new(Mailbox::default()), Waiters::new()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let heard = async {
            quorum.host.ask(Command::Bootstrap).await.unwrap();
            let register = Command::RegisterBroker(membership.registration(Uuid::random(&mut Rng::new(2))));
            let Reply::Registered(registered) = quorum.host.ask(register).await.unwrap() else { unreachable!() };
            quorum.broker_epoch.store(registered.unwrap().0, Ordering::Release);
            quorum.heartbeat().await.unwrap()
        };
        let standing = runtime.block_on(async { tokio::time::timeout(PATIENCE, heard).await });
        let standing = standing.expect("the heartbeat waits for nobody");
        assert!(standing.is_fenced && !standing.is_caught_up, "it has not seen yet that it is registered");
        storage.all().for_each(|volume| volume.flusher.close());
        flushers.into_iter().for_each(|flusher| flusher.join().unwrap());
    }
}
