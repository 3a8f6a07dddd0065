//! What stays of a batch (`Cleaner.cleanInto`, `MemoryRecords.filterTo`).
//!
//! Pure but for what it is told before: the keys, the fates. A batch of which all stays is kept as the bytes that it is; else it is put together
//! anew with its codec, in its place: base and last offset, producer, sequence, times and leader's epoch are those of the original.

use std::collections::BTreeMap;

use dohle_base::{Offset, ProducerEpoch, ProducerId, Timestamp};
use dohle_records::batch::decode::Malformed;
use dohle_records::batch::encode::{Builder, Settings};
use dohle_records::{Batch, Budget, Compression, Header, Record};

use super::KeyMap;
use super::fates::Marker;
use crate::producers::Producers;

/// The last that producers have written, as far as they are remembered: it must be found again in the log.
#[derive(Clone, Debug, Default)]
pub(super) struct Lasts(BTreeMap<ProducerId, Last>);

#[derive(Clone, Copy, Debug)]
enum Last {
    /// The last offset of its last batch.
    Data(Offset),
    /// No batch of its epoch: a marker has begun it.
    Marker(ProducerEpoch),
}

impl Lasts {
    pub(super) fn of(producers: &Producers) -> Self {
        let last = |offset, epoch| if offset >= Offset::ZERO { Last::Data(offset) } else { Last::Marker(epoch) };
        Self(producers.iter().map(|known| (known.id, last(known.last_offset(), known.epoch))).collect())
    }

    /// Whether a batch holds the last sequence of its producer, or the last epoch.
    fn has(&self, header: &Header) -> bool {
        match self.0.get(&header.producer_id) {
            Some(Last::Data(offset)) => header.last_offset() == *offset,
            Some(Last::Marker(epoch)) => header.attributes.is_control() && header.producer_epoch == *epoch,
            None => false,
        }
    }
}

/// What all batches of a pass are held to.
pub(super) struct Terms<'a> {
    pub(super) keys: &'a KeyMap,
    /// Up to where the keys are known. Exclusive: behind it every record stays.
    pub(super) mapped: Offset,
    pub(super) lasts: &'a Lasts,
    pub(super) now: Timestamp,
    pub(super) delete_retention_ms: i64,
    pub(super) budget: Budget,
}

/// What stays.
#[derive(Debug)]
pub(super) enum Left {
    /// All of it, as it is.
    Whole,
    /// This in its place.
    Rewritten(Batch),
    /// Nothing.
    Nothing,
}

/// What is left, in records.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) left: Left,
    pub(super) records: u64,
}

