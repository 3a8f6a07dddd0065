//! Removes what was deleted, on a thread of its own: each thing when its moment has come, in steps, and after each step it rests for as long as that took. So
//! others have half of a disk that takes long to take space back, and nobody waits for a file of a gigabyte to be gone.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use dohle_base::Instant;
use dohle_log::Failure;
use dohle_log::disk::Files;
use dohle_log::removal::{Removal, StepError};

use crate::clock::Clock;
use crate::lock::hold;
use crate::vital;
use crate::volume::Volume;

/// How often it is looked what is due, as long as anything will be.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What comes to its turn so late is removed without rests, and so is what it waits for: more is deleted than could go otherwise, and the disk would fill.
const LATE: Duration = Duration::from_secs(60);

/// What is to be removed.
pub(crate) enum Doomed {
    /// Files of dropped segments, and their disk.
    Segments(Arc<Volume>, Removal<Files>),
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

    /// Lets the thread end. What is left goes with the next start.
    pub(crate) fn close(&self) {
        hold(&self.list).closed = true;
        self.changed.notify_one();
    }

    /// Starts the thread; it ends after [`close`](Self::close).
    pub(crate) fn start(self: &Arc<Self>, clock: Clock) -> std::io::Result<JoinHandle<()>> {
        let removals = Arc::clone(self);
        vital::spawn("removals", move || {
            while let Some((at, doomed)) = removals.next(clock) {
                removals.remove(at, doomed, clock);
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
            if let Some(due) = list.take_due(clock.instant()) {
                return Some(due);
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

    /// Removes one thing whose moment was `at`, unless the broker stops meanwhile.
    fn remove(&self, at: Instant, doomed: Doomed, clock: Clock) {
        let (what, volume) = (doomed.what(), Arc::clone(doomed.volume()));
        let rests = !is_late(at, clock.instant());
        let removed = doomed.open().map_err(StepError::Left).and_then(|mut removal| {
            let mut begun = clock.instant();
            while removal.step()? && self.may_go_on(rests, begun, clock.instant()) {
                begun = clock.instant();
            }
            Ok(())
        });
        match removed {
            Ok(()) => {}
            Err(StepError::Unsynced(failure)) => volume.fail(&failure),
            Err(StepError::Left(failure)) => tracing::warn!("{what} is still there: {failure}"),
        }
    }

    /// Lets others have the disk for as long as a step took that has `begun` then, unless something else waits too long meanwhile; false when the broker stops.
    fn may_go_on(&self, rests: bool, begun: Instant, now: Instant) -> bool {
        let list = hold(&self.list);
        let long = if rests && !list.is_late(now) { now - begun } else { Duration::ZERO };
        let rested = self.changed.wait_timeout_while(list, long, |list| !list.closed);
        !rested.unwrap_or_else(PoisonError::into_inner).0.closed
    }
}

fn is_late(at: Instant, now: Instant) -> bool {
    now > at + LATE
}

impl List {
    /// The first whose moment has come; those before it may have longer to wait.
    fn take_due(&mut self, now: Instant) -> Option<(Instant, Doomed)> {
        let due = self.doomed.iter().position(|(at, _)| *at <= now)?;
        self.doomed.remove(due)
    }

    /// Whether anything has waited too long.
    fn is_late(&self, now: Instant) -> bool {
        self.doomed.iter().any(|(at, _)| is_late(*at, now))
    }
}

impl Doomed {
    fn what(&self) -> &'static str {
        match self {
            Self::Segments(..) => "a dropped segment",
            Self::Partition(..) => "a deleted partition",
        }
    }

    fn volume(&self) -> &Arc<Volume> {
        match self {
            Self::Segments(volume, _) | Self::Partition(volume, _) => volume,
        }
    }

    fn open(self) -> Result<Removal<Files>, Failure> {
        match self {
            Self::Segments(_, removal) => Ok(removal),
            Self::Partition(volume, path) => volume.directory.removal(&path),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;
    use crate::partition::fixture;

    const MIB: u64 = 1 << 20;
    /// No multiple of a page.
    const FILE_BYTES: u64 = 9 * MIB + 20_001;

    struct World {
        root: TempDir,
        volume: Arc<Volume>,
        removals: Removals,
        clock: Clock,
    }

    impl World {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let volume = fixture::volume(&root);
            Self { root, volume, removals: Removals::default(), clock: Clock::start() }
        }

        /// A directory with one file that goes in several steps.
        fn doomed(&self, name: &str) -> (PathBuf, Doomed) {
            let path = self.root.path().join(name);
            fs::create_dir(&path).unwrap();
            File::create(path.join("file")).unwrap().set_len(FILE_BYTES).unwrap();
            (path.clone(), Doomed::Partition(Arc::clone(&self.volume), path))
        }

        fn list(&self, moments: &[Instant]) -> List {
            let doomed = |at: &Instant| (*at, Doomed::Partition(Arc::clone(&self.volume), PathBuf::new()));
            List { doomed: moments.iter().map(doomed).collect(), closed: false }
        }
    }

    fn size(directory: &Path) -> u64 {
        directory.join("file").metadata().unwrap().len()
    }

    #[test]
    fn what_is_due_does_not_wait_for_what_came_before_it() {
        let world = World::new();
        let mut list = world.list(&[Instant(3), Instant(2)]);
        let mut due = |now| list.take_due(Instant(now)).map(|(at, _)| at.0);
        assert_eq!([1, 2, 2, 3, 3].map(&mut due), [None, Some(2), None, Some(3), None]);
    }

    #[test]
    fn one_that_waits_too_long_lets_all_go_without_rests() {
        let world = World::new();
        let list = world.list(&[Instant(9), Instant(2)]);
        assert!(!list.is_late(Instant(2) + LATE));
        assert!(list.is_late(Instant(3) + LATE));
    }

    #[test]
    fn all_of_it_goes() {
        let world = World::new();
        let (path, doomed) = world.doomed("t-0");
        world.removals.remove(world.clock.instant(), doomed, world.clock);
        assert!(!path.exists());
    }

    #[test]
    fn a_stop_waits_for_one_step_only() {
        let world = World::new();
        let (path, doomed) = world.doomed("t-0");
        world.removals.close();
        world.removals.remove(world.clock.instant(), doomed, world.clock);
        assert!((1..FILE_BYTES).contains(&size(&path)), "{}", size(&path));
        assert!(world.removals.next(world.clock).is_none());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_was_sent_of_a_file_and_not_read_yet_stays_what_it_was() {
        use std::io::Read;
        use std::os::unix::net::UnixStream;

        let world = World::new();
        let (path, doomed) = world.doomed("t-0");
        let content: Vec<u8> = (0..FILE_BYTES).map(|at| (at % 251) as u8 + 1).collect();
        fs::write(path.join("file"), &content).unwrap();
        let file = File::open(path.join("file")).unwrap();
        let (server, mut client) = UnixStream::pair().unwrap();
        let from = FILE_BYTES - 4 * MIB - 30_000;
        let sent = rustix::fs::sendfile(&server, &file, Some(&mut from.clone()), 64 << 10).unwrap();
        world.removals.remove(world.clock.instant(), doomed, world.clock);
        assert!(!path.exists());
        let mut received = vec![0; sent];
        client.read_exact(&mut received).unwrap();
        assert!(received == content[from as usize..][..sent], "pages were changed that a socket still has");
    }
}
