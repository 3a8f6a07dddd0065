//! A committed transaction is seen whole by readers of committed records, and one that was not committed not at all: in each partition
//! as far as the last stable offset lets them see, and over all partitions and offsets when everything has come to rest (P4, T7, T9).

use std::collections::{BTreeMap, BTreeSet};

use dohle_base::Offset;
use dohle_coordinator::TransactionalId;
use dohle_coordinator::transaction::Outcome;

use super::Invariant;
use super::misled::Misled;
use crate::fact::RequestId;
use crate::invariant::Look;
use crate::transactions::fact::{Fact, Label, Line, Value, Written};
use crate::transactions::place::Place;

/// The law, and what producers wanted.
#[derive(Default)]
pub(super) struct Atomic {
    misled: Misled,
    names: BTreeMap<Label, TransactionalId>,
    intended: BTreeMap<Label, (Outcome, BTreeSet<(Place, Value)>)>,
    /// Where each record is.
    written: BTreeMap<(Place, Value), Offset>,
    told: BTreeSet<Label>,
    asked: BTreeMap<RequestId, Label>,
    /// Once everything is at rest: where each transaction was seen.
    seen: Option<BTreeMap<Label, BTreeSet<Place>>>,
    places_seen: BTreeSet<Place>,
}

impl Atomic {
    fn wrote(&mut self, line: &Line) {
        if let Written::Records(values) = &line.written {
            let values = values.iter().zip(line.at.0..);
            self.written.extend(values.map(|(value, at)| ((line.place, *value), Offset(at))));
        }
    }

    fn see(&mut self, place: Place, last_stable: Offset, values: &BTreeSet<Value>) -> Result<(), String> {
        let labels: BTreeSet<Label> = values.iter().map(|value| value.label).collect();
        for label in labels.into_iter().filter(|label| !self.misled.contains(*label)) {
            let Some((Outcome::Commit, contents)) = self.intended.get(&label) else {
                return Err(format!("{label:?} is seen in {place:?}, and nobody wanted it committed"));
            };
            let is_near = |key: &&(Place, Value)| self.written.get(*key).is_none_or(|at| *at < last_stable);
            let wanted = contents.iter().filter(|(at, _)| *at == place).filter(is_near).map(|(_, value)| *value);
            let (wanted, found) = (wanted.collect(), of(label, values));
            if found != wanted {
                return Err(format!("{label:?} is not whole in {place:?}: {found:?} of {wanted:?}"));
            }
            if let Some(seen) = &mut self.seen {
                seen.entry(label).or_default().insert(place);
            }
        }
        self.places_seen.insert(place);
        if self.seen.is_some() && Place::DATA.iter().all(|place| self.places_seen.contains(place)) {
            return self.is_everywhere();
        }
        Ok(())
    }

    /// Whoever is seen somewhere is seen wherever it wrote, and so is whoever was told that it is committed.
    fn is_everywhere(&self) -> Result<(), String> {
        let seen = self.seen.as_ref().ok_or("nothing is at rest yet")?;
        for (label, (outcome, contents)) in &self.intended {
            let wrote: BTreeSet<Place> =
                contents.iter().map(|(place, _)| *place).filter(|place| *place != Place::Offsets).collect();
            let found = seen.get(label).cloned().unwrap_or_default();
            let must = *outcome == Outcome::Commit && self.told.contains(label);
            if !self.misled.contains(*label) && found != wrote && (must || !found.is_empty()) {
                return Err(format!("{label:?} wrote to {wrote:?} and is seen in {found:?}; told committed: {must}"));
            }
        }
        Ok(())
    }

    /// Where a group stands belongs to a transaction that was to be committed, and at the end to the newest that was.
    fn stand(&self, name: &TransactionalId, value: Option<Value>) -> Result<(), String> {
        let own = |label: &Label| self.names.get(label) == Some(name);
        if let Some(Value { label, .. }) = value.filter(|value| !self.misled.contains(value.label)) {
            let intended = self.intended.get(&label).map(|(outcome, _)| *outcome);
            if intended != Some(Outcome::Commit) {
                return Err(format!("{name} stands where {label:?} has moved it, which nobody wanted committed"));
            }
        }
        let Some(seen) = &self.seen else { return Ok(()) };
        if self.names.keys().filter(|label| own(label)).any(|label| self.misled.contains(*label)) {
            return Ok(());
        }
        let moved = self.intended.iter().filter(|(label, (outcome, contents))| {
            let counts = self.told.contains(label) || seen.contains_key(label);
            own(label) && *outcome == Outcome::Commit && counts && moves(contents).is_some()
        });
        let newest = moved.filter_map(|(_, (_, contents))| moves(contents)).max();
        // One that wrote offsets only, and whose process never heard how it ended, may be newer.
        if value < newest { Err(format!("{name} stands at {value:?}, and {newest:?} is committed")) } else { Ok(()) }
    }
}

