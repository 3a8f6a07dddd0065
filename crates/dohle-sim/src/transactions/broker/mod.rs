//! One broker that leads the coordinator of transactions, the coordinator of groups, and the partitions that transactions write to: the
//! shell of the machines, as the real one drives them.
//!
//! Owns the logs on their disk and what the disk outlives; decides nothing. What it does outside of itself comes out as [`Out`].
//! [`leading`] is the broker while it leads, [`markers`] the way of markers.

mod journal;
mod leading;
mod markers;
mod partition;
mod requests;
mod seat;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dohle_base::{ErrorCode, Instant, LeaderEpoch, Now, Offset, Rng, Timestamp};
use dohle_coordinator::transaction::{self, Transaction, TransactionCoordinator};
use dohle_coordinator::{GroupCoordinator, Settings, TransactionalId};
use dohle_log::disk::Memory;
use dohle_log::log::{Log, Opening};

use super::edge::Edge;
use super::fact::{Decided, Fact, Line};
use super::place::{DATA_PARTITIONS, Place};
use super::request::{Answer, Request};
use crate::compaction::compact;
use crate::fact::RequestId;
use crate::spoil::Spoiled;
use crate::weather::Fault;
use journal::Journal;
use leading::Leading;
use partition::Partition;
use seat::Seat;

pub(super) use markers::{Marker, RoundId};

/// What a batch of the simulated topics holds.
pub(super) const BATCH_BYTES_MAX: usize = 16 << 10;
/// How many logs there are.
pub(super) const LOGS: usize = 2 + DATA_PARTITIONS as usize;
/// Their directories: the coordinator's log, that of the groups, and those that clients write to.
const DIRECTORIES: [&str; LOGS] = ["/__transaction_state-0", "/__consumer_offsets-0", "/data-0", "/data-1"];
/// Memory for the keys of a compaction.
const KEYS_BYTES: u64 = 4_000;

/// What a broker did to the world around it.
#[derive(Debug, Default)]
pub(super) struct Out {
    /// What an observer notes down, in order.
    pub(super) facts: Vec<Fact>,
    /// What clients are told, in order.
    pub(super) answers: Vec<(RequestId, Answer)>,
    /// Logs in which something waits for the disk to confirm it.
    pub(super) flushes: BTreeSet<usize>,
    /// Markers that are to be written, and after which pause.
    pub(super) rounds: Vec<(RoundId, Duration)>,
    /// Markers that were sent to a partition.
    pub(super) sent: Vec<(Marker, Place)>,
    /// Narrow places that were passed.
    pub(super) edges: Vec<Edge>,
    /// The disk failed: the broker cannot go on.
    pub(super) failed: bool,
}

/// A broker, its disk, and what its disk outlives.
pub(super) struct Broker {
    settings: Arc<transaction::Settings>,
    group_settings: Arc<Settings>,
    segment_bytes: u64,
    disk: Memory,
    role: Role,
    /// How often it was started: the epoch in which it leads.
    lives: i32,
    /// Whether the last stop was in good order.
    clean: bool,
    /// Up to where each log is durable, as far as the checkpoint file says.
    recovery_points: [Offset; LOGS],
    /// Up to where the coordinator's log is compacted.
    cleaned: Offset,
    /// The next producer id; the controller that counts them outlives everything.
    next_id: i64,
    spoiled: Spoiled,
    /// How far the wall clock is from the true time.
    pub(super) skew_ms: i64,
}

enum Role {
    Down,
    /// It reads its logs.
    Loading(Vec<Log<Memory>>),
    Leading(Box<Leading>),
}

pub(super) use crate::broker::Stop;

impl Broker {
    pub(super) fn new(settings: transaction::Settings, group_settings: Settings, segment_bytes: u64) -> Self {
        Self {
            settings: Arc::new(settings),
            group_settings: Arc::new(group_settings),
            segment_bytes,
            disk: journal::format(&DIRECTORIES),
            role: Role::Down,
            lives: 0,
            clean: false,
            recovery_points: [Offset::ZERO; LOGS],
            cleaned: Offset::ZERO,
            next_id: 1_000,
            spoiled: Spoiled::default(),
            skew_ms: 0,
        }
    }

