//! One decision while it is being made.

use dohle_base::{Now, Token};
use dohle_replication::ledger::Decision;

use crate::{Record, Reply, Settings};

/// What has been decided so far, and what every step of it may look at.
pub(crate) struct Turn<'a> {
    pub(crate) now: Now,
    pub(crate) settings: &'a Settings,
    records: Vec<Record>,
    weight: usize,
    replies: Vec<(Token, Reply)>,
}

/// What became of a record that was to be written if it fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    Written,
    /// It may fit into the next batch.
    Full,
    /// It fits into no batch.
    Impossible,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(now: Now, settings: &'a Settings) -> Self {
        Self { now, settings, records: vec![], weight: 0, replies: vec![] }
    }

    /// The caller is told once everything that is written in this turn is safe.
    pub(crate) fn answer(&mut self, token: Token, reply: Reply) {
        self.replies.push((token, reply));
    }

    /// The record is written.
    pub(crate) fn write(&mut self, record: Record) {
        self.weight += record.weight();
        self.records.push(record);
    }

    /// Whether `weight` bytes more still fit into this turn's batch.
    pub(crate) fn has_room_for(&self, weight: usize) -> bool {
        self.weight + weight <= self.settings.batch_bytes_max
    }

    /// Writes the record if it still fits into this turn's batch.
    pub(crate) fn try_write(&mut self, record: Record) -> Attempt {
        if self.has_room_for(record.weight()) {
            self.write(record);
            Attempt::Written
        } else if self.records.is_empty() {
            Attempt::Impossible
        } else {
            Attempt::Full
        }
    }

    /// Whether nothing is written yet.
    pub(crate) fn writes_nothing(&self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn decided(self) -> Decision<Record, Reply> {
        Decision { records: self.records, replies: self.replies }
    }
}
