//! The outcome that a producer was told is the one in the logs: all partitions of a transaction get the same marker, and it says what the
//! answer to EndTxn said (T1).

use std::collections::{BTreeMap, BTreeSet};

use dohle_base::ProducerId;
use dohle_coordinator::transaction::Outcome;

use super::Invariant;
use super::misled::Misled;
use crate::fact::RequestId;
use crate::invariant::Look;
use crate::transactions::fact::{Fact, Label, Line, Written};
use crate::transactions::place::Place;

/// The law, what was told, and what the logs say.
#[derive(Default)]
pub(super) struct AckedOutcome {
    misled: Misled,
    asked: BTreeMap<RequestId, (Label, Outcome)>,
    told: BTreeMap<Label, Outcome>,
    open: BTreeMap<(Place, ProducerId), BTreeSet<Label>>,
    marked: BTreeMap<Label, (Place, Outcome)>,
}

impl AckedOutcome {
    fn wrote(&mut self, line: &Line) -> Result<Look, String> {
        let key = (line.place, line.producer.id);
        match &line.written {
            Written::Records(values) => {
                self.open.entry(key).or_default().extend(values.iter().map(|value| value.label));
                Ok(Look::Passed)
            }
            Written::Marker(outcome) => {
                let labels = self.open.remove(&key).unwrap_or_default();
                let look = if labels.is_empty() { Look::Passed } else { Look::Judged };
                labels.into_iter().try_for_each(|label| self.mark(label, line.place, *outcome))?;
                Ok(look)
            }
        }
    }

    fn mark(&mut self, label: Label, place: Place, outcome: Outcome) -> Result<(), String> {
        if self.misled.contains(label) {
            return Ok(());
        }
        let (first, marked) = *self.marked.entry(label).or_insert((place, outcome));
        if marked != outcome {
            return Err(format!("{label:?} has {marked:?} in {first:?} and {outcome:?} in {place:?}"));
        }
        self.compare(label)
    }

    fn compare(&self, label: Label) -> Result<(), String> {
        match (self.told.get(&label), self.marked.get(&label)) {
            (Some(told), Some((place, marked))) if told != marked && !self.misled.contains(label) => {
                Err(format!("{label:?} was told {told:?} and has {marked:?} in {place:?}"))
            }
            _ => Ok(()),
        }
    }
}

impl Invariant<Fact> for AckedOutcome {
    fn name(&self) -> &'static str {
        "AckedOutcome"
    }

    fn judge(&mut self, fact: &Fact) -> Result<Look, String> {
        self.misled.note(fact);
        match fact {
            Fact::EndAsked { request, label, outcome, .. } => {
                self.asked.insert(*request, (*label, *outcome));
                Ok(Look::Passed)
            }
            Fact::EndTold { request, .. } => {
                let (label, outcome) = *self.asked.get(request).ok_or("nobody asked for an end")?;
                let told = *self.told.entry(label).or_insert(outcome);
                if told != outcome && !self.misled.contains(label) {
                    return Err(format!("{label:?} was told {told:?}, and then {outcome:?}"));
                }
                self.compare(label)?;
                Ok(Look::Judged)
            }
            Fact::Wrote(line) => self.wrote(line),
            Fact::Led { lines, .. } => {
                self.open.clear();
                self.marked.clear();
                lines.iter().try_for_each(|line| self.wrote(line).map(drop))?;
                Ok(Look::Judged)
            }
            Fact::Begun { .. }
            | Fact::Intended { .. }
            | Fact::Named { .. }
            | Fact::WriteTold(_)
            | Fact::Decided(_)
            | Fact::Safe(_)
            | Fact::Stood { .. }
            | Fact::Seen { .. }
            | Fact::Stands { .. }
            | Fact::Rested => Ok(Look::Passed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{end_asked, end_told, led, marker, records, tells, value};
    use super::*;

    fn law() -> Box<dyn Invariant<Fact>> {
        Box::new(AckedOutcome::default())
    }

    #[test]
    fn a_marker_that_says_the_opposite_of_the_answer_is_found_out() {
        let run = |outcome| {
            [
                Fact::Wrote(records(0, 0, 0, &[value(1, 0)])),
                end_asked(9, 1, 0, Outcome::Commit),
                end_told(9, 1),
                Fact::Wrote(marker(0, 1, 1, outcome)),
            ]
        };
        tells(law, &run(Outcome::Commit), &run(Outcome::Abort));
    }

    #[test]
    fn partitions_that_disagree_are_found_out_after_a_crash_too() {
        let run = |outcome| {
            let lines = [
                records(0, 0, 0, &[value(1, 0)]),
                marker(0, 1, 1, Outcome::Abort),
                records(1, 0, 0, &[value(1, 1)]),
                marker(1, 1, 1, outcome),
            ];
            [led(&[], &lines)]
        };
        tells(law, &run(Outcome::Abort), &run(Outcome::Commit));
    }
}
