//! DescribeTransactions (KIP-664): where transactional producers stand.

use dohle_base::{ErrorCode, Timestamp};
use dohle_coordinator::transaction::Transaction;
use dohle_protocol::message::describe_transactions::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, TopicData, TransactionState,
};
use dohle_protocol::{ApiKey, Str};

use super::{Api, transacting};
use crate::context::Context;
use crate::dispatch::Client;
use crate::ledgers::coordinators::unanswered_code;

pub(crate) const API: Api = Api::of(ApiKey::DescribeTransactions);

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    _version: i16,
    request: DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    let told = |transactional_id: Str| match find(cx, &transactional_id) {
        Ok(transaction) => {
            TransactionState { error_code: client.code(ErrorCode::None), transactional_id, ..state(&transaction) }
        }
        Err(code) => TransactionState { error_code: client.code(code), transactional_id, ..Default::default() },
    };
    let transaction_states = request.transactional_ids.into_iter().map(told).collect();
    DescribeTransactionsResponse { transaction_states, ..Default::default() }
}

fn find(cx: &Context, transactional_id: &str) -> Result<Transaction, ErrorCode> {
    let coordinator = transacting::coordinator(cx, transactional_id)?;
    let described = coordinator.committed(|state| state.describe(&transactional_id.into()).cloned());
    described.map_err(unanswered_code)?.ok_or(ErrorCode::TransactionalIdNotFound)
}

fn state(transaction: &Transaction) -> TransactionState {
    let mut topics: Vec<TopicData> = vec![];
    for place in &transaction.partitions {
        match topics.last_mut().filter(|last| *last.topic == *place.topic) {
            Some(last) => last.partitions.push(place.partition.0),
            None => topics.push(TopicData {
                topic: place.topic.as_str().into(),
                partitions: vec![place.partition.0],
                ..Default::default()
            }),
        }
    }
    TransactionState {
        transaction_state: transaction.state.name().into(),
        transaction_timeout_ms: transaction.timeout_ms,
        transaction_start_time_ms: transaction.started_at.unwrap_or(Timestamp::NONE).0,
        producer_id: transaction.producer.id.0,
        producer_epoch: transaction.producer.epoch.0,
        topics,
        ..Default::default()
    }
}
