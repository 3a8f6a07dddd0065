//! The client's decisions, without a clock, socket, thread or future: they are handed in.
//!
//! Owns what is known of the cluster, what waits to be sent, who the group's member is and where reading stands.
//! Knows neither connections nor callers: the shells beside it (`producer`, `consumer`, `admin`) perform what it decides.

pub mod aborted;
pub mod assign;
pub mod batching;
pub mod membership;
pub mod partitioner;
pub mod positions;
pub mod retry;
pub mod routing;

mod topic_partition;

pub use topic_partition::TopicPartition;
