//! AddPartitionsToTxn: what a transaction writes to, and whether it said so (KIP-98, KIP-890).

use std::sync::Arc;

use dohle_base::{ErrorCode, Now};

use super::coordinator::TransactionCoordinator;
use super::record::Record;
use super::state::{State, TopicPartition, Transaction};
use super::{AddPartitions, Reply};
use crate::{Producer, TransactionalId};

impl TransactionCoordinator {
    pub(super) fn add_partitions(&self, now: Now, request: &AddPartitions) -> (Vec<Record>, Reply) {
        let transaction = match self.undecided(&request.transactional_id, request.producer) {
            Ok(transaction) => transaction,
            Err(code) => return (vec![], Reply::AddPartitions(Err(code))),
        };
        let is_open = transaction.state == State::Ongoing;
        if is_open && request.partitions.iter().all(|place| transaction.partitions.contains(place)) {
            return (vec![], Reply::AddPartitions(Ok(())));
        }
        let extended = transaction.extended(&request.partitions, request.version, now.wall);
        let record = Record { transactional_id: request.transactional_id.clone(), value: Some(Arc::new(extended)) };
        (vec![record], Reply::AddPartitions(Ok(())))
    }

    /// Whether the partitions belong to the producer's transaction: one code for each, in order, or the refusal of all. To be
    /// asked of the committed state.
    ///
    /// [`ErrorCode::TransactionAbortable`] is [`ErrorCode::InvalidTxnState`] below version 5 of AddPartitionsToTxn.
    pub fn verify(
        &self,
        id: &TransactionalId,
        producer: Producer,
        partitions: &[TopicPartition],
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        let transaction = self.undecided(id, producer)?;
        let belongs = |place| transaction.partitions.contains(place);
        let code = |place| if belongs(place) { ErrorCode::None } else { ErrorCode::TransactionAbortable };
        Ok(partitions.iter().map(code).collect())
    }

    fn undecided(&self, id: &TransactionalId, producer: Producer) -> Result<&Transaction, ErrorCode> {
        let transaction = self.current(id, producer)?;
        match transaction.state {
            State::Prepared(_) => Err(ErrorCode::ConcurrentTransactions),
            State::Empty | State::Ongoing | State::Complete(_) => Ok(transaction),
        }
    }
}
