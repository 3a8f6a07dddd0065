//! What can be wrong with a directory, and where it was found.

use std::fmt;

use dohle_base::{LeaderEpoch, Offset, ProducerId, Timestamp};
use dohle_records::batch::decode::Malformed;
use thiserror::Error;

use crate::checkpoint::Corrupt;
use crate::producers::snapshot;
use crate::segment::scan::Damage;

/// One thing that is wrong with one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file's name in its directory.
    pub file: String,
    /// Where in it, where that can be said.
    pub position: Option<u64>,
    /// What is wrong.
    pub flaw: Flaw,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Flaw {
    /// A batch that is none, or stands where it cannot.
    #[error("{0}")]
    Batch(Damage),
    /// A batch whose checksum holds and whose records cannot be read.
    #[error("offset {offset}: {malformed}")]
    Records {
        /// The batch's first offset.
        offset: Offset,
        /// What is wrong with them.
        malformed: Malformed,
    },
    /// Records whose offsets do not rise within the offsets of their batch.
    #[error("offset {0}: a record lies outside of its batch or out of order")]
    RecordOffset(Offset),
    /// A file that has to be there.
    #[error("missing")]
    Missing,
    /// An index that is cut off within an entry, or whose entries do not rise.
    #[error("cut off or out of order")]
    IndexMalformed,
    /// An entry of an offset index.
    #[error("entry {entry}: no batch at position {at} ends at offset {offset}")]
    IndexEntry {
        /// Counted from 0.
        entry: usize,
        /// The offset that it tells.
        offset: Offset,
        /// The position that it tells.
        at: u64,
    },
    /// An entry of a time index.
    #[error("entry {entry}: {time} is not the latest time up to offset {offset}")]
    TimeEntry {
        /// Counted from 0.
        entry: usize,
        /// The offset that it tells.
        offset: Offset,
        /// The time that it tells.
        time: Timestamp,
    },
    /// A time index that does not know of the latest records.
    #[error("ends before the latest time of its segment, {latest}")]
    TimesEnd {
        /// The latest time.
        latest: Timestamp,
    },
    /// An aborted transaction that readers of committed data would see.
    #[error("the transaction of producer {producer} that was aborted at offset {last} is missing")]
    AbortMissing {
        /// Whose.
        producer: ProducerId,
        /// Its marker.
        last: Offset,
    },
    /// An aborted transaction that there was not.
    #[error("producer {producer} has aborted nothing at offset {last}")]
    AbortUnknown {
        /// Whose, as told.
        producer: ProducerId,
        /// Its marker, as told.
        last: Offset,
    },
    /// A snapshot that cannot be read.
    #[error("{0}")]
    Snapshot(snapshot::Corrupt),
    /// A producer of whom the batches tell otherwise.
    #[error("producer {0}: the log tells otherwise")]
    SnapshotProducer(ProducerId),
    /// A file of an offset that the log does not reach.
    #[error("behind the end of the log, {end}")]
    Ahead {
        /// The end of the log.
        end: Offset,
    },
    /// A checkpoint that cannot be read.
    #[error("{0}")]
    Checkpoint(Corrupt),
    /// An epoch of which the batches tell otherwise.
    #[error("offset {offset} is of leader epoch {found}, not {told}")]
    Epoch {
        /// The first such offset.
        offset: Offset,
        /// What the file tells; -1 for nothing.
        told: LeaderEpoch,
        /// What the batch says.
        found: LeaderEpoch,
    },
    /// An offset of a partition that its log does not reach.
    #[error("{partition}: {offset} is behind the end of the log, {end}")]
    CheckpointAhead {
        /// The partition.
        partition: String,
        /// The offset.
        offset: Offset,
        /// The end of the log.
        end: Offset,
    },
    /// A file that an interrupted compaction has left; the next start of a broker deals with it.
    #[error("left by an interrupted compaction")]
    Leftover,
    /// A file of a segment that is not there.
    #[error("there is no segment that it belongs to")]
    Orphan,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "{}: at {position}: {}", self.file, self.flaw),
            None => write!(f, "{}: {}", self.file, self.flaw),
        }
    }
}
