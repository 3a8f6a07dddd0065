//! The cluster as a client sees it: its metadata as it is fetched, and requests to whoever must answer them.
//!
//! Owns the fetching; what the answers mean is `core::routing`'s.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dohle_base::{BrokerId, ErrorCode, Instant, LeaderEpoch, Rng, TopicName};
use dohle_protocol::Request;
use dohle_protocol::message::find_coordinator::Coordinator;
use dohle_protocol::message::metadata::MetadataRequestTopic;
use dohle_protocol::message::{FindCoordinatorRequest, MetadataRequest, MetadataResponse};
use tokio::sync::watch;

use super::clock::Clock;
use super::connection::{CallError, Connection};
use super::network::{ConnectError, Lane, Network, Unreachable};
use crate::config::{Address, Common};
use crate::core::TopicPartition;
use crate::core::retry::{Verdict, judge};
use crate::core::routing::{Endpoint, Routing};

/// Why nobody answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No broker could be asked.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The broker that must be asked cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The broker did not answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The broker that must be asked is not known, or nobody knows who it is.
    #[error(
        "no broker answers for {what} at the moment; try again, or look at the cluster with `dohle cluster describe`"
    )]
    Nobody {
        /// For what.
        what: String,
    },
    /// The broker refuses.
    #[error("{what}: {}", said(.code, .message))]
    Refused {
        /// What was asked for.
        what: String,
        /// Why not.
        code: ErrorCode,
        /// In the broker's words, when it has some.
        message: Option<String>,
    },
}

fn said(code: &ErrorCode, message: &Option<String>) -> String {
    match message.as_deref().filter(|message| !message.is_empty()) {
        Some(message) => format!("{message} ({code})"),
        None => format!("{} ({code})", code.words()),
    }
}

impl AskError {
    /// Whether asking again may help.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Connect(_) | Self::Nobody { .. } => true,
            Self::Call(CallError::Timeout { .. } | CallError::Lost { .. }) => true,
            Self::Call(
                CallError::Unsupported { .. } | CallError::Inexpressible { .. } | CallError::Malformed { .. },
            ) => false,
            Self::Refused { code, .. } => code.is_retriable(),
        }
    }

    /// The broker's refusal, if it is one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::Unreachable(_) | Self::Connect(_) | Self::Call(_) | Self::Nobody { .. } => None,
        }
    }
}

/// The cluster, for as long as a client lives. Shared by its tasks.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) common: Common,
    pub(crate) clock: Clock,
    network: Network,
    routing: Mutex<Routing>,
    rng: Mutex<Rng>,
    create_topics: bool,
    /// Who keeps which group, as far as it was asked.
    coordinators: Mutex<BTreeMap<String, BrokerId>>,
    /// One question at a time; who comes second takes the answer of the first.
    refreshing: tokio::sync::Mutex<()>,
    /// Counts the answers.
    learnt: watch::Sender<u64>,
}

