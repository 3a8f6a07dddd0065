//! Fetch: records from where a consumer stands, at once or as soon as there are any (KIP-227, KIP-320, KIP-392, KIP-516).

use std::time::Duration;

use dohle_base::{ErrorCode, Offset, Partition as Index};
use dohle_protocol::{ApiKey, Records};
use dohle_protocol::message::fetch::{
    AbortedTransaction, EpochEndOffset, FetchRequest, FetchResponse, FetchTopic, FetchableTopicResponse,
    ForgottenTopic, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};

use super::Api;
use crate::catalog::View;
use crate::context::Context;
use crate::dispatch::Client;
use crate::fetch::look::{Gathered, Got, Terms};
use crate::fetch::round::Round;
use crate::fetch::session::{TopicKey, Wanted};
use crate::fetch::sessions::{Ask, Term};
use crate::net::answers::Filed;
use crate::partition::Isolation;

pub(crate) const API: Api = Api::of(ApiKey::Fetch).overlapping();

/// The version since which topics are named by their ids.
const BY_ID_FROM: i16 = 13;
/// The version since which an answer can say who leads (KIP-951).
const LEADERS_FROM: i16 = 16;

pub(crate) async fn handle(cx: &Context, client: &Client, version: i16, request: FetchRequest) -> FetchResponse {
    let replica = if version >= 15 { request.replica_state.replica_id } else { request.replica_id };
    if replica >= 0 {
        // Nobody follows a quorum of one.
        return refused(client, ErrorCode::ClusterAuthorizationFailed);
    }
    let terms = terms(cx, &request);
    let ask = ask(version, request);
    let plan = match cx.sessions.plan(cx.clock.instant(), ask) {
        Ok(plan) => plan,
        Err(error) => return refused(client, error),
    };
    let mut share = cx.answers_budget.open();
    let round = Round { cx, session: &plan.session, number: plan.round, terms: &terms };
    let Ok(gathered) = round.gather(&mut share).await else {
        return refused(client, ErrorCode::InvalidFetchSessionEpoch);
    };
    let session_id = match plan.term {
        Term::Once => 0,
        Term::Open { is_replica } => cx.sessions.open(cx.clock.instant(), &plan.session, is_replica),
        Term::Continue { id } => id,
    };
    client.keep(share);
    let view = cx.catalog.view();
    Answer { client, view: &view, version }.all(session_id, gathered)
}

fn terms(cx: &Context, request: &FetchRequest) -> Terms {
    let bytes_max = u64::try_from(request.max_bytes).unwrap_or(0).min(cx.settings.fetch.bytes_max as u64);
    Terms {
        // Nobody waits for more than the answer may hold.
        bytes_min: u64::try_from(request.min_bytes).unwrap_or(0).min(bytes_max),
        bytes_max,
        wait_max: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
        isolation: if request.isolation_level == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted },
    }
}

fn ask(version: i16, request: FetchRequest) -> Ask {
    let by_id = version >= BY_ID_FROM;
    let key = |name: &str, id| if by_id { TopicKey::Id(id) } else { TopicKey::Name(name.into()) };
    let wanted = request.topics.iter().flat_map(|topic: &FetchTopic| {
        let key = key(&topic.topic, topic.topic_id);
        topic.partitions.iter().map(move |partition| Wanted {
            topic: key.clone(),
            partition: partition.partition,
            offset: Offset(partition.fetch_offset),
            bytes_max: partition.partition_max_bytes,
            current_leader_epoch: partition.current_leader_epoch,
            last_fetched_epoch: partition.last_fetched_epoch,
        })
    });
    let forgotten = request.forgotten_topics_data.iter().flat_map(|topic: &ForgottenTopic| {
        let key = key(&topic.topic, topic.topic_id);
        topic.partitions.iter().map(move |partition| (key.clone(), *partition))
    });
    let (wanted, forgotten) = (wanted.collect(), forgotten.collect());
    // Before version 7 there are no sessions, and the request says so by its defaults.
    Ask { session_id: request.session_id, epoch: request.session_epoch, by_id, is_replica: false, wanted, forgotten }
}

fn refused(client: &Client, error: ErrorCode) -> FetchResponse {
    FetchResponse { error_code: client.code(error), ..Default::default() }
}

