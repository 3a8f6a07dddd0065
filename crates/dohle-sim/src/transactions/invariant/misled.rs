//! Transactions that the older protocol has let a late request reach: under it all transactions of a life have the same epoch, so that
//! nothing tells an EndTxn or an offset of one from those of the next (KAFKA-17754). What is promised of transactions is not promised of
//! these, and of none under the newer protocol.

use std::collections::{BTreeMap, BTreeSet};

use dohle_base::ProducerId;
use dohle_coordinator::transaction::{State, Version};
use dohle_coordinator::{Producer, TransactionalId};

use crate::fact::RequestId;
use crate::transactions::fact::{Decided, Fact, Label, Line, Written};
use crate::transactions::place::Place;

/// Who was misled, and what tells it.
#[derive(Default)]
pub(in crate::transactions) struct Misled {
    versions: BTreeMap<Label, Version>,
    /// The transaction that each name began last.
    begun: BTreeMap<TransactionalId, Label>,
    asked: BTreeMap<RequestId, Label>,
    /// Transactions with records in a partition and no end there.
    open: BTreeMap<ProducerId, BTreeSet<(Place, Label)>>,
    /// Where a late request has decided, and the marker is still to come: what enters before it is hit, too.
    decided: BTreeSet<(ProducerId, Place)>,
    /// The newest transaction that moved its group, by life.
    newest: BTreeMap<Producer, Label>,
    labels: BTreeSet<Label>,
}

impl Misled {
    /// How many there were.
    pub(in crate::transactions) fn count(&self) -> u64 {
        self.labels.len() as u64
    }

    /// Whether nothing is promised of the transaction.
    pub(super) fn contains(&self, label: Label) -> bool {
        self.labels.contains(&label)
    }

    /// Takes a fact in; to be called before the law looks at it.
    pub(in crate::transactions) fn note(&mut self, fact: &Fact) {
        match fact {
            Fact::Begun { label, name, version } => {
                self.versions.insert(*label, *version);
                self.begun.insert(name.clone(), *label);
            }
            Fact::EndAsked { request, label, .. } => drop(self.asked.insert(*request, *label)),
            Fact::Decided(decided) => self.decided(decided),
            Fact::Wrote(line) => {
                self.wrote(line);
                self.moved(line);
            }
            Fact::Led { decisions, lines, .. } => {
                self.open.clear();
                self.keep(decisions);
                lines.iter().for_each(|line| self.wrote(line));
            }
            Fact::Intended { .. }
            | Fact::EndTold { .. }
            | Fact::Named { .. }
            | Fact::WriteTold(_)
            | Fact::Safe(_)
            | Fact::Stood { .. }
            | Fact::Seen { .. }
            | Fact::Stands { .. }
            | Fact::Rested => {}
        }
    }

    fn decided(&mut self, decided: &Decided) {
        let Some(transaction) = &decided.transaction else { return };
        let Some(meant) = decided.cause.and_then(|cause| self.asked.get(&cause)).copied() else { return };
        if !matches!(transaction.state, State::Prepared(_)) || !self.is_old(meant) {
            return;
        }
        if self.begun.get(&decided.name).is_none_or(|begun| *begun == meant) {
            return;
        }
        let id = transaction.producer.id;
        self.decided.extend(transaction.partitions.iter().map(|place| (id, Place::of(place))));
        let open = self.open.get(&id).into_iter().flatten().map(|(_, label)| *label);
        let hit: Vec<Label> = open.filter(|label| *label != meant).collect();
        self.labels.extend(hit);
    }

    /// A decision that a crash has taken back hits nobody.
    fn keep(&mut self, decisions: &[Decided]) {
        let mut latest = BTreeMap::new();
        for decided in decisions {
            latest.insert(&decided.name, decided.transaction.as_ref());
        }
        let prepared = latest.into_values().flatten().filter(|last| matches!(last.state, State::Prepared(_)));
        let prepared: BTreeSet<ProducerId> = prepared.map(|last| last.producer.id).collect();
        self.decided.retain(|(id, _)| prepared.contains(id));
    }

    fn wrote(&mut self, line: &Line) {
        match &line.written {
            Written::Marker(_) => {
                if let Some(open) = self.open.get_mut(&line.producer.id) {
                    open.retain(|(place, _)| *place != line.place);
                }
                self.decided.remove(&(line.producer.id, line.place));
            }
            Written::Records(values) => {
                for label in values.iter().map(|value| value.label) {
                    self.open.entry(line.producer.id).or_default().insert((line.place, label));
                    if self.decided.contains(&(line.producer.id, line.place)) {
                        self.labels.insert(label);
                    }
                }
            }
        }
    }

    /// A late offset is taken for one of the transaction that is open now.
    fn moved(&mut self, line: &Line) {
        let (Place::Offsets, Written::Records(values)) = (line.place, &line.written) else { return };
        let Some(label) = values.first().map(|value| value.label) else { return };
        let newest = self.newest.entry(line.producer).or_insert(label);
        let (older, newer) = (label.min(*newest), label.max(*newest));
        *newest = newer;
        if label == older && older != newer && self.is_old(label) {
            self.labels.extend([older, newer]);
        }
    }

    fn is_old(&self, label: Label) -> bool {
        self.versions.get(&label) == Some(&Version::Zero)
    }
}
