//! The task that sends: it drains the accumulator whenever something changed, and reports what became of what was sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dohle_base::{BrokerId, ErrorCode, Instant, LeaderEpoch, Offset, Timestamp, TopicId};
use dohle_protocol::message::produce::{PartitionProduceData, PartitionProduceResponse, TopicProduceData};
use dohle_protocol::message::{ProduceRequest, ProduceResponse};
use tokio::task::JoinSet;

use super::Shared;
use crate::config::Acks;
use crate::core::TopicPartition;
use crate::core::batching::{BatchId, Dispatch, Outcome};
use crate::core::routing::Endpoint;
use crate::transport::{AskError, CallError, Connection, Lane};

/// The last version that names topics; later ones only know ids (KIP-516).
const VERSION_MAX_BY_NAME: i16 = 12;

/// Runs until the producer is closed and nothing is left.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut learnt = shared.cluster.learnt();
    let mut sender = Sender {
        shared,
        links: BTreeMap::new(),
        tasks: JoinSet::new(),
        refreshing: false,
        refresh_failures: 0,
        refresh_rests_until: Instant::ZERO,
        identifying: false,
    };
    loop {
        sender.send_what_can_be().await;
        if sender.is_done() {
            return;
        }
        let timer = sender.shared.cluster.clock.timer(sender.deadline());
        tokio::select! {
            Some(end) = sender.tasks.join_next() => {
                if let Ok(end) = end {
                    sender.take(end);
                }
            }
            () = sender.shared.wake.notified() => {}
            Ok(()) = learnt.changed() => {}
            () = tokio::time::sleep_until(timer) => sender.expire(),
        }
    }
}

struct Sender {
    shared: Arc<Shared>,
    links: BTreeMap<BrokerId, Link>,
    tasks: JoinSet<End>,
    refreshing: bool,
    refresh_failures: u32,
    refresh_rests_until: Instant,
    identifying: bool,
}

/// The way to a broker.
enum Link {
    Connecting,
    Up { connection: Connection, under_way: usize },
    Down { until: Instant },
}

/// What a task of the sender ended with.
enum End {
    Linked(BrokerId, Result<Connection, AskError>),
    Refreshed(Result<(), AskError>),
    Identified,
    Answered(BrokerId, Vec<(TopicPartition, BatchId, Outcome)>, Vec<Hint>),
}

/// Who leads now, told beside a refusal (KIP-951).
struct Hint {
    place: TopicPartition,
    leader: BrokerId,
    epoch: LeaderEpoch,
    endpoint: Option<Endpoint>,
}

impl Sender {
    async fn send_what_can_be(&mut self) {
        let now = self.shared.cluster.now();
        self.refresh_if_due(now);
        self.identify_if_needed();
        let requests = self.drain(now);
        for (broker, dispatches) in requests {
            self.request(broker, dispatches).await;
        }
    }

    fn drain(&mut self, now: Instant) -> BTreeMap<BrokerId, Vec<Dispatch>> {
        let in_flight = self.shared.config.in_flight;
        let cluster = self.shared.cluster.clone();
        let mut missing = BTreeSet::new();
        let links = &self.links;
        let requests = {
            let routing = cluster.routing();
            let mut state = self.shared.state();
            let wanted = std::cell::RefCell::new(&mut missing);
            let room = |broker: BrokerId| match links.get(&broker) {
                Some(Link::Up { connection, under_way }) if connection.stands() => *under_way < in_flight,
                Some(Link::Connecting) => false,
                Some(Link::Down { until }) if *until > now => false,
                Some(Link::Up { .. } | Link::Down { .. }) | None => {
                    wanted.borrow_mut().insert(broker);
                    false
                }
            };
            state.accumulator.drain(now, |place| routing.leader(place).map(|(broker, _)| broker), room)
        };
        for broker in missing {
            self.links.insert(broker, Link::Connecting);
            let cluster = cluster.clone();
            self.tasks.spawn(async move { End::Linked(broker, cluster.broker(broker, Lane::Records).await) });
        }
        requests
    }

    async fn request(&mut self, broker: BrokerId, dispatches: Vec<Dispatch>) {
        let Some(Link::Up { connection, under_way }) = self.links.get_mut(&broker) else {
            unreachable!("only brokers that are connected have room");
        };
        let connection = connection.clone();
        *under_way += 1;
        let batches: Vec<(TopicPartition, BatchId)> =
            dispatches.iter().map(|dispatch| (dispatch.place.clone(), dispatch.batch)).collect();
        let (request, ids) = self.shared.produce_request(dispatches);
        let version_max = if ids.contains_key(&TopicId::ZERO) { VERSION_MAX_BY_NAME } else { i16::MAX };
        let wait = self.shared.config.common.request_timeout;
        let began = match connection.version::<ProduceRequest>(version_max) {
            Ok(version) if self.shared.config.acks == Acks::None => {
                let told = connection.tell(version, &request).await;
                self.take(End::Answered(broker, told_outcomes(batches, &told), vec![]));
                return;
            }
            Ok(version) => connection.begin(version, &request).await,
            Err(error) => Err(error),
        };
        match began {
            Ok(answer) => drop(self.tasks.spawn(async move {
                let answer = answer.wait(wait).await;
                let hints = answer.as_ref().map(|answer| hints(answer, &ids)).unwrap_or_default();
                End::Answered(broker, outcomes(batches, answer, &ids), hints)
            })),
            Err(error) => self.take(End::Answered(broker, outcomes(batches, Err(error), &ids), vec![])),
        }
    }

