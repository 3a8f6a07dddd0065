//! Scrubbing, on a thread of its own: every closed segment is read now and then, slowly, so that damage is found before a reader needs what is
//! damaged.
//!
//! Owns the round and its rate. Where it was, the directories remember, and the next start goes on from there.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use dohle_base::Offset;
use dohle_log::directory::Checkpoint;
use dohle_log::scrub::{self, Damages, Finding};

use crate::catalog::Catalog;
use crate::cleaner::Desk;
use crate::cleaner::cells::ScrubCells;
use crate::cleaner::rate::Rate;
use crate::clock::Clock;
use crate::config::settings;
use crate::partition::Partition;
use crate::storage::Storage;

/// How often it is written down where the round is: as much is read again after a crash.
const WRITE_EVERY: Duration = Duration::from_secs(60);
/// After so many bytes the rate is kept.
const PAY_AFTER_BYTES: u64 = 64 << 10;

/// The thread's own things.
pub(crate) struct Scrubber {
    pub(crate) clock: Clock,
    pub(crate) settings: settings::Scrub,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) storage: Arc<Storage>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) cells: Arc<ScrubCells>,
}

impl Scrubber {
    /// Starts the thread, if there is a rate at which it may read; it ends after [`Desk::close`].
    pub(crate) fn start(self) -> std::io::Result<Option<JoinHandle<()>>> {
        let Some(bytes_per_second) = self.settings.bytes_per_second else { return Ok(None) };
        let rate = Rate::new(bytes_per_second as f64);
        let thread = std::thread::Builder::new().name("scrubber".to_owned()).spawn(move || {
            while catch_unwind(AssertUnwindSafe(|| self.work(&rate))).is_err() {
                self.cells.deaths.add(1);
                tracing::error!("the scrubber died, another takes its place");
                if !self.desk.wait(self.settings.interval) {
                    return;
                }
            }
        })?;
        Ok(Some(thread))
    }

    fn work(&self, rate: &Rate) {
        // At the start there is better to do.
        while self.desk.wait(self.settings.rest_min()) {
            let begun = self.clock.instant();
            if !self.round(rate) {
                return;
            }
            self.cells.rounds.add(1);
            let took = self.clock.instant() - begun;
            if !self.desk.wait(self.settings.interval.saturating_sub(took)) {
                return;
            }
        }
    }

    /// Reads what was not read in this round; false when the broker stops.
    fn round(&self, rate: &Rate) -> bool {
        let mut written = self.clock.instant();
        for partition in self.catalog.view().led.values() {
            let goes_on = self.scrub(partition, rate);
            if !goes_on || self.clock.instant() - written > WRITE_EVERY {
                self.write();
                written = self.clock.instant();
            }
            if !goes_on {
                return false;
            }
        }
        self.storage.volumes().iter().for_each(|volume| volume.marks.clear(Checkpoint::Scrub));
        self.write();
        true
    }

    /// Writes down where the round is. What cannot be written costs a second reading, no more.
    fn write(&self) {
        for volume in self.storage.volumes().iter().filter(|volume| !volume.is_offline()) {
            if let Err(failure) = volume.marks.flush(Checkpoint::Scrub) {
                tracing::warn!("nobody will know how far logs were scrubbed: {failure}");
            }
        }
    }

    fn scrub(&self, partition: &Partition, rate: &Rate) -> bool {
        let mut reached = partition.volume().marks.get(Checkpoint::Scrub, &partition.name()).unwrap_or(Offset::ZERO);
        // What is closed meanwhile is read in the next round.
        let Ok(log) = partition.look(|log, _| log.scrub()) else { return true };
        let segments = log.segments();
        while let Some(place) = scrub::choose(&segments, reached) {
            if partition.volume().is_offline() || partition.stopped().is_some() {
                return true;
            }
            let mut unpaid = 0;
            let mut go_on = |bytes: u64| {
                self.cells.bytes.add(bytes);
                unpaid += bytes;
                unpaid < PAY_AFTER_BYTES || self.desk.wait(rate.pay(self.clock.instant(), std::mem::take(&mut unpaid)))
            };
            match log.read(place, &mut go_on) {
                Ok(Finding::Sound | Finding::Gone) => {}
                Ok(Finding::Damaged(damages)) => self.alarm(partition, &damages),
                Ok(Finding::Stopped) => return false,
                Err(failure) => {
                    partition.volume().fail(&failure);
                    return true;
                }
            }
            reached = segments[place].end;
            partition.volume().marks.note(Checkpoint::Scrub, partition, reached);
        }
        true
    }

    fn alarm(&self, partition: &Partition, damages: &Damages) {
        if partition.note_damage(damages) {
            self.cells.damaged.add(damages.places.len() as u64);
            let Damages { segment, places, damage, .. } = damages;
            tracing::error!(?partition, segment = segment.0, ?places, %damage, "damaged records are served no more");
        }
    }
}
