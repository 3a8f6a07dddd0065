//! Whoever asks where a group stands is told nothing older than what was acknowledged before the question (G1, H11).
//!
//! Older means earlier in the log, not smaller: a group may be set back, and a place may be forgotten.

use std::collections::BTreeMap;

use dohle_base::{ErrorCode, Offset};
use dohle_coordinator::{Command, FetchOffsets, OffsetKey, OffsetValue, Record, Reply, Wanted};

use super::{Invariant, Look};
use crate::fact::{Answer, Fact, RequestId};

/// The law, what the log says of each place, and what was acknowledged of it.
#[derive(Default)]
pub(super) struct CommittedOffsetMonotonic {
    /// What the log says of a place, from old to new; none where it is forgotten.
    history: BTreeMap<OffsetKey, Vec<(Offset, Option<OffsetValue>)>>,
    written: BTreeMap<RequestId, Vec<(OffsetKey, Offset)>>,
    /// Where in the log the newest acknowledged word about a place is.
    acked: BTreeMap<OffsetKey, Offset>,
    /// Of each question, the acknowledged words that it must not fall behind.
    asked: BTreeMap<RequestId, Vec<(OffsetKey, Offset)>>,
}

impl CommittedOffsetMonotonic {
    fn append(&mut self, cause: Option<RequestId>, at: Offset, records: &[Record]) {
        for (place, record) in records.iter().enumerate() {
            let offset = Offset(at.0 + place as i64);
            match record {
                Record::Offset { key, value, producer: None } => {
                    self.history.entry(key.clone()).or_default().push((offset, value.clone()));
                    if let Some(cause) = cause {
                        self.written.entry(cause).or_default().push((key.clone(), offset));
                    }
                }
                Record::Offset { .. } | Record::Group { .. } | Record::TransactionEnded { .. } => {}
            }
        }
    }

    fn acknowledge(&mut self, request: RequestId) {
        for (key, offset) in self.written.remove(&request).unwrap_or_default() {
            let known = self.acked.entry(key).or_insert(offset);
            *known = (*known).max(offset);
        }
    }

    fn ask(&mut self, request: RequestId, question: &FetchOffsets) {
        let Wanted::Listed(wishes) = &question.wanted else { return };
        let floors = wishes.iter().filter_map(|wish| {
            let key = OffsetKey { group: question.group.clone(), topic: wish.topic.clone(), partition: wish.partition };
            let floor = self.acked.get(&key).copied();
            floor.map(|floor| (key, floor))
        });
        self.asked.insert(request, floors.collect());
    }

    /// Whether the log says this of the place at `floor` or later.
    fn is_said(&self, key: &OffsetKey, floor: Offset, value: &Option<OffsetValue>) -> bool {
        let said = self.history.get(key).into_iter().flatten();
        said.rev().take_while(|(offset, _)| *offset >= floor).any(|(_, known)| known == value)
    }
}

impl Invariant for CommittedOffsetMonotonic {
    fn name(&self) -> &'static str {
        "CommittedOffsetMonotonic"
    }

    fn judge(&mut self, fact: &Fact) -> Result<Look, String> {
        match fact {
            Fact::Asked { request, command: Command::FetchOffsets(question) } => self.ask(*request, question),
            Fact::Appended { cause, at, records } => self.append(*cause, *at, records),
            Fact::Led { log } => {
                self.history.clear();
                for (offset, record) in log {
                    self.append(None, *offset, std::slice::from_ref(record));
                }
            }
            Fact::Answered { request, answer: Answer::Reply(reply), .. } => match reply {
                Reply::CommitOffsets(Ok(codes)) if codes.iter().all(|code| *code == ErrorCode::None) => {
                    self.acknowledge(*request);
                }
                Reply::FetchOffsets(fetched) => {
                    let Some(floors) = self.asked.remove(request) else { return Ok(Look::Passed) };
                    for (key, floor) in &floors {
                        let told = fetched.iter().find(|it| it.topic == key.topic && it.partition == key.partition);
                        let Some(Ok(told)) = told.map(|it| &it.committed) else { continue };
                        if !self.is_said(key, *floor, told) {
                            return Err(format!(
                                "{key:?}: told {told:?}, which is older than what was acknowledged at {floor}"
                            ));
                        }
                    }
                    return Ok(if floors.is_empty() { Look::Passed } else { Look::Judged });
                }
                _ => {}
            },
            Fact::Asked { .. } | Fact::Answered { .. } | Fact::Advanced { .. } | Fact::Stopped { .. } => {}
        }
        Ok(Look::Passed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{
        answered, appended, asked, commit, committed, fetch, fetched, forgotten, led, place, tells,
    };
    use super::*;

    fn law() -> Box<dyn Invariant> {
        Box::new(CommittedOffsetMonotonic::default())
    }

    #[test]
    fn an_offset_that_moved_back_is_found_out() {
        let run = |offset| {
            [
                asked(1, commit(5, 1)),
                appended(1, 0, &[place(5)]),
                answered(1, committed(), 1),
                asked(2, commit(9, 1)),
                appended(2, 1, &[place(9)]),
                answered(2, committed(), 2),
                led(&[place(5), place(9)]),
                asked(3, fetch()),
                answered(3, fetched(offset), 2),
            ]
        };
        tells(law, &run(Some(9)), &run(Some(5)));
        tells(law, &run(Some(9)), &run(None));
    }

    #[test]
    fn a_later_word_may_take_the_place_back() {
        let run = |offset| {
            [
                asked(1, commit(9, 1)),
                appended(1, 0, &[place(9)]),
                answered(1, committed(), 1),
                asked(2, fetch()),
                appended(3, 1, &[forgotten(), place(3)]),
                answered(2, fetched(offset), 3),
            ]
        };
        tells(law, &run(None), &run(Some(4)));
        tells(law, &run(Some(3)), &run(Some(4)));
    }
}
