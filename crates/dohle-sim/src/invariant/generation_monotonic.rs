//! The generation of a group rises, through every change of coordinators, for as long as the group is not deleted, and
//! nobody joins one that was over before it asked (G3).

use std::collections::BTreeMap;

use dohle_coordinator::{Command, Generation, GroupId, Record, Reply};

use super::{Invariant, Look};
use crate::fact::{Answer, Fact, RequestId};

/// The law, and the last generation of each group that is in the log.
#[derive(Default)]
pub(super) struct GenerationMonotonic {
    last: BTreeMap<GroupId, Generation>,
    /// Who asked to join, and the last generation that was in the log then.
    joins: BTreeMap<RequestId, (GroupId, Generation)>,
}

impl GenerationMonotonic {
    fn append(&mut self, records: &[Record]) -> Result<Look, String> {
        let mut look = Look::Passed;
        for record in records {
            match record {
                Record::Group { group, value: Some(stored) } => {
                    look = Look::Judged;
                    let before = self.last.insert(group.clone(), stored.generation);
                    if let Some(before) = before.filter(|before| *before > stored.generation) {
                        return Err(format!("{group}: generation {} after {before}", stored.generation));
                    }
                }
                Record::Group { group, value: None } => drop(self.last.remove(group)),
                Record::Offset { .. } | Record::TransactionEnded { .. } => {}
            }
        }
        Ok(look)
    }
}

impl Invariant for GenerationMonotonic {
    fn name(&self) -> &'static str {
        "GenerationMonotonic"
    }

    fn judge(&mut self, fact: &Fact) -> Result<Look, String> {
        match fact {
            Fact::Asked { request, command: Command::Join(join) } => {
                let last = self.last.get(&join.group).copied().unwrap_or(Generation::NONE);
                self.joins.insert(*request, (join.group.clone(), last));
                Ok(Look::Passed)
            }
            Fact::Appended { records, .. } => self.append(records),
            Fact::Led { log } => {
                self.last.clear();
                self.append(&log.iter().map(|(_, record)| record.clone()).collect::<Vec<_>>())
            }
            Fact::Answered { request, answer: Answer::Reply(Reply::Join(Ok(joined))), .. } => {
                let (group, last) = self.joins.remove(request).ok_or("nobody asked to join")?;
                // A group that was deleted meanwhile begins to count anew.
                let lives_on = self.last.get(&group).is_some_and(|now| *now >= last);
                if lives_on && joined.generation < last {
                    return Err(format!("{group}: joined generation {} having asked after {last}", joined.generation));
                }
                Ok(Look::Judged)
            }
            Fact::Asked { .. } | Fact::Answered { .. } | Fact::Advanced { .. } | Fact::Stopped { .. } => {
                Ok(Look::Passed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{answered, appended, asked, generation, group_gone, join, joined, led, tells};
    use super::*;

    fn law() -> Box<dyn Invariant> {
        Box::new(GenerationMonotonic::default())
    }

    #[test]
    fn a_generation_that_falls_is_found_out() {
        let of = |number| generation(number, &[]);
        let run = |next| [appended(1, 0, &[of(4)]), led(&[of(4)]), appended(2, 1, &[of(next)])];
        tells(law, &run(5), &run(3));
        let reborn = [appended(1, 0, &[of(4), group_gone(), of(0)])];
        tells(law, &reborn, &run(3));
    }

    #[test]
    fn whoever_joins_what_was_over_is_found_out() {
        let run = |told| [appended(1, 0, &[generation(4, &[])]), asked(2, join()), answered(2, joined(told), 1)];
        tells(law, &run(5), &run(3));
    }
}
