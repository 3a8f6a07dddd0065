//! What waits to be sent, and what is under way: the producer's accumulator.
//!
//! Owns the order of records within a partition, their sequence numbers (KIP-98) and the memory that they take. Knows
//! neither connections nor callers: it hands out batches and is told what became of them.
//!
//! Laws: a batch's bytes never change while they may be under way; a partition's batches are sent in order, and what is
//! sent again goes alone and first; with idempotence, a batch that failed for good makes its partition begin anew under
//! the next epoch once nothing of it is under way, so that no number is missing.

mod batch;
mod lane;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use dohle_base::{BrokerId, ErrorCode, Instant, Offset, ProducerEpoch, ProducerId, Rng, Timestamp};
use dohle_records::Compression;
use dohle_records::batch::encode::Entry;

use crate::core::TopicPartition;
use crate::core::retry::{Backoff, Verdict, judge};
use lane::{Lane, Lanes};

pub(crate) use batch::Placed;

/// What the accumulator is told at its birth.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A batch is closed when it would grow past this, before packing (`batch.size`).
    pub batch_bytes: usize,
    /// A batch waits so long for company (`linger.ms`).
    pub linger: Duration,
    /// All records that wait or are under way take no more than this (`buffer.memory`).
    pub memory_bytes: usize,
    /// No request and no record is larger (`max.request.size`).
    pub request_bytes: usize,
    /// Batches of one partition under way at the same time (`max.in.flight.requests.per.connection`).
    pub in_flight: usize,
    /// A record that is not delivered after so long has failed (`delivery.timeout.ms`).
    pub delivery_timeout: Duration,
    /// Waits between attempts (`retry.backoff.ms`, `retry.backoff.max.ms`).
    pub backoff: Backoff,
    /// How records are packed (`compression.type`).
    pub compression: Compression,
    /// Whether records are numbered (`enable.idempotence`).
    pub idempotent: bool,
}

/// Names a batch for as long as somebody waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// Why a record is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no memory for it now; there will be when something was delivered.
    Full,
    /// It is larger than any request.
    TooLarge {
        /// Its size at the most.
        bytes: usize,
    },
}

/// A batch to be sent.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// Which.
    pub batch: BatchId,
    /// Where to.
    pub place: TopicPartition,
    /// The whole batch.
    pub bytes: bytes::Bytes,
}

/// What became of a batch that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was written.
    Written {
        /// The offset of its first record; [`Offset::NONE`] when nobody told.
        base_offset: Offset,
        /// The time that the log gave to its records, when it gives one.
        append_time: Option<Timestamp>,
    },
    /// The broker refused it.
    Refused {
        /// Why.
        code: ErrorCode,
        /// In the broker's words, when it has some.
        message: Option<String>,
    },
    /// No answer came: it may have been written or not.
    Silence,
}

/// The end of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Its records are in the log.
    Delivered {
        /// Which.
        batch: BatchId,
        /// The offset of its first record.
        base_offset: Offset,
        /// The time that the log gave to its records.
        append_time: Option<Timestamp>,
    },
    /// Its records are not, or perhaps not, in the log.
    Failed {
        /// Which.
        batch: BatchId,
        /// Why.
        reason: Reason,
    },
    /// It was too large for the broker and goes on as two.
    Split {
        /// Which.
        batch: BatchId,
        /// The two, and how many records the first has.
        into: (BatchId, BatchId),
        /// How many of its records are in the first of the two.
        first: u32,
    },
}

/// Why records failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The broker does not want them.
    Refused {
        /// Why.
        code: ErrorCode,
        /// In the broker's words.
        message: Option<String>,
    },
    /// They were not delivered in time; the last attempt, if there was one, ended so.
    Expired {
        /// The last refusal; none when no answer came or nothing was sent.
        last: Option<ErrorCode>,
        /// Whether an attempt was made whose end is not known.
        unknown: bool,
    },
    /// The producer was closed before.
    Closed,
}

