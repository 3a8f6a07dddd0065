//! The task that keeps a member in its group: it performs what `core::membership` decides, and keeps orders for the caller
//! of `poll`, who alone lets go of partitions and begins to read them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dohle_base::{ErrorCode, TopicName};
use dohle_protocol::message::join_group::JoinGroupRequestProtocol;
use dohle_protocol::message::leave_group::MemberIdentity;
use dohle_protocol::message::sync_group::SyncGroupRequestAssignment;
use dohle_protocol::message::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
};
use dohle_protocol::{Request, Str};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::wire;
use crate::core::TopicPartition;
use crate::core::assign::{Assignor, Counts, Member, Plan};
use crate::core::membership::{Effect, Event, Failure, Joined, Membership, Settings};
use crate::transport::{AskError, Cluster, Lane};

/// Beyond the time that a rebalance may take, the coordinator has this much to answer.
const JOIN_GRACE: Duration = Duration::from_secs(5);
/// A leave that is not answered by then is not waited for.
const LEAVE_WAIT: Duration = Duration::from_secs(5);

/// What the caller of `poll` must do.
#[derive(Clone, Debug)]
pub(super) enum Order {
    Release { partitions: BTreeSet<TopicPartition>, lost: bool },
    Assign { partitions: BTreeSet<TopicPartition> },
    Fail(ErrorCode),
}

/// A member and its task.
pub(super) struct Group {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    cluster: Arc<Cluster>,
    state: Mutex<State>,
    /// There is something to do for the task.
    wake: Notify,
    /// There is an order for the caller.
    notice: Notify,
    /// What the task waits for is of no interest any more.
    closing: Notify,
}

struct State {
    membership: Membership,
    requests: VecDeque<Effect>,
    orders: VecDeque<Order>,
    /// What this member planned with, if it led the last plan.
    planned: Option<Counts>,
}

impl Group {
    pub(super) fn join(cluster: Arc<Cluster>, settings: Settings, topics: BTreeSet<TopicName>) -> Self {
        let membership = Membership::new(cluster.now(), settings, cluster.clock.rng());
        let state = State { membership, requests: VecDeque::new(), orders: VecDeque::new(), planned: None };
        let shared = Arc::new(Shared {
            cluster,
            state: Mutex::new(state),
            wake: Notify::new(),
            notice: Notify::new(),
            closing: Notify::new(),
        });
        let task = tokio::spawn(run(shared.clone()));
        let group = Self { shared, task };
        group.shared.step(Event::Subscribed(topics));
        group
    }

    pub(super) fn step(&self, event: Event) {
        self.shared.step(event);
    }

    /// The next order, which stays the next until [`Self::obeyed`].
    pub(super) fn order(&self) -> Option<Order> {
        self.shared.state().orders.front().cloned()
    }

    pub(super) fn obeyed(&self) {
        self.shared.state().orders.pop_front();
    }

    /// Waits until there may be an order.
    pub(super) async fn notice(&self) {
        self.shared.notice.notified().await;
    }

    /// As whom offsets are committed.
    pub(super) fn identity(&self) -> Option<(String, i32)> {
        let state = self.shared.state();
        state.membership.identity().map(|(member, generation)| (member.to_owned(), generation))
    }

    /// The member's id; empty before the coordinator gave one.
    pub(super) fn member(&self) -> String {
        self.shared.state().membership.member().to_owned()
    }