    /// Puts producers into the coordinator's log that were there before the world began.
    pub(super) fn inherit(&mut self, producers: Vec<(TransactionalId, Transaction)>) -> Result<(), String> {
        if producers.is_empty() {
            return Ok(());
        }
        let now = self.now(Instant::ZERO);
        let opening = Opening { clean: false, recovery_point: Offset::ZERO, start: Offset::ZERO };
        let log = journal::open(&self.disk, DIRECTORIES[0], self.segment_bytes, &opening, now.wall)?;
        let mut partition = Partition::lead(log, LeaderEpoch(0));
        let record = |(transactional_id, transaction)| transaction::Record {
            transactional_id,
            value: Some(Arc::new(transaction)),
        };
        let batch = TransactionCoordinator::batch(&producers.into_iter().map(record).collect::<Vec<_>>(), now.wall);
        let origin = dohle_log::producers::Origin::Coordinator { transaction_version: 0 };
        partition.append(&batch, origin, now).map_err(|error| error.to_string())?;
        if partition.close(now.wall) { Ok(()) } else { Err("a sound disk fails".to_owned()) }
    }

    /// The moment, as this broker's clocks tell it.
    fn now(&self, instant: Instant) -> Now {
        let ms = (instant.0 / 1_000_000) as i64;
        Now { instant, wall: Timestamp(1_700_000_000_000 + ms + self.skew_ms) }
    }

    pub(super) fn is_down(&self) -> bool {
        matches!(self.role, Role::Down)
    }

    pub(super) fn leading(&self) -> Option<&Leading> {
        match &self.role {
            Role::Leading(leading) => Some(leading),
            Role::Down | Role::Loading(_) => None,
        }
    }

    pub(super) fn leading_mut(&mut self) -> Option<&mut Leading> {
        match &mut self.role {
            Role::Leading(leading) => Some(leading),
            Role::Down | Role::Loading(_) => None,
        }
    }

    /// Takes the logs up from the disk. What follows is [`Broker::load`].
    pub(super) fn start(&mut self, at: Instant) -> Result<(), String> {
        assert!(self.is_down());
        self.lives += 1;
        let now = self.now(at).wall;
        let logs = DIRECTORIES.iter().zip(self.recovery_points).map(|(directory, recovery_point)| {
            let opening = Opening { clean: self.clean, recovery_point, start: Offset::ZERO };
            journal::open(&self.disk, directory, self.segment_bytes, &opening, now)
        });
        self.role = Role::Loading(logs.collect::<Result<_, String>>()?);
        self.clean = false;
        Ok(())
    }

    /// Reads the logs to their end and leads. What is read is made durable before anybody relies on it.
    pub(super) fn load(&mut self, at: Instant, out: &mut Out) -> Result<(), String> {
        let now = self.now(at);
        let Role::Loading(mut logs) = std::mem::replace(&mut self.role, Role::Down) else { return Ok(()) };
        let synced = logs.iter_mut().all(|log| match log.begin_flush() {
            Some(flush) => log.flushed(flush.run(), now.wall).is_ok(),
            None => true,
        });
        if !synced {
            out.failed = true;
            self.role = Role::Loading(logs);
            return Ok(());
        }
        let epoch = LeaderEpoch(self.lives);
        let mut partitions = logs.into_iter().map(|log| Partition::lead(log, epoch));
        let mut next = || partitions.next().expect("there are as many logs as directories");
        let (transactions, groups) = (next(), next());
        let data: Vec<Partition> = partitions.collect();
        let decisions = records::<TransactionCoordinator>(&transactions)?;
        let transactor = fold(TransactionCoordinator::new(Arc::clone(&self.settings)), &decisions);
        let group = GroupCoordinator::new(Arc::clone(&self.group_settings));
        let group = fold(group, &records::<GroupCoordinator>(&groups)?);
        let mut found = lines(Place::Offsets, &groups)?;
        for (place, partition) in Place::DATA.into_iter().zip(&data) {
            found.extend(lines(place, partition)?);
        }
        let decisions = decisions.into_iter().map(|(at, record)| decided(None, at, record)).collect();
        out.facts.push(Fact::Led { decisions, lines: found, end: transactions.log.end() });
        let transactor = Seat::lead(transactor, transactions, now);
        let groups = Seat::lead(group, groups, now);
        let mut leading = Leading::new(transactor, groups, data, self.next_id);
        leading.stand(out);
        leading.look_for_markers(out);
        self.role = Role::Leading(Box::new(leading));
        Ok(())
    }

    /// A request came in.
    pub(super) fn handle(&mut self, at: Instant, request: RequestId, asked: Request, out: &mut Out) {
        if matches!(self.role, Role::Loading(_)) {
            return out.answers.push((request, Answer::Refused(ErrorCode::CoordinatorLoadInProgress)));
        }
        self.spoil_write();
        self.step(at, |leading, now| leading.handle(now, request, asked, out));
    }

    /// Time passed.
    pub(super) fn tick(&mut self, at: Instant, out: &mut Out) {
        self.step(at, |leading, now| leading.tick(now, out));
    }

    /// Markers that wait are written, but for those into a partition that is `away` for a moment.
    pub(super) fn write_markers(&mut self, at: Instant, round: RoundId, away: Option<Place>, out: &mut Out) {
        self.spoil_write();
        self.step(at, |leading, now| leading.write_markers(now, round, away, out));
    }

