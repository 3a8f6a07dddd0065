//! Who is at which log, and which logs are left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use dohle_base::{Offset, Partition as Index, TopicId};
use dohle_log::compact::{CompactError, Dirt, Survey, choose};
use dohle_log::directory::Checkpoint;
use dohle_log::disk::Files;

use super::Cleaner;
use crate::lock::hold;
use crate::partition::Partition;

/// A log that is to be compacted, and what of it.
pub(super) struct Work {
    pub(super) partition: Arc<Partition>,
    pub(super) survey: Survey<Files>,
    pub(super) dirt: Dirt,
}

/// Which log.
pub(crate) type Id = (TopicId, Index);

/// The threads' common list.
#[derive(Default)]
pub(crate) struct Desk {
    list: Mutex<List>,
    changed: Condvar,
}

#[derive(Default)]
struct List {
    /// By the number of the thread.
    taken: BTreeMap<usize, Id>,
    /// Only of logs that are led here.
    given_up: Vec<Id>,
    /// Logs that are being moved to another disk: whoever copies a record must meet the one that took it back.
    paused: BTreeSet<Id>,
    closed: bool,
}

impl List {
    fn is_free(&self, id: Id) -> bool {
        !self.given_up.contains(&id) && !self.paused.contains(&id) && !self.is_taken(id)
    }

    fn is_taken(&self, id: Id) -> bool {
        self.taken.values().any(|taken| *taken == id)
    }
}

/// A log that is left alone for as long as this is held.
pub(crate) struct Paused<'a> {
    desk: &'a Desk,
    id: Id,
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        hold(&self.desk.list).paused.remove(&self.id);
    }
}

impl Desk {
    /// Lets the threads end, in the middle of a pass if need be.
    pub(crate) fn close(&self) {
        hold(&self.list).closed = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        hold(&self.list).closed
    }

    /// Rests; false when the broker stops.
    pub(crate) fn wait(&self, rest: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(hold(&self.list), rest, |list| !list.closed);
        !waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// How many logs are left alone.
    pub(super) fn given_up(&self) -> usize {
        hold(&self.list).given_up.len()
    }

    /// Ends the pass over a log, waits until it has ended, and lets no other begin (`LogCleanerManager.abortAndPauseCleaning`).
    pub(crate) fn pause(&self, id: Id) -> Paused<'_> {
        let mut list = hold(&self.list);
        assert!(list.paused.insert(id), "a log is moved once at a time");
        self.changed.notify_all();
        drop(self.changed.wait_while(list, |list| list.is_taken(id)).unwrap_or_else(PoisonError::into_inner));
        Paused { desk: self, id }
    }

    /// Rests in the middle of a pass; false when it is to end.
    pub(super) fn wait_over(&self, id: Id, rest: Duration) -> bool {
        let goes_on = |list: &List| !list.closed && !list.paused.contains(&id);
        let waited = self.changed.wait_timeout_while(hold(&self.list), rest, |list| goes_on(list));
        goes_on(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// The thread is done with its log.
    pub(super) fn put_back(&self, thread: usize) {
        hold(&self.list).taken.remove(&thread);
        self.changed.notify_all();
    }

    /// The thread's log is left alone from now on.
    pub(super) fn give_up(&self, thread: usize) -> Option<Id> {
        let mut list = hold(&self.list);
        let id = list.taken.remove(&thread)?;
        list.given_up.push(id);
        self.changed.notify_all();
        Some(id)
    }

    /// A log that nobody is at is left alone from now on.
    fn leave_alone(&self, id: Id) {
        hold(&self.list).given_up.push(id);
    }

    /// Forgets logs that are not led here any more.
    fn keep(&self, is_led: impl Fn(Id) -> bool) {
        hold(&self.list).given_up.retain(|id| is_led(*id));
    }

    fn is_free(&self, id: Id) -> bool {
        hold(&self.list).is_free(id)
    }

    /// Takes a log for the thread; false when another was faster.
    fn take(&self, thread: usize, id: Id) -> bool {
        let mut list = hold(&self.list);
        let free = list.is_free(id);
        if free {
            list.taken.insert(thread, id);
        }
        free
    }
}

impl Cleaner {
    /// The dirtiest log for which a pass is due.
    pub(super) fn next(&self, thread: usize) -> Option<Work> {
        let view = self.catalog.view();
        self.desk.keep(|id| view.led.contains_key(&id));
        self.cells.uncleanable.set(self.desk.given_up() as i64);
        let mut works: Vec<(Work, f64)> = view.led.values().filter_map(|led| self.look(led)).collect();
        let dirtiest = works.iter().map(|(work, _)| work.dirt.ratio()).fold(0.0, f64::max);
        self.cells.dirtiest_percent.set((dirtiest * 100.0) as i64);
        loop {
            let place = choose::filthiest(works.iter().map(|(work, ratio)| (&work.dirt, *ratio)))?;
            let (work, _) = works.swap_remove(place);
            // Where another thread was faster, the next dirtiest is looked at.
            if self.desk.take(thread, id(&work.partition)) {
                return Some(work);
            }
        }
    }

    /// How dirty a log is, with what its topic allows; none where nobody wants to know.
    fn look(&self, partition: &Arc<Partition>) -> Option<(Work, f64)> {
        if !self.desk.is_free(id(partition)) || partition.volume().is_offline() {
            return None;
        }
        let (survey, ratio_min) = partition.survey()?;
        let mark = |kind| partition.volume().marks.get(kind, &partition.name());
        let durable = mark(Checkpoint::RecoveryPoint).unwrap_or(Offset::ZERO);
        match survey.dirt(mark(Checkpoint::Cleaner), durable, self.clock.wall()) {
            Ok(dirt) => Some((Work { partition: Arc::clone(partition), survey, dirt }, ratio_min)),
            // A segment was dropped meanwhile: it is looked at again.
            Err(CompactError::Moved | CompactError::Stopped) => None,
            Err(error) => {
                self.desk.leave_alone(id(partition));
                tracing::error!(
                    ?partition,
                    "not compacted until the next start, nobody can say how dirty it is: {error}"
                );
                None
            }
        }
    }
}

pub(super) fn id(partition: &Partition) -> Id {
    (partition.topic_id, partition.index)
}