impl Cluster {
    /// Connects to nothing yet. `create_topics`: whether asking for a topic may create it.
    pub(crate) fn new(common: Common, create_topics: bool) -> Arc<Self> {
        let clock = Clock::start();
        Arc::new(Self {
            network: Network::new(common.clone(), clock),
            routing: Mutex::new(Routing::new(common.metadata_max_age)),
            rng: Mutex::new(clock.rng()),
            common,
            clock,
            create_topics,
            coordinators: Mutex::default(),
            refreshing: tokio::sync::Mutex::default(),
            learnt: watch::Sender::new(0),
        })
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// What is known. Held for a moment only.
    pub(crate) fn routing(&self) -> MutexGuard<'_, Routing> {
        self.routing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Chance. Held for a moment only.
    pub(crate) fn rng(&self) -> MutexGuard<'_, Rng> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The wait before the next attempt after `failures` failures.
    pub(crate) fn retry_wait(&self, failures: u32) -> Duration {
        self.common.retry.wait(failures, &mut self.rng())
    }

    /// Becomes ready each time that metadata came.
    pub(crate) fn learnt(&self) -> watch::Receiver<u64> {
        self.learnt.subscribe()
    }

    /// Asks for the metadata of the followed topics, unless somebody just did.
    pub(crate) async fn refresh(&self) -> Result<(), AskError> {
        let before = *self.learnt.borrow();
        let _turn = self.refreshing.lock().await;
        if *self.learnt.borrow() != before {
            return Ok(());
        }
        let topics: Vec<TopicName> = self.routing().wanted().cloned().collect();
        let answer = self.metadata(Some(&topics), self.create_topics).await?;
        self.learn(&answer);
        Ok(())
    }

    pub(crate) fn learn(&self, answer: &MetadataResponse) {
        let now = self.now();
        self.routing().learn(now, answer);
        self.learnt.send_modify(|count| *count += 1);
    }

    /// Asks any broker for metadata; of all topics when none are named.
    pub(crate) async fn metadata(
        &self,
        topics: Option<&[TopicName]>,
        create: bool,
    ) -> Result<MetadataResponse, AskError> {
        let asked = |name: &TopicName| MetadataRequestTopic {
            name: Some(name.as_str().into()),
            ..MetadataRequestTopic::default()
        };
        let request = MetadataRequest {
            topics: topics.map(|topics| topics.iter().map(asked).collect()),
            allow_auto_topic_creation: create,
            ..MetadataRequest::default()
        };
        let connection = self.any().await?;
        let version = connection.version::<MetadataRequest>(i16::MAX)?;
        // A very old broker cannot be told not to create.
        let request =
            if version < 4 { MetadataRequest { allow_auto_topic_creation: true, ..request } } else { request };
        Ok(connection.call_in(version, &request, self.common.request_timeout).await?)
    }

    /// Makes sure that brokers are known.
    pub(crate) async fn meet(&self) -> Result<(), AskError> {
        let known = self.routing().brokers().next().is_some();
        if known { Ok(()) } else { self.refresh().await }
    }

    /// A connection to any broker: one that is known, else one that was written down (KIP-1102).
    pub(crate) async fn any(&self) -> Result<Connection, Unreachable> {
        let brokers: Vec<(BrokerId, Address)> =
            self.routing().brokers().map(|(id, endpoint)| (id, address(endpoint))).collect();
        let start = if brokers.is_empty() { 0 } else { self.rng().below(brokers.len() as u64) as usize };
        let (mut tried, mut last) = (vec![], None);
        for (broker, address) in brokers.iter().cycle().skip(start).take(brokers.len()) {
            match self.network.broker(*broker, address, Lane::Control).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = Some(error),
            }
            tried.push(address.clone());
        }
        for address in &self.common.bootstrap {
            match self.network.bootstrap(address).await {
                Ok(connection) => return Ok(connection),
                // Why it failed says more than that it failed a moment ago.
                Err(ConnectError::Resting { .. }) if last.is_some() => {}
                Err(error) => last = Some(error),
            }
            tried.push(address.clone());
        }
        tried.sort();
        tried.dedup();
        let last = last.expect("there is at least one address that was written down");
        Err(Unreachable { tried, last: Box::new(last) })
    }

    /// A connection to one broker.
    pub(crate) async fn broker(&self, broker: BrokerId, lane: Lane) -> Result<Connection, AskError> {
        let known = self.routing().endpoint(broker).map(address);
        let address = known.ok_or_else(|| {
            self.routing().invalidate();
            AskError::Nobody { what: format!("broker {broker}") }
        })?;
        Ok(self.network.broker(broker, &address, lane).await?)
    }

    /// Asks any broker.
    pub(crate) async fn ask_any<R: Request>(&self, request: &R) -> Result<R::Response, AskError> {
        Ok(self.any().await?.call(request, self.common.request_timeout).await?)
    }

    /// Asks one broker.
    pub(crate) async fn ask<R: Request>(&self, broker: BrokerId, request: &R) -> Result<R::Response, AskError> {
        let connection = self.broker(broker, Lane::Control).await?;
        Ok(connection.call(request, self.common.request_timeout).await?)
    }

