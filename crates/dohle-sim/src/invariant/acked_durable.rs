//! Whoever is told that something was written can rely on it after the power was cut: the disk had confirmed it before
//! the answer left (P2).

use std::collections::BTreeMap;

use dohle_base::Offset;
use dohle_coordinator::{Command, Generation, GroupId, Record, Reply};

use super::{Invariant, Look};
use crate::fact::{Answer, Fact, RequestId};

/// The law, and where in the log that is of which answers will speak.
#[derive(Default)]
pub(super) struct AckedDurable {
    /// Behind the records that a request caused.
    written: BTreeMap<RequestId, Offset>,
    /// Behind the record of a generation.
    generations: BTreeMap<(GroupId, Generation), Offset>,
    syncs: BTreeMap<RequestId, (GroupId, Generation)>,
}

impl AckedDurable {
    fn append(&mut self, cause: Option<RequestId>, at: Offset, records: &[Record]) {
        let end = Offset(at.0 + records.len() as i64);
        if let Some(cause) = cause {
            self.written.insert(cause, end);
        }
        for record in records {
            match record {
                Record::Group { group, value: Some(stored) } => {
                    self.generations.entry((group.clone(), stored.generation)).or_insert(end);
                }
                Record::Group { group, value: None } => self.generations.retain(|(known, _), _| known != group),
                Record::Offset { .. } | Record::TransactionEnded { .. } => {}
            }
        }
    }

    /// Behind which records the answer speaks, if it speaks of any.
    fn promise(&self, request: RequestId, reply: &Reply) -> Option<Offset> {
        match reply {
            Reply::CommitOffsets(Ok(_)) | Reply::DeleteOffsets(Ok(_)) | Reply::DeleteGroups(_) => {
                self.written.get(&request).copied()
            }
            Reply::Sync(Ok(_)) => self.generations.get(self.syncs.get(&request)?).copied(),
            Reply::CommitOffsets(Err(_))
            | Reply::DeleteOffsets(Err(_))
            | Reply::Sync(Err(_))
            | Reply::Join(_)
            | Reply::Heartbeat(_)
            | Reply::Leave(_)
            | Reply::FetchOffsets(_)
            | Reply::DescribeGroups(_)
            | Reply::ListGroups(_)
            | Reply::TopicsDeleted => None,
        }
    }
}

impl Invariant for AckedDurable {
    fn name(&self) -> &'static str {
        "AckedDurable"
    }

    fn judge(&mut self, fact: &Fact) -> Result<Look, String> {
        match fact {
            Fact::Asked { request, command: Command::Sync(sync) } => {
                self.syncs.insert(*request, (sync.group.clone(), sync.generation));
            }
            Fact::Appended { cause, at, records } => self.append(*cause, *at, records),
            Fact::Led { log } => {
                self.generations.clear();
                for (offset, record) in log {
                    self.append(None, *offset, std::slice::from_ref(record));
                }
            }
            Fact::Answered { request, answer: Answer::Reply(reply), synced, .. } => {
                let Some(end) = self.promise(*request, reply) else { return Ok(Look::Passed) };
                if end > *synced {
                    return Err(format!(
                        "{request:?} was told of what ends at {end} while the disk had confirmed {synced}"
                    ));
                }
                return Ok(Look::Judged);
            }
            Fact::Asked { .. } | Fact::Answered { .. } | Fact::Advanced { .. } | Fact::Stopped { .. } => {}
        }
        Ok(Look::Passed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{answered, appended, asked, commit, committed, generation, place, share, sync, tells};
    use super::*;

    #[test]
    fn an_answer_before_the_disk_confirmed_is_found_out() {
        let law = || Box::new(AckedDurable::default()) as Box<dyn Invariant>;
        let commits = |synced| [asked(1, commit(5, 1)), appended(1, 0, &[place(5)]), answered(1, committed(), synced)];
        tells(law, &commits(1), &commits(0));
        let shares = |synced| {
            [
                asked(2, sync("m", None, 3)),
                appended(2, 7, &[generation(3, &[("m", b"x")])]),
                answered(2, share(b"x"), synced),
            ]
        };
        tells(law, &shares(8), &shares(7));
    }
}
