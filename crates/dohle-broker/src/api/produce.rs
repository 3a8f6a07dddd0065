//! Produce (KIP-98, KIP-890, KIP-951): batches in, their offsets out, once they are as safe as the client asked for. The first batch of
//! a transaction is asked about before, and holds up what comes behind it on the connection.

use std::sync::Arc;
use std::time::Duration;

use dohle_base::{ErrorCode, Instant, Now, Partition as Index};
use dohle_coordinator::Producer;
use dohle_coordinator::transaction::TopicPartition;
use dohle_log::log::Appended;
use dohle_metadata::image::Topic;
use dohle_protocol::message::produce::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceData, PartitionProduceResponse,
    ProduceRequest, ProduceResponse, TopicProduceData, TopicProduceResponse,
};
use dohle_protocol::{ApiKey, Records};
use dohle_records::Header;

use super::Api;
use super::verification::{First, Joiner, Joining, Leaves};
use crate::catalog::View;
use crate::context::Context;
use crate::dispatch::{Client, Reply};
use crate::partition::produce::{ProduceRefusal, Produced};
use crate::partition::{Outcome, Partition};
use crate::topics::is_internal;

/// Old clients look for version 0 to learn which codecs there are (KAFKA-18659); it is not served.
pub(crate) const API: Api = Api::of(ApiKey::Produce).overlapping().advertised_from(0);

/// The version since which topics are named by their ids.
const BY_ID_FROM: i16 = 13;
/// The version since which zstd may be used (KIP-110).
const ZSTD_FROM: i16 = 7;
/// The version since which a client knows that it can go on after an abort.
const ABORTABLE_FROM: i16 = 11;
/// The version since which a batch adds its partition to the transaction.
const JOINS_FROM: i16 = 12;

/// All batches are in their logs when this waits for the first time, but for what it does ahead of later requests.
pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    version: i16,
    request: ProduceRequest,
) -> Reply<ProduceResponse> {
    let ProduceRequest { transactional_id, topic_data, acks, timeout_ms, .. } = request;
    let view = cx.catalog.view();
    let walk = Walk { cx, client, view: &view, version, acks, now: cx.clock.now() };
    let appended = match walk.transaction(transactional_id.as_deref(), &topic_data) {
        Ok(None) => walk.append_all(topic_data, &Ok(Leaves::default())),
        Err(code) => walk.append_all(topic_data, &Err(code)),
        Ok(Some((joiner, batches))) => {
            let ahead = async {
                let leaves = Ok(joiner.leaves(&batches).await);
                walk.append_all(topic_data, &leaves)
            };
            client.ahead(ahead).await
        }
    };
    if acks == 0 {
        return walk.silently(&appended);
    }
    let patience = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
    let deadline = walk.now.instant + patience;
    let mut responses = Vec::with_capacity(appended.len());
    for topic in appended {
        responses.push(walk.await_topic(topic, deadline).await);
    }
    let node_endpoints = walk.leaders(&responses);
    Reply::Send(ProduceResponse { responses, node_endpoints, ..Default::default() })
}

struct Walk<'a> {
    cx: &'a Context,
    client: &'a Client,
    view: &'a View,
    version: i16,
    acks: i16,
    now: Now,
}

/// A batch that is in its log, or was refused.
type Attempt = Result<(Arc<Partition>, Appended), Failed>;

/// A topic whose batches are in their logs, or were refused.
struct Attempted {
    topic: TopicProduceResponse,
    partitions: Vec<(i32, Attempt)>,
}

/// A batch that was refused.
struct Failed {
    refusal: ProduceRefusal,
    leader: LeaderIdAndEpoch,
}

impl From<ErrorCode> for Failed {
    fn from(code: ErrorCode) -> Self {
        Self { refusal: code.into(), leader: LeaderIdAndEpoch::default() }
    }
}