/// The accumulator.
#[derive(Debug)]
pub struct Accumulator {
    limits: Limits,
    rng: Rng,
    lanes: Lanes,
    memory_used: usize,
    batches: u64,
    producer: Option<ProducerId>,
    /// Everything up to this batch is sent without waiting for company.
    flush_below: u64,
}

impl Accumulator {
    /// Holds nothing yet.
    pub fn new(limits: Limits, rng: Rng) -> Self {
        assert!(limits.in_flight > 0, "at least one batch must be allowed under way");
        let lanes = Lanes::default();
        Self { limits, rng, lanes, memory_used: 0, batches: 0, producer: None, flush_below: 0 }
    }

    /// Whether an id must be fetched before records are taken, or before the held ones can go on.
    pub fn needs_id(&self) -> bool {
        self.limits.idempotent && self.producer.is_none()
    }

    /// The cluster gave the producer an id.
    pub fn identify(&mut self, id: ProducerId) {
        self.producer = Some(id);
        self.restart_lanes();
    }

    /// Takes a record in. Its place among the records of its partition is that of the call.
    pub fn append(&mut self, now: Instant, place: &TopicPartition, entry: &Entry) -> Result<Placed, Refusal> {
        assert!(!self.needs_id(), "a numbered record needs a producer");
        let bytes = entry.size_upper_bound();
        if bytes + dohle_records::batch::header::BYTES > self.limits.request_bytes {
            return Err(Refusal::TooLarge { bytes });
        }
        if self.memory_used > 0 && self.memory_used + bytes > self.limits.memory_bytes {
            return Err(Refusal::Full);
        }
        let producer = self.producer;
        let lane = self.lanes.entry(place, || producer.map(|id| (id, ProducerEpoch(0))));
        let placed = match lane.append(entry, bytes, &self.limits) {
            Some(placed) => placed,
            None => {
                self.batches += 1;
                lane.open(now, BatchId(self.batches), entry, bytes, &self.limits)
            }
        };
        self.memory_used += bytes;
        Ok(placed)
    }

    /// Everything taken in so far is to be sent without waiting for company.
    pub fn flush(&mut self) {
        self.flush_below = self.batches;
    }

    /// Whether records wait or are under way.
    pub fn is_empty(&self) -> bool {
        self.memory_used == 0
    }

    /// The memory that records take.
    pub fn memory_used(&self) -> usize {
        self.memory_used
    }

    /// Takes out what can be sent now, at most one request for each broker that has room: one batch for each partition.
    pub fn drain(
        &mut self,
        now: Instant,
        leader: impl Fn(&TopicPartition) -> Option<BrokerId>,
        room: impl Fn(BrokerId) -> bool,
    ) -> BTreeMap<BrokerId, Vec<Dispatch>> {
        let mut requests: BTreeMap<BrokerId, (usize, Vec<Dispatch>)> = BTreeMap::new();
        let hurry = self.memory_used * 4 > self.limits.memory_bytes * 3;
        let mut passed_over = None;
        for (place, lane) in self.lanes.in_turn() {
            if !lane.is_ready(now, &self.limits, self.flush_below, hurry) {
                continue;
            }
            let Some(broker) = leader(place).filter(|broker| room(*broker)) else { continue };
            let (bytes, batches) = requests.entry(broker).or_default();
            if *bytes > 0 && *bytes + lane.next_bytes() > self.limits.request_bytes {
                passed_over.get_or_insert_with(|| place.clone());
                continue;
            }
            let dispatch = lane.dispatch(place);
            *bytes += dispatch.bytes.len();
            batches.push(dispatch);
        }
        self.lanes.begin_with(passed_over);
        requests.into_iter().map(|(broker, (_, batches))| (broker, batches)).filter(|(_, b)| !b.is_empty()).collect()
    }

