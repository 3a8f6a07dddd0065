//! The batches of one partition, in order, and the partitions in turn.

use std::collections::{BTreeMap, VecDeque};

use dohle_base::{ErrorCode, Instant, ProducerEpoch, ProducerId, Rng};
use dohle_records::batch::encode::{Entry, Producer};
use dohle_records::batch::header::sequence_after;

use super::batch::{Batch, Placed};
use super::{BatchId, Dispatch, Limits, Reason, Settled};
use crate::core::TopicPartition;
use crate::core::retry::Backoff;

/// The partitions that were ever written to: their numbers must be remembered.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<TopicPartition, Lane>,
    /// Whose turn it is, so that a full request does not always leave out the same.
    turn: Option<TopicPartition>,
}

impl Lanes {
    pub(super) fn entry(
        &mut self,
        place: &TopicPartition,
        identity: impl FnOnce() -> Option<(ProducerId, ProducerEpoch)>,
    ) -> &mut Lane {
        if !self.lanes.contains_key(place) {
            self.lanes.insert(place.clone(), Lane { identity: identity(), ..Lane::default() });
        }
        self.lanes.get_mut(place).expect("it was put there above")
    }

    pub(super) fn get_mut(&mut self, place: &TopicPartition) -> Option<&mut Lane> {
        self.lanes.get_mut(place)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.values()
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Lane> {
        self.lanes.values_mut()
    }

    /// All, beginning with the one whose turn it is.
    pub(super) fn in_turn(&mut self) -> impl Iterator<Item = (&TopicPartition, &mut Lane)> {
        let turn = self.turn.as_ref();
        let (mut later, mut earlier) = (vec![], vec![]);
        for (place, lane) in self.lanes.iter_mut().filter(|(_, lane)| !lane.batches.is_empty()) {
            if turn.is_none_or(|turn| place >= turn) { later.push((place, lane)) } else { earlier.push((place, lane)) }
        }
        later.into_iter().chain(earlier)
    }

    pub(super) fn begin_with(&mut self, place: Option<TopicPartition>) {
        self.turn = place;
    }
}

/// One partition.
#[derive(Debug, Default)]
pub(super) struct Lane {
    batches: VecDeque<Batch>,
    under_way: usize,
    /// Who writes here; nobody without idempotence.
    identity: Option<(ProducerId, ProducerEpoch)>,
    next_sequence: i32,
    /// Nothing is sent before.
    retry_at: Option<Instant>,
    /// A number is missing: wait until nothing is under way, then begin at 0 under the next epoch.
    anew: bool,
}

impl Lane {
    pub(super) fn append(&mut self, entry: &Entry, bytes: usize, limits: &Limits) -> Option<Placed> {
        let last = self.batches.back_mut()?;
        let index = last.append(entry, bytes, limits.batch_bytes)?;
        self.next_sequence = sequence_after(self.next_sequence, 1);
        Some(Placed { batch: last.id, index, wakes: false })
    }

    pub(super) fn open(&mut self, now: Instant, id: BatchId, entry: &Entry, bytes: usize, limits: &Limits) -> Placed {
        if let Some(full) = self.batches.back_mut() {
            full.close();
        }
        let mut batch = Batch::open(id, now, limits.compression, self.producer());
        let index = batch.append(entry, bytes, limits.batch_bytes).expect("a first record always fits");
        self.next_sequence = sequence_after(self.next_sequence, 1);
        self.batches.push_back(batch);
        Placed { batch: id, index, wakes: true }
    }

    fn producer(&self) -> Option<Producer> {
        self.identity.map(|(id, epoch)| Producer { id, epoch, base_sequence: self.next_sequence })
    }

    /// The first batch that is not under way.
    fn candidate(&self) -> Option<&Batch> {
        self.batches.iter().find(|batch| !batch.under_way)
    }

    pub(super) fn is_ready(&self, now: Instant, limits: &Limits, flush_below: u64, hurry: bool) -> bool {
        let Some(batch) = self.candidate() else { return false };
        let repeated = batch.attempts > 0 || self.batches.front().is_some_and(|first| first.attempts > 1);
        let free = if repeated { self.under_way == 0 } else { self.under_way < limits.in_flight };
        let rested = self.retry_at.is_none_or(|at| at <= now);
        let ripe = !batch.is_open()
            || batch.opened_at + limits.linger <= now
            || batch.id.0 <= flush_below
            || batch.size() >= limits.batch_bytes
            || hurry;
        free && rested && ripe && !self.anew
    }

    pub(super) fn next_bytes(&self) -> usize {
        self.candidate().map_or(0, Batch::size)
    }

    /// Sends the candidate. The caller asked [`Self::is_ready`].
    pub(super) fn dispatch(&mut self, place: &TopicPartition) -> Dispatch {
        let batch = self.batches.iter_mut().find(|batch| !batch.under_way).expect("a ready lane has a batch to send");
        batch.under_way = true;
        batch.attempts += 1;
        self.under_way += 1;
        self.retry_at = None;
        Dispatch { batch: batch.id, place: place.clone(), bytes: batch.close() }
    }