impl<'a> Walk<'a> {
    /// Who writes in which transaction, and every batch that may be its first where it goes; none if nothing belongs to one.
    fn transaction<'b>(
        &self,
        transactional_id: Option<&'b str>,
        topics: &[TopicProduceData],
    ) -> Result<Option<(Joiner<'b>, Vec<First>)>, ErrorCode>
    where
        'a: 'b,
    {
        let mut found: Option<Producer> = None;
        let mut batches = vec![];
        for topic in topics {
            for data in &topic.partition_data {
                let Some(header) = data.records.as_ref().and_then(|records| transactional(records.held())) else { continue };
                let producer = Producer { id: header.producer_id, epoch: header.producer_epoch };
                if found.replace(producer).is_some_and(|before| before != producer) {
                    return Err(ErrorCode::InvalidProducerIdMapping);
                }
                batches.extend(self.first(topic, data.index, header.base_sequence));
            }
        }
        let Some(producer) = found else { return Ok(None) };
        let transactional_id = transactional_id.ok_or(ErrorCode::TransactionalIdAuthorizationFailed)?;
        let joining = Joining::of(self.version, ABORTABLE_FROM, JOINS_FROM);
        Ok(Some((Joiner { cx: self.cx, joining, transactional_id, producer }, batches)))
    }

    /// A batch that goes into a partition which is led here; what becomes of any other is told when it is to be appended.
    fn first(&self, topic: &TopicProduceData, index: i32, sequence: i32) -> Option<First> {
        let topic = self.find(topic).ok()?;
        let partition = self.view.partition(topic.id, Index(index))?;
        let place = TopicPartition { topic: topic.name.clone(), partition: Index(index) };
        Some(First { topic_id: topic.id, place, partition: Arc::clone(partition), sequence })
    }

    /// Appends all batches, or none for the reason in place of the leaves.
    fn append_all(&self, topics: Vec<TopicProduceData>, leaves: &Result<Leaves, ErrorCode>) -> Vec<Attempted> {
        topics.into_iter().map(|topic| self.append(topic, leaves)).collect()
    }

    fn append(&self, topic: TopicProduceData, leaves: &Result<Leaves, ErrorCode>) -> Attempted {
        let found = self.find(&topic).and_then(|topic| Ok((topic, leaves.as_ref().map_err(|code| *code)?)));
        let attempt = |data: PartitionProduceData| {
            let attempt = found.as_ref().map_err(|code| Failed::from(*code));
            let attempt = attempt.and_then(|(topic, leaves)| self.attempt(topic, leaves, data.index, data.records));
            (data.index, attempt)
        };
        let partitions = topic.partition_data.into_iter().map(attempt).collect();
        let answer = TopicProduceResponse { name: topic.name, topic_id: topic.topic_id, ..Default::default() };
        Attempted { topic: answer, partitions }
    }

    fn find(&self, asked: &TopicProduceData) -> Result<&'a Arc<Topic>, ErrorCode> {
        if !matches!(self.acks, -1..=1) {
            return Err(ErrorCode::InvalidRequiredAcks);
        }
        let topic = if self.version >= BY_ID_FROM {
            self.view.image.topics.get(asked.topic_id).ok_or(ErrorCode::UnknownTopicId)?
        } else {
            self.view.topic(&asked.name).ok_or(ErrorCode::UnknownTopicOrPartition)?
        };
        // Nobody but its coordinator writes to an internal topic: Kafka lets a client through that calls itself `__admin_client`.
        if is_internal(&topic.name) {
            return Err(ErrorCode::InvalidTopic);
        }
        Ok(topic)
    }

    fn attempt(&self, topic: &Topic, leaves: &Leaves, index: i32, records: Option<Records>) -> Attempt {
        let assignment = topic.partition(Index(index)).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let elsewhere = || LeaderIdAndEpoch {
            leader_id: assignment.leader.0,
            leader_epoch: assignment.leader_epoch.0,
            ..Default::default()
        };
        let found = self.view.find(topic.id, Index(index), assignment);
        let partition = found.map_err(|code| match code {
            ErrorCode::NotLeaderOrFollower => Failed { refusal: code.into(), leader: elsewhere() },
            code => Failed::from(code),
        })?;
        let produced = Produced {
            records: records.unwrap_or_default().into_held(),
            zstd: self.version >= ZSTD_FROM,
            all_in_sync: self.acks == -1,
            leave: leaves.of(topic.id, Index(index)).map_err(|code| self.without_leave(code))?,
            now: self.now,
        };
        match partition.produce(&produced) {
            Ok(appended) => Ok((Arc::clone(partition), appended)),
            Err(refusal) => Err(Failed { refusal, leader: LeaderIdAndEpoch::default() }),
        }
    }

    /// What a client understands of the coordinator's refusal. Older ones do not come again for these codes, but do for the one that they
    /// are given (`ReplicaManager.handleProduceAppend`).
    fn without_leave(&self, code: ErrorCode) -> ErrorCode {
        match code {
            ErrorCode::NetworkException
            | ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NotCoordinator => ErrorCode::NotEnoughReplicas,
            ErrorCode::ConcurrentTransactions if self.version < JOINS_FROM => ErrorCode::NotEnoughReplicas,
            code => code,
        }
    }

    /// For a client that wants no answer: it learns of a failure by the end of its connection.
    fn silently(&self, appended: &[Attempted]) -> Reply<ProduceResponse> {
        let mut failed = None;
        for (topic, (index, attempt)) in appended.iter().flat_map(|it| it.partitions.iter().map(|each| (&it.topic, each))) {
            let code = attempt.as_ref().err().map_or(ErrorCode::None, |failed| failed.refusal.code());
            self.client.count(code);
            if !code.is_none() {
                failed = Some((&topic.name, index, code));
            }
        }
        let Some((topic, index, code)) = failed else { return Reply::Nothing };
        if let Some(left_out) = self.cx.notices.unacknowledged.admit(self.cx.clock.instant()) {
            let client = self.client.peer.address;
            tracing::warn!(%client, topic = topic.as_str(), index, left_out, "refused with acks=0, connection closed: {code}");
        }
        Reply::Close
    }

    async fn await_topic(&self, attempted: Attempted, deadline: Instant) -> TopicProduceResponse {
        let mut partition_responses = Vec::with_capacity(attempted.partitions.len());
        for (index, attempt) in attempted.partitions {
            let response = match attempt {
                Ok((partition, appended)) => self.await_partition(&partition, &appended, deadline).await,
                Err(failed) => self.refused(failed),
            };
            partition_responses.push(PartitionProduceResponse { index, ..response });
        }
        TopicProduceResponse { partition_responses, ..attempted.topic }
    }

    async fn await_partition(
        &self,
        partition: &Arc<Partition>,
        appended: &Appended,
        deadline: Instant,
    ) -> PartitionProduceResponse {
        let upto = appended.last_offset.next();
        let error = match partition.safe(&self.cx.clock, upto, deadline).await {
            Outcome::Safe => ErrorCode::None,
            Outcome::Expired => ErrorCode::RequestTimedOut,
            Outcome::Refused => partition.stopped().unwrap_or(ErrorCode::NotLeaderOrFollower),
        };
        if !error.is_none() {
            return self.refused(error.into());
        }
        PartitionProduceResponse {
            error_code: self.client.code(ErrorCode::None),
            base_offset: appended.base_offset.0,
            log_append_time_ms: appended.append_time.0,
            log_start_offset: appended.log_start.0,
            ..Default::default()
        }
    }

    fn refused(&self, failed: Failed) -> PartitionProduceResponse {
        let Failed { refusal, leader: current_leader } = failed;
        let offences = refusal.offences().map(|(index, message)| BatchIndexAndErrorMessage {
            batch_index: index,
            batch_index_error_message: Some(message.into()),
            ..Default::default()
        });
        PartitionProduceResponse {
            error_code: self.client.code(refusal.code()),
            base_offset: -1,
            log_start_offset: -1,
            record_errors: offences.collect(),
            error_message: refusal.message().map(Into::into),
            // Only versions since 10 can say who leads.
            current_leader: if self.version >= 10 { current_leader } else { LeaderIdAndEpoch::default() },
            ..Default::default()
        }
    }

    /// Where to find the leaders that are named in `responses` (KIP-951).
    fn leaders(&self, responses: &[TopicProduceResponse]) -> Vec<NodeEndpoint> {
        let named = responses.iter().flat_map(|topic| &topic.partition_responses).map(|p| p.current_leader.leader_id);
        let mut leaders: Vec<i32> = named.filter(|leader| *leader >= 0).collect();
        leaders.sort_unstable();
        leaders.dedup();
        let found = leaders.into_iter().filter_map(|leader| super::endpoint(self.view, self.client, leader));
        let endpoint = |(node_id, host, port, rack)| NodeEndpoint { node_id, host, port, rack, ..Default::default() };
        found.map(endpoint).collect()
    }
}

/// The header of a batch that says that it belongs to a transaction. Whether it is one at all is looked at when it is appended.
fn transactional(records: &[u8]) -> Option<Header> {
    let header = Header::parse(records).ok()?;
    (header.attributes.is_transactional() && header.has_producer()).then_some(header)
}
