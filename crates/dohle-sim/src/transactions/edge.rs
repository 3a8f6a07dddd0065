//! The narrow places of transactions: a run in which nobody ever came to one of them proves nothing about it.

/// Somewhere where two things meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edge {
    /// A producer learns that another has its name.
    Fenced,
    /// A second process takes the name of one that lives.
    Takeover,
    /// A new life aborts the open transaction of the old one.
    AbortedByInit,
    /// A producer goes on after an error, in the next epoch (KIP-360).
    Continued,
    /// The coordinator aborts what takes too long.
    TimedOut,
    /// The broker went down with a decided transaction that was not complete.
    CrashInPrepared,
    /// The broker went down with an open transaction.
    CrashInOngoing,
    /// An EndTxn was answered as it had been before.
    EndRepeated,
    /// An EndTxn came while the partitions were being told.
    EndWhilePrepared,
    /// An EndTxn of an earlier transaction came after the next had begun, and was refused.
    LateEndRefused,
    /// The same, and the older protocol has no way to tell (KAFKA-17754).
    LateEndMisled,
    /// Somebody aborted what had not begun.
    AbortOfNothing,
    /// A producer has used up its epochs and gets a new id.
    Reborn,
    /// The coordinator needed an id to abort what took too long.
    SpareUsed,
    /// A transactional id was forgotten.
    Forgotten,
    /// A marker came once more to a partition that had it.
    MarkerAgain,
    /// A partition did not take its marker while others did.
    MarkerNotTaken,
    /// A marker of an earlier transaction came after the next had begun, and was refused.
    LateMarkerRefused,
    /// A marker of a coordinator that was replaced was refused.
    CoordinatorFenced,
    /// A partition refused a batch of which the coordinator knew nothing.
    Unverified,
    /// A marker came between the coordinator's leave to write and the batch.
    LeaveLost,
    /// A batch was there already.
    Duplicate,
    /// Somebody asked for an offset that an open transaction holds.
    OffsetHeld,
    /// The log of the coordinator was compacted.
    Compacted,
}

impl Edge {
    /// All of them.
    pub const ALL: [Self; 24] = [
        Self::Fenced,
        Self::Takeover,
        Self::AbortedByInit,
        Self::Continued,
        Self::TimedOut,
        Self::CrashInPrepared,
        Self::CrashInOngoing,
        Self::EndRepeated,
        Self::EndWhilePrepared,
        Self::LateEndRefused,
        Self::LateEndMisled,
        Self::AbortOfNothing,
        Self::Reborn,
        Self::SpareUsed,
        Self::Forgotten,
        Self::MarkerAgain,
        Self::MarkerNotTaken,
        Self::LateMarkerRefused,
        Self::CoordinatorFenced,
        Self::Unverified,
        Self::LeaveLost,
        Self::Duplicate,
        Self::OffsetHeld,
        Self::Compacted,
    ];
}
