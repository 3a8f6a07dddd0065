//! No producer's epoch goes back: not in the coordinator's log, not in that of a partition, and not in what producers are told (T3).

use std::collections::BTreeMap;

use dohle_base::{ProducerEpoch, ProducerId};
use dohle_coordinator::{Producer, TransactionalId};

use super::Invariant;
use crate::invariant::Look;
use crate::transactions::fact::{Decided, Fact, Line};
use crate::transactions::place::Place;

/// The law, and the highest epoch everywhere.
#[derive(Default)]
pub(super) struct EpochMonotonic {
    decided: BTreeMap<ProducerId, ProducerEpoch>,
    written: BTreeMap<(Place, ProducerId), ProducerEpoch>,
    /// Outlives every crash: what was told is safe.
    told: BTreeMap<(TransactionalId, ProducerId), ProducerEpoch>,
}

impl EpochMonotonic {
    fn decided(&mut self, decided: &Decided) -> Result<(), String> {
        let Some(transaction) = &decided.transaction else { return Ok(()) };
        let Producer { id, epoch } = transaction.producer;
        rises(&mut self.decided, id, epoch).map_err(|known| format!("{id} was decided to be {known}, then {epoch}"))
    }

    fn wrote(&mut self, line: &Line) -> Result<(), String> {
        let Producer { id, epoch } = line.producer;
        let place = line.place;
        rises(&mut self.written, (place, id), epoch)
            .map_err(|known| format!("{id} wrote to {place:?} with {known}, then with {epoch}"))
    }

    fn told(&mut self, name: &TransactionalId, Producer { id, epoch }: Producer) -> Result<(), String> {
        // Whoever is told is told of what is decided.
        if let Some(decided) = self.decided.get(&id).filter(|decided| **decided < epoch) {
            return Err(format!("{name} was told {id}/{epoch}, and {decided} is decided"));
        }
        let known = self.told.entry((name.clone(), id)).or_insert(epoch);
        *known = (*known).max(epoch);
        Ok(())
    }

    /// After a crash the coordinator goes on from where producers were told to be, or beyond.
    fn led(&mut self, decisions: &[Decided], lines: &[Line]) -> Result<(), String> {
        self.decided.clear();
        self.written.clear();
        decisions.iter().try_for_each(|decided| self.decided(decided))?;
        lines.iter().try_for_each(|line| self.wrote(line))?;
        for ((name, id), told) in &self.told {
            // Compaction and the expiration of ids leave nothing of some.
            if let Some(decided) = self.decided.get(id).filter(|decided| *decided < told) {
                return Err(format!("{name} was told {id}/{told}, and the log has {decided}"));
            }
        }
        Ok(())
    }
}

fn rises<K: Ord>(known: &mut BTreeMap<K, ProducerEpoch>, key: K, epoch: ProducerEpoch) -> Result<(), ProducerEpoch> {
    let highest = known.entry(key).or_insert(epoch);
    if epoch < *highest {
        return Err(*highest);
    }
    *highest = epoch;
    Ok(())
}

impl Invariant<Fact> for EpochMonotonic {
    fn name(&self) -> &'static str {
        "EpochMonotonic"
    }

    fn judge(&mut self, fact: &Fact) -> Result<Look, String> {
        match fact {
            Fact::Decided(decided) => self.decided(decided)?,
            Fact::Wrote(line) => self.wrote(line)?,
            Fact::Named { name, producer } | Fact::EndTold { name, producer, .. } => self.told(name, *producer)?,
            Fact::Led { decisions, lines, .. } => self.led(decisions, lines)?,
            Fact::Begun { .. }
            | Fact::Intended { .. }
            | Fact::EndAsked { .. }
            | Fact::WriteTold(_)
            | Fact::Safe(_)
            | Fact::Stood { .. }
            | Fact::Seen { .. }
            | Fact::Stands { .. }
            | Fact::Rested => return Ok(Look::Passed),
        }
        Ok(Look::Judged)
    }
}

#[cfg(test)]
mod tests {
    use dohle_coordinator::transaction::Outcome;

    use super::super::story::{decided, end_told, led, marker, prepared, records, tells, value};
    use super::*;

    fn law() -> Box<dyn Invariant<Fact>> {
        Box::new(EpochMonotonic::default())
    }

    #[test]
    fn an_epoch_that_goes_back_is_found_out() {
        let run = |second| [prepared(None, 0, 3, Outcome::Abort), prepared(None, 1, second, Outcome::Abort)];
        tells(law, &run(4), &run(2));
        let run =
            |second| [Fact::Wrote(records(0, 0, 3, &[value(1, 0)])), Fact::Wrote(marker(0, 1, second, Outcome::Abort))];
        tells(law, &run(3), &run(2));
    }

    #[test]
    fn an_epoch_that_was_told_and_is_lost_is_found_out() {
        let run = |left| {
            let log = [decided(None, 0, left, Outcome::Commit)];
            [prepared(None, 0, 3, Outcome::Commit), end_told(9, 3), led(&log, &[])]
        };
        tells(law, &run(3), &run(2));
        let run = |told| [prepared(None, 0, 3, Outcome::Commit), end_told(9, told)];
        tells(law, &run(3), &run(4));
    }
}
