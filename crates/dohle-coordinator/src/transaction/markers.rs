//! Markers: what must be told to the partitions of decided transactions, and what becomes of those that all know.

use std::sync::Arc;

use dohle_base::{Now, Offset};

use super::coordinator::{Soft, TransactionCoordinator};
use super::record::Record;
use super::state::State;
use super::{MarkersWritten, Outstanding, Reply};

impl TransactionCoordinator {
    /// The decided transactions that are not complete, by where the log has their outcome, from `since` on. To be asked of
    /// the committed state, with the ledger's soft state: a marker must not be written before its outcome is safe.
    ///
    /// What was listed once is listed until it is complete; whoever goes on from behind the last one misses none.
    pub fn outstanding<'a>(&'a self, soft: &'a Soft, since: Offset) -> impl Iterator<Item = Outstanding<'a>> + 'a {
        self.prepared.range(since..).filter_map(move |(offset, id)| {
            let transaction = &self.transactions[id].transaction;
            let State::Prepared(outcome) = transaction.state else { return None };
            let marked = soft.marked.get(offset);
            let is_missing = |place: &_| marked.is_none_or(|marked| !marked.contains(place));
            Some(Outstanding {
                prepared_at: *offset,
                transactional_id: id,
                producer: transaction.producer,
                outcome,
                version: transaction.version,
                partitions: transaction.partitions.iter().filter(|place| is_missing(place)).cloned().collect(),
            })
        })
    }

    /// Notes that markers are safe; the last ones complete the transaction. What is complete already stays so.
    pub(super) fn note_markers(&self, soft: &mut Soft, now: Now, written: MarkersWritten) -> (Vec<Record>, Reply) {
        let Some(id) = self.prepared.get(&written.prepared_at) else { return (vec![], Reply::MarkersWritten) };
        let transaction = &self.transactions[id].transaction;
        let marked = soft.marked.entry(written.prepared_at).or_default();
        marked.extend(written.partitions.into_iter().filter(|place| transaction.partitions.contains(place)));
        if marked.len() < transaction.partitions.len() {
            return (vec![], Reply::MarkersWritten);
        }
        soft.marked.remove(&written.prepared_at);
        (self.completion(written.prepared_at, now).into_iter().collect(), Reply::MarkersWritten)
    }

    /// The record that completes the decided transaction, if it is not complete.
    pub(super) fn completion(&self, prepared_at: Offset, now: Now) -> Option<Record> {
        let id = self.prepared.get(&prepared_at)?;
        let completed = self.transactions[id].transaction.completed(now.wall);
        Some(Record { transactional_id: id.clone(), value: Some(Arc::new(completed)) })
    }
}
