//! What is done now and then, on a thread of its own: retention, checkpoints, flushes that nobody waits for, expiry of
//! silent producers.
//!
//! Owns the times; what there is to do, each partition knows.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use dohle_base::{ErrorCode, Instant};
use dohle_log::directory::Checkpoint;

use crate::catalog::Catalog;
use crate::checkpoints::Checkpoints;
use crate::clock::Clock;
use crate::config::settings;
use crate::lock::hold;
use crate::removals::{Doomed, Removals};
use crate::storage::Storage;
use crate::vital;
use crate::volume::Volume;

/// How often the thread looks what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often memory that was freed is given back to the system, if nothing else has had the allocator do so.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(2);
/// The first look at retention comes this long after the start (`LogManager.initialTaskDelayMs`).
const RETENTION_FIRST: Duration = Duration::from_secs(30);

/// The wish that the thread ends.
#[derive(Default)]
pub(crate) struct Ending {
    wished: Mutex<bool>,
    changed: Condvar,
}

/// The thread's own things.
pub(crate) struct Upkeep {
    pub(crate) clock: Clock,
    pub(crate) settings: settings::Upkeep,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) storage: Arc<Storage>,
    pub(crate) removals: Arc<Removals>,
    pub(crate) ending: Arc<Ending>,
    pub(crate) checkpoints: Arc<Checkpoints>,
}

impl Ending {
    /// Lets the thread end.
    pub(crate) fn wish(&self) {
        *hold(&self.wished) = true;
        self.changed.notify_one();
    }

    /// Waits for the next look; false when the broker stops.
    fn wait(&self) -> bool {
        let waited = self.changed.wait_timeout_while(hold(&self.wished), LOOK_EVERY, |wished| !*wished);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Upkeep {
    /// Starts the thread; it ends after [`Ending::wish`].
    pub(crate) fn start(mut self) -> std::io::Result<JoinHandle<()>> {
        vital::spawn("upkeep", move || {
            let begun = self.clock.instant();
            let mut times = Times {
                memory: begun + GIVE_BACK_EVERY,
                retention: begun + RETENTION_FIRST.min(self.settings.retention),
                high_watermarks: begun + self.settings.high_watermarks,
                recovery_points: begun + self.settings.recovery_points,
                log_starts: begun + self.settings.log_starts,
                producers: begun + self.settings.producer_check,
            };
            self.sweep();
            // A loss that was told at this start is not told again at the next.
            self.checkpoints.write(Checkpoint::HighWatermark, begun);
            while self.ending.wait() {
                self.look(&mut times);
            }
        })
    }

    /// Removes what an earlier broker has deleted and not removed any more, and what was on its way here of topics that are gone.
    fn sweep(&self) {
        let view = self.catalog.view();
        for volume in self.storage.volumes() {
            let strays = volume.take_left_over(|name| view.topic(&name.topic).is_none());
            for path in volume.deleted().unwrap_or_default().into_iter().chain(strays) {
                self.removals.add(self.clock.instant(), Doomed::Partition(Arc::clone(volume), path));
            }
        }
    }

    fn look(&mut self, times: &mut Times) {
        let now = self.clock.instant();
        self.look_at_disks();
        self.flush_aged();
        if due(&mut times.memory, now, GIVE_BACK_EVERY) {
            give_memory_back();
        }
        if due(&mut times.retention, now, self.settings.retention) {
            self.retain(now);
        }
        if due(&mut times.producers, now, self.settings.producer_check) {
            self.expire_producers();
        }
        if due(&mut times.high_watermarks, now, self.settings.high_watermarks) {
            self.checkpoints.write(Checkpoint::HighWatermark, now);
        }
        if due(&mut times.recovery_points, now, self.settings.recovery_points) {
            self.checkpoints.write(Checkpoint::RecoveryPoint, now);
        }
        if due(&mut times.log_starts, now, self.settings.log_starts) {
            self.checkpoints.write(Checkpoint::LogStart, now);
        }
    }

    fn retain(&self, now: Instant) {
        let wall = self.clock.wall();
        for partition in self.catalog.view().led.values() {
            match partition.retain(wall) {
                Ok(Some((removal, delay))) => {
                    self.removals.add(now + delay, Doomed::Segments(partition.volume(), removal));
                }
                Ok(None) => {}
                Err(failure) => partition.volume().fail_unless_full(&failure, now),
            }
        }
    }

    /// Goes by what the disks are like: how full, and whether they have failed.
    fn look_at_disks(&self) {
        for volume in self.storage.all() {
            if volume.must_tell() {
                self.stop_all_of(volume);
            } else if !volume.is_offline() {
                volume.look_at_space(&self.storage.space_limits);
            }
        }
    }

    /// Nothing is served from a disk that has failed.
    fn stop_all_of(&self, volume: &Arc<Volume>) {
        for partition in self.catalog.view().led.values().filter(|partition| Arc::ptr_eq(&partition.volume(), volume)) {
            drop(partition.stop(ErrorCode::KafkaStorageError));
        }
    }

    /// Flushes where `flush.ms` or `flush.messages` ask for it and no acknowledgement waits; what is quiet gives its open file back.
    fn flush_aged(&self) {
        let now = self.clock.wall();
        for partition in self.catalog.view().led.values() {
            if partition.wants_flush(now) {
                partition.ask_flush();
            }
        }
    }

    fn expire_producers(&self) {
        let now = self.clock.wall();
        for partition in self.catalog.view().led.values() {
            partition.expire_producers(now);
        }
    }
}

/// When each thing is due next.
struct Times {
    memory: Instant,
    retention: Instant,
    high_watermarks: Instant,
    recovery_points: Instant,
    log_starts: Instant,
    producers: Instant,
}

fn due(at: &mut Instant, now: Instant, every: Duration) -> bool {
    let due = *at <= now;
    if due {
        *at = now + every;
    }
    due
}

/// Lets the allocator give back what was freed, such as what a start or a burst has needed: it looks for that when memory is freed in
/// larger pieces, which an idle broker does not do, and when a thread ends.
fn give_memory_back() {
    // A system that has no thread to spare has other sorrows.
    if let Ok(thread) = std::thread::Builder::new().name("give-back".to_owned()).spawn(|| {}) {
        let _ = thread.join();
    }
}
