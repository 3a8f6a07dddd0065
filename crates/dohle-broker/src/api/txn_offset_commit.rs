//! TxnOffsetCommit (KIP-98, KIP-447, KIP-890, KIP-1319): up to where a group has read, if the transaction is committed.

use dohle_base::{ErrorCode, LeaderEpoch, Offset, Partition};
