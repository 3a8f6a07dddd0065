//! AddPartitionsToTxn (KIP-98, KIP-890): partitions become part of a transaction. Since version 4 it is what brokers ask each other, for
//! many transactions at once, also whether partitions are part of them already.

use dohle_base::{ErrorCode, Partition as Index};
use dohle_coordinator::transaction::{TopicPartition, Version};
use dohle_protocol::ApiKey;
use dohle_protocol::message::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AddPartitionsToTxnResult,
    AddPartitionsToTxnTopic, AddPartitionsToTxnTopicResult, AddPartitionsToTxnTransaction,
};

use super::{Api, transacting};
use crate::catalog::View;
use crate::context::Context;
use crate::dispatch::Client;

pub(crate) const API: Api = Api::of(ApiKey::AddPartitionsToTxn);

/// The version since which a producer can be told that it is fenced.
const FENCED_FROM: i16 = 2;
/// The version since which many transactions are asked for at once, by brokers whose clients follow the newer protocol.
const MANY_FROM: i16 = 4;
/// The version since which a refusal can say that the transaction may be aborted and the producer go on.
const ABORTABLE_FROM: i16 = 5;

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    version: i16,
    request: AddPartitionsToTxnRequest,
) -> AddPartitionsToTxnResponse {
    let view = cx.catalog.view();
    let addition = Addition { cx, client, view: &view, version };
    if version >= MANY_FROM {
        let mut results_by_transaction = Vec::with_capacity(request.transactions.len());
        for transaction in request.transactions {
            results_by_transaction.push(addition.answer(transaction).await);
        }
        return AddPartitionsToTxnResponse { results_by_transaction, ..Default::default() };
    }
    let only = AddPartitionsToTxnTransaction {
        transactional_id: request.v3_and_below_transactional_id,
        producer_id: request.v3_and_below_producer_id,
        producer_epoch: request.v3_and_below_producer_epoch,
        topics: request.v3_and_below_topics,
        ..Default::default()
    };
    let results_by_topic_v3_and_below = addition.answer(only).await.topic_results;
    AddPartitionsToTxnResponse { results_by_topic_v3_and_below, ..Default::default() }
}

struct Addition<'a> {
    cx: &'a Context,
    client: &'a Client,
    view: &'a View,
    version: i16,
}

impl Addition<'_> {
    async fn answer(&self, transaction: AddPartitionsToTxnTransaction) -> AddPartitionsToTxnResult {
        let codes = match self.places(&transaction) {
            Err(codes) => codes,
            Ok(places) if transaction.verify_only => self.verify(&transaction, &places),
            Ok(places) => vec![self.add(&transaction, &places).await; places.len()],
        };
        let mut codes = codes.into_iter();
        let mut result = |index: i32| {
            let code = codes.next().unwrap_or(ErrorCode::UnknownServerError);
            let code = self.told(code);
            AddPartitionsToTxnPartitionResult {
                partition_index: index,
                partition_error_code: self.client.code(code),
                ..Default::default()
            }
        };
        let topics =
            transaction.topics.into_iter().map(|topic: AddPartitionsToTxnTopic| AddPartitionsToTxnTopicResult {
                name: topic.name,
                results_by_partition: topic.partitions.into_iter().map(&mut result).collect(),
                ..Default::default()
            });
        let topic_results = topics.collect();
        AddPartitionsToTxnResult { transactional_id: transaction.transactional_id, topic_results, ..Default::default() }
    }

    fn told(&self, code: ErrorCode) -> ErrorCode {
        match code {
            ErrorCode::TransactionAbortable if self.version < ABORTABLE_FROM => ErrorCode::InvalidTxnState,
            code => transacting::in_version(code, self.version, FENCED_FROM),
        }
    }

    /// The partitions in the order of the request. Where one does not exist, none is added, and each is told its own code.
    fn places(&self, transaction: &AddPartitionsToTxnTransaction) -> Result<Vec<TopicPartition>, Vec<ErrorCode>> {
        let named =
            transaction.topics.iter().flat_map(|topic| topic.partitions.iter().map(|index| (&*topic.name, *index)));
        let found: Vec<Option<TopicPartition>> = named.map(|(topic, index)| self.find(topic, index)).collect();
        if found.iter().all(Option::is_some) {
            return Ok(found.into_iter().flatten().collect());
        }
        let code = |place: &Option<TopicPartition>| match place {
            Some(_) => ErrorCode::OperationNotAttempted,
            None => ErrorCode::UnknownTopicOrPartition,
        };
        Err(found.iter().map(code).collect())
    }

    fn find(&self, topic: &str, index: i32) -> Option<TopicPartition> {
        let topic = self.view.topic(topic)?;
        topic.partition(Index(index))?;
        Some(TopicPartition { topic: topic.name.clone(), partition: Index(index) })
    }

    async fn add(&self, transaction: &AddPartitionsToTxnTransaction, places: &[TopicPartition]) -> ErrorCode {
        let producer = transacting::producer(transaction.producer_id, transaction.producer_epoch);
        let version = if self.version >= MANY_FROM { Version::Two } else { Version::Zero };
        let added = transacting::add(self.cx, &transaction.transactional_id, producer, places, version).await;
        added.err().unwrap_or(ErrorCode::None)
    }

    fn verify(&self, transaction: &AddPartitionsToTxnTransaction, places: &[TopicPartition]) -> Vec<ErrorCode> {
        let producer = transacting::producer(transaction.producer_id, transaction.producer_epoch);
        let verified = transacting::verify(self.cx, &transaction.transactional_id, producer, places);
        verified.unwrap_or_else(|code| vec![code; places.len()])
    }
}
