//! The connections of one client, by broker and purpose.
//!
//! Owns when a broker is connected to again after it could not be reached.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dohle_base::{BrokerId, Instant, Rng};
use dohle_protocol::Str;
use tokio::net::TcpStream;

use super::clock::Clock;
use super::connection::Connection;
use super::handshake;
use crate::config::{Address, Common};

/// What a connection is for: a long poll on one must not hold up a heartbeat on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Produce and fetch.
    Records,
    /// Everything else.
    Control,
}

/// Why a broker is not connected.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The socket was refused, or what answered is no broker.
    #[error("cannot connect to {address}: {source}")]
    Failed {
        /// Where.
        address: Address,
        /// Why.
        source: io::Error,
    },
    /// It did not stand in time.
    #[error("cannot connect to {address} within {after:?}")]
    Timeout {
        /// Where.
        address: Address,
        /// How long was waited.
        after: Duration,
    },
    /// It failed just now and is not tried again yet.
    #[error("{address} could not be reached a moment ago")]
    Resting {
        /// Where.
        address: Address,
        /// When it is tried again.
        until: Instant,
    },
}

/// None of the brokers that are known can be reached.
#[derive(Debug, thiserror::Error)]
#[error("no broker can be reached: {}", told(.tried, .last))]
pub struct Unreachable {
    /// Where was tried.
    pub tried: Vec<Address>,
    /// Why the last one failed.
    pub last: Box<ConnectError>,
}

fn told(tried: &[Address], last: &ConnectError) -> String {
    let tried: Vec<String> = tried.iter().map(ToString::to_string).collect();
    if tried.len() > 1 { format!("tried {}, and at last: {last}", tried.join(", ")) } else { last.to_string() }
}

/// Whom a connection leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Peer {
    /// An address that was written down; who listens there is not known.
    Bootstrap(Address),
    Broker(BrokerId),
}

/// At most one connection at a time is made in a slot: who comes second waits for it.
type Slot = Arc<tokio::sync::Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    /// Where the connection leads; a broker may move.
    address: Option<Address>,
    connection: Option<Connection>,
    failures: u32,
    rest_until: Instant,
}

/// All connections of one client.
#[derive(Debug)]
pub(crate) struct Network {
    common: Common,
    client_id: Str,
    clock: Clock,
    rng: Mutex<Rng>,
    slots: Mutex<BTreeMap<(Peer, Lane), Slot>>,
}

impl Network {
    pub(crate) fn new(common: Common, clock: Clock) -> Self {
        let client_id = common.client_id.as_str().into();
        Self { common, client_id, clock, rng: Mutex::new(clock.rng()), slots: Mutex::default() }
    }

    /// The connection to a broker, made now if there is none.
    pub(crate) async fn broker(
        &self,
        broker: BrokerId,
        address: &Address,
        lane: Lane,
    ) -> Result<Connection, ConnectError> {
        self.connect(Peer::Broker(broker), address, lane).await
    }

    /// The connection to an address that was written down, made now if there is none.
    pub(crate) async fn bootstrap(&self, address: &Address) -> Result<Connection, ConnectError> {
        self.connect(Peer::Bootstrap(address.clone()), address, Lane::Control).await
    }

    async fn connect(&self, peer: Peer, address: &Address, lane: Lane) -> Result<Connection, ConnectError> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.entry((peer, lane)).or_default().clone()
        };
        let mut state = slot.lock().await;
        if state.address.as_ref() != Some(address) {
            *state = State { address: Some(address.clone()), ..State::default() };
        }
        if let Some(connection) = state.connection.as_ref().filter(|connection| connection.stands()) {
            return Ok(connection.clone());
        }
        if state.rest_until > self.clock.now() {
            return Err(ConnectError::Resting { address: address.clone(), until: state.rest_until });
        }
        match self.open(address).await {
            Ok(connection) => {
                *state =
                    State { address: Some(address.clone()), connection: Some(connection.clone()), ..State::default() };
                Ok(connection)
            }
            Err(error) => {
                state.connection = None;
                state.failures += 1;
                let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
                state.rest_until = self.clock.now() + self.common.reconnect.wait(state.failures, &mut rng);
                Err(error)
            }
        }
    }

    async fn open(&self, address: &Address) -> Result<Connection, ConnectError> {
        let wait = self.common.setup_timeout;
        let opened = tokio::time::timeout(wait, async {
            let mut socket = TcpStream::connect((address.host.as_str(), address.port)).await?;
            socket.set_nodelay(true)?;
            let versions = handshake::agree(&mut socket, &self.client_id).await?;
            Ok(Connection::over(socket, address.to_string().into(), self.client_id.clone(), versions))
        });
        match opened.await {
            Ok(opened) => opened.map_err(|source| ConnectError::Failed { address: address.clone(), source }),
            Err(_) => Err(ConnectError::Timeout { address: address.clone(), after: wait }),
        }
    }
}