    /// A marker that was sent before comes once more.
    pub(super) fn repeat_marker(&mut self, at: Instant, marker: Marker, place: Place, out: &mut Out) {
        self.step(at, |leading, now| leading.repeat_marker(now, marker, place, out));
    }

    /// Hands what waits in a log to the disk; false when nothing does.
    pub(super) fn begin_flush(&mut self, log: usize) -> bool {
        match &mut self.role {
            Role::Leading(leading) => leading.partition(log).begin_flush(),
            Role::Down | Role::Loading(_) => false,
        }
    }

    /// The disk is done with what it was handed of a log.
    pub(super) fn end_flush(&mut self, at: Instant, log: usize, checkpoint: bool, out: &mut Out) {
        let now = self.now(at);
        let Role::Leading(leading) = &mut self.role else { return };
        self.spoiled.before_sync(&self.disk);
        match leading.partition(log).end_flush(now) {
            Some(synced) => {
                if checkpoint {
                    self.recovery_points[log] = self.recovery_points[log].max(synced);
                }
                leading.synced(now, log, out);
                self.next_id = leading.next_id;
            }
            None => out.failed = true,
        }
    }

    /// When [`Broker::tick`] must be called at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.leading().and_then(Leading::deadline)
    }

    /// Compacts the coordinator's log; false when there is nothing to compact.
    pub(super) fn compact(&mut self, at: Instant, out: &mut Out) -> bool {
        let now = self.now(at).wall;
        let Role::Leading(leading) = &mut self.role else { return false };
        let partition = &mut leading.transactor.partition;
        let high_watermark = partition.high_watermark();
        match compact(&mut partition.log, KEYS_BYTES, high_watermark, self.cleaned, self.recovery_points[0], now) {
            Ok(Some(reached)) => self.cleaned = reached,
            Ok(None) => return false,
            Err(_) => out.failed = true,
        }
        true
    }

    /// Goes down; `rng` decides what of the unsynced the disk keeps.
    pub(super) fn stop(&mut self, at: Instant, stop: Stop, rng: &mut Rng) {
        let wall = self.now(at).wall;
        if let Role::Leading(mut leading) = std::mem::replace(&mut self.role, Role::Down) {
            self.next_id = leading.next_id;
            if stop == Stop::Clean {
                self.clean = (0..LOGS).all(|log| leading.partition(log).close(wall));
            }
        }
        self.spoiled = Spoiled::default();
        self.disk = match stop {
            Stop::Clean | Stop::Kill => self.disk.kill(),
            Stop::PowerCut => self.disk.crash(rng),
        };
    }

    /// Lets the disk do something wrong soon; false when nothing is asked of it.
    pub(super) fn spoil(&mut self, fault: Fault, rng: &mut Rng) -> bool {
        if self.leading().is_none() {
            return false;
        }
        self.spoiled.ask(fault, &self.disk, rng)
    }

    /// Whether only a start of the machine shows what is really on its disk.
    pub(super) fn must_reboot(&self) -> bool {
        self.spoiled.must_reboot()
    }

    /// The laws of the machines.
    pub(super) fn check(&self) {
        if let Some(leading) = self.leading() {
            leading.check();
        }
    }

    fn spoil_write(&mut self) {
        if self.leading().is_some() {
            self.spoiled.before_write(&self.disk);
        }
    }

    fn step(&mut self, at: Instant, step: impl FnOnce(&mut Leading, Now)) {
        let now = self.now(at);
        if let Role::Leading(leading) = &mut self.role {
            step(leading, now);
            self.next_id = leading.next_id;
        }
    }
}

/// Every record of a machine's log.
fn records<M: Journal>(partition: &Partition) -> Result<Vec<(Offset, M::Record)>, String> {
    let mut records = vec![];
    for batch in journal::batches(&partition.log, partition.log.end())? {
        records.extend(M::read(&batch)?);
    }
    Ok(records)
}

/// The state of a machine after these records.
fn fold<M: Journal>(mut machine: M, records: &[(Offset, M::Record)]) -> M {
    records.iter().for_each(|(offset, record)| machine.apply(*offset, record));
    machine
}

/// What the log of a partition says of transactions.
fn lines(place: Place, partition: &Partition) -> Result<Vec<Line>, String> {
    let batches = journal::batches(&partition.log, partition.log.end())?;
    let lines = batches.iter().map(|batch| journal::line(place, batch));
    Ok(lines.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn decided(cause: Option<RequestId>, at: Offset, record: transaction::Record) -> Decided {
    Decided { cause, at, name: record.transactional_id, transaction: record.value }
}
