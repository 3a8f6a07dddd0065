//! The way from a transactional id to its coordinator, and what the client is told when it does not answer.

use std::sync::Arc;
use std::time::Duration;

use dohle_base::{ErrorCode, ProducerEpoch, ProducerId, TopicName};
use dohle_coordinator::Producer;
use dohle_coordinator::transaction::{AddPartitions, Command, Reply, TopicPartition, Version};

use crate::catalog::View;
use crate::context::Context;
use crate::ledgers::coordinators::unanswered_code;
use crate::ledgers::transactions::{TRANSACTIONS_TOPIC, Transactor};

/// How long a decision may take to be safe before the client is told to come again.
const PATIENCE: Duration = Duration::from_secs(30);

/// The coordinator of a producer, if it is this broker's.
pub(super) fn coordinator(cx: &Context, transactional_id: &str) -> Result<Arc<Transactor>, ErrorCode> {
    let view = cx.catalog.view();
    cx.transactions.of(transactional_id, partitions(cx, &view)).ok_or(ErrorCode::NotCoordinator)
}

/// How many partitions the transactions are spread over: as many as the topic has, or will have.
pub(super) fn partitions(cx: &Context, view: &View) -> i32 {
    let settled = view.topic(TRANSACTIONS_TOPIC).map(|topic| topic.partition_count() as i32);
    settled.unwrap_or(cx.transactions.settings.topic_partitions)
}

/// Asks a producer's coordinator, and hands it a new producer id if it turns out to need one.
pub(super) async fn ask(
    cx: &Context,
    transactional_id: &str,
    command: impl Fn(Option<ProducerId>) -> Command,
) -> Result<Reply, ErrorCode> {
    let coordinator = coordinator(cx, transactional_id)?;
    let reply = coordinator.ask_within(PATIENCE, command(None)).await.map_err(unanswered_code)?;
    if reply != Reply::NeedsProducerId {
        return Ok(reply);
    }
    // Whatever the controller says: every client knows this code and comes again.
    let fresh = cx.quorum.producer_id().await.map_err(|_| ErrorCode::CoordinatorLoadInProgress)?;
    coordinator.ask_within(PATIENCE, command(Some(fresh))).await.map_err(unanswered_code)
}

/// Adds partitions to a producer's transaction, in the words of this version of the protocol.
pub(super) async fn add(
    cx: &Context,
    transactional_id: &str,
    producer: Producer,
    places: &[TopicPartition],
    version: Version,
) -> Result<(), ErrorCode> {
    let command = |_| {
        let (transactional_id, partitions) = (transactional_id.into(), places.to_vec());
        Command::AddPartitions(AddPartitions { transactional_id, producer, partitions, version })
    };
    match ask(cx, transactional_id, command).await? {
        Reply::AddPartitions(added) => added,
        other => unreachable!("an addition is answered as one, not as {other:?}"),
    }
}

/// Whether partitions belong to a producer's transaction, for each of them.
pub(super) fn verify(
    cx: &Context,
    transactional_id: &str,
    producer: Producer,
    places: &[TopicPartition],
) -> Result<Vec<ErrorCode>, ErrorCode> {
    let coordinator = coordinator(cx, transactional_id)?;
    let verified = coordinator.committed(|state| state.verify(&transactional_id.into(), producer, places));
    verified.map_err(unanswered_code)?
}

/// Who a request says that it comes from.
pub(super) fn producer(id: i64, epoch: i16) -> Producer {
    Producer { id: ProducerId(id), epoch: ProducerEpoch(epoch) }
}

/// A partition, if its topic can exist.
pub(super) fn place(topic: &str, index: i32) -> Option<TopicPartition> {
    let topic = TopicName::parse(topic).ok()?;
    Some(TopicPartition { topic, partition: dohle_base::Partition(index) })
}

/// The code in versions of an API that do not know that a producer can be fenced.
pub(super) fn in_version(code: ErrorCode, version: i16, fenced_from: i16) -> ErrorCode {
    if code == ErrorCode::ProducerFenced && version < fenced_from { ErrorCode::InvalidProducerEpoch } else { code }
}
