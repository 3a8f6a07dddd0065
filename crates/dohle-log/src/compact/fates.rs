//! What became of the transactions that a pass walks through (`CleanedTransactionMetadata`).
//!
//! Pure: is told what the abort indexes say and which batches pass, in order. Says which data never counted, which markers nothing is left of,
//! and which entries the abort index of the rewritten segment needs.

use std::collections::{BTreeMap, BTreeSet};

use dohle_base::{Offset, ProducerId};
use dohle_records::Header;
use dohle_records::control::EndTransaction;

use crate::segment::Aborted;

/// The transactions around the batch that passes.
#[derive(Debug, Default)]
pub(super) struct Fates {
    /// Aborted ones that have not begun yet, by first offset.
    coming: BTreeMap<(Offset, ProducerId), Aborted>,
    aborted: BTreeMap<ProducerId, Doomed>,
    /// Producers with data of a committed transaction.
    committed: BTreeSet<ProducerId>,
}

#[derive(Debug)]
struct Doomed {
    entry: Aborted,
    /// Whether a batch of it passed: it was still there before this pass.
    seen: bool,
}

/// What is known of a control batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    /// Whether nothing is left of what it is about.
    pub(super) is_spent: bool,
    /// What the abort index has to say where it stays.
    pub(super) aborted: Option<Aborted>,
}

impl Marker {
    const NEEDED: Self = Self { is_spent: false, aborted: None };
    const SPENT: Self = Self { is_spent: true, aborted: None };
}

impl Fates {
    /// Notes aborted transactions of which something may pass from here on. Told twice is told once.
    pub(super) fn announce(&mut self, aborted: &[Aborted]) {
        for entry in aborted {
            if self.aborted.get(&entry.producer).is_none_or(|known| known.entry.first != entry.first) {
                self.coming.insert((entry.first, entry.producer), *entry);
            }
        }
    }

    /// A batch of data passes: whether it was aborted.
    pub(super) fn pass_data(&mut self, header: &Header) -> bool {
        self.begin_upto(header.last_offset());
        if !header.attributes.is_transactional() {
            return false;
        }
        match self.aborted.get_mut(&header.producer_id) {
            Some(doomed) => {
                doomed.seen = true;
                true
            }
            None => {
                self.committed.insert(header.producer_id);
                false
            }
        }
    }

    /// A control batch passes, with the marker that it holds if it holds one.
    pub(super) fn pass_control(&mut self, header: &Header, marker: Option<EndTransaction>) -> Marker {
        self.begin_upto(header.last_offset());
        match marker {
            // Its marker was removed before.
            None if header.record_count == 0 => Marker::SPENT,
            // Not about a transaction.
            None => Marker::NEEDED,
            Some(EndTransaction { committed: true, .. }) => {
                if self.committed.remove(&header.producer_id) {
                    Marker::NEEDED
                } else {
                    Marker::SPENT
                }
            }
            Some(EndTransaction { committed: false, .. }) => match self.aborted.remove(&header.producer_id) {
                Some(Doomed { entry, seen: true }) => Marker { is_spent: false, aborted: Some(entry) },
                Some(Doomed { seen: false, .. }) | None => Marker::SPENT,
            },
        }
    }

    fn begin_upto(&mut self, offset: Offset) {
        while let Some(first) = self.coming.first_entry() {
            if first.key().0 > offset {
                return;
            }
            let entry = first.remove();
            self.aborted.entry(entry.producer).or_insert(Doomed { entry, seen: false });
        }
    }
}
