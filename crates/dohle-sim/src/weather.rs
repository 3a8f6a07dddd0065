//! Which faults a seed has, and how often each comes.
//!
//! Every seed draws a subset of the kinds and a rate for each: bugs hide where two faults meet, and a run in which all
//! faults rage together drowns the rest.

use std::time::Duration;

use dohle_base::Rng;

use crate::coverage::Coverage;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A message takes long.
    Delay,
    /// A connection breaks.
    Reset,
    /// What was sent before a connection broke arrives after it.
    LateDelivery,
    /// A connection swallows what the client sends.
    StallUp,
    /// A connection swallows what the broker answers.
    StallDown,
    /// A client cannot reach the broker at all.
    Cut,
    /// The process dies; the operating system keeps what was written.
    Kill,
    /// The power goes; what was not synced is lost, or torn, as the disk pleases.
    PowerCut,
    /// The power goes in the middle of an operation on the disk.
    PowerCutInOperation,
    /// The broker is stopped and started in good order.
    CleanRestart,
    /// The process stands still.
    Pause,
    /// A write fails.
    WriteError,
    /// A sync fails.
    SyncError,
    /// A write stops half way.
    ShortWrite,
    /// A sync takes seconds.
    SlowSync,
    /// Reading the log takes long.
    SlowLoad,
    /// The wall clock jumps forward.
    ClockForward,
    /// The wall clock jumps back.
    ClockBack,
    /// A consumer dies.
    ConsumerCrash,
    /// A consumer stands still and goes on as if nothing had been.
    ConsumerPause,
    /// A consumer leaves and comes back later.
    ConsumerLeave,
    /// Somebody deletes a topic, offsets or a group.
    Meddling,
    /// The log is compacted. No fault, but nobody may notice.
    Compaction,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 23] = [
        Self::Delay,
        Self::Reset,
        Self::LateDelivery,
        Self::StallUp,
        Self::StallDown,
        Self::Cut,
        Self::Kill,
        Self::PowerCut,
        Self::PowerCutInOperation,
        Self::CleanRestart,
        Self::Pause,
        Self::WriteError,
        Self::SyncError,
        Self::ShortWrite,
        Self::SlowSync,
        Self::SlowLoad,
        Self::ClockForward,
        Self::ClockBack,
        Self::ConsumerCrash,
        Self::ConsumerPause,
        Self::ConsumerLeave,
        Self::Meddling,
        Self::Compaction,
    ];

    /// The highest rate of a fault that may come with any message or operation, in 1,000; none for those that come by time.
    fn chance_max(self) -> Option<u64> {
        match self {
            Self::Delay | Self::LateDelivery | Self::SlowLoad => Some(300),
            Self::Reset | Self::StallUp | Self::StallDown => Some(30),
            Self::SlowSync => Some(50),
            Self::Cut
            | Self::Kill
            | Self::PowerCut
            | Self::PowerCutInOperation
            | Self::CleanRestart
            | Self::Pause
            | Self::WriteError
            | Self::SyncError
            | Self::ShortWrite
            | Self::ClockForward
            | Self::ClockBack
            | Self::ConsumerCrash
            | Self::ConsumerPause
            | Self::ConsumerLeave
            | Self::Meddling
            | Self::Compaction => None,
        }
    }
}

/// The faults of a seed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weather {
    /// Those that come with a message or an operation, and how often in 1,000.
    chances: Vec<(Fault, u64)>,
    /// Those that come by time, and the mean wait between two.
    storms: Vec<(Fault, Duration)>,
}

impl Weather {
    /// Draws the faults of a seed.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let mut weather = Self::default();
        for fault in Fault::ALL {
            if rng.chance(400) {
                continue;
            }
            match fault.chance_max() {
                Some(most) => weather.chances.push((fault, 1 + rng.below(most))),
                None => weather.storms.push((fault, Duration::from_millis(3_000 + rng.below(30_000)))),
            }
        }
        weather
    }

    /// Whether the fault comes with this message or operation.
    pub(crate) fn strikes(&self, fault: Fault, rng: &mut Rng) -> bool {
        self.chances.iter().find(|(kind, _)| *kind == fault).is_some_and(|(_, chance)| rng.chance(*chance))
    }

    /// The same, and counts it if it comes.
    pub(crate) fn slows(&self, fault: Fault, rng: &mut Rng, coverage: &mut Coverage) -> bool {
        let strikes = self.strikes(fault, rng);
        if strikes {
            coverage.fault(fault);
        }
        strikes
    }

    /// The faults that come by time, and the mean wait between two.
    pub(crate) fn storms(&self) -> &[(Fault, Duration)] {
        &self.storms
    }

    /// Whether a fault that comes by time belongs to this weather.
    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.storms.iter().any(|(kind, _)| *kind == fault)
    }
}
