//! The way of markers into the partitions, as the broker's shell goes it: rounds through whatever a decided transaction has not reached,
//! until the coordinator has been told of all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dohle_base::{ErrorCode, LeaderEpoch, Now, Offset};
use dohle_coordinator::transaction::{Command, MarkersWritten, Outcome, Version};
use dohle_coordinator::{EndTransaction, Producer};
use dohle_log::log::AppendError;
use dohle_log::producers::Origin;
use dohle_records::control;

use super::leading::{Leading, Tenant, Waiter};
use super::{Out, journal};
use crate::transactions::edge::Edge;
use crate::transactions::fact::{Fact, Line, Written};
use crate::transactions::place::Place;

/// How long a partition that did not take its marker is left alone.
const PAUSE: Duration = Duration::from_millis(50);

/// The end of a producer's transaction, as partitions are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transactions) struct Marker {
    pub(in crate::transactions) producer: Producer,
    pub(in crate::transactions) outcome: Outcome,
    pub(in crate::transactions) version: Version,
    /// The leader epoch of the coordinator that says so.
    coordinator_epoch: LeaderEpoch,
}

/// A transaction whose markers are to be written, by where its outcome is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::transactions) struct RoundId(Offset);

/// A marker on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    marker: Marker,
    place: Place,
    /// The round that it is part of; none if it came once more.
    round: Option<RoundId>,
}

/// The transactions that are being ended.
#[derive(Debug, Default)]
pub(super) struct Endings {
    /// What stands below this in the coordinator's log has been taken up.
    next: Offset,
    open: BTreeMap<RoundId, Ending>,
}

#[derive(Debug)]
struct Ending {
    marker: Marker,
    left: BTreeSet<Place>,
    writing: BTreeSet<Place>,
    done: Vec<Place>,
}

impl Leading {
    /// Takes up what was decided and is safe by now.
    pub(super) fn look_for_markers(&mut self, out: &mut Out) {
        let coordinator_epoch = self.transactor.partition.epoch();
        let ledger = &self.transactor.ledger;
        for found in ledger.committed().outstanding(ledger.soft(), self.endings.next) {
            let round = RoundId(found.prepared_at);
            let marker =
                Marker { producer: found.producer, outcome: found.outcome, version: found.version, coordinator_epoch };
            let left = found.partitions.iter().map(Place::of).collect();
            self.endings.next = found.prepared_at.next();
            self.endings.open.insert(round, Ending { marker, left, writing: BTreeSet::new(), done: vec![] });
            out.rounds.push((round, Duration::ZERO));
        }
    }

    /// One marker into every partition that has none, but for one that is `away` for a moment.
    pub(super) fn write_markers(&mut self, now: Now, round: RoundId, away: Option<Place>, out: &mut Out) {
        let Some(ending) = self.endings.open.get_mut(&round) else { return };
        ending.writing = ending.left.clone();
        let (marker, places) = (ending.marker, ending.left.clone());
        for place in places {
            let sent = Sent { marker, place, round: Some(round) };
            if away == Some(place) {
                out.edges.push(Edge::MarkerNotTaken);
                self.settle_marker(now, sent, Err(ErrorCode::NotLeaderOrFollower), out);
            } else {
                out.sent.push((marker, place));
                self.send(now, sent, out);
            }
        }
        self.want_flushes(out);
    }

    /// A marker that was sent before comes once more.
    pub(super) fn repeat_marker(&mut self, now: Now, marker: Marker, place: Place, out: &mut Out) {
        self.send(now, Sent { marker, place, round: None }, out);
        self.want_flushes(out);
    }

    fn send(&mut self, now: Now, sent: Sent, out: &mut Out) {
        if self.has_ended(sent) {
            out.edges.push(Edge::MarkerAgain);
        }
        let refused = match sent.place {
            Place::Data(partition) => self.append_marker(now, sent, partition, out),
            Place::Offsets => self.tell_groups(now, sent, out),
        };
        if let Err(code) = refused {
            out.edges.extend(match code {
                ErrorCode::InvalidProducerEpoch => Some(Edge::LateMarkerRefused),
                ErrorCode::TransactionCoordinatorFenced => Some(Edge::CoordinatorFenced),
                _ => None,
            });
            self.settle_marker(now, sent, Err(code), out);
        }
    }

    /// Whether the partition knows the marker's epoch, and no open transaction of it.
    fn has_ended(&mut self, sent: Sent) -> bool {
        let known = self.at(sent.place).log.producers().get(sent.marker.producer.id);
        known.is_some_and(|known| known.transaction_start.is_none() && known.epoch == sent.marker.producer.epoch)
    }

    fn append_marker(&mut self, now: Now, sent: Sent, partition: i32, out: &mut Out) -> Result<(), ErrorCode> {
        let Marker { producer, outcome, version, coordinator_epoch } = sent.marker;
        let batch = journal::marker(producer, outcome, coordinator_epoch, now.wall);
        let origin = Origin::Coordinator { transaction_version: version.level() };
        let data = &mut self.data[partition as usize];
        let at = data.partition.log.end();
        let appended = data.partition.append(&batch, origin, now);
        if let Ok(_) | Err(AppendError::Storage(_) | AppendError::Offline) = &appended {
            let written = Written::Marker(outcome);
            out.facts.push(Fact::Wrote(Line { place: sent.place, at, producer, written }));
        }
        match appended {
            Ok(appended) => data.wait(appended.last_offset.next(), Tenant::Marker(sent)),
            Err(AppendError::Storage(_) | AppendError::Offline) => out.failed = true,
            Err(refusal) => return Err(refusal.code()),
        }
        Ok(())
    }

    /// In the partition of groups markers are records of their coordinator.
    fn tell_groups(&mut self, now: Now, sent: Sent, out: &mut Out) -> Result<(), ErrorCode> {
        let Marker { producer, outcome, version, coordinator_epoch } = sent.marker;
        let batch = journal::marker(producer, outcome, coordinator_epoch, now.wall);
        let committed = outcome == Outcome::Commit;
        let record = control::EndTransaction { committed, coordinator_epoch: coordinator_epoch.0 };
        let checked = self.groups.partition.log.producers().check_marker(batch.header(), record, version.level());
        checked.map_err(|refusal| refusal.code())?;
        let command = EndTransaction { producer, outcome, version, coordinator_epoch };
        let command = dohle_coordinator::Command::EndTransaction(command);
        let heard = self.groups.propose(now, Tenant::Marker(sent), command);
        self.hear_groups(now, heard, out);
        Ok(())
    }

    /// A marker is safe, or was not taken.
    pub(super) fn settle_marker(&mut self, now: Now, sent: Sent, said: Result<(), ErrorCode>, out: &mut Out) {
        let Some(round) = sent.round else { return };
        let Some(ending) = self.endings.open.get_mut(&round) else { return };
        // A later life of the producer has written there, which it could not have before this transaction was over.
        if matches!(said, Ok(()) | Err(ErrorCode::InvalidProducerEpoch)) {
            ending.left.remove(&sent.place);
            ending.done.push(sent.place);
        }
        ending.writing.remove(&sent.place);
        if !ending.writing.is_empty() {
            return;
        }
        let done = std::mem::take(&mut ending.done);
        if ending.left.is_empty() {
            self.endings.open.remove(&round);
        } else {
            out.rounds.push((round, PAUSE));
        }
        let partitions = done.into_iter().map(Place::named).collect();
        let written = MarkersWritten { prepared_at: round.0, partitions };
        self.ask(now, Waiter::Nobody, Command::MarkersWritten(written), out);
    }
}
