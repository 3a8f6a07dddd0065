//! Starting and stopping: the order in which the rooms of the broker come to life, and in which they rest.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use dohle_base::{LeaderEpoch, Partition as Index, Rng, TopicName, Uuid};
use dohle_coordinator::Settings as GroupSettings;
use dohle_log::disk::Files;
use dohle_log::options::Options;
use dohle_metadata::Image;
use dohle_metadata::controller::brokers::RegisterBroker;
use dohle_metadata::controller::{Controller, Policy};
use dohle_metadata::image::features::{FEATURES, KRAFT_VERSION};
use dohle_metadata::image::{BrokerEpoch, Listener as Reachable, Supported};
use tokio::sync::watch;

use crate::catalog::{Catalog, View};
use crate::chance;
use crate::clock::Clock;
use crate::config::listeners::{InvalidListeners, Listener};
use crate::config::settings::Settings;
use crate::config::tables;
use crate::context::{Context, Notices};
use crate::cores::Cores;
use crate::dispatch::Apis;
use crate::fetch::session::Sessions;
use crate::http;
use crate::ledgers::groups::Groups;
use crate::ledgers::host::BATCH_BYTES_MAX;
use crate::net::budget::Budget;
use crate::net::listener::{self, Crowd};
use crate::partition::{Identity, Partition};
use crate::publish::{Mailbox, Publisher};
use crate::quorum::state::{self, QuorumState, QuorumStateError};
use crate::quorum::{LeadError, METADATA_TOPIC, Quorum, Voter};
use crate::running::Running;
use crate::storage::{Storage, StorageError};
use crate::topics::Creations;
use crate::upkeep::{Chores, Upkeep, Written};
use crate::waiters::Waiters;