    /// A batch's fate is known. Answers whether the cluster's metadata should be asked for.
    pub fn settle(
        &mut self,
        now: Instant,
        place: &TopicPartition,
        batch: BatchId,
        outcome: Outcome,
        out: &mut Vec<Settled>,
    ) -> bool {
        let Some(lane) = self.lanes.get_mut(place) else { return false };
        let Some(at) = lane.land(batch) else { return false };
        let mut refresh = false;
        match outcome {
            Outcome::Written { base_offset, append_time } => {
                self.memory_used -= lane.remove(at);
                out.push(Settled::Delivered { batch, base_offset, append_time });
            }
            Outcome::Silence => {
                refresh = true;
                lane.try_again(now, at, None, &self.limits.backoff, &mut self.rng);
            }
            Outcome::Refused { code, message } => refresh = self.refused(now, place, at, code, message, out),
        }
        self.restart_lanes();
        self.expire(now, out);
        refresh
    }

    fn refused(
        &mut self,
        now: Instant,
        place: &TopicPartition,
        at: usize,
        code: ErrorCode,
        message: Option<String>,
        out: &mut Vec<Settled>,
    ) -> bool {
        let numbered = self.limits.idempotent;
        let lane = self.lanes.get_mut(place).expect("the caller found it");
        let batch = lane.batch(at);
        let verdict = judge(code);
        match code {
            // It is in the log already, too far back for the broker to say where.
            ErrorCode::DuplicateSequenceNumber => {
                self.memory_used -= lane.remove(at);
                out.push(Settled::Delivered { batch, base_offset: Offset::NONE, append_time: None });
            }
            // One before it is still to be delivered, or failed: nothing is wrong with this one.
            ErrorCode::OutOfOrderSequenceNumber if numbered && (at > 0 || lane.begins_anew()) => {
                lane.try_again(now, at, Some(code), &self.limits.backoff, &mut self.rng);
            }
            // The broker forgot this producer: nothing is known to be lost, so it goes on under a new epoch.
            ErrorCode::UnknownProducerId | ErrorCode::InvalidProducerEpoch if numbered => {
                lane.begin_anew();
                lane.try_again(now, at, Some(code), &self.limits.backoff, &mut self.rng);
            }
            ErrorCode::MessageTooLarge if lane.records(at) > 1 => {
                let ids = (BatchId(self.batches + 1), BatchId(self.batches + 2));
                self.batches += 2;
                let first = lane.split(at, ids, &self.limits);
                if numbered {
                    lane.begin_anew();
                }
                out.push(Settled::Split { batch, into: ids, first });
            }
            _ if verdict == Verdict::Fail => {
                self.memory_used -= lane.remove(at);
                if numbered {
                    lane.begin_anew();
                }
                out.push(Settled::Failed { batch, reason: Reason::Refused { code, message } });
            }
            _ => lane.try_again(now, at, Some(code), &self.limits.backoff, &mut self.rng),
        }
        matches!(verdict, Verdict::Refresh)
    }

    /// Gives up what was not delivered in time. What is under way is left until it lands.
    pub fn expire(&mut self, now: Instant, out: &mut Vec<Settled>) {
        for lane in self.lanes.values_mut() {
            self.memory_used -= lane.expire(now, &self.limits, out);
        }
        self.restart_lanes();
    }

    /// Gives up everything.
    pub fn abandon(&mut self, out: &mut Vec<Settled>) {
        for lane in self.lanes.values_mut() {
            self.memory_used -= lane.abandon(out);
        }
        assert!(self.memory_used == 0, "nothing is left to take memory");
    }

    /// When something is due after `now`, if nothing else happens before.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        self.lanes.values().filter_map(|lane| lane.deadline(now, &self.limits)).min()
    }

    /// The laws.
    pub fn check(&self) {
        let memory: usize = self.lanes.values().map(Lane::memory).sum();
        assert!(memory == self.memory_used);
        self.lanes.values().for_each(|lane| lane.check(&self.limits));
    }

    fn restart_lanes(&mut self) {
        let mut exhausted = false;
        for lane in self.lanes.values_mut() {
            exhausted |= lane.restart(self.producer);
        }
        if exhausted {
            self.producer = None;
        }
    }
}
