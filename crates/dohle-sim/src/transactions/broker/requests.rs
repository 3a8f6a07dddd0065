//! The ways of clients' requests into the broker: those to the coordinator, and those that write where a transaction must be known.

use dohle_base::{ErrorCode, LeaderEpoch, Now, Offset, Partition, ProducerId, TopicId, TopicName};
use dohle_coordinator::transaction::{AddPartitions, Command, End, Init, Version};
use dohle_coordinator::{CommitOffsets, CommitOffsetsInTransaction, Generation, OffsetToCommit, Producer, Wish};
use dohle_log::log::AppendError;
use dohle_log::producers::Origin;
use dohle_records::batch::header::NO_SEQUENCE;

use super::leading::{Leading, Tenant, Waiter};
use super::partition::Guard;
use super::{Out, journal};
use crate::fact::RequestId;
use crate::transactions::edge::Edge;
use crate::transactions::fact::{Fact, Line, Value, Written};
use crate::transactions::place::Place;
use crate::transactions::request::{Answer, Request, What};

impl Leading {
    pub(super) fn handle(&mut self, now: Now, request: RequestId, asked: Request, out: &mut Out) {
        match asked.what {
            What::Init { .. } | What::Add(_) | What::End(_) => self.propose(now, request, asked, None, out),
            What::Write { partition, sequence, .. } => {
                self.join(now, request, asked, Place::Data(partition), sequence, out);
            }
            What::CommitOffset(_) => self.join(now, request, asked, Place::Offsets, NO_SEQUENCE, out),
        }
    }

    /// Hands a request to the coordinator, with a producer id if it turned out to need one.
    pub(super) fn propose(
        &mut self,
        now: Now,
        request: RequestId,
        asked: Request,
        fresh: Option<ProducerId>,
        out: &mut Out,
    ) {
        let Request { name, version, producer, .. } = &asked;
        let (transactional_id, version, producer) = (name.clone(), *version, *producer);
        let command = match asked.what {
            What::Init { timeout_ms } => Command::Init(Init {
                transactional_id,
                timeout_ms,
                expected: (producer != Producer::NONE).then_some(producer),
                two_phase: false,
                keep_prepared: false,
                fresh,
            }),
            What::Add(place) => {
                let partitions = vec![place.named()];
                Command::AddPartitions(AddPartitions { transactional_id, producer, partitions, version: Version::Zero })
            }
            What::End(outcome) => Command::End(End { transactional_id, producer, outcome, version, fresh }),
            What::Write { .. } | What::CommitOffset(_) => {
                unreachable!("a partition is written to, not the coordinator")
            }
        };
        self.ask(now, Waiter::Client { request, asked }, command, out);
    }

    /// Before the first batch of a transaction enters a partition, the coordinator is asked whether it knows of it, or is told (KIP-890).
    fn join(&mut self, now: Now, request: RequestId, asked: Request, place: Place, sequence: i32, out: &mut Out) {
        let (producer, joins_now) = (asked.producer, asked.version.raises_epoch());
        let Some(leave) = self.at(place).guard(producer, sequence, joins_now) else {
            return self.admit(now, request, &asked, None, out);
        };
        if joins_now {
            let (transactional_id, partitions) = (asked.name.clone(), vec![place.named()]);
            let version = Version::Two;
            let command = Command::AddPartitions(AddPartitions { transactional_id, producer, partitions, version });
            return self.ask(now, Waiter::Joining { request, asked, leave }, command, out);
        }
        let state = self.transactor.ledger.committed();
        let verified = state.verify(&asked.name, producer, &[place.named()]).map(|codes| codes[0]);
        match verified.unwrap_or_else(|code| code) {
            ErrorCode::None => self.admit(now, request, &asked, Some(leave), out),
            code => {
                out.edges.push(Edge::Unverified);
                out.answer(request, Answer::Refused(asked.told(code)));
            }
        }
    }

