//! Under the newer protocol a late request or marker of one transaction never touches another (T2, KAFKA-17754): an EndTxn ends the
//! transaction of its very epoch, and no two transactions ever write with the same one.

use std::collections::{BTreeMap, BTreeSet};

use dohle_base::ProducerId;
use dohle_coordinator::Producer;
use dohle_coordinator::transaction::{State, Version};

use super::Invariant;
use crate::fact::RequestId;
use crate::invariant::Look;
use crate::transactions::fact::{Decided, Fact, Label, Line, Written};
use crate::transactions::place::Place;

/// The law, and whose transaction is whose.
#[derive(Default)]
pub(super) struct LateTouchesNothing {
    versions: BTreeMap<Label, Version>,
    asked: BTreeMap<RequestId, (Label, Producer)>,
    /// Which transaction each epoch belongs to.
    lives: BTreeMap<Producer, Label>,
    /// Transactions with records in a partition and no end there.
    open: BTreeMap<(Place, ProducerId), BTreeSet<(Label, Producer)>>,
}

impl LateTouchesNothing {
    fn is_newer(&self, label: Label) -> bool {
        self.versions.get(&label) == Some(&Version::Two)
    }

    fn decided(&mut self, decided: &Decided) -> Result<Look, String> {
        let Some(transaction) = &decided.transaction else { return Ok(Look::Passed) };
        let Some((label, meant)) = decided.cause.and_then(|cause| self.asked.get(&cause)).copied() else {
            return Ok(Look::Passed);
        };
        if !self.is_newer(label) || !matches!(transaction.state, State::Prepared(_)) {
            return Ok(Look::Passed);
        }
        let found = transaction.producer;
        if found.id != meant.id || i32::from(found.epoch.0) != i32::from(meant.epoch.0) + 1 {
            return Err(format!("an end of {label:?} as {meant:?} ended the transaction of {found:?}"));
        }
        let open = self.open.iter().filter(|((_, id), _)| *id == found.id).flat_map(|(_, open)| open);
        if let Some((other, _)) = open.into_iter().find(|(other, _)| *other != label) {
            return Err(format!("an end of {label:?} ended {other:?}"));
        }
        Ok(Look::Judged)
    }

    fn wrote(&mut self, line: &Line) -> Result<Look, String> {
        let key = (line.place, line.producer.id);
        match &line.written {
            Written::Records(values) => {
                for label in values.iter().map(|value| value.label) {
                    self.open.entry(key).or_default().insert((label, line.producer));
                    let owner = *self.lives.entry(line.producer).or_insert(label);
                    if owner != label && self.is_newer(label) {
                        return Err(format!("{owner:?} and {label:?} both wrote as {:?}", line.producer));
                    }
                }
                Ok(Look::Passed)
            }
            Written::Marker(_) => {
                let ended = self.open.remove(&key).unwrap_or_default();
                let late = ended.iter().find(|(label, by)| self.is_newer(*label) && line.producer.epoch <= by.epoch);
                match late {
                    Some((label, by)) => Err(format!("{line:?} ends {label:?}, which writes as {by:?}")),
                    None => Ok(Look::Judged),
                }
            }
        }
    }
}

impl Invariant<Fact> for LateTouchesNothing {
    fn name(&self) -> &'static str {
        "LateTouchesNothing"
    }

    fn judge(&mut self, fact: &Fact) -> Result<Look, String> {
        match fact {
            Fact::Begun { label, version, .. } => drop(self.versions.insert(*label, *version)),
            Fact::EndAsked { request, label, producer, .. } => {
                self.asked.insert(*request, (*label, *producer));
            }
            Fact::Decided(decided) => return self.decided(decided),
            Fact::Wrote(line) => return self.wrote(line),
            Fact::Led { lines, .. } => {
                self.open.clear();
                self.lives.clear();
                lines.iter().try_for_each(|line| self.wrote(line).map(drop))?;
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
        Ok(Look::Passed)
    }
}

#[cfg(test)]
mod tests {
    use dohle_coordinator::transaction::Outcome;

    use super::super::story::{begun, end_asked, marker, prepared, records, tells, value};
    use super::*;

    fn law() -> Box<dyn Invariant<Fact>> {
        Box::new(LateTouchesNothing::default())
    }

    #[test]
    fn a_late_end_that_ends_the_next_transaction_is_found_out() {
        let run = |epoch| {
            [begun(1, Version::Two), end_asked(9, 1, 0, Outcome::Commit), prepared(Some(9), 0, epoch, Outcome::Commit)]
        };
        tells(law, &run(1), &run(2));
        let run = |label| {
            [
                begun(1, Version::Two),
                begun(2, Version::Two),
                Fact::Wrote(records(0, 0, 0, &[value(label, 0)])),
                end_asked(9, 1, 0, Outcome::Commit),
                prepared(Some(9), 0, 1, Outcome::Commit),
            ]
        };
        tells(law, &run(1), &run(2));
    }

    #[test]
    fn a_late_marker_that_ends_the_next_transaction_is_found_out() {
        let run = |epoch| {
            [
                begun(1, Version::Two),
                Fact::Wrote(records(0, 0, 3, &[value(1, 0)])),
                Fact::Wrote(marker(0, 1, epoch, Outcome::Abort)),
            ]
        };
        tells(law, &run(4), &run(3));
    }

    #[test]
    fn two_transactions_of_one_epoch_are_found_out() {
        let run = |epoch| {
            [
                begun(1, Version::Two),
                begun(2, Version::Two),
                Fact::Wrote(records(0, 0, 3, &[value(1, 0)])),
                Fact::Wrote(marker(0, 1, 4, Outcome::Abort)),
                Fact::Wrote(records(0, 2, epoch, &[value(2, 0)])),
            ]
        };
        tells(law, &run(4), &run(3));
    }
}
