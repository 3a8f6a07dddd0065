//! The generation of a group rises, through every change of coordinators, for as long as the group is not deleted (G3).

use std::collections::BTreeMap;

use dohle_coordinator::{Command, Generation, GroupId, Record, Reply};

use super::{Invariant, Look};
use crate::fact::{Answer, Fact, RequestId};

/// The law, and the last generation of each group that is in the log.
#[derive(Default)]
pub(super) struct GenerationMonotonic {
    last: BTreeMap<GroupId, Generation>,
    joins: BTreeMap<RequestId, GroupId>,
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
                self.joins.insert(*request, join.group.clone());
                Ok(Look::Passed)
            }
            Fact::Appended { records, .. } => self.append(records),
            Fact::Led { log } => {
                self.last.clear();
                self.append(log)
            }
            Fact::Answered { request, answer: Answer::Reply(Reply::Join(Ok(joined))), .. } => {
                let group = self.joins.remove(request).ok_or("nobody asked to join")?;
                match self.last.get(&group) {
                    // A static member that took its old place is in the generation that is in the log.
                    Some(last) if joined.generation < *last => {
                        Err(format!("{group}: joined generation {} after {last} was in the log", joined.generation))
                    }
                    Some(_) | None => Ok(Look::Judged),
                }
            }
            Fact::Asked { .. } | Fact::Answered { .. } | Fact::Advanced { .. } | Fact::Stopped { .. } => {
                Ok(Look::Passed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{appended, generation, group_gone, led, tells};
    use super::*;

    #[test]
    fn a_generation_that_falls_is_found_out() {
        let law = || Box::new(GenerationMonotonic::default()) as Box<dyn Invariant>;
        let run = |next| {
            [
                appended(1, 0, &[generation(4, &[])]),
                led(&[generation(4, &[])]),
                appended(2, 1, &[generation(next, &[])]),
            ]
        };
        tells(law, &run(5), &run(3));
        let reborn = [appended(1, 0, &[generation(4, &[]), group_gone(), generation(0, &[])])];
        tells(law, &reborn, &run(3));
    }
}
