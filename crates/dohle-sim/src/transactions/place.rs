//! Where transactions write to in this world.

use dohle_base::{Partition, TopicName};
use dohle_coordinator::transaction::TopicPartition;

/// A partition that takes part in transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Of a topic that clients write to.
    Data(i32),
    /// The one in which the offsets of groups are kept.
    Offsets,
}

/// How many partitions the topic has that clients write to.
pub(crate) const DATA_PARTITIONS: i32 = 2;

impl Place {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Data(0), Self::Data(1), Self::Offsets];
    /// Those that readers of committed records read.
    pub(crate) const DATA: [Self; DATA_PARTITIONS as usize] = [Self::Data(0), Self::Data(1)];

    /// As the coordinator knows it.
    pub(crate) fn named(self) -> TopicPartition {
        let (topic, partition) = match self {
            Self::Data(partition) => ("data", partition),
            Self::Offsets => ("__consumer_offsets", 0),
        };
        TopicPartition { topic: TopicName::parse(topic).expect("a legal name"), partition: Partition(partition) }
    }

    pub(crate) fn of(named: &TopicPartition) -> Self {
        if *named.topic == *"data" { Self::Data(named.partition.0) } else { Self::Offsets }
    }
}