    /// A batch is under way no more; answers where it stands.
    pub(super) fn land(&mut self, id: BatchId) -> Option<usize> {
        let at = self.batches.iter().position(|batch| batch.id == id && batch.under_way)?;
        self.batches[at].under_way = false;
        self.under_way -= 1;
        Some(at)
    }

    pub(super) fn batch(&self, at: usize) -> BatchId {
        self.batches[at].id
    }

    pub(super) fn records(&self, at: usize) -> u32 {
        self.batches[at].records
    }

    /// Forgets a batch and answers what memory it took.
    pub(super) fn remove(&mut self, at: usize) -> usize {
        self.batches.remove(at).map_or(0, |batch| batch.memory)
    }

    pub(super) fn try_again(
        &mut self,
        now: Instant,
        at: usize,
        last: Option<ErrorCode>,
        backoff: &Backoff,
        rng: &mut Rng,
    ) {
        let batch = &mut self.batches[at];
        batch.last = last;
        batch.unknown |= last.is_none();
        let wait = now + backoff.wait(batch.attempts, rng);
        self.retry_at = Some(self.retry_at.map_or(wait, |at| at.max(wait)));
    }

    pub(super) fn begin_anew(&mut self) {
        self.anew = true;
    }

    pub(super) fn begins_anew(&self) -> bool {
        self.anew
    }

    /// Begins at 0 under the next epoch, if that is due and nothing is under way. Answers whether the epochs of this
    /// producer id are used up; then another id is waited for.
    pub(super) fn restart(&mut self, producer: Option<ProducerId>) -> bool {
        if !self.anew || self.under_way > 0 {
            return false;
        }
        let (Some((id, epoch)), Some(current)) = (self.identity, producer) else { return false };
        let next = if id == current { epoch.0.checked_add(1) } else { Some(0) };
        let Some(next) = next else { return true };
        self.identity = Some((current, ProducerEpoch(next)));
        self.anew = false;
        self.next_sequence = 0;
        for at in 0..self.batches.len() {
            let producer = self.producer().expect("a lane that begins anew has an identity");
            self.batches[at].renumber(producer);
            self.next_sequence = sequence_after(self.next_sequence, self.batches[at].records as i32);
        }
        false
    }

    pub(super) fn split(&mut self, at: usize, ids: (BatchId, BatchId), limits: &Limits) -> u32 {
        let batch = self.batches.remove(at).expect("the caller found it");
        let memory = batch.memory;
        let (mut first, mut second) = batch.split(ids, limits.compression);
        // What the records count for does not change with the batch that they are in.
        first.memory = memory / 2;
        second.memory = memory - first.memory;
        let records = first.records;
        self.batches.insert(at, second);
        self.batches.insert(at, first);
        records
    }

    pub(super) fn expire(&mut self, now: Instant, limits: &Limits, out: &mut Vec<Settled>) -> usize {
        let mut memory = 0;
        while let Some(at) = self.overdue(now, limits) {
            let batch = &self.batches[at];
            let reason = Reason::Expired { last: batch.last, unknown: batch.unknown };
            out.push(Settled::Failed { batch: batch.id, reason });
            memory += self.remove(at);
            self.anew = limits.idempotent;
        }
        memory
    }

    fn overdue(&self, now: Instant, limits: &Limits) -> Option<usize> {
        self.batches.iter().position(|batch| !batch.under_way && batch.opened_at + limits.delivery_timeout <= now)
    }

    pub(super) fn abandon(&mut self, out: &mut Vec<Settled>) -> usize {
        let abandoned = std::mem::take(&mut self.batches);
        self.under_way = 0;
        out.extend(abandoned.iter().map(|batch| Settled::Failed { batch: batch.id, reason: Reason::Closed }));
        abandoned.iter().map(|batch| batch.memory).sum()
    }

    /// What waits for a leader, for room or for what is under way has no moment of its own but its expiry.
    pub(super) fn deadline(&self, now: Instant, limits: &Limits) -> Option<Instant> {
        let batch = self.candidate()?;
        let ripe_at = batch.is_open().then(|| batch.opened_at + limits.linger);
        let expires_at = batch.opened_at + limits.delivery_timeout;
        [self.retry_at, ripe_at, Some(expires_at)].into_iter().flatten().filter(|at| *at > now).min()
    }

    pub(super) fn memory(&self) -> usize {
        self.batches.iter().map(|batch| batch.memory).sum()
    }

    pub(super) fn check(&self, limits: &Limits) {
        assert!(self.under_way == self.batches.iter().filter(|batch| batch.under_way).count());
        assert!(self.under_way <= limits.in_flight);
        assert!(self.batches.iter().rev().skip(1).all(|batch| !batch.is_open()), "only the last batch is open");
        assert!(self.batches.iter().all(|batch| batch.records > 0), "no batch is empty");
    }
}
