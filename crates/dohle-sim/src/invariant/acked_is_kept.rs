//! What was acknowledged is still there, unchanged and at its place, after whatever stopped the broker (P1, P2, P6).

use std::collections::BTreeMap;

use dohle_base::Offset;
use dohle_coordinator::{Command, Generation, GroupId, Record, Reply};

use super::{Invariant, LastOfKeys, Look};
use crate::fact::{Answer, Fact, RequestId};

/// The law, what was written, and what of it was acknowledged.
#[derive(Default)]
pub(super) struct AckedIsKept {
    written: BTreeMap<RequestId, Vec<(Offset, Record)>>,
    /// The first record of a generation: what its members were told of. A later one may only give a name to another.
    generations: BTreeMap<(GroupId, Generation), (Offset, Record)>,
    syncs: BTreeMap<RequestId, (GroupId, Generation)>,
    acked: BTreeMap<Offset, Record>,
}

impl AckedIsKept {
    fn append(&mut self, cause: Option<RequestId>, at: Offset, records: &[Record]) {
        let places = || records.iter().enumerate().map(|(place, record)| (Offset(at.0 + place as i64), record.clone()));
        if let Some(cause) = cause {
            self.written.insert(cause, places().collect());
        }
        for (offset, record) in places() {
            match &record {
                Record::Group { group, value: Some(stored) } => {
                    let generation = (group.clone(), stored.generation);
                    self.generations.entry(generation).or_insert((offset, record));
                }
                Record::Group { .. } | Record::Offset { .. } | Record::TransactionEnded { .. } => {}
            }
        }
    }

    fn acknowledge(&mut self, request: RequestId, reply: &Reply) {
        match reply {
            Reply::CommitOffsets(Ok(_)) | Reply::DeleteOffsets(Ok(_)) | Reply::DeleteGroups(_) => {
                self.acked.extend(self.written.remove(&request).unwrap_or_default());
            }
            Reply::Sync(Ok(_)) => {
                let written = self.syncs.get(&request).and_then(|key| self.generations.get(key));
                self.acked.extend(written.cloned());
            }
            Reply::CommitOffsets(Err(_))
            | Reply::DeleteOffsets(Err(_))
            | Reply::Sync(Err(_))
            | Reply::Join(_)
            | Reply::Heartbeat(_)
            | Reply::Leave(_)
            | Reply::FetchOffsets(_)
            | Reply::DescribeGroups(_)
            | Reply::ListGroups(_)
            | Reply::TopicsDeleted => {}
        }
    }
}

impl Invariant for AckedIsKept {
    fn name(&self) -> &'static str {
        "AckedIsKept"
    }

    fn judge(&mut self, fact: &Fact) -> Result<Look, String> {
        match fact {
            Fact::Asked { request, command: Command::Sync(sync) } => {
                self.syncs.insert(*request, (sync.group.clone(), sync.generation));
            }
            Fact::Appended { cause, at, records } => self.append(*cause, *at, records),
            Fact::Answered { request, answer: Answer::Reply(reply), .. } => self.acknowledge(*request, reply),
            Fact::Led { log } => {
                let lasts = LastOfKeys::of(log);
                let is_kept = |offset: Offset, record: &Record| {
                    let found = log.binary_search_by_key(&offset, |(known, _)| *known);
                    found.map_or_else(|_| lasts.is_behind(record, offset), |place| log[place].1 == *record)
                };
                let lost = self.acked.iter().find(|(offset, record)| !is_kept(**offset, record));
                if let Some((offset, record)) = lost {
                    return Err(format!("acknowledged and lost: {record:?} at {offset}"));
                }
                self.generations.clear();
                for (offset, record) in log {
                    self.append(None, *offset, std::slice::from_ref(record));
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
    use super::super::story::{answered, appended, asked, commit, committed, led, place, tells};
    use super::*;

    #[test]
    fn a_lost_commit_is_found_out() {
        let law = || Box::new(AckedIsKept::default()) as Box<dyn Invariant>;
        let run = |log: &[Record]| {
            [
                asked(1, commit(5, 1)),
                appended(1, 0, &[place(5)]),
                answered(1, committed(), 1),
                appended(2, 1, &[place(6)]),
                led(log),
            ]
        };
        tells(law, &run(&[place(5)]), &run(&[]));
        tells(law, &run(&[place(5), place(6)]), &run(&[place(4)]));
    }
}