/// The part of the machine's memory that requests may take, and answers again, where nobody sets it: a quarter.
const MEMORY_PART: u64 = 4;

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address.
    #[error(transparent)]
    Listeners(#[from] InvalidListeners),
    /// A configured value.
    #[error(transparent)]
    Value(#[from] dohle_base::config::InvalidValue),
    /// An address that cannot be listened on.
    #[error("cannot listen on {address}: {source}; is another broker running? choose another address with --listen")]
    Listen {
        /// The address.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A thread that cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// The data.
    #[error("{0}")]
    Data(String),
}

/// Starts a broker. When this returns, clients can call.
pub fn start(settings: Settings) -> Result<Running, StartError> {
    let clock = Clock::start();
    let mut rng = Rng::new(chance::number());
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let (sockets, listeners) = open_sockets(&settings)?;
    let storage = Arc::new(Storage::open(&settings, Rng::new(rng.next_u64()), count)?);
    let flushers = storage.all().map(|volume| volume.start_flusher(clock)).collect::<io::Result<Vec<_>>>();
    let flushers = flushers.map_err(StartError::Thread)?;
    let cores = Cores::start(count).map_err(StartError::Thread)?;

    let image = Image::new(storage.cluster_id());
    let catalog = Arc::new(Catalog::new(View { image, led: imbl::OrdMap::new() }));
    let group_settings = GroupSettings::resolve(BATCH_BYTES_MAX, |key| settings.written.get(key).map(String::as_str))?;
    let groups = Arc::new(Groups::new(group_settings, clock, Arc::clone(&cores)));
    let (waiters, mailbox, chores) = (Waiters::new(), Arc::new(Mailbox::default()), Arc::new(Chores::default()));
    let publisher = Publisher {
        node: settings.node.id,
        clock,
        catalog: Arc::clone(&catalog),
        storage: Arc::clone(&storage),
        groups: Arc::clone(&groups),
        chores: Arc::clone(&chores),
        waiters: Arc::clone(&waiters),
    };
    let mut threads = vec![publisher.start(Arc::clone(&mailbox)).map_err(StartError::Thread)?];

    let metadata = lead_metadata(&settings, &storage, clock, &waiters)?;
    let quorum = lead_quorum(metadata, &settings, &storage, &listeners, &catalog, clock, &mailbox, rng.next_u64())?;
    join(&cores, &quorum, registration(&settings, &listeners, &storage, &mut rng))?;

    let upkeep = Upkeep {
        clock,
        settings: settings.upkeep.clone(),
        catalog: Arc::clone(&catalog),
        storage: Arc::clone(&storage),
        quorum: Arc::clone(&quorum),
        chores: Arc::clone(&chores),
        written: Written::default(),
    };
    threads.push(upkeep.start().map_err(StartError::Thread)?);
    let memory = settings.net.requests_bytes_max.unwrap_or_else(|| memory_bytes() / MEMORY_PART);
    let context = Arc::new(Context {
        sessions: Sessions::new(settings.fetch.sessions_max, Rng::new(rng.next_u64())),
        settings,
        clock,
        cores: Arc::clone(&cores),
        apis: Apis::new(),
        catalog,
        quorum,
        groups,
        storage,
        topics: Creations::default(),
        waiters,
        requests_budget: Budget::new(memory),
        answers_budget: Budget::new(memory),
        crowd: Crowd::default(),
        notices: Notices::default(),
        stop: watch::Sender::new(false),
    });
    let http = http::serve(&context).map_err(|source| StartError::Listen { address: "HTTP".to_owned(), source })?;
    for (socket, listener) in sockets.into_iter().zip(&listeners) {
        let (context, listener) = (Arc::clone(&context), Arc::new(listener.clone()));
        cores.deal(Box::new(move || Box::pin(listener::accept(context, socket, listener))));
    }
    Ok(Running { context, mailbox, chores, threads, flushers, listeners, http })
}

/// Opens the sockets, so that a port that the system chose is known before anybody is told of it.
fn open_sockets(settings: &Settings) -> Result<(Vec<std::net::TcpListener>, Vec<Listener>), StartError> {
    let (mut sockets, mut listeners) = (vec![], vec![]);
    for listener in &settings.net.listeners {
        let address = listener.bind.address()?;
        let refused = |source| StartError::Listen { address: listener.bind.to_string(), source };
        let socket = listener::open(address, &settings.net).map_err(refused)?;
        let port = socket.local_addr().map_err(refused)?.port();
        let mut opened = listener.clone();
        opened.bind.port = port;
        if opened.advertised.port == 0 {
            opened.advertised.port = port;
        }
        sockets.push(socket);
        listeners.push(opened);
    }
    Ok((sockets, listeners))
}

/// Opens the metadata log and begins its next epoch.
fn lead_metadata(
    settings: &Settings,
    storage: &Storage,
    clock: Clock,
    waiters: &Arc<Waiters<crate::partition::Outcome>>,
) -> Result<Arc<Partition>, StartError> {
    let topic = TopicName::parse(METADATA_TOPIC).expect("a name that Kafka gave");
    let log = storage.open_metadata(topic.clone(), Options::default(), clock.wall())?;
    let before = state::read(&Files, log.dir())?;
    let epoch = before.map_or(LeaderEpoch(0), |state| state.epoch);
    let epoch = log.epochs().latest().map_or(epoch, |latest| latest.max(epoch)).next();
    state::write(&Files, log.dir(), QuorumState { leader: settings.node.id, epoch })?;
    let identity = Identity { topic, topic_id: Uuid::METADATA_TOPIC, index: Index(0) };
    let partition = Partition::lead(identity, log, epoch, Arc::clone(storage.metadata()), Arc::clone(waiters));
    partition.set_in_sync(1);
    Ok(partition)
}

/// Reads the metadata log back and lets the controller decide from there.
fn lead_quorum(
    metadata: Arc<Partition>,
    settings: &Settings,
    storage: &Storage,
    listeners: &[Listener],
    catalog: &Arc<Catalog>,
    clock: Clock,
    mailbox: &Arc<Mailbox>,
    seed: u64,
) -> Result<Arc<Quorum>, StartError> {
    let controller = Controller::new(storage.cluster_id(), policy(settings, seed));
    let voter = voter(settings, listeners, storage.metadata().id);
    let mailbox = Arc::clone(mailbox);
    let observe = move |controller: &Controller| mailbox.post(controller.image());
    Ok(Quorum::lead(metadata, controller, &voter, Arc::clone(catalog), clock, Box::new(observe))?)
}

fn policy(settings: &Settings, seed: u64) -> Policy {
    Policy {
        node: settings.node.id,
        tables: *tables::all(),
        statics: settings.written.clone(),
        partitions_default: settings.topics.partitions,
        replication_factor_default: settings.topics.replication_factor,
        session_timeout: Duration::from_secs(9),
        seed,
    }
}

fn voter(settings: &Settings, listeners: &[Listener], directory: Uuid) -> Voter {
    let endpoints = listeners.first().map(|listener| dohle_protocol::record::control::voters::Endpoint {
        name: "CONTROLLER".into(),
        host: listener.advertised.host.as_str().into(),
        port: listener.advertised.port,
        ..Default::default()
    });
    Voter { id: settings.node.id, directory, endpoints: endpoints.into_iter().collect() }
}

fn registration(settings: &Settings, listeners: &[Listener], storage: &Storage, rng: &mut Rng) -> RegisterBroker {
    let reachable = |listener: &Listener| Reachable {
        name: listener.advertised.name.clone(),
        host: listener.advertised.host.clone(),
        port: listener.advertised.port,
        security_protocol: 0,
    };
    let supported = |feature: &dohle_metadata::image::features::Feature| Supported {
        name: feature.name.to_owned(),
        least: feature.least,
        most: feature.most,
    };
    let quorum = Supported { name: KRAFT_VERSION.to_owned(), least: 0, most: 1 };
    RegisterBroker {
        id: settings.node.id,
        cluster_id: storage.cluster_id().to_owned(),
        incarnation: Uuid::random(rng),
        listeners: listeners.iter().map(reachable).collect(),
        features: FEATURES.iter().map(supported).chain([quorum]).collect(),
        rack: settings.node.rack.clone(),
        directories: storage.volumes().iter().map(|volume| volume.id).collect(),
        previous_epoch: storage.clean_epoch().map(BrokerEpoch),
        log_end: dohle_base::Offset::ZERO,
    }
}

/// Makes this broker a part of its cluster and waits until it serves its partitions.
fn join(cores: &Cores, quorum: &Arc<Quorum>, broker: RegisterBroker) -> Result<(), StartError> {
    let (sender, joined) = std::sync::mpsc::channel();
    let joining = Arc::clone(quorum);
    cores.deal(Box::new(move || {
        Box::pin(async move {
            // Whoever started the broker waits for this.
            let _ = sender.send(joining.join(broker).await);
        })
    }));
    joined.recv().map_err(|_| StartError::Data("the controller died".to_owned()))??;
    let keeper = Arc::clone(quorum);
    cores.keep(Box::new(move || Box::pin(keeper.keep_time())));
    Ok(())
}

fn memory_bytes() -> u64 {
    let system = rustix::system::sysinfo();
    system.totalram.saturating_mul(u64::from(system.mem_unit))
}

impl From<StorageError> for StartError {
    fn from(error: StorageError) -> Self {
        Self::Data(error.to_string())
    }
}

impl From<QuorumStateError> for StartError {
    fn from(error: QuorumStateError) -> Self {
        Self::Data(error.to_string())
    }
}

impl From<LeadError> for StartError {
    fn from(error: LeadError) -> Self {
        Self::Data(error.to_string())
    }
}

impl From<dohle_metadata::Refusal> for StartError {
    fn from(refusal: dohle_metadata::Refusal) -> Self {
        Self::Data(refusal.to_string())
    }
}
