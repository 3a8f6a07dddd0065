//! A batch that a producer was told is safe is in its place after every crash (P2).

use std::collections::BTreeMap;

use dohle_base::Offset;

use super::Invariant;
use crate::invariant::Look;
use crate::transactions::fact::{Fact, Line};
use crate::transactions::place::Place;

/// The law, and what was told.
#[derive(Default)]
pub(super) struct AckedWriteIsKept {
    told: BTreeMap<(Place, Offset), Line>,
}

impl Invariant<Fact> for AckedWriteIsKept {
    fn name(&self) -> &'static str {
        "AckedWriteIsKept"
    }

    fn judge(&mut self, fact: &Fact) -> Result<Look, String> {
        match fact {
            Fact::WriteTold(line) => {
                self.told.insert((line.place, line.at), line.clone());
                Ok(Look::Passed)
            }
            Fact::Led { lines, .. } => {
                let found: BTreeMap<(Place, Offset), &Line> =
                    lines.iter().map(|line| ((line.place, line.at), line)).collect();
                match self.told.iter().find(|(key, line)| found.get(key) != Some(line)) {
                    Some((key, line)) => Err(format!("{line:?} was told, and {:?} is there", found.get(key))),
                    None => Ok(Look::Judged),
                }
            }
            Fact::Begun { .. }
            | Fact::Intended { .. }
            | Fact::EndAsked { .. }
            | Fact::EndTold { .. }
            | Fact::Named { .. }
            | Fact::Decided(_)
            | Fact::Safe(_)
            | Fact::Wrote(_)
            | Fact::Stood { .. }
            | Fact::Seen { .. }
            | Fact::Stands { .. }
            | Fact::Rested => Ok(Look::Passed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{led, records, tells, value};
    use super::*;

    #[test]
    fn a_batch_that_is_lost_or_changed_is_found_out() {
        let run = |lines: &[Line]| [Fact::WriteTold(records(0, 4, 0, &[value(1, 0)])), led(&[], lines)];
        let law = || -> Box<dyn Invariant<Fact>> { Box::new(AckedWriteIsKept::default()) };
        tells(law, &run(&[records(0, 4, 0, &[value(1, 0)])]), &run(&[]));
        tells(law, &run(&[records(0, 4, 0, &[value(1, 0)])]), &run(&[records(0, 4, 0, &[value(2, 0)])]));
    }
}