    /// Leaves, and waits a little for the coordinator to know.
    pub(super) async fn leave(mut self) {
        self.shared.step(Event::Closed);
        self.shared.closing.notify_one();
        // A task that does not end in time is aborted when this is dropped.
        let _ = tokio::time::timeout(LEAVE_WAIT, &mut self.task).await;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(shared: Arc<Shared>) {
    let mut learnt = shared.cluster.learnt();
    loop {
        let (request, deadline, gone) = {
            let mut state = shared.state();
            let request = state.requests.pop_front();
            (request, state.membership.deadline(), state.membership.is_gone())
        };
        match request {
            Some(request) => {
                if let Some(event) = shared.perform(request).await {
                    shared.step(event);
                }
                continue;
            }
            None if gone => return,
            None => {}
        }
        let timer = shared.cluster.clock.timer(deadline.unwrap_or(dohle_base::Instant::NEVER));
        tokio::select! {
            () = shared.wake.notified() => {}
            Ok(()) = learnt.changed() => shared.compare_topics(),
            () = tokio::time::sleep_until(timer) => shared.step(Event::Tick),
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self, event: Event) {
        let mut effects = vec![];
        let mut state = self.state();
        state.membership.step(self.cluster.now(), event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Release { partitions, lost } => state.orders.push_back(Order::Release { partitions, lost }),
                Effect::Assign { partitions } => state.orders.push_back(Order::Assign { partitions }),
                Effect::Fail(code) => state.orders.push_back(Order::Fail(code)),
                request => state.requests.push_back(request),
            }
        }
        drop(state);
        self.wake.notify_one();
        self.notice.notify_one();
    }

    /// Performs a request and says what came of it; nothing when the member is to leave meanwhile.
    async fn perform(&self, request: Effect) -> Option<Event> {
        let leaves = matches!(request, Effect::Leave { .. });
        let performed = async {
            match request {
                Effect::FindCoordinator => Event::Found(self.find_coordinator().await),
                Effect::Join { member } => Event::Joined(self.join(member).await),
                Effect::Plan { assignor, members } => Event::Planned(self.plan(assignor, &members).await),
                Effect::Sync { assignor, plan } => Event::Synced(self.sync(assignor, &plan).await),
                Effect::Heartbeat => Event::Beaten(self.heartbeat().await),
                Effect::Leave { member } => self.leave(member).await,
                Effect::Release { .. } | Effect::Assign { .. } | Effect::Fail(_) => {
                    unreachable!("orders are the caller's")
                }
            }
        };
        if leaves {
            return Some(performed.await);
        }
        tokio::select! {
            event = performed => Some(event),
            () = self.closing.notified() => None,
        }
    }

    async fn find_coordinator(&self) -> Result<dohle_base::BrokerId, Failure> {
        let group = self.settings(|settings| settings.group.clone());
        self.cluster.find_coordinator(&group).await.map_err(failure)
    }

    fn settings<T>(&self, read: impl FnOnce(&Settings) -> T) -> T {
        read(self.state().membership.settings())
    }

    /// Group, instance, member and generation, as every request of a member has them.
    fn me(&self) -> (Str, Option<Str>, Str, i32) {
        let state = self.state();
        let settings = state.membership.settings();
        let instance = settings.instance.as_deref().map(Str::from);
        (settings.group.as_str().into(), instance, state.membership.member().into(), state.membership.generation())
    }

    async fn ask<R: Request>(&self, request: &R, wait: Duration) -> Result<R::Response, Failure> {
        let coordinator = self.state().membership.coordinator().ok_or(Failure::Silence)?;
        let asked = async {
            let connection = self.cluster.broker(coordinator, Lane::Control).await?;
            Ok(connection.call(request, wait).await?)
        };
        asked.await.map_err(failure)
    }

    async fn join(&self, member: String) -> Result<Joined, Failure> {
        let (request, wait) = {
            let state = self.state();
            let settings = state.membership.settings();
            let subscription = wire::subscription(&state.membership);
            let protocol = |assignor: &Assignor| JoinGroupRequestProtocol {
                name: assignor.name().into(),
                metadata: subscription.clone(),
                ..JoinGroupRequestProtocol::default()
            };
            let request = JoinGroupRequest {
                group_id: settings.group.as_str().into(),
                session_timeout_ms: settings.session_timeout.as_millis() as i32,
                rebalance_timeout_ms: settings.poll_interval_max.as_millis() as i32,
                member_id: member.into(),
                group_instance_id: settings.instance.as_deref().map(Str::from),
                protocol_type: wire::PROTOCOL_TYPE.into(),
                protocols: settings.assignors.iter().map(protocol).collect(),
                ..JoinGroupRequest::default()
            };
            (request, settings.poll_interval_max + JOIN_GRACE)
        };
        let answer = self.ask(&request, wait).await?;
        match ErrorCode::from_code(answer.error_code) {
            ErrorCode::None => joined(&answer),
            ErrorCode::MemberIdRequired => Err(Failure::NeedsId(answer.member_id.to_string())),
            code => Err(Failure::Refused(code)),
        }
    }

    async fn plan(&self, assignor: Assignor, members: &[Member]) -> Plan {
        let topics: BTreeSet<&TopicName> = members.iter().flat_map(|member| &member.topics).collect();
        for topic in &topics {
            // A group that wants more topics than a client follows gets those that it follows.
            let _ = self.cluster.routing().want(topic);
        }
        if let Err(error) = self.cluster.refresh().await {
            tracing::warn!(%error, "planning with what is known of the topics");
        }
        let counts = self.counts(topics.into_iter().cloned());
        self.state().planned = Some(counts.clone());
        assignor.plan(members, &counts)
    }

    fn counts(&self, topics: impl Iterator<Item = TopicName>) -> Counts {
        let routing = self.cluster.routing();
        topics
            .filter_map(|topic| routing.topic(&topic).map(|known| known.partitions.len()).map(|n| (topic, n)))
            .collect()
    }

    /// A leader whose topics are not what it planned with has the group share out anew.
    fn compare_topics(&self) {
        let (planned, topics) = {
            let state = self.state();
            (state.planned.clone(), state.membership.topics().clone())
        };
        let Some(planned) = planned else { return };
        let wanted: BTreeSet<TopicName> = planned.keys().cloned().chain(topics).collect();
        if self.counts(wanted.into_iter()) != planned {
            self.step(Event::TopicsChanged);
        }
    }

    async fn sync(&self, assignor: Assignor, plan: &Plan) -> Result<BTreeSet<TopicPartition>, Failure> {
        if plan.is_empty() {
            self.state().planned = None;
        }
        let (group_id, group_instance_id, member_id, generation_id) = self.me();
        let assignments = plan.iter().map(|(member, assigned)| SyncGroupRequestAssignment {
            member_id: member.into(),
            assignment: wire::assignment(assigned),
            ..SyncGroupRequestAssignment::default()
        });
        let request = SyncGroupRequest {
            group_id,
            group_instance_id,
            member_id,
            generation_id,
            protocol_type: Some(wire::PROTOCOL_TYPE.into()),
            protocol_name: Some(assignor.name().into()),
            assignments: assignments.collect(),
            ..SyncGroupRequest::default()
        };
        let wait = self.settings(|settings| settings.poll_interval_max) + JOIN_GRACE;
        let answer = self.ask(&request, wait).await?;
        refuse(answer.error_code)?;
        wire::assigned(answer.assignment).map_err(|error| {
            tracing::error!(%error, "the group's leader sent an assignment that cannot be read");
            Failure::Refused(ErrorCode::InconsistentGroupProtocol)
        })
    }

    async fn heartbeat(&self) -> Result<(), Failure> {
        let (group_id, group_instance_id, member_id, generation_id) = self.me();
        let request =
            HeartbeatRequest { group_id, group_instance_id, member_id, generation_id, ..HeartbeatRequest::default() };
        let wait = self.settings(|settings| settings.session_timeout);
        refuse(self.ask(&request, wait.min(self.cluster.common.request_timeout)).await?.error_code)
    }

    async fn leave(&self, member: String) -> Event {
        let (group_id, group_instance_id, ..) = self.me();
        let told = async {
            let coordinator = self.state().membership.coordinator().ok_or(Failure::Silence)?;
            let connection = self.cluster.broker(coordinator, Lane::Control).await.map_err(failure)?;
            let version = connection.version::<LeaveGroupRequest>(i16::MAX).map_err(|error| failure(error.into()))?;
            let mut request = LeaveGroupRequest { group_id, ..LeaveGroupRequest::default() };
            if version >= 3 {
                let member =
                    MemberIdentity { member_id: member.into(), group_instance_id, ..MemberIdentity::default() };
                request.members = vec![member];
            } else {
                request.member_id = member.into();
            }
            connection.call_in(version, &request, LEAVE_WAIT).await.map_err(|error| failure(error.into()))
        };
        if let Err(failure) = told.await {
            tracing::debug!(?failure, "the coordinator does not know that the member left");
        }
        Event::Left
    }
}

fn joined(answer: &JoinGroupResponse) -> Result<Joined, Failure> {
    let name = answer.protocol_name.as_deref().unwrap_or_default();
    let assignor = Assignor::from_name(name).ok_or(Failure::Refused(ErrorCode::InconsistentGroupProtocol))?;
    let leads = answer.leader == answer.member_id && !answer.skip_assignment;
    let members = answer.members.iter().map(|member| {
        wire::member(&member.member_id, member.group_instance_id.as_deref(), member.metadata.clone()).map_err(|error| {
            tracing::error!(member = %member.member_id, %error, "a member's subscription cannot be read");
            Failure::Refused(ErrorCode::InconsistentGroupProtocol)
        })
    });
    Ok(Joined {
        member: answer.member_id.to_string(),
        generation: answer.generation_id,
        assignor,
        members: if leads { Some(members.collect::<Result<_, _>>()?) } else { None },
    })
}

fn refuse(code: i16) -> Result<(), Failure> {
    match ErrorCode::from_code(code) {
        ErrorCode::None => Ok(()),
        code => Err(Failure::Refused(code)),
    }
}

fn failure(error: AskError) -> Failure {
    tracing::debug!(%error, "the group's coordinator did not do what was asked");
    match error.code() {
        Some(code) => Failure::Refused(code),
        None if error.is_retriable() => Failure::Silence,
        None => Failure::Refused(ErrorCode::UnsupportedVersion),
    }
}
