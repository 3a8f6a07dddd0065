//! First batches of transactions: before one is written, the coordinator is asked whether it knows that the partition belongs to the
//! transaction, or is told that it does (KIP-890; `AddPartitionsToTxnManager`).
//!
//! Owns how a request's version lets partitions join, and what its client understands of a refusal. Which batches need the question, the
//! partition knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use dohle_base::{ErrorCode, Instant, Partition as Index, TopicId};
use dohle_coordinator::Producer;
use dohle_coordinator::transaction::{TopicPartition, Version};

use super::transacting;
use crate::context::Context;
use crate::partition::Partition;
use crate::partition::guards::{FirstBatch, Guard, Leave};

/// How a partition joins a transaction (`TransactionSupportedOperation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joining {
    /// The client has added it before. A refusal is told in a way that old clients take as final.
    Earlier,
    /// The same, and the client knows that it can go on after an abort.
    EarlierAbortable,
    /// It is added now.
    Now,
}

impl Joining {
    /// For a request whose versions from `abortable_from` on know of abortable transactions, and add partitions from `now_from` on.
    pub(super) fn of(version: i16, abortable_from: i16, now_from: i16) -> Self {
        match version {
            _ if version >= now_from => Self::Now,
            _ if version >= abortable_from => Self::EarlierAbortable,
            _ => Self::Earlier,
        }
    }

    /// What the client understands of a refusal of the coordinator.
    fn told(self, code: ErrorCode) -> ErrorCode {
        match code {
            ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
            ErrorCode::TransactionAbortable if self == Self::Earlier => ErrorCode::InvalidTxnState,
            other => other,
        }
    }
}

/// A transaction that writes to partitions.
pub(super) struct Joiner<'a> {
    pub(super) cx: &'a Context,
    pub(super) joining: Joining,
    pub(super) transactional_id: &'a str,
    pub(super) producer: Producer,
}

/// What may be the first batch of the transaction in a partition.
pub(super) struct First {
    pub(super) topic_id: TopicId,
    pub(super) place: TopicPartition,
    pub(super) partition: Arc<Partition>,
    pub(super) sequence: i32,
}

/// What the writers of first batches got, by partition. Whoever is not in here needs nothing.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    is_waived: bool,
    by_partition: BTreeMap<(TopicId, Index), Result<Guard, ErrorCode>>,
}

impl Leaves {
    /// For a batch in that partition.
    pub(super) fn of(&self, topic: TopicId, index: Index) -> Result<Leave, ErrorCode> {
        match self.by_partition.get(&(topic, index)) {
            Some(Ok(guard)) => Ok(Leave::Given(*guard)),
            Some(Err(code)) => Err(*code),
            None if self.is_waived => Ok(Leave::Waived),
            None => Ok(Leave::None),
        }
    }
}

impl Joiner<'_> {
    /// Asks for leave for those batches that are the first of their transaction where they go.
    pub(super) async fn leaves(&self, batches: &[First]) -> Leaves {
        if self.joining != Joining::Now && !self.cx.transactions.settings.partition_verification {
            return Leaves { is_waived: true, ..Leaves::default() };
        }
        let give_up_at = self.cx.clock.instant() + self.cx.settings.transactions.join_patience;
        loop {
            let leaves = self.ask(batches).await;
            if !self.must_ask_again(&leaves, give_up_at) {
                return leaves;
            }
            tokio::time::sleep(self.cx.settings.transactions.join_pause).await;
        }
    }

    /// The transaction before is still being told to its partitions: that is over in a moment, and a batch is dear to send again.
    fn must_ask_again(&self, leaves: &Leaves, give_up_at: Instant) -> bool {
        let is_busy = |leave: &Result<Guard, ErrorCode>| *leave == Err(ErrorCode::ConcurrentTransactions);
        let is_busy = leaves.by_partition.values().any(is_busy);
        is_busy && self.joining == Joining::Now && self.cx.clock.instant() < give_up_at
    }

    async fn ask(&self, batches: &[First]) -> Leaves {
        let mut leaves = Leaves::default();
        let mut guarded = vec![];
        for first in batches {
            let place = (first.topic_id, first.place.partition);
            match self.guard(first) {
                Ok(None) => {}
                Ok(Some(guard)) => guarded.push((place, guard, first.place.clone())),
                Err(code) => drop(leaves.by_partition.insert(place, Err(code))),
            }
        }
        if guarded.is_empty() {
            return leaves;
        }
        let places: Vec<TopicPartition> = guarded.iter().map(|(.., place)| place.clone()).collect();
        let codes = self.join(&places).await;
        let given = guarded.into_iter().zip(codes);
        leaves.by_partition.extend(given.map(|((place, guard, _), code)| {
            let leave = if code.is_none() { Ok(guard) } else { Err(self.joining.told(code)) };
            (place, leave)
        }));
        leaves
    }

    fn guard(&self, first: &First) -> Result<Option<Guard>, ErrorCode> {
        let batch = FirstBatch {
            producer: self.producer.id,
            epoch: self.producer.epoch,
            sequence: first.sequence,
            supports_epoch_bump: self.joining == Joining::Now,
        };
        first.partition.guard(&batch, self.cx.clock.wall())
    }

    /// What the coordinator says of each partition.
    async fn join(&self, places: &[TopicPartition]) -> Vec<ErrorCode> {
        let joined = match self.joining {
            Joining::Earlier | Joining::EarlierAbortable => {
                transacting::verify(self.cx, self.transactional_id, self.producer, places)
            }
            Joining::Now => {
                let added = transacting::add(self.cx, self.transactional_id, self.producer, places, Version::Two).await;
                added.map(|()| vec![ErrorCode::None; places.len()])
            }
        };
        joined.unwrap_or_else(|code| vec![code; places.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_told_what_its_version_understands() {
        let told = |version, code| Joining::of(version, 11, 12).told(code);
        assert_eq!(told(10, ErrorCode::TransactionAbortable), ErrorCode::InvalidTxnState);
        assert_eq!(told(11, ErrorCode::TransactionAbortable), ErrorCode::TransactionAbortable);
        assert_eq!(told(12, ErrorCode::ProducerFenced), ErrorCode::InvalidProducerEpoch);
        assert_eq!(told(12, ErrorCode::ConcurrentTransactions), ErrorCode::ConcurrentTransactions);
    }
}
