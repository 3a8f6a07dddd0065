//! What an observer who sees everything notes down. The invariants judge facts; they see nothing of the machines.

use dohle_base::{ErrorCode, Offset};
use dohle_coordinator::{Command, Record, Reply};

/// A request, the same number from the client's call to the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What the broker says to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The coordinator's reply.
    Reply(Reply),
    /// The broker cannot ask its coordinator.
    Refused(ErrorCode),
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// A client sent a request.
    Asked {
        /// Which.
        request: RequestId,
        /// What it says.
        command: Command,
    },
    /// The coordinator had records appended, because of a request or of time alone.
    Appended {
        /// The request that was being decided.
        cause: Option<RequestId>,
        /// Where the first record is.
        at: Offset,
        /// The records.
        records: Vec<Record>,
    },
    /// The partition's leader moved.
    Advanced {
        /// Offsets below this are safe and may be seen.
        high_watermark: Offset,
        /// The disk has confirmed everything below this.
        synced: Offset,
    },
    /// The broker answered a request.
    Answered {
        /// Which.
        request: RequestId,
        /// With what.
        answer: Answer,
        /// Whether the coordinator has its log read and leads.
        leading: bool,
        /// The disk has confirmed everything below this.
        synced: Offset,
    },
    /// The broker stopped, in good order or not.
    Stopped {
        /// What it had called safe.
        high_watermark: Offset,
    },
    /// The coordinator has read its log and leads.
    Led {
        /// Every record of the log, each at its offset: compaction leaves gaps.
        log: Vec<(Offset, Record)>,
    },
}