struct Answer<'a> {
    client: &'a Client,
    view: &'a View,
    version: i16,
}

impl Answer<'_> {
    /// The answer that tells of all these, neighbours of one topic together.
    fn all(&self, session_id: i32, gathered: Vec<Gathered>) -> FetchResponse {
        let mut responses: Vec<FetchableTopicResponse> = vec![];
        let mut last: Option<TopicKey> = None;
        let (mut leaders, mut filed) = (vec![], vec![]);
        for got in gathered {
            let topic = got.wanted.topic.clone();
            let partition = self.partition(got, &mut leaders, &mut filed);
            match responses.last_mut() {
                Some(response) if last.as_ref() == Some(&topic) => response.partitions.push(partition),
                _ => responses.push(topic_response(&topic, partition)),
            }
            last = Some(topic);
        }
        let node_endpoints = self.endpoints(leaders);
        self.client.fill(filed);
        self.client.count(ErrorCode::None);
        FetchResponse { session_id, responses, node_endpoints, ..Default::default() }
    }

    fn partition(&self, got: Gathered, leaders: &mut Vec<i32>, filed: &mut Vec<Filed>) -> PartitionData {
        let aborted = got.aborted.iter().map(|aborted| AbortedTransaction {
            producer_id: aborted.producer.0,
            first_offset: aborted.first.0,
            ..Default::default()
        });
        let diverging_epoch = got.diverging.map(|end| EpochEndOffset {
            epoch: end.epoch.0,
            end_offset: end.end.0,
            ..Default::default()
        });
        let current_leader = self.leader(&got);
        if current_leader.leader_id >= 0 {
            leaders.push(current_leader.leader_id);
        }
        if !got.error.is_none() {
            self.client.count(got.error);
        }
        let records = match got.records {
            Got::Held(bytes) => Records::Held(bytes),
            Got::Filed(bytes) => {
                let length = u32::try_from(bytes.len()).expect("an answer is smaller than a segment");
                filed.push(bytes);
                Records::Elsewhere(length)
            }
        };
        PartitionData {
            partition_index: got.wanted.partition,
            error_code: got.error.code(),
            high_watermark: got.high_watermark.0,
            last_stable_offset: got.last_stable.0,
            log_start_offset: got.log_start.0,
            diverging_epoch: diverging_epoch.unwrap_or_default(),
            current_leader,
            aborted_transactions: Some(aborted.collect()),
            // No records are an empty field, never none: librdkafka refuses that.
            records: Some(records),
            ..Default::default()
        }
    }

    /// Who leads, for a reader that believed otherwise.
    fn leader(&self, got: &Gathered) -> LeaderIdAndEpoch {
        let mistaken = matches!(got.error, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch);
        if !mistaken || self.version < LEADERS_FROM {
            return LeaderIdAndEpoch::default();
        }
        let topic = match &got.wanted.topic {
            TopicKey::Name(name) => self.view.topic(name),
            TopicKey::Id(id) => self.view.image.topics.get(*id),
        };
        let assignment = topic.and_then(|topic| topic.partition(Index(got.wanted.partition)));
        assignment.map_or_else(LeaderIdAndEpoch::default, |assignment| LeaderIdAndEpoch {
            leader_id: assignment.leader.0,
            leader_epoch: assignment.leader_epoch.0,
            ..Default::default()
        })
    }

    fn endpoints(&self, mut leaders: Vec<i32>) -> Vec<NodeEndpoint> {
        leaders.sort_unstable();
        leaders.dedup();
        let found = leaders.into_iter().filter_map(|leader| super::endpoint(self.view, self.client, leader));
        let endpoint = |(node_id, host, port, rack)| NodeEndpoint { node_id, host, port, rack, ..Default::default() };
        found.map(endpoint).collect()
    }
}

fn topic_response(topic: &TopicKey, partition: PartitionData) -> FetchableTopicResponse {
    let partitions = vec![partition];
    match topic {
        TopicKey::Name(name) => FetchableTopicResponse { topic: (&**name).into(), partitions, ..Default::default() },
        TopicKey::Id(id) => FetchableTopicResponse { topic_id: *id, partitions, ..Default::default() },
    }
}
