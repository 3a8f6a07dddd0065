//! The last stable offset never passes an open transaction, one that has ended beyond the high watermark included, never passes the high
//! watermark, and never goes back while the broker leads (T7).

use std::collections::BTreeMap;

use dohle_base::{Offset, ProducerId};

use super::Invariant;
use crate::invariant::Look;
use crate::transactions::fact::{Fact, Line, Written};
use crate::transactions::place::Place;

/// The law, and what each partition holds of transactions.
#[derive(Default)]
pub(super) struct LastStable {
    open: BTreeMap<(Place, ProducerId), Offset>,
    /// By the offset of their marker, where ended transactions begin.
    ended: BTreeMap<(Place, Offset), Offset>,
    before: BTreeMap<Place, Offset>,
}

impl LastStable {
    fn wrote(&mut self, line: &Line) {
        let key = (line.place, line.producer.id);
        match &line.written {
            Written::Records(_) => drop(self.open.entry(key).or_insert(line.at)),
            Written::Marker(_) => {
                if let Some(first) = self.open.remove(&key) {
                    self.ended.insert((line.place, line.at), first);
                }
            }
        }
    }

    fn stood(&mut self, place: Place, high_watermark: Offset, last_stable: Offset) -> Result<(), String> {
        if last_stable > high_watermark {
            return Err(format!("{place:?} is stable below {last_stable}, beyond its high watermark {high_watermark}"));
        }
        let open = self.open.iter().filter(|((at, _), _)| *at == place).map(|(_, first)| *first);
        let ended = self.ended.range((place, high_watermark)..).filter(|((at, _), _)| *at == place);
        let first = open.chain(ended.map(|(_, first)| *first)).min();
        if let Some(first) = first.filter(|first| last_stable > *first) {
            return Err(format!("{place:?} is stable below {last_stable}, and a transaction is open from {first} on"));
        }
        let before = self.before.insert(place, last_stable).unwrap_or_default();
        if last_stable < before {
            return Err(format!("{place:?} was stable below {before}, and is below {last_stable}"));
        }
        Ok(())
    }
}

impl Invariant<Fact> for LastStable {
    fn name(&self) -> &'static str {
        "LastStable"
    }

    fn judge(&mut self, fact: &Fact) -> Result<Look, String> {
        match fact {
            Fact::Wrote(line) => self.wrote(line),
            Fact::Stood { place, high_watermark, last_stable } => {
                self.stood(*place, *high_watermark, *last_stable)?;
                return Ok(Look::Judged);
            }
            Fact::Led { lines, .. } => {
                *self = Self::default();
                lines.iter().for_each(|line| self.wrote(line));
            }
            Fact::Begun { .. }
            | Fact::Intended { .. }
            | Fact::EndAsked { .. }
            | Fact::EndTold { .. }
            | Fact::Named { .. }
            | Fact::WriteTold(_)
            | Fact::Decided(_)
            | Fact::Safe(_)
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

    use super::super::story::{marker, records, stood, tells, value};
    use super::*;

    fn law() -> Box<dyn Invariant<Fact>> {
        Box::new(LastStable::default())
    }

    #[test]
    fn whoever_passes_an_open_transaction_is_found_out() {
        let run = |last_stable| [Fact::Wrote(records(0, 4, 0, &[value(1, 0)])), stood(6, last_stable)];
        tells(law, &run(4), &run(5));
        let run = |last_stable| [stood(6, last_stable)];
        tells(law, &run(6), &run(7));
    }

    #[test]
    fn whoever_passes_a_transaction_whose_marker_is_not_safe_is_found_out() {
        let run = |high_watermark| {
            [
                Fact::Wrote(records(0, 4, 0, &[value(1, 0)])),
                Fact::Wrote(marker(0, 5, 1, Outcome::Abort)),
                stood(high_watermark, high_watermark),
            ]
        };
        tells(law, &run(6), &run(5));
    }

    #[test]
    fn whoever_goes_back_is_found_out() {
        let run = |second| [stood(6, 6), stood(6, second)];
        tells(law, &run(6), &run(5));
    }
}
