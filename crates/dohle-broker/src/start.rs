//! Starting: the order in which the rooms of the broker come to life. How they rest again, [`Running`] knows.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use dohle_base::Rng;
use dohle_base::config::InvalidValue;
use dohle_coordinator::Settings as GroupSettings;
use dohle_coordinator::transaction::{Settings as TransactionSettings, Version};
use dohle_metadata::controller::brokers::RegisterBroker;
use dohle_metadata::{Image, Refusal};
use tokio::sync::watch;

use crate::background::Background;
use crate::catalog::{Catalog, View};
use crate::chance;
use crate::checkpoints::Checkpoints;
use crate::clock::Clock;
use crate::config::listeners::{InvalidListeners, Listener};
use crate::config::settings::Settings;
use crate::context::{Context, Notices};
use crate::cores::Cores;
use crate::dispatch::Apis;
use crate::fetch::readers::Readers;
use crate::fetch::sessions::Sessions;
use crate::flusher;
use crate::http;
use crate::ledgers::groups::Groups;
use crate::ledgers::host::BATCH_BYTES_MAX;
use crate::ledgers::markers::Markers;
use crate::ledgers::transactions::Transactions;
use crate::membership::Membership;
use crate::moves::Moves;
use crate::net::budget::Budget;
use crate::net::listener::{self, Crowd};
use crate::placements::Placements;
use crate::quorum::state::QuorumStateError;
use crate::quorum::{LeadError, Quorum};
use crate::running::Running;
use crate::storage::{Storage, StorageError};
use crate::topics::Creations;

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
    Value(#[from] InvalidValue),
    /// An address that cannot be listened on.
    #[error("cannot listen on {address}; is another broker running? choose another address with {option}")]
    Listen {
        /// The address.
        address: String,
        /// What chooses another.
        option: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A thread that cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// Data that cannot be used, or a cluster that does not take this broker.
    #[error(transparent)]
    Data(Box<dyn Error + Send + Sync>),
}

/// Starts a broker. When this returns, clients can call.
pub fn start(mut settings: Settings) -> Result<Running, StartError> {
    raise_descriptors();
    let clock = Clock::start();
    let (sockets, listeners) = open_sockets(&settings)?;
    let http_socket = open_http(&settings)?;
    settings.note_advertised(&listeners);
    let storage = Arc::new(Storage::open(&settings, Rng::new(chance::number()))?);
    let flushers = start_flushers(&storage, clock, settings.storage.journal_bytes).map_err(StartError::Thread)?;

    let background = Background::new();
    let context = Arc::new(furnish(settings, &listeners, storage, clock, &background)?);
    let incarnation = chance::uuid();
    let mut threads = vec![background.start_publisher(&context, incarnation).map_err(StartError::Thread)?];
    let Context { settings, storage, .. } = &*context;
    let membership = Membership { settings, listeners: &listeners, storage, clock };
    join(&context.cores, &context.quorum, membership.registration(incarnation))?;
    threads.extend(background.start(&context).map_err(StartError::Thread)?);

    let http = http_socket.map(|socket| http::serve(&context, socket)).transpose().map_err(StartError::Thread)?;
    for (socket, listener) in sockets.into_iter().zip(&listeners) {
        let (shared, listener) = (Arc::clone(&context), Arc::new(listener.clone()));
        context.cores.deal(Box::new(move || Box::pin(listener::accept(shared, socket, listener))));
    }
    Ok(Running { context, background, threads, flushers, listeners, http })
}

/// Two threads for each disk.
fn start_flushers(storage: &Storage, clock: Clock, journal_bytes: u64) -> io::Result<Vec<JoinHandle<()>>> {
    let flushers = storage.all().map(|volume| flusher::start(volume, clock, journal_bytes));
    Ok(flushers.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Starts the cores and leads the metadata log, for which flushers have to run; makes what the cores share. Nobody calls yet, and nothing else is led.
fn furnish(
    settings: Settings,
    listeners: &[Listener],
    storage: Arc<Storage>,
    clock: Clock,
    background: &Background,
) -> Result<Context, StartError> {
    let written = |key: &'static str| settings.written.get(key).map(String::as_str);
    let group_settings = GroupSettings::resolve(BATCH_BYTES_MAX, written)?;
    let transaction_settings = TransactionSettings::resolve(BATCH_BYTES_MAX, Version::default(), written)?;
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = Cores::start(count).map_err(StartError::Thread)?;
    let image = Image::new(storage.cluster_id());
    let catalog = Arc::new(Catalog::new(View { image, led: imbl::OrdMap::new(), node: settings.node.id }));
    let membership = Membership { settings: &settings, listeners, storage: &storage, clock };
    let (mailbox, waiters) = (Arc::clone(&background.mailbox), Arc::clone(&background.waiters));
    let quorum = membership.lead(Arc::clone(&catalog), mailbox, waiters)?;

    let groups = Arc::new(Groups::new(group_settings, clock, Arc::clone(&cores)));
    let markers = Markers { clock, catalog: Arc::clone(&catalog), groups: Arc::clone(&groups) };
    let transactions = Transactions::new(transaction_settings, clock, Arc::clone(&cores), Arc::clone(&quorum), markers);

    let placements = Placements { cores: Arc::clone(&cores), quorum: Arc::clone(&quorum) };
    let (stored, removals, desk) =
        (Arc::clone(&storage), Arc::clone(&background.removals), Arc::clone(&background.desk));
    let moves = Moves::new(clock, stored, removals, desk, placements, Rng::new(chance::number()));
    let checkpoints = Checkpoints::new(Arc::clone(&storage), Arc::clone(&catalog), Arc::clone(&quorum));
    let memory = settings.net.requests_bytes_max.unwrap_or_else(|| memory_bytes() / MEMORY_PART);
    Ok(Context {
        sessions: Sessions::new(settings.fetch.sessions_max, Rng::new(chance::number())),
        readers: Readers::start().map_err(StartError::Thread)?,
        settings,
        clock,
        cores,
        apis: Apis::new(),
        catalog,
        checkpoints: Arc::new(checkpoints),
        quorum,
        groups,
        transactions: Arc::new(transactions),
        storage,
        moves: Arc::new(moves),
        topics: Creations::default(),
        requests_budget: Budget::new(memory),
        answers_budget: Budget::new(memory),
        crowd: Crowd::default(),
        notices: Notices::default(),
        cleaner: Arc::default(),
        scrub: Arc::default(),
        stop: watch::Sender::new(false),
    })
}

/// Opens the sockets, so that a port that the system chose is known before anybody is told of it.
fn open_sockets(settings: &Settings) -> Result<(Vec<std::net::TcpListener>, Vec<Listener>), StartError> {
    let (mut sockets, mut listeners) = (vec![], vec![]);
    for listener in &settings.net.listeners {
        let address = listener.bind.address()?;
        let refused = |source| StartError::Listen { address: listener.bind.to_string(), option: "--listen", source };
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

/// The same for HTTP: before the data is touched, so that an address that is taken costs no clean stop.
fn open_http(settings: &Settings) -> Result<Option<std::net::TcpListener>, StartError> {
    let Some(address) = settings.http else { return Ok(None) };
    let refused = |source| StartError::Listen { address: address.to_string(), option: "--http", source };
    http::open(address).map(Some).map_err(refused)
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
    joined.recv().map_err(|_| StartError::Data("the controller died, the log says why".into()))??;
    let keeper = Arc::clone(quorum);
    cores.keep(Box::new(move || Box::pin(keeper.keep_time())));
    Ok(())
}

/// Every partition that is written to holds a file, every client a socket: takes as many descriptors as the system grants.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!("no more than {:?} files can be open: {error}", limit.current);
    }
}

fn memory_bytes() -> u64 {
    let system = rustix::system::sysinfo();
    system.totalram.saturating_mul(u64::from(system.mem_unit))
}

impl From<StorageError> for StartError {
    fn from(error: StorageError) -> Self {
        Self::Data(Box::new(error))
    }
}

impl From<QuorumStateError> for StartError {
    fn from(error: QuorumStateError) -> Self {
        Self::Data(Box::new(error))
    }
}

impl From<LeadError> for StartError {
    fn from(error: LeadError) -> Self {
        Self::Data(Box::new(error))
    }
}

impl From<Refusal> for StartError {
    fn from(refusal: Refusal) -> Self {
        Self::Data(Box::new(refusal))
    }
}
