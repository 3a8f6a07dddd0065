//! Who of a group reads which partition: the assignors of the classic protocol, which the group's leader runs.
//!
//! Owns the plans; how members and plans travel is `wire`'s, and who leads is the membership's to know.

mod range;
mod sticky;

use std::collections::{BTreeMap, BTreeSet};

use dohle_base::{Partition, TopicName};

use crate::core::TopicPartition;

/// A member as the group's leader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// The id that the coordinator gave.
    pub id: String,
    /// The id that its operator gave, when it is a static member (KIP-345).
    pub instance: Option<String>,
    /// What it wants to read.
    pub topics: BTreeSet<TopicName>,
    /// What it still holds.
    pub owned: BTreeSet<TopicPartition>,
    /// The generation in which it got what it holds; -1 when it does not say.
    pub generation: i32,
}

/// What each member is to read, by its id. Every member has an entry.
pub type Plan = BTreeMap<String, BTreeSet<TopicPartition>>;

/// How many partitions the topics have; a topic that is not there is not assigned.
pub type Counts = BTreeMap<TopicName, usize>;

/// A way to share partitions out (`partition.assignment.strategy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// Neighbouring partitions of each topic, so that topics with equally many partitions meet in one member.
    Range,
    /// As even as can be, moving as little as can be, and without stopping what stays (KIP-429).
    CooperativeSticky,
}

impl Assignor {
    /// All of them, in the order of preference of Kafka's own consumer.
    pub const ALL: [Self; 2] = [Self::Range, Self::CooperativeSticky];

    /// The name that members agree on.
    pub fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// The assignor of this name, or of the name of Kafka's Java class for it.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.rsplit('.').next()? {
            "range" | "RangeAssignor" => Some(Self::Range),
            "cooperative-sticky" | "CooperativeStickyAssignor" => Some(Self::CooperativeSticky),
            _ => None,
        }
    }

    /// Whether members keep reading what they hold while the group rebalances.
    pub fn is_cooperative(self) -> bool {
        match self {
            Self::Range => false,
            Self::CooperativeSticky => true,
        }
    }

    /// Shares the partitions out among the members that want them.
    pub fn plan(self, members: &[Member], counts: &Counts) -> Plan {
        match self {
            Self::Range => range::plan(members, counts),
            Self::CooperativeSticky => sticky::plan(members, counts),
        }
    }
}

/// Static members by the operator's id, then the others by the coordinator's.
fn in_order<'a>(members: impl IntoIterator<Item = &'a Member>) -> Vec<&'a Member> {
    let mut members: Vec<&Member> = members.into_iter().collect();
    members.sort_by(|a, b| (a.instance.is_none(), &a.instance, &a.id).cmp(&(b.instance.is_none(), &b.instance, &b.id)));
    members
}

fn nothing_for_all(members: &[Member]) -> Plan {
    members.iter().map(|member| (member.id.clone(), BTreeSet::new())).collect()
}

fn partitions_of(topic: &TopicName, count: usize) -> impl Iterator<Item = TopicPartition> {
    (0..count as i32).map(|number| TopicPartition::new(topic.clone(), Partition(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignor_is_known_by_both_of_its_names() {
        for assignor in Assignor::ALL {
            assert_eq!(Assignor::from_name(assignor.name()), Some(assignor));
        }
        let class = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
        assert_eq!(Assignor::from_name(class), Some(Assignor::CooperativeSticky));
        assert_eq!(Assignor::from_name("mine"), None);
    }
}