fn of(label: Label, values: &BTreeSet<Value>) -> BTreeSet<Value> {
    values.iter().filter(|value| value.label == label).copied().collect()
}

/// Where a transaction moves its group to.
fn moves(contents: &BTreeSet<(Place, Value)>) -> Option<Value> {
    contents.iter().find(|(place, _)| *place == Place::Offsets).map(|(_, value)| *value)
}

impl Invariant<Fact> for Atomic {
    fn name(&self) -> &'static str {
        "Atomic"
    }

    fn judge(&mut self, fact: &Fact) -> Result<Look, String> {
        self.misled.note(fact);
        match fact {
            Fact::Begun { label, name, .. } => drop(self.names.insert(*label, name.clone())),
            Fact::Intended { label, outcome, contents } => {
                self.intended.insert(*label, (*outcome, contents.clone()));
            }
            Fact::EndAsked { request, label, .. } => drop(self.asked.insert(*request, *label)),
            Fact::EndTold { request, .. } => self.told.extend(self.asked.get(request)),
            Fact::Wrote(line) => self.wrote(line),
            Fact::Led { lines, .. } => {
                self.written.clear();
                lines.iter().for_each(|line| self.wrote(line));
            }
            Fact::Seen { place, last_stable, values } => {
                self.see(*place, *last_stable, values)?;
                return Ok(Look::Judged);
            }
            Fact::Stands { name, value } => {
                self.stand(name, *value)?;
                return Ok(Look::Judged);
            }
            Fact::Rested => {
                self.seen = Some(BTreeMap::new());
                self.places_seen.clear();
            }
            Fact::Named { .. } | Fact::WriteTold(_) | Fact::Decided(_) | Fact::Safe(_) | Fact::Stood { .. } => {}
        }
        Ok(Look::Passed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{begun, end_asked, end_told, intended, records, seen, stands, tells, value};
    use super::*;
    use dohle_coordinator::transaction::Version;

    fn law() -> Box<dyn Invariant<Fact>> {
        Box::new(Atomic::default())
    }

    const BOTH: [Place; 2] = Place::DATA;

    #[test]
    fn half_a_transaction_in_a_partition_is_found_out() {
        let contents = [(BOTH[0], value(1, 0)), (BOTH[0], value(1, 1))];
        let run = |outcome, found: &[Value]| {
            let wrote = Fact::Wrote(records(0, 0, 0, &[value(1, 0), value(1, 1)]));
            [begun(1, Version::Two), wrote, intended(1, outcome, &contents), seen(0, found)]
        };
        let whole = [value(1, 0), value(1, 1)];
        tells(law, &run(Outcome::Commit, &whole), &run(Outcome::Commit, &whole[..1]));
        tells(law, &run(Outcome::Abort, &[]), &run(Outcome::Abort, &whole));
    }

    #[test]
    fn a_transaction_that_is_missing_in_one_partition_is_found_out() {
        let contents = [(BOTH[0], value(1, 0)), (BOTH[1], value(1, 1))];
        let run = |second: &[Value]| {
            [
                begun(1, Version::Two),
                intended(1, Outcome::Commit, &contents),
                Fact::Rested,
                seen(0, &[value(1, 0)]),
                seen(1, second),
            ]
        };
        tells(law, &run(&[value(1, 1)]), &run(&[]));
    }

    #[test]
    fn a_commit_that_was_told_and_is_not_there_is_found_out() {
        let run = |found: &[Value]| {
            [
                begun(1, Version::Two),
                intended(1, Outcome::Commit, &[(BOTH[0], value(1, 0))]),
                end_asked(9, 1, 0, Outcome::Commit),
                end_told(9, 1),
                Fact::Rested,
                seen(0, found),
                seen(1, &[]),
            ]
        };
        tells(law, &run(&[value(1, 0)]), &run(&[]));
    }

    #[test]
    fn a_group_that_stands_elsewhere_is_found_out() {
        let run = |outcome, found| {
            [
                begun(1, Version::Two),
                intended(1, outcome, &[(Place::Offsets, value(1, 0))]),
                end_asked(9, 1, 0, outcome),
                end_told(9, 1),
                Fact::Rested,
                stands(found),
            ]
        };
        tells(law, &run(Outcome::Commit, Some(value(1, 0))), &run(Outcome::Commit, None));
        tells(law, &run(Outcome::Abort, None), &run(Outcome::Abort, Some(value(1, 0))));
    }

    #[test]
    fn what_the_older_protocol_cannot_promise_is_not_asked_for() {
        let run = |version| {
            [
                begun(1, version),
                begun(2, version),
                Fact::Wrote(records(0, 0, 0, &[value(2, 0)])),
                end_asked(9, 1, 0, Outcome::Commit),
                super::super::story::prepared(Some(9), 0, 0, Outcome::Commit),
                seen(0, &[value(2, 0)]),
            ]
        };
        tells(law, &run(Version::Zero), &run(Version::Two));
    }
}
