//! TxnOffsetCommit (KIP-98, KIP-447, KIP-890, KIP-1319): up to where a group has read, if the transaction is committed.

use std::sync::Arc;

use dohle_base::{ErrorCode, LeaderEpoch, Offset, Partition};
use dohle_coordinator::transaction::TopicPartition;
use dohle_coordinator::{
    Command, CommitOffsets, CommitOffsetsInTransaction, Generation, OffsetToCommit, Producer, Reply,
};
use dohle_metadata::image::Topic;
use dohle_protocol::ApiKey;
use dohle_protocol::message::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic, TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use dohle_records::Batch;
use dohle_records::batch::encode::{Builder, Entry};
use dohle_records::batch::header::NO_SEQUENCE;

use super::lookup::{self, Docket, Named};
use super::verification::{First, Joiner, Joining};
use super::{Api, coordination, transacting};
use crate::context::Context;
use crate::dispatch::Client;
use crate::ledgers::coordinators::unanswered_code;
use crate::ledgers::groups::Group;
use crate::ledgers::journal;
use crate::partition::guards::Leave;

pub(crate) const API: Api = Api::of(ApiKey::TxnOffsetCommit);

/// The version since which topics are named by their ids.
const BY_ID_FROM: i16 = 6;
/// The version since which a client survives that a coordinator loads (KAFKA-7296).
const LOADING_FROM: i16 = 2;
/// The version since which a client knows that it can go on after an abort.
const ABORTABLE_FROM: i16 = 4;
/// The version since which a commit adds its group to the transaction.
const JOINS_FROM: i16 = 5;

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    version: i16,
    request: TxnOffsetCommitRequest,
) -> TxnOffsetCommitResponse {
    let (docket, offsets) = find(cx, version, &request.topics);
    let committed = if offsets.is_empty() { Ok(vec![]) } else { commit(cx, version, &request, offsets).await };
    let mut codes = docket.settle(committed);
    let mut told = |place: TxnOffsetCommitRequestPartition| TxnOffsetCommitResponsePartition {
        partition_index: place.partition_index,
        error_code: client.code(in_version(codes.next().unwrap_or(ErrorCode::UnknownServerError), version)),
        ..Default::default()
    };
    let topics = request.topics.into_iter().map(|topic| TxnOffsetCommitResponseTopic {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: topic.partitions.into_iter().map(&mut told).collect(),
        ..Default::default()
    });
    TxnOffsetCommitResponse { topics: topics.collect(), ..Default::default() }
}

/// Old clients crash on a coordinator that loads; they come again for the other code.
fn in_version(code: ErrorCode, version: i16) -> ErrorCode {
    match code {
        ErrorCode::CoordinatorLoadInProgress if version < LOADING_FROM => ErrorCode::CoordinatorNotAvailable,
        code => code,
    }
}

/// What is to be committed, and what is refused because it does not exist.
fn find(cx: &Context, version: i16, topics: &[TxnOffsetCommitRequestTopic]) -> (Docket, Vec<OffsetToCommit>) {
    let view = cx.catalog.view();
    let mut docket = Docket::default();
    let mut offsets = vec![];
    for topic in topics {
        let found = lookup::topic(&view, Named::by(version >= BY_ID_FROM, &topic.name, topic.topic_id));
        for place in &topic.partitions {
            match found.and_then(|topic| lookup::assignment(topic, place.partition_index).map(|_| topic)) {
                Ok(found) => {
                    docket.ask();
                    offsets.push(to_commit(found, topic, place));
                }
                Err(code) => docket.refuse(code),
            }
        }
    }
    (docket, offsets)
}

fn to_commit(
    found: &Topic,
    asked: &TxnOffsetCommitRequestTopic,
    place: &TxnOffsetCommitRequestPartition,
) -> OffsetToCommit {
    OffsetToCommit {
        topic: found.name.clone(),
        topic_id: asked.topic_id,
        partition: Partition(place.partition_index),
        offset: Offset(place.committed_offset),
        leader_epoch: LeaderEpoch(place.committed_leader_epoch),
        metadata: place.committed_metadata.as_deref().map(Into::into),
    }
}

async fn commit(
    cx: &Context,
    version: i16,
    request: &TxnOffsetCommitRequest,
    offsets: Vec<OffsetToCommit>,
) -> Result<Vec<ErrorCode>, ErrorCode> {
    let producer = transacting::producer(request.producer_id, request.producer_epoch);
    let coordinator = coordination::coordinator(cx, &request.group_id)?;
    let leave = leave(cx, version, request, producer, &coordinator).await?;
    let command = Command::CommitOffsetsInTransaction(CommitOffsetsInTransaction {
        producer,
        commit: CommitOffsets {
            group: request.group_id.as_str().into(),
            member: coordination::member(&request.member_id),
            instance: coordination::instance(request.group_instance_id.as_ref()),
            generation: Generation(request.generation_id_or_member_epoch),
            retention: None,
            offsets,
        },
    });
    let batch = first_batch(producer);
    let asked = coordinator.ask_if(|partition| partition.check_transactional(&batch, leave), command);
    let asked = tokio::time::timeout(cx.groups.settings.commit_timeout, asked).await;
    match asked.map_err(|_| ErrorCode::CoordinatorNotAvailable)?.map_err(unanswered_code)? {
        // Clients of transactions do not know that a group can be unknown.
        Ok(Reply::CommitOffsetsInTransaction(Err(ErrorCode::GroupIdNotFound))) => Err(ErrorCode::IllegalGeneration),
        Ok(Reply::CommitOffsetsInTransaction(committed)) => committed,
        Ok(other) => unreachable!("a commit is answered as one, not as {other:?}"),
        Err(refusal) => Err(told(refusal.code())),
    }
}

/// Leave to write the first offsets of the transaction into the partition of the group.
async fn leave(
    cx: &Context,
    version: i16,
    request: &TxnOffsetCommitRequest,
    producer: Producer,
    coordinator: &Group,
) -> Result<Leave, ErrorCode> {
    let partition = coordinator.partition();
    let joining = Joining::of(version, ABORTABLE_FROM, JOINS_FROM);
    let joiner = Joiner { cx, joining, transactional_id: &request.transactional_id, producer };
    let first = First {
        topic_id: partition.topic_id,
        place: TopicPartition { topic: partition.topic.clone(), partition: partition.index },
        partition: Arc::clone(partition),
        sequence: NO_SEQUENCE,
    };
    let leaves = joiner.leaves(&[first]).await;
    leaves.of(partition.topic_id, partition.index).map_err(told)
}

/// What a client of groups understands of a partition's refusal.
fn told(code: ErrorCode) -> ErrorCode {
    match code {
        // It comes again without looking for another coordinator.
        ErrorCode::NetworkException => ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
        code => code,
    }
}

/// How the log sees offsets of that producer.
fn first_batch(producer: Producer) -> Batch {
    let mut builder = Builder::new(journal::settings(Some(producer)));
    builder.append(&Entry::default()).expect("one record is small");
    builder.finish()
}
