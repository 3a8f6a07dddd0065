//! DescribeTransactions and ListTransactions: what an operator sees (KIP-664). To be asked of the committed state.

use dohle_base::Timestamp;

use super::coordinator::TransactionCoordinator;
use super::state::{State, Transaction};
use super::{ListedTransaction, TransactionFilter};
use crate::TransactionalId;

/// States that Kafka names but never shows: one ends with the id, the other before it is written.
const NEVER_SHOWN: [&str; 2] = ["Dead", "PrepareEpochFence"];

impl TransactionCoordinator {
    /// A producer's transaction, current or last; none where the id is not known.
    pub fn describe(&self, id: &TransactionalId) -> Option<&Transaction> {
        self.transactions.get(id).map(|known| &*known.transaction)
    }

    /// The transactions that the filter lets pass, by name.
    pub fn list<'a>(
        &'a self,
        filter: &'a TransactionFilter,
        now: Timestamp,
    ) -> impl Iterator<Item = ListedTransaction<'a>> + 'a {
        self.transactions
            .iter()
            .map(|(transactional_id, known)| ListedTransaction { transactional_id, transaction: &known.transaction })
            .filter(move |listed| filter.passes(now, listed.transaction))
    }
}

impl TransactionFilter {
    /// Names in the filter that no state has.
    pub fn unknown_states(&self) -> impl Iterator<Item = &str> {
        let is_known = |name: &str| NEVER_SHOWN.contains(&name) || State::ALL.iter().any(|state| state.name() == name);
        self.states.iter().map(String::as_str).filter(move |name| !is_known(name))
    }

    fn passes(&self, now: Timestamp, transaction: &Transaction) -> bool {
        let state = transaction.state.name();
        let began_at = transaction.started_at.unwrap_or(Timestamp::NONE).0;
        (self.states.is_empty() || self.states.iter().any(|wanted| wanted == state))
            && (self.producers.is_empty() || self.producers.contains(&transaction.producer.id))
            && self.duration_ms.is_none_or(|duration| now.0.saturating_sub(began_at) > duration)
    }
}