    /// Finds the coordinator of a group and remembers where it listens.
    pub(crate) async fn find_coordinator(&self, group: &str) -> Result<BrokerId, AskError> {
        let connection = self.any().await?;
        let version = connection.version::<FindCoordinatorRequest>(i16::MAX)?;
        let mut request = FindCoordinatorRequest::default();
        if version >= 4 {
            request.coordinator_keys = vec![group.into()]
        } else {
            request.key = group.into()
        }
        let answer = connection.call_in(version, &request, self.common.request_timeout).await?;
        let old = Coordinator {
            key: group.into(),
            node_id: answer.node_id,
            host: answer.host,
            port: answer.port,
            error_code: answer.error_code,
            error_message: answer.error_message,
            ..Coordinator::default()
        };
        let found = if version >= 4 { answer.coordinators.into_iter().next().unwrap_or_default() } else { old };
        refuse_unless_none(found.error_code, found.error_message.as_deref(), || format!("group {group}"))?;
        let broker = BrokerId(found.node_id);
        let endpoint =
            Endpoint { host: found.host.to_string(), port: u16::try_from(found.port).unwrap_or(0), rack: None };
        self.routing().learn_endpoint(broker, endpoint);
        self.coordinators().insert(group.to_owned(), broker);
        Ok(broker)
    }

    /// The coordinator of a group as it was last found, else found now.
    pub(crate) async fn coordinator(&self, group: &str) -> Result<BrokerId, AskError> {
        let known = self.coordinators().get(group).copied();
        match known {
            Some(broker) => Ok(broker),
            None => self.find_coordinator(group).await,
        }
    }

    /// The coordinator turned out to be elsewhere.
    pub(crate) fn forget_coordinator(&self, group: &str) {
        self.coordinators().remove(group);
    }

    fn coordinators(&self) -> MutexGuard<'_, BTreeMap<String, BrokerId>> {
        self.coordinators.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the coordinator of a group; one that does not answer is sought again next time.
    pub(crate) async fn ask_coordinator<R: Request>(&self, group: &str, request: &R) -> Result<R::Response, AskError> {
        let version_max = *R::KEY.stable_versions().end();
        self.ask_coordinator_up_to(version_max, group, request).await
    }

    /// Asks the coordinator of a group in a version of at most `version_max`.
    pub(crate) async fn ask_coordinator_up_to<R: Request>(
        &self,
        version_max: i16,
        group: &str,
        request: &R,
    ) -> Result<R::Response, AskError> {
        let broker = self.coordinator(group).await?;
        let asked = async {
            let connection = self.broker(broker, Lane::Control).await?;
            let version = connection.version::<R>(version_max)?;
            Ok(connection.call_in(version, request, self.common.request_timeout).await?)
        };
        let answer = asked.await;
        if answer.as_ref().is_err_and(AskError::is_retriable) {
            self.forget_coordinator(group);
        }
        answer
    }

    /// The refusal of a coordinator, if it is one; one that is not the coordinator is forgotten.
    pub(crate) fn refused_by_coordinator(&self, group: &str, code: i16) -> Result<(), AskError> {
        if judge(ErrorCode::from_code(code)) == Verdict::Rediscover {
            self.forget_coordinator(group);
        }
        refuse_unless_none(code, None, || format!("group {group}"))
    }

    /// Who leads a partition, once that is known.
    pub(crate) fn leader(&self, place: &TopicPartition) -> Option<(BrokerId, LeaderEpoch)> {
        self.routing().leader(place)
    }

    /// Tries again what may succeed later, until the time for an operation is over. The last error is the answer.
    pub(crate) async fn persist<T, F: Future<Output = Result<T, AskError>>>(
        &self,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, AskError> {
        let deadline = self.now() + self.common.api_timeout;
        let mut failures = 0;
        loop {
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            failures += 1;
            let wait = self.retry_wait(failures);
            if !error.is_retriable() || self.now() + wait >= deadline {
                return Err(error);
            }
            tracing::debug!(%error, "trying again");
            tokio::time::sleep(wait).await;
        }
    }
}

fn address(endpoint: &Endpoint) -> Address {
    Address { host: endpoint.host.clone(), port: endpoint.port }
}

/// The refusal in an answer, if it is one.
pub(crate) fn refuse_unless_none(
    code: i16,
    message: Option<&str>,
    what: impl FnOnce() -> String,
) -> Result<(), AskError> {
    match ErrorCode::from_code(code) {
        ErrorCode::None => Ok(()),
        code => Err(AskError::Refused { what: what(), code, message: message.map(str::to_owned) }),
    }
}
