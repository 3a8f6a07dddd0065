//! The broker while it leads: what the machines say is done, and who waits is told.
//!
//! The ways of requests into it are in [`requests`](super::requests), those of markers in [`markers`](super::markers).

use std::collections::BTreeMap;

use dohle_base::{ErrorCode, Instant, Now, Offset, ProducerId};
use dohle_coordinator::transaction::{Command, Reply, TransactionCoordinator};
use dohle_coordinator::{FetchOffsets, GroupCoordinator, Record, TransactionalId, Wanted};
use dohle_replication::ledger::Refusal;

use super::markers::{Endings, Sent};
use super::partition::{Guard, Partition};
use super::seat::{Heard, Seat};
use super::{LOGS, Out, decided, journal};
use crate::fact::RequestId;
use crate::transactions::edge::Edge;
use crate::transactions::fact::{Fact, Line, Value, Written};
use crate::transactions::place::Place;
use crate::transactions::request::{Answer, Request};

/// Who waits for the coordinator of transactions.
pub(super) enum Waiter {
    Client {
        request: RequestId,
        asked: Request,
    },
    /// The partition is being added; then the client's batch is written.
    Joining {
        request: RequestId,
        asked: Request,
        leave: Guard,
    },
    Nobody,
}

/// Who waits in a partition until something there is safe.
pub(super) enum Tenant {
    Client { request: RequestId, line: Line },
    Marker(Sent),
}

/// A partition that clients write to.
pub(super) struct Data {
    pub(super) partition: Partition,
    /// By what must be safe first.
    waiting: BTreeMap<(Offset, u64), Tenant>,
    admitted: u64,
}

/// The broker while it leads.
pub(in crate::transactions) struct Leading {
    pub(super) transactor: Seat<TransactionCoordinator, Waiter>,
    pub(super) groups: Seat<GroupCoordinator, Tenant>,
    pub(super) data: Vec<Data>,
    pub(super) endings: Endings,
    pub(super) next_id: i64,
}

impl Data {
    /// The tenant is told once everything below `upto` is safe.
    pub(super) fn wait(&mut self, upto: Offset, tenant: Tenant) {
        self.admitted += 1;
        self.waiting.insert((upto, self.admitted), tenant);
    }

    fn released(&mut self) -> Vec<Tenant> {
        let high_watermark = self.partition.high_watermark();
        let later = self.waiting.split_off(&(high_watermark.next(), 0));
        std::mem::replace(&mut self.waiting, later).into_values().collect()
    }
}

impl Leading {
    pub(super) fn new(
        transactor: Seat<TransactionCoordinator, Waiter>,
        groups: Seat<GroupCoordinator, Tenant>,
        data: Vec<Partition>,
        next_id: i64,
    ) -> Self {
        let data = data.into_iter().map(|partition| Data { partition, waiting: BTreeMap::new(), admitted: 0 });
        Self { transactor, groups, data: data.collect(), endings: Endings::default(), next_id }
    }

    pub(super) fn partition(&mut self, log: usize) -> &mut Partition {
        match log {
            0 => &mut self.transactor.partition,
            1 => &mut self.groups.partition,
            data => &mut self.data[data - 2].partition,
        }
    }

    pub(super) fn at(&mut self, place: Place) -> &mut Partition {
        match place {
            Place::Data(partition) => &mut self.data[partition as usize].partition,
            Place::Offsets => &mut self.groups.partition,
        }
    }

    /// A producer id that nobody has.
    fn fresh(&mut self) -> ProducerId {
        self.next_id += 1;
        ProducerId(self.next_id)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let deadlines = [self.transactor.ledger.deadline(), self.groups.ledger.deadline()];
        deadlines.into_iter().flatten().min()
    }

    pub(super) fn tick(&mut self, now: Now, out: &mut Out) {
        let heard = self.transactor.tick(now);
        self.hear(now, None, heard, out);
        let heard = self.groups.tick(now);
        self.hear_groups(now, heard, out);
        self.news(now, out);
    }

