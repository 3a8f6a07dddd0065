//! Somebody with an administrator's tool: looks at groups and takes things away from them.

use dohle_base::{Partition, Rng, TopicId};
use dohle_coordinator::{Command, DeleteOffsets, DeletedTopic, GroupFilter, GroupId};

use crate::consumer::{PARTITIONS, topic};

/// What somebody may think of. A group with members is not deleted, however often it is asked for; one that only keeps
/// offsets is.
pub(crate) fn whim(groups: &[GroupId], rng: &mut Rng) -> Command {
    let group = rng.pick(groups).expect("there is a group").clone();
    match rng.below(6) {
        0 => Command::ListGroups(GroupFilter::default()),
        1 => Command::DescribeGroups(vec![group, "nobody".into()]),
        2 | 3 => Command::DeleteGroups(vec![group, "nobody".into()]),
        4 => {
            let partition = Partition(rng.below(PARTITIONS as u64) as i32);
            Command::DeleteOffsets(DeleteOffsets { group, partitions: vec![(topic(), partition)] })
        }
        _ => Command::TopicsDeleted(vec![DeletedTopic { name: topic(), id: TopicId::ZERO }]),
    }
}