    fn take(&mut self, end: End) {
        let now = self.shared.cluster.now();
        match end {
            End::Linked(broker, Ok(connection)) => {
                self.links.insert(broker, Link::Up { connection, under_way: 0 });
            }
            End::Linked(broker, Err(error)) => {
                tracing::debug!(%broker, %error, "cannot send yet");
                self.shared.cluster.routing().invalidate();
                let until = now + self.shared.cluster.retry_wait(1);
                self.links.insert(broker, Link::Down { until });
            }
            End::Refreshed(refreshed) => {
                self.refreshing = false;
                self.refresh_failures = if refreshed.is_ok() { 1 } else { self.refresh_failures + 1 };
                self.refresh_rests_until = now + self.shared.cluster.retry_wait(self.refresh_failures);
            }
            End::Identified => self.identifying = false,
            End::Answered(broker, outcomes, hints) => {
                if let Some(Link::Up { under_way, .. }) = self.links.get_mut(&broker) {
                    *under_way = under_way.saturating_sub(1);
                }
                self.settle(now, outcomes);
                self.learn(hints);
            }
        }
    }

    fn settle(&mut self, now: Instant, outcomes: Vec<(TopicPartition, BatchId, Outcome)>) {
        let mut settled = vec![];
        let mut refresh = false;
        let mut state = self.shared.state();
        for (place, batch, outcome) in outcomes {
            refresh |= state.accumulator.settle(now, &place, batch, outcome, &mut settled);
        }
        state.settle(settled);
        drop(state);
        self.shared.space.notify_waiters();
        if refresh {
            self.shared.cluster.routing().invalidate();
        }
    }

    fn learn(&self, hints: Vec<Hint>) {
        let mut routing = self.shared.cluster.routing();
        for hint in hints {
            if let Some(endpoint) = hint.endpoint {
                routing.learn_endpoint(hint.leader, endpoint);
            }
            routing.learn_leader(&hint.place, hint.leader, hint.epoch);
        }
    }

    fn expire(&mut self) {
        let mut settled = vec![];
        let mut state = self.shared.state();
        state.accumulator.expire(self.shared.cluster.now(), &mut settled);
        state.settle(settled);
        drop(state);
        self.shared.space.notify_waiters();
    }

    fn refresh_if_due(&mut self, now: Instant) {
        let due = {
            let routing = self.shared.cluster.routing();
            routing.wanted().next().is_some() && routing.refresh_due(now)
        };
        if due && !self.refreshing && self.refresh_rests_until <= now {
            self.refreshing = true;
            let cluster = self.shared.cluster.clone();
            self.tasks.spawn(async move { End::Refreshed(cluster.refresh().await) });
        }
    }

    /// Before the first record its sender sees to it; later the epochs of an id may be used up.
    fn identify_if_needed(&mut self) {
        let needed = {
            let state = self.shared.state();
            state.accumulator.needs_id() && !state.accumulator.is_empty()
        };
        if needed && !self.identifying {
            self.identifying = true;
            let shared = self.shared.clone();
            self.tasks.spawn(async move {
                let deadline = shared.cluster.now() + shared.config.block_max;
                if let Err(error) = shared.identify(deadline).await {
                    tracing::warn!(%error, "no producer id");
                }
                End::Identified
            });
        }
    }

    fn deadline(&self) -> Instant {
        let now = self.shared.cluster.now();
        let batches = self.shared.state().accumulator.deadline(now);
        let (due, age) = {
            let routing = self.shared.cluster.routing();
            (routing.refresh_due(now), routing.refresh_at())
        };
        let refresh = if due { Some(self.refresh_rests_until) } else { age };
        let links = self.links.values().filter_map(|link| match link {
            Link::Down { until } => Some(*until),
            Link::Connecting | Link::Up { .. } => None,
        });
        let soonest = links.chain(batches).chain(refresh).filter(|at| *at > now).min();
        soonest.unwrap_or(Instant::NEVER)
    }

    fn is_done(&self) -> bool {
        let state = self.shared.state();
        state.closed && state.accumulator.is_empty()
    }
}