    /// The disk has confirmed what it was handed of a log.
    pub(super) fn synced(&mut self, now: Now, log: usize, out: &mut Out) {
        match log {
            0 => {
                let heard = self.transactor.settle(now);
                out.facts.push(Fact::Safe(self.transactor.partition.high_watermark()));
                self.hear(now, None, heard, out);
                self.news(now, out);
            }
            1 => {
                let heard = self.groups.settle(now);
                self.hear_groups(now, heard, out);
            }
            data => {
                for tenant in self.data[data - 2].released() {
                    self.tell(now, tenant, Ok(()), out);
                }
            }
        }
        self.stand(out);
        self.want_flushes(out);
    }

    /// Asks the coordinator of transactions.
    pub(super) fn ask(&mut self, now: Now, waiter: Waiter, command: Command, out: &mut Out) {
        let cause = match &waiter {
            Waiter::Client { request, .. } | Waiter::Joining { request, .. } => Some(*request),
            Waiter::Nobody => None,
        };
        let heard = self.transactor.propose(now, waiter, command);
        self.hear(now, cause, heard, out);
    }

    fn hear(
        &mut self,
        now: Now,
        cause: Option<RequestId>,
        heard: Heard<TransactionCoordinator, Waiter>,
        out: &mut Out,
    ) {
        for (at, records) in heard.appended {
            for (place, record) in records.into_iter().enumerate() {
                out.facts.push(Fact::Decided(decided(cause, Offset(at.0 + place as i64), record)));
            }
        }
        out.failed |= heard.failed;
        for (waiter, reply) in heard.told {
            self.answer(now, waiter, reply, out);
        }
        self.want_flushes(out);
    }

    fn answer(&mut self, now: Now, waiter: Waiter, reply: Result<Reply, Refusal>, out: &mut Out) {
        match (waiter, reply) {
            (Waiter::Nobody, _) => {}
            (Waiter::Client { request, .. } | Waiter::Joining { request, .. }, Err(refusal)) => {
                out.answer(request, Answer::Refused(dohle_coordinator::refusal_code(refusal)));
            }
            (Waiter::Client { request, asked }, Ok(Reply::NeedsProducerId)) => {
                let fresh = Some(self.fresh());
                self.propose(now, request, asked, fresh, out);
            }
            (Waiter::Client { request, .. }, Ok(Reply::Init(said) | Reply::End(said))) => {
                out.answer(request, Answer::named(said));
            }
            (Waiter::Client { request, .. }, Ok(Reply::AddPartitions(said))) => out.answer(request, Answer::of(said)),
            (Waiter::Joining { request, asked, leave }, Ok(Reply::AddPartitions(said))) => match said {
                Ok(()) => self.admit(now, request, &asked, Some(leave), out),
                Err(code) => out.answer(request, Answer::Refused(asked.told(code))),
            },
            (Waiter::Client { .. } | Waiter::Joining { .. }, Ok(other)) => {
                unreachable!("no client asks for this: {other:?}")
            }
        }
    }

    pub(super) fn hear_groups(&mut self, now: Now, heard: Heard<GroupCoordinator, Tenant>, out: &mut Out) {
        for (at, records) in heard.appended {
            for (place, record) in records.iter().enumerate() {
                out.facts.extend(line_of(Offset(at.0 + place as i64), record).map(Fact::Wrote));
            }
        }
        out.failed |= heard.failed;
        for (tenant, reply) in heard.told {
            use dohle_coordinator::Reply;
            let said = match reply {
                Ok(Reply::CommitOffsetsInTransaction(said)) => said.map(drop),
                Ok(Reply::EndTransaction(said)) => said,
                Ok(other) => unreachable!("nobody here asks for this: {other:?}"),
                Err(refusal) => Err(dohle_coordinator::refusal_code(refusal)),
            };
            self.tell(now, tenant, said, out);
        }
        self.stand(out);
        self.want_flushes(out);
    }

    /// What somebody waited for in a partition is safe, or is not to be.
    pub(super) fn tell(&mut self, now: Now, tenant: Tenant, said: Result<(), ErrorCode>, out: &mut Out) {
        match tenant {
            Tenant::Client { request, line } => {
                if said.is_ok() {
                    out.facts.push(Fact::WriteTold(line));
                }
                out.answer(request, Answer::of(said));
            }
            Tenant::Marker(sent) => self.settle_marker(now, sent, said, out),
        }
    }

