//! One partition under its leader: the log on the disk in memory, the leader machine over it, and who has leave to begin a transaction.

use std::collections::BTreeMap;

use dohle_base::{Instant, LeaderEpoch, Now, Offset, ProducerId, Timestamp};
use dohle_coordinator::Producer;
use dohle_log::disk::Memory;
use dohle_log::log::{Append, AppendError, Appended, Flush, Log};
use dohle_log::producers::{Origin, Verification};
use dohle_records::Batch;
use dohle_replication::partition::{Durability, Effect, Event, Leader};

/// A partition.
pub(super) struct Partition {
    pub(super) log: Log<Memory>,
    leader: Leader,
    flush: Option<Flush<Memory>>,
    guards: BTreeMap<ProducerId, Pending>,
    given: u64,
}

/// What an answer of the coordinator is good for (KIP-890).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guard(u64);

/// A first batch that the coordinator is asked about.
struct Pending {
    guard: Guard,
    verification: Verification,
}

impl Partition {
    /// Leads. What the log holds is durable.
    pub(super) fn lead(mut log: Log<Memory>, epoch: LeaderEpoch) -> Self {
        assert!(log.synced() == log.end());
        log.begin_epoch(epoch);
        let leader = Leader::new(epoch, Durability::Synced, log.end());
        Self { log, leader, flush: None, guards: BTreeMap::new(), given: 0 }
    }

    pub(super) fn epoch(&self) -> LeaderEpoch {
        self.leader.epoch()
    }

    pub(super) fn high_watermark(&self) -> Offset {
        self.leader.high_watermark()
    }

    pub(super) fn last_stable(&mut self) -> Offset {
        self.log.last_stable(self.leader.high_watermark())
    }

    /// Whether something in it is not durable.
    pub(super) fn is_behind(&self) -> bool {
        self.log.synced() < self.log.end()
    }

    /// A guard to ask the coordinator under; none if the producer's transaction is open here.
    pub(super) fn guard(&mut self, producer: Producer, sequence: i32, raises: bool) -> Option<Guard> {
        if self.is_open(producer) {
            return None;
        }
        let verification = Verification { lowest_sequence: sequence, supports_epoch_bump: raises };
        let given = &mut self.given;
        let pending = self.guards.entry(producer.id).or_insert_with(|| {
            *given += 1;
            Pending { guard: Guard(*given), verification }
        });
        pending.verification.lowest_sequence = pending.verification.lowest_sequence.min(sequence);
        Some(pending.guard)
    }

    /// Whether a batch of the transaction may be written by somebody with this leave.
    pub(super) fn admits(&self, producer: Producer, leave: Option<Guard>) -> bool {
        let is_current = |leave| self.guards.get(&producer.id).is_some_and(|pending| pending.guard == leave);
        self.is_open(producer) || leave.is_some_and(is_current)
    }

    /// In which role the log is to judge a client's batch.
    pub(super) fn client(&self, producer: Producer) -> Origin {
        Origin::Client(self.guards.get(&producer.id).map(|pending| pending.verification))
    }

    fn is_open(&self, producer: Producer) -> bool {
        let known = self.log.producers().get(producer.id);
        known.is_some_and(|known| known.transaction_start.is_some() && known.epoch == producer.epoch)
    }

    pub(super) fn append(&mut self, batch: &Batch, origin: Origin, now: Now) -> Result<Appended, AppendError> {
        let append = Append { leader_epoch: self.leader.epoch(), origin, largest: None };
        let appended = self.log.append(batch, &append, now.wall)?;
        if !appended.duplicate {
            self.step(now.instant, Event::Written { end: self.log.end() });
            if batch.header().attributes.is_transactional() {
                self.guards.remove(&batch.header().producer_id);
            }
        }
        Ok(appended)
    }

    /// Hands what waits to the disk; false when nothing does.
    pub(super) fn begin_flush(&mut self) -> bool {
        if self.flush.is_none() {
            self.flush = self.log.begin_flush();
        }
        self.flush.is_some()
    }

    /// The disk is done with what it was handed: up to where all is durable, or none when it failed.
    pub(super) fn end_flush(&mut self, now: Now) -> Option<Offset> {
        let Some(flush) = self.flush.take() else { return Some(self.log.synced()) };
        let upto = self.log.flushed(flush.run(), now.wall).ok()?;
        self.step(now.instant, Event::Synced { upto });
        Some(upto)
    }

    /// Stops in good order; false when the disk fails.
    pub(super) fn close(&mut self, now: Timestamp) -> bool {
        let flushed = self.flush.take().is_none_or(|flush| self.log.flushed(flush.run(), now).is_ok());
        flushed && self.log.close(now).is_ok()
    }

    pub(super) fn check(&self) {
        self.leader.check();
        self.log.check();
    }

    fn step(&mut self, now: Instant, event: Event) {
        let mut effects = vec![];
        self.leader.step(now, event, &mut effects);
        assert!(effects.iter().all(|effect| *effect == Effect::Sync), "nobody waits at the leader itself");
    }
}
