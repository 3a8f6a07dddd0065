//! Which of the records of a fetched range belong to transactions that were aborted (KIP-98).
//!
//! Fed with the aborted transactions of the range and the batches in order; says of each batch whether it is for the
//! caller of a `read_committed` consumer.

use std::collections::{BTreeMap, BTreeSet};

use dohle_base::{Offset, ProducerId};
use dohle_records::Header;

/// Walks over the batches of one partition of one answer.
#[derive(Clone, Debug, Default)]
pub struct Aborted {
    /// Where aborted transactions begin, not reached yet.
    begins: BTreeMap<Offset, Vec<ProducerId>>,
    /// Producers within an aborted transaction.
    within: BTreeSet<ProducerId>,
}

impl Aborted {
    /// From the answer's list: each producer with the first offset of its aborted transaction.
    pub fn new(transactions: impl IntoIterator<Item = (ProducerId, Offset)>) -> Self {
        let mut begins: BTreeMap<Offset, Vec<ProducerId>> = BTreeMap::new();
        for (producer, first) in transactions {
            begins.entry(first).or_default().push(producer);
        }
        Self { begins, within: BTreeSet::new() }
    }

    /// Whether the caller may see the records of this batch. `is_abort` says of a control batch whether it ends a
    /// transaction by aborting it; control batches are never for the caller.
    pub fn admits(&mut self, header: &Header, is_abort: impl FnOnce() -> bool) -> bool {
        while let Some(begin) = self.begins.first_entry().filter(|begin| *begin.key() <= header.last_offset()) {
            self.within.extend(begin.remove());
        }
        if header.attributes.is_control() {
            if self.within.contains(&header.producer_id) && is_abort() {
                self.within.remove(&header.producer_id);
            }
            return false;
        }
        !(header.attributes.is_transactional() && self.within.contains(&header.producer_id))
    }
}

#[cfg(test)]
mod tests {
    use dohle_base::{LeaderEpoch, ProducerEpoch, Timestamp};
    use dohle_records::Attributes;

    use super::*;

    fn batch(offset: i64, producer: i64, transactional: bool, control: bool) -> Header {
        Header {
            base_offset: Offset(offset),
            length: 0,
            leader_epoch: LeaderEpoch(0),
            crc: 0,
            attributes: Attributes::default().with_transactional(transactional).with_control(control),
            last_offset_delta: 0,
            base_timestamp: Timestamp(0),
            max_timestamp: Timestamp(0),
            producer_id: ProducerId(producer),
            producer_epoch: ProducerEpoch(0),
            base_sequence: 0,
            record_count: 1,
        }
    }

    #[test]
    fn records_of_aborted_transactions_are_left_out_and_nothing_else() {
        let mut aborted = Aborted::new([(ProducerId(1), Offset(2)), (ProducerId(1), Offset(6))]);
        let steps = [
            (batch(0, 1, true, false), true, "an earlier transaction was committed"),
            (batch(1, 1, true, true), false, "a marker is nobody's"),
            (batch(2, 1, true, false), false, "aborted"),
            (batch(3, 2, true, false), true, "another producer"),
            (batch(4, 1, true, true), false, "the abort"),
            (batch(5, 1, true, false), true, "after the abort"),
            (batch(6, 1, true, false), false, "the second abort"),
            (batch(7, 9, false, false), true, "no transaction at all"),
        ];
        for (header, expected, why) in steps {
            let is_abort = header.base_offset == Offset(4);
            assert_eq!(aborted.admits(&header, || is_abort), expected, "{why}");
        }
    }
}