    /// Writes a batch of a transaction that the coordinator knows of.
    pub(super) fn admit(&mut self, now: Now, request: RequestId, asked: &Request, leave: Option<Guard>, out: &mut Out) {
        let Some(place) = asked.what.place() else { unreachable!("it writes nowhere") };
        if !self.at(place).admits(asked.producer, leave) {
            out.edges.push(Edge::LeaveLost);
            return out.answer(request, Answer::Refused(ErrorCode::InvalidTxnState));
        }
        match asked.what {
            What::Write { partition, sequence, .. } => self.write(now, request, asked, partition, sequence, out),
            What::CommitOffset(value) => self.commit_offset(now, request, asked, value, out),
            What::Init { .. } | What::Add(_) | What::End(_) => unreachable!("it writes nowhere"),
        }
        self.want_flushes(out);
    }

    fn write(&mut self, now: Now, request: RequestId, asked: &Request, partition: i32, sequence: i32, out: &mut Out) {
        let (producer, values) = (asked.producer, asked.what.values());
        let data = &mut self.data[partition as usize];
        let batch = journal::batch(producer, sequence, &values, now.wall);
        let origin = data.partition.client(producer);
        let place = Place::Data(partition);
        let line = |at| Line { place, at, producer, written: Written::Records(values.clone()) };
        match data.partition.append(&batch, origin, now) {
            Ok(appended) => {
                let line = line(appended.base_offset);
                if appended.duplicate {
                    out.edges.push(Edge::Duplicate);
                } else {
                    out.facts.push(Fact::Wrote(line.clone()));
                }
                let tenant = Tenant::Client { request, line };
                if appended.last_offset < data.partition.high_watermark() {
                    return self.tell(now, tenant, Ok(()), out);
                }
                data.wait(appended.last_offset.next(), tenant);
            }
            Err(AppendError::Storage(_) | AppendError::Offline) => {
                // It may be on the disk all the same.
                out.facts.push(Fact::Wrote(line(data.partition.log.end())));
                out.failed = true;
            }
            Err(refusal) => out.answer(request, Answer::Refused(refusal.code())),
        }
    }

    fn commit_offset(&mut self, now: Now, request: RequestId, asked: &Request, value: Value, out: &mut Out) {
        let producer = asked.producer;
        let batch = journal::batch(producer, NO_SEQUENCE, &[value], now.wall);
        let origin = Origin::Coordinator { transaction_version: 0 };
        if let Err(refusal) = self.groups.partition.log.producers().check(batch.header(), origin) {
            return out.answer(request, Answer::Refused(refusal.code()));
        }
        let Wish { topic, topic_id, partition } = wish();
        let place = OffsetToCommit {
            topic,
            topic_id,
            partition,
            offset: Offset(value.label.0 as i64),
            leader_epoch: LeaderEpoch::NONE,
            metadata: Some(journal::words(value).into()),
        };
        let commit = CommitOffsets {
            group: asked.name.as_str().into(),
            member: None,
            instance: None,
            generation: Generation::NONE,
            retention: None,
            offsets: vec![place],
        };
        let command =
            dohle_coordinator::Command::CommitOffsetsInTransaction(CommitOffsetsInTransaction { producer, commit });
        let (place, at) = (Place::Offsets, self.groups.partition.log.end());
        let line = Line { place, at, producer, written: Written::Records(vec![value]) };
        let heard = self.groups.propose(now, Tenant::Client { request, line }, command);
        self.hear_groups(now, heard, out);
    }
}

impl Request {
    /// What the client understands of a refusal of the coordinator, when it wanted to write.
    pub(super) fn told(&self, code: ErrorCode) -> ErrorCode {
        if code == ErrorCode::ProducerFenced { ErrorCode::InvalidProducerEpoch } else { code }
    }
}

/// The place that each producer's group moves.
pub(super) fn wish() -> Wish {
    let topic = TopicName::parse("source").expect("a legal name");
    Wish { topic, topic_id: TopicId::ZERO, partition: Partition(0) }
}
