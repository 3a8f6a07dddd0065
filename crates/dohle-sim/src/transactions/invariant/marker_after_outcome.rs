//! A marker is written only for an outcome that is safe in the coordinator's log: a power cut never takes a decision back of which a
//! partition knows (T1).

use std::collections::BTreeMap;

use dohle_base::Offset;
use dohle_coordinator::Producer;
use dohle_coordinator::transaction::{Outcome, State};

use super::Invariant;
use crate::invariant::Look;
use crate::transactions::fact::{Decided, Fact, Line, Written};

/// The law, and where what was decided first stood in the log.
#[derive(Default)]
pub(super) struct MarkerAfterOutcome {
    decided: BTreeMap<(Producer, Outcome), Offset>,
    /// Outcomes that were safe once are so for ever, whatever compaction leaves of them.
    safe: BTreeMap<(Producer, Outcome), ()>,
}

impl MarkerAfterOutcome {
    fn decided(&mut self, decided: &Decided) {
        let Some(transaction) = &decided.transaction else { return };
        if let State::Prepared(outcome) = transaction.state {
            self.decided.insert((transaction.producer, outcome), decided.at);
        }
    }

    fn advance(&mut self, below: Offset) {
        let safe = self.decided.extract_if(.., |_, at| *at < below);
        self.safe.extend(safe.map(|(key, _)| (key, ())));
    }

    fn wrote(&self, line: &Line) -> Result<Look, String> {
        match line.written {
            Written::Records(_) => Ok(Look::Passed),
            Written::Marker(outcome) if self.safe.contains_key(&(line.producer, outcome)) => Ok(Look::Judged),
            Written::Marker(_) => Err(format!("{line:?}, and no such outcome is safe")),
        }
    }
}

impl Invariant<Fact> for MarkerAfterOutcome {
    fn name(&self) -> &'static str {
        "MarkerAfterOutcome"
    }

    fn judge(&mut self, fact: &Fact) -> Result<Look, String> {
        match fact {
            Fact::Decided(decided) => self.decided(decided),
            Fact::Safe(below) => self.advance(*below),
            Fact::Wrote(line) => return self.wrote(line),
            Fact::Led { decisions, lines, end } => {
                self.decided.clear();
                decisions.iter().for_each(|decided| self.decided(decided));
                self.advance(*end);
                lines.iter().try_for_each(|line| self.wrote(line).map(drop))?;
            }
            Fact::Begun { .. }
            | Fact::Intended { .. }
            | Fact::EndAsked { .. }
            | Fact::EndTold { .. }
            | Fact::Named { .. }
            | Fact::WriteTold(_)
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
    use super::super::story::{marker, prepared, tells};
    use super::*;

    fn law() -> Box<dyn Invariant<Fact>> {
        Box::new(MarkerAfterOutcome::default())
    }

    #[test]
    fn a_marker_for_what_is_not_safe_or_not_decided_is_found_out() {
        let run = |safe, outcome| {
            [prepared(None, 3, 1, Outcome::Commit), Fact::Safe(Offset(safe)), Fact::Wrote(marker(0, 0, 1, outcome))]
        };
        tells(law, &run(4, Outcome::Commit), &run(3, Outcome::Commit));
        tells(law, &run(4, Outcome::Commit), &run(4, Outcome::Abort));
    }
}
