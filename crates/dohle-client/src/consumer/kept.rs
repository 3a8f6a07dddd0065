//! Records that came and wait for the caller, unpacked only as they are handed over.

use std::collections::VecDeque;

use dohle_base::{LeaderEpoch, Offset, ProducerId};
use dohle_records::batch::Budget;
use dohle_records::batch::decode::{Malformed, Records};
use dohle_records::control::{ControlRecord, EndTransaction};
use dohle_records::{Batch, Batches};

use crate::config::Isolation;
use crate::core::TopicPartition;
use crate::core::aborted::Aborted;
use crate::record::Consumed;

/// Why records that came cannot be handed over. Reading stays where it is; the caller may go on behind them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableError {
    /// The bytes are not those that were written.
    #[error("{place} at offset {offset}: the checksum does not match; a disk or the network damaged the batch")]
    Corrupt {
        /// Where.
        place: TopicPartition,
        /// The first offset of the batch.
        offset: Offset,
    },
    /// The records are not what they should be.
    #[error("{place} at offset {offset}: {source}")]
    Malformed {
        /// Where.
        place: TopicPartition,
        /// The first offset of the batch.
        offset: Offset,
        /// What was found.
        source: Malformed,
    },
}

/// What one answer gave of one partition.
pub(super) struct Kept {
    pub(super) place: TopicPartition,
    pub(super) bytes: usize,
    batches: Batches,
    current: Option<Current>,
    aborted: Option<Aborted>,
    check_crcs: bool,
    /// Everything before is handed over.
    next: Offset,
    epoch: LeaderEpoch,
    /// Everything in it is before this.
    end: Offset,
}

struct Current {
    records: Records,
    next: Offset,
}

/// A piece of a partition for the caller: records, and from where to where they lead.
pub(super) struct Piece {
    pub(super) records: Vec<Consumed>,
    pub(super) from: Offset,
    pub(super) to: Offset,
    pub(super) epoch: LeaderEpoch,
    /// Nothing is left behind it.
    pub(super) last: bool,
}

impl Kept {
    pub(super) fn new(
        place: TopicPartition,
        records: bytes::Bytes,
        from: Offset,
        end: Offset,
        isolation: Isolation,
        aborted: Vec<(ProducerId, Offset)>,
        check_crcs: bool,
    ) -> Self {
        Self {
            place,
            bytes: records.len(),
            batches: Batches::over(records),
            current: None,
            aborted: match isolation {
                Isolation::ReadUncommitted => None,
                Isolation::ReadCommitted => Some(Aborted::new(aborted)),
            },
            check_crcs,
            next: from,
            epoch: LeaderEpoch::NONE,
            end,
        }
    }

    /// The next records, at most `count`. After an error it is of no more use.
    pub(super) fn take(&mut self, count: usize) -> Result<Piece, UnreadableError> {
        let from = self.next;
        let mut records = Vec::with_capacity(count.min(1_024));
        let mut last = false;
        while records.len() < count {
            let Some(current) = self.current.as_mut() else {
                if self.open()? {
                    continue;
                }
                last = true;
                break;
            };
            match current.records.next() {
                Some(Ok(record)) if record.offset < self.next => {}
                Some(Ok(record)) => {
                    self.next = record.offset.next();
                    records.push(Consumed {
                        topic: self.place.topic.clone(),
                        partition: self.place.partition,
                        offset: record.offset,
                        leader_epoch: self.epoch,
                        timestamp: record.timestamp,
                        key: record.key,
                        value: record.value,
                        headers: record.headers,
                    });
                }
                Some(Err(source)) => {
                    return Err(UnreadableError::Malformed { place: self.place.clone(), offset: self.next, source });
                }
                None => {
                    self.next = self.next.max(current.next);
                    self.current = None;
                }
            }
        }
        if last {
            self.next = self.next.max(self.end);
        }
        Ok(Piece { records, from, to: self.next, epoch: self.epoch, last })
    }

    /// Opens the next batch that is for the caller. False when there is none.
    fn open(&mut self) -> Result<bool, UnreadableError> {
        while let Some(Ok(batch)) = self.batches.next() {
            let header = *batch.header();
            if self.check_crcs && !batch.is_intact() {
                return Err(UnreadableError::Corrupt { place: self.place.clone(), offset: header.base_offset });
            }
            self.epoch = header.leader_epoch;
            let admitted = match &mut self.aborted {
                Some(aborted) => aborted.admits(&header, || is_abort(&batch)),
                None => !header.attributes.is_control(),
            };
            if !admitted {
                self.next = self.next.max(header.next_offset());
                continue;
            }
            let records = batch.records(Budget::default()).map_err(|source| UnreadableError::Malformed {
                place: self.place.clone(),
                offset: header.base_offset,
                source,
            })?;
            self.current = Some(Current { records, next: header.next_offset() });
            return Ok(true);
        }
        Ok(false)
    }
}

fn is_abort(batch: &Batch) -> bool {
    let record = batch.records(Budget::default()).ok().and_then(|mut records| records.next()?.ok());
    let control = record.and_then(|record| ControlRecord::of(&record).ok());
    let end = control.and_then(|control| EndTransaction::of(&control).ok().flatten());
    end.is_some_and(|end| !end.committed)
}

/// What is kept, with what it takes.
#[derive(Default)]
pub(super) struct Shelf {
    kept: VecDeque<Kept>,
    bytes: usize,
}

impl Shelf {
    pub(super) fn put(&mut self, kept: Kept) {
        self.bytes += kept.bytes;
        self.kept.push_back(kept);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn first(&mut self) -> Option<&mut Kept> {
        self.kept.front_mut()
    }

    pub(super) fn drop_first(&mut self) {
        self.bytes -= self.kept.pop_front().map_or(0, |kept| kept.bytes);
    }

    pub(super) fn keep_only(&mut self, wanted: impl Fn(&TopicPartition) -> bool) {
        self.kept.retain(|kept| wanted(&kept.place));
        self.bytes = self.kept.iter().map(|kept| kept.bytes).sum();
    }
}