impl Shared {
    /// The request for some batches, and the names of its topics by id.
    fn produce_request(&self, dispatches: Vec<Dispatch>) -> (ProduceRequest, BTreeMap<TopicId, String>) {
        let mut topics: BTreeMap<String, TopicProduceData> = BTreeMap::new();
        let routing = self.cluster.routing();
        for dispatch in dispatches {
            let name = dispatch.place.topic.as_str();
            let data = topics.entry(name.to_owned()).or_insert_with(|| TopicProduceData {
                name: name.into(),
                topic_id: routing.topic(&dispatch.place.topic).map_or(TopicId::ZERO, |topic| topic.id),
                ..TopicProduceData::default()
            });
            data.partition_data.push(PartitionProduceData {
                index: dispatch.place.partition.0,
                records: Some(dispatch.bytes.into()),
                ..PartitionProduceData::default()
            });
        }
        let ids = topics.iter().map(|(name, data)| (data.topic_id, name.clone())).collect();
        let request = ProduceRequest {
            acks: match self.config.acks {
                Acks::None => 0,
                Acks::Leader => 1,
                Acks::All => -1,
            },
            timeout_ms: self.config.common.request_timeout.as_millis() as i32,
            topic_data: topics.into_values().collect(),
            ..ProduceRequest::default()
        };
        (request, ids)
    }
}

/// Batches that nobody answers for: what could be sent counts as written.
fn told_outcomes(
    batches: Vec<(TopicPartition, BatchId)>,
    told: &Result<(), CallError>,
) -> Vec<(TopicPartition, BatchId, Outcome)> {
    let outcome = match told {
        Ok(()) => Outcome::Written { base_offset: Offset::NONE, append_time: None },
        Err(_) => Outcome::Silence,
    };
    batches.into_iter().map(|(place, batch)| (place, batch, outcome.clone())).collect()
}

fn outcomes(
    batches: Vec<(TopicPartition, BatchId)>,
    answer: Result<ProduceResponse, CallError>,
    ids: &BTreeMap<TopicId, String>,
) -> Vec<(TopicPartition, BatchId, Outcome)> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            tracing::debug!(%error, "produce failed");
            let outcome = unanswered(&error);
            return batches.into_iter().map(|(place, batch)| (place, batch, outcome.clone())).collect();
        }
    };
    let answered = by_place(&answer, ids);
    let outcome = |place: &TopicPartition| {
        answered.get(&(place.topic.as_str(), place.partition.0)).map_or(Outcome::Silence, |answer| outcome(answer))
    };
    batches.into_iter().map(|(place, batch)| (place.clone(), batch, outcome(&place))).collect()
}

/// What could not even be asked will not get better by asking again.
fn unanswered(error: &CallError) -> Outcome {
    match error {
        CallError::Timeout { .. } | CallError::Lost { .. } | CallError::Malformed { .. } => Outcome::Silence,
        CallError::Unsupported { .. } | CallError::Inexpressible { .. } => {
            Outcome::Refused { code: ErrorCode::UnsupportedVersion, message: Some(error.to_string()) }
        }
    }
}

fn by_place<'a>(
    answer: &'a ProduceResponse,
    ids: &'a BTreeMap<TopicId, String>,
) -> BTreeMap<(&'a str, i32), &'a PartitionProduceResponse> {
    let mut answers = BTreeMap::new();
    for topic in &answer.responses {
        // Either the name or the id is there, as the version wants.
        let name =
            if topic.name.is_empty() { ids.get(&topic.topic_id).map(String::as_str) } else { Some(&*topic.name) };
        for partition in topic.partition_responses.iter() {
            answers.extend(name.map(|name| ((name, partition.index), partition)));
        }
    }
    answers
}

fn outcome(answer: &PartitionProduceResponse) -> Outcome {
    match ErrorCode::from_code(answer.error_code) {
        ErrorCode::None => Outcome::Written {
            base_offset: Offset(answer.base_offset),
            append_time: (answer.log_append_time_ms >= 0).then_some(Timestamp(answer.log_append_time_ms)),
        },
        code => {
            let record = answer.record_errors.first().and_then(|error| error.batch_index_error_message.as_ref());
            let message = record.or(answer.error_message.as_ref()).map(|message| message.to_string());
            Outcome::Refused { code, message }
        }
    }
}

fn hints(answer: &ProduceResponse, ids: &BTreeMap<TopicId, String>) -> Vec<Hint> {
    let endpoint = |leader: i32| {
        let node = answer.node_endpoints.iter().find(|node| node.node_id == leader)?;
        let port = u16::try_from(node.port).ok()?;
        Some(Endpoint { host: node.host.to_string(), port, rack: node.rack.as_ref().map(|rack| rack.to_string()) })
    };
    let told = by_place(answer, ids).into_iter().filter(|(_, answer)| answer.current_leader.leader_id >= 0);
    told.filter_map(|((topic, partition), answer)| {
        let topic = dohle_base::TopicName::parse(topic).ok()?;
        Some(Hint {
            place: TopicPartition::new(topic, dohle_base::Partition(partition)),
            leader: BrokerId(answer.current_leader.leader_id),
            epoch: LeaderEpoch(answer.current_leader.leader_epoch),
            endpoint: endpoint(answer.current_leader.leader_id),
        })
    })
    .collect()
}