impl Terms<'_> {
    /// A batch of data, aborted or not. `is_last`: nothing follows it in its segment, whose reach it keeps although it may be empty.
    pub(super) fn judge_data(&self, batch: &Batch, aborted: bool, is_last: bool) -> Result<Kept, Malformed> {
        let header = batch.header();
        let empty_stays = is_last || (header.has_producer() && self.lasts.has(header));
        if aborted {
            return Ok(emptied(batch, empty_stays));
        }
        let verdicts = self.weigh(batch)?;
        if verdicts.kept == 0 {
            return Ok(emptied(batch, empty_stays));
        }
        let horizon = (verdicts.tombstones && header.delete_horizon().is_none()).then(|| self.horizon());
        if verdicts.kept == verdicts.stays.len() && horizon.is_none() {
            return Ok(Kept { left: Left::Whole, records: verdicts.kept as u64 });
        }
        let left = self.rewrite(batch, verdicts.stays.into_iter(), horizon)?;
        Ok(Kept { left: Left::Rewritten(left), records: verdicts.kept as u64 })
    }

    /// A batch of control records. A marker goes only when nothing is left of its transaction and its horizon has passed, which is set
    /// when that is seen first.
    pub(super) fn judge_control(&self, batch: &Batch, marker: &Marker, is_last: bool) -> Result<Kept, Malformed> {
        let header = batch.header();
        let empty_stays = is_last || (header.has_producer() && self.lasts.has(header));
        let horizon = header.delete_horizon();
        let is_over = marker.is_spent && horizon.is_some_and(|horizon| horizon <= self.now);
        if is_over || header.record_count == 0 {
            return Ok(emptied(batch, empty_stays));
        }
        let records = header.record_count as u64;
        if !marker.is_spent || horizon.is_some() {
            return Ok(Kept { left: Left::Whole, records });
        }
        let left = self.rewrite(batch, std::iter::repeat(true), Some(self.horizon()))?;
        Ok(Kept { left: Left::Rewritten(left), records })
    }

    fn horizon(&self) -> Timestamp {
        Timestamp(self.now.0.saturating_add(self.delete_retention_ms))
    }

    fn weigh(&self, batch: &Batch) -> Result<Verdicts, Malformed> {
        let header = batch.header();
        let tombstones_go = header.delete_horizon().is_some_and(|horizon| horizon <= self.now);
        let mut verdicts = Verdicts::default();
        let mut next = header.base_offset;
        for record in batch.records(self.budget)? {
            let record = record?;
            if record.offset < next || record.offset > header.last_offset() {
                return Err(Malformed::OffsetDelta {
                    found: (record.offset.0.wrapping_sub(header.base_offset.0)) as i32,
                    expected: (next.0.wrapping_sub(header.base_offset.0)) as i32,
                });
            }
            next = record.offset.next();
            let stays = self.stays(&record, tombstones_go);
            verdicts.kept += usize::from(stays);
            verdicts.tombstones |= stays && record.value.is_none();
            verdicts.stays.push(stays);
        }
        Ok(verdicts)
    }

    /// Whether a record is the last of its key, or behind what is known. One without a key is of no use in a compacted log.
    fn stays(&self, record: &Record, tombstones_go: bool) -> bool {
        if record.offset >= self.mapped {
            return true;
        }
        let Some(key) = &record.key else { return false };
        let is_last = self.keys.get(key).is_none_or(|last| record.offset >= last);
        is_last && (record.value.is_some() || !tombstones_go)
    }

    fn rewrite(
        &self,
        batch: &Batch,
        stays: impl Iterator<Item = bool>,
        horizon: Option<Timestamp>,
    ) -> Result<Batch, Malformed> {
        let mut settings = settings(batch.header())?;
        settings.delete_horizon = horizon.or(settings.delete_horizon);
        let mut builder = Builder::new(settings);
        for (record, stays) in batch.records(self.budget)?.zip(stays) {
            let record = record?;
            if stays {
                builder.append_record(&record).map_err(|_| Malformed::OverBudget(self.budget.batch_bytes_max))?;
            }
        }
        Ok(builder.finish_in_place_of(batch.header()))
    }
}

#[derive(Default)]
struct Verdicts {
    stays: Vec<bool>,
    kept: usize,
    /// Whether one of those that stay is a tombstone.
    tombstones: bool,
}

/// What is left of a batch without its records: its header, where its offsets or its sequence are still needed.
fn emptied(batch: &Batch, stays: bool) -> Kept {
    let left = match settings(batch.header()) {
        _ if !stays => Left::Nothing,
        Ok(_) if batch.header().record_count == 0 => Left::Whole,
        Ok(settings) => {
            let settings = Settings { compression: Compression::NONE, delete_horizon: None, ..settings };
            Left::Rewritten(Builder::new(settings).finish_in_place_of(batch.header()))
        }
        // A header that nobody writes is left as it is.
        Err(_) => Left::Whole,
    };
    Kept { left, records: 0 }
}

fn settings(header: &Header) -> Result<Settings, Malformed> {
    if header.attributes.is_transactional() && !header.has_producer() {
        return Err(Malformed::Control);
    }
    Settings::like(header).map_err(|unknown| Malformed::Codec(unknown.0))
}