    /// The coordinator of transactions may have something to do for the shell.
    fn news(&mut self, now: Now, out: &mut Out) {
        if self.transactor.ledger.soft().wants_producer_id() {
            let spare = self.fresh();
            out.edges.push(Edge::SpareUsed);
            self.ask(now, Waiter::Nobody, Command::Spare(spare), out);
        }
        self.look_for_markers(out);
    }

    /// Tells how far readers may see.
    pub(super) fn stand(&mut self, out: &mut Out) {
        for place in Place::ALL {
            let partition = self.at(place);
            let (high_watermark, last_stable) = (partition.high_watermark(), partition.last_stable());
            out.facts.push(Fact::Stood { place, high_watermark, last_stable });
        }
    }

    pub(super) fn want_flushes(&mut self, out: &mut Out) {
        for log in 0..LOGS {
            if self.partition(log).is_behind() {
                out.flushes.insert(log);
            }
        }
    }

    /// A reader of committed records reads a partition from its beginning.
    pub(in crate::transactions) fn see(&mut self, place: Place) -> Result<Fact, String> {
        let partition = self.at(place);
        let last_stable = partition.last_stable();
        let values = journal::committed(&partition.log, place, last_stable)?;
        Ok(Fact::Seen { place, last_stable, values })
    }

    /// Where a producer's group stands: an error where an open transaction may move it.
    pub(in crate::transactions) fn stands(&self, name: &TransactionalId) -> Result<Option<Value>, ErrorCode> {
        let group = name.as_str().into();
        let question =
            FetchOffsets { group, wanted: Wanted::Listed(vec![super::requests::wish()]), require_stable: true };
        let mut found = self.groups.ledger.committed().fetch_offsets(&question);
        let committed = found.pop().expect("one place was asked for").committed?;
        Ok(committed.and_then(|value| journal::parse(value.metadata.as_deref()?)))
    }

    /// Says what has not come to rest.
    pub(in crate::transactions) fn at_rest(&mut self) -> Result<(), String> {
        let open = self.transactor.ledger.latest().ongoing_count();
        if open > 0 {
            return Err(format!("{open} transactions are open"));
        }
        let ledger = &self.transactor.ledger;
        if let Some(left) = ledger.latest().outstanding(ledger.soft(), Offset::ZERO).next() {
            return Err(format!("markers are left to be written: {left:?}"));
        }
        let waiting = self.transactor.waiting() + self.groups.waiting();
        if waiting > 0 {
            return Err(format!("{waiting} callers wait"));
        }
        for place in Place::ALL {
            let partition = self.at(place);
            let (end, last_stable) = (partition.log.end(), partition.last_stable());
            if end != last_stable {
                return Err(format!("{place:?} ends at {end} and is stable below {last_stable} only"));
            }
        }
        Ok(())
    }

    pub(super) fn check(&self) {
        self.transactor.ledger.check();
        self.transactor.ledger.latest().check(self.transactor.ledger.soft());
        self.groups.ledger.check();
        self.groups.ledger.latest().check(self.groups.ledger.soft());
        let data = self.data.iter().map(|data| &data.partition);
        data.chain([&self.transactor.partition, &self.groups.partition]).for_each(Partition::check);
    }
}

impl Out {
    pub(super) fn answer(&mut self, request: RequestId, answer: Answer) {
        self.answers.push((request, answer));
    }
}

/// What a record of the groups' log says of a transaction.
fn line_of(at: Offset, record: &Record) -> Option<Line> {
    let (producer, written) = match record {
        Record::Offset { producer: Some(producer), .. } => {
            (*producer, Written::Records(journal::value_of(record).into_iter().collect()))
        }
        Record::TransactionEnded { producer, outcome, .. } => (*producer, Written::Marker(*outcome)),
        Record::Offset { producer: None, .. } | Record::Group { .. } => return None,
    };
    Some(Line { place: Place::Offsets, at, producer, written })
}
