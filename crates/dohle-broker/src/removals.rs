//! Removes what was deleted, on a thread of its own: each thing when its moment has come, in steps, and after each step it rests for as long as that took. So
//! others have half of a disk that takes long to take space back, and nobody waits for a file of a gigabyte to be gone.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{self, Duration};

use dohle_base::Instant;
use dohle_log::Failure;
use dohle_log::disk::Files;
use dohle_log::removal::Removal;

use crate::clock::Clock;
use crate::lock::hold;
use crate::vital;
use crate::volume::Volume;

/// How often it is looked what is due, as long as anything will be.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What comes to its turn so late is removed without rests: more is deleted than could go otherwise, and the disk would fill.
const LATE: Duration = Duration::from_secs(60);

/// What is to be removed.
pub(crate) enum Doomed {
    /// Files of dropped segments.
    Segments(Removal<Files>),
    /// A partition's whole directory.
    Partition(Arc<Volume>, PathBuf),
}

/// What waits to be removed, and the wish to end.
#[derive(Default)]
pub(crate) struct Removals {
    list: Mutex<List>,
    changed: Condvar,
}

#[derive(Default)]
struct List {
    /// In the order in which they came; each has its own moment.
    doomed: VecDeque<(Instant, Doomed)>,
    closed: bool,
}

impl Removals {
    /// Removes something at a later moment.
    pub(crate) fn add(&self, at: Instant, doomed: Doomed) {
        hold(&self.list).doomed.push_back((at, doomed));
        self.changed.notify_one();
    }

    /// Lets the thread end. What is left goes after the next start.
    pub(crate) fn close(&self) {
        hold(&self.list).closed = true;
        self.changed.notify_one();
    }

    /// Starts the thread; it ends after [`close`](Self::close).
    pub(crate) fn start(self: &Arc<Self>, clock: Clock) -> std::io::Result<JoinHandle<()>> {
        let removals = Arc::clone(self);
        vital::spawn("removals", move || {
            while let Some((at, doomed)) = removals.next(clock) {
                removals.remove(doomed, clock.instant() > at + LATE);
            }
        })
    }

    /// Waits for the moment of something; none when the broker stops.
    fn next(&self, clock: Clock) -> Option<(Instant, Doomed)> {
        let mut list = hold(&self.list);
        loop {
            if list.closed {
                return None;
            }
            let now = clock.instant();
            if let Some(due) = list.doomed.iter().position(|(at, _)| *at <= now) {
                return list.doomed.remove(due);
            }
            list = self.wait(list);
        }
    }

    fn wait<'a>(&self, list: MutexGuard<'a, List>) -> MutexGuard<'a, List> {
        if list.doomed.is_empty() {
            return self.changed.wait(list).unwrap_or_else(PoisonError::into_inner);
        }
        self.changed.wait_timeout(list, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Removes one thing, unless the broker stops meanwhile.
    fn remove(&self, doomed: Doomed, is_late: bool) {
        let what = doomed.what();
        let removed = doomed.open().and_then(|mut removal| {
            let mut begun = time::Instant::now();
            while removal.step()? && self.rest(if is_late { Duration::ZERO } else { begun.elapsed() }) {
                begun = time::Instant::now();
            }
            Ok(())
        });
        if let Err(failure) = removed {
            tracing::warn!("{what} is still there: {failure}");
        }
    }

    /// Lets others have the disk; false when the broker stops.
    fn rest(&self, long: Duration) -> bool {
        let open = |list: &mut List| !list.closed;
        let rested = self.changed.wait_timeout_while(hold(&self.list), long, open);
        !rested.unwrap_or_else(PoisonError::into_inner).0.closed
    }
}

impl Doomed {
    fn what(&self) -> &'static str {
        match self {
            Self::Segments(_) => "a dropped segment",
            Self::Partition(..) => "a deleted partition",
        }
    }

    fn open(self) -> Result<Removal<Files>, Failure> {
        match self {
            Self::Segments(removal) => Ok(removal),
            Self::Partition(volume, path) => volume.directory.removal(&path),
        }
    }
}
