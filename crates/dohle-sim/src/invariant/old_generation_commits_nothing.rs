//! A member of an older generation than the last that was shared out moves no offset: its partitions are another's (G3).

use std::collections::BTreeMap;

use dohle_coordinator::{Command, Generation, GroupId, Record};

use super::{Invariant, Look};
use crate::fact::{Fact, RequestId};

/// The law, and the last generation of each group that is in the log.
#[derive(Default)]
pub(super) struct OldGenerationCommitsNothing {
    last: BTreeMap<GroupId, Generation>,
    commits: BTreeMap<RequestId, (GroupId, Generation)>,
}

impl OldGenerationCommitsNothing {
    fn append(&mut self, records: &[Record]) {
        for record in records {
            match record {
                Record::Group { group, value: Some(stored) } => {
                    self.last.insert(group.clone(), stored.generation);
                }
                Record::Group { group, value: None } => drop(self.last.remove(group)),
                Record::Offset { .. } | Record::TransactionEnded { .. } => {}
            }
        }
    }
}

impl Invariant for OldGenerationCommitsNothing {
    fn name(&self) -> &'static str {
        "OldGenerationCommitsNothing"
    }

    fn judge(&mut self, fact: &Fact) -> Result<Look, String> {
        match fact {
            Fact::Asked { request, command: Command::CommitOffsets(commit) } if commit.generation >= Generation(0) => {
                self.commits.insert(*request, (commit.group.clone(), commit.generation));
            }
            Fact::Appended { cause, records, .. } => {
                let commit = cause.and_then(|cause| self.commits.get(&cause));
                if let Some((group, generation)) = commit {
                    let last = self.last.get(group).copied().unwrap_or(Generation::NONE);
                    if *generation < last {
                        return Err(format!("{group}: generation {generation} committed after {last} was shared out"));
                    }
                    return Ok(Look::Judged);
                }
                self.append(records);
            }
            Fact::Led { log } => {
                self.last.clear();
                self.append(&log.iter().map(|(_, record)| record.clone()).collect::<Vec<_>>());
            }
            Fact::Asked { .. } | Fact::Answered { .. } | Fact::Advanced { .. } | Fact::Stopped { .. } => {}
        }
        Ok(Look::Passed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{appended, asked, commit, generation, place, tells};
    use super::*;

    #[test]
    fn a_commit_of_an_older_generation_is_found_out() {
        let run = |of| [appended(1, 0, &[generation(4, &[])]), asked(2, commit(5, of)), appended(2, 1, &[place(5)])];
        tells(|| Box::new(OldGenerationCommitsNothing::default()), &run(4), &run(3));
    }
}
