//! No two members are given the same partition in one generation (G3, H12). A static member that came back is the same
//! member.

use std::collections::BTreeMap;

use dohle_coordinator::{Command, Generation, GroupId, Record, Reply};

use super::{Invariant, Look};
use crate::fact::{Answer, Fact, RequestId};

/// The law, and who was given what in which generation.
#[derive(Default)]
pub(super) struct OneOwner {
    owners: BTreeMap<(GroupId, Generation), BTreeMap<u8, String>>,
    syncs: BTreeMap<RequestId, (GroupId, Generation, String)>,
}

impl Invariant for OneOwner {
    fn name(&self) -> &'static str {
        "OneOwner"
    }

    fn judge(&mut self, fact: &Fact) -> Result<Look, String> {
        match fact {
            Fact::Asked { request, command: Command::Sync(sync) } => {
                let owner = sync.instance.as_ref().map_or(sync.member.to_string(), ToString::to_string);
                self.syncs.insert(*request, (sync.group.clone(), sync.generation, owner));
                Ok(Look::Passed)
            }
            Fact::Appended { records, .. } => {
                for record in records {
                    match record {
                        // Whoever takes the name of a deleted group begins to count anew.
                        Record::Group { group, value: None } => self.owners.retain(|(known, _), _| known != group),
                        Record::Group { .. } | Record::Offset { .. } | Record::TransactionEnded { .. } => {}
                    }
                }
                Ok(Look::Passed)
            }
            Fact::Answered { request, answer: Answer::Reply(Reply::Sync(Ok(synced))), .. } => {
                let (group, generation, owner) = self.syncs.remove(request).ok_or("nobody asked for a share")?;
                let owners = self.owners.entry((group.clone(), generation)).or_default();
                for partition in synced.assignment.iter() {
                    let other = owners.insert(*partition, owner.clone()).filter(|other| *other != owner);
                    if let Some(other) = other {
                        return Err(format!("{group} generation {generation}: {other} and {owner} own {partition}"));
                    }
                }
                Ok(Look::Judged)
            }
            Fact::Asked { .. }
            | Fact::Answered { .. }
            | Fact::Advanced { .. }
            | Fact::Stopped { .. }
            | Fact::Led { .. } => Ok(Look::Passed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::{answered, asked, share, sync, tells};
    use super::*;

    fn law() -> Box<dyn Invariant> {
        Box::new(OneOwner::default())
    }

    #[test]
    fn a_partition_with_two_owners_is_found_out() {
        let run = |second: &[u8], generation| {
            [
                asked(1, sync("a", None, 1)),
                answered(1, share(&[0, 1]), 1),
                asked(2, sync("b", None, generation)),
                answered(2, share(second), 1),
            ]
        };
        tells(law, &run(&[2], 1), &run(&[1, 2], 1));
        tells(law, &run(&[0, 1], 2), &run(&[0], 1));
    }

    #[test]
    fn a_static_member_that_came_back_is_the_same() {
        let run = |instance| {
            [
                asked(1, sync("a", Some("one"), 1)),
                answered(1, share(&[0]), 1),
                asked(2, sync("b", Some(instance), 1)),
                answered(2, share(&[0]), 1),
            ]
        };
        tells(law, &run("one"), &run("two"));
    }
}
