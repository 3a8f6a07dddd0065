//! The log's part in scrubbing: its closed segments are handed out, and what is damaged in them is served no more.

use std::sync::Arc;

use super::Log;
use crate::disk::Disk;
use crate::scrub::{Damages, Scrub};

impl<D: Disk> Log<D> {
    /// The closed segments, to be read outside of the lock.
    pub fn scrub(&self) -> Scrub<D> {
        Scrub { disk: self.disk.clone(), dir: self.dir.clone(), sealed: self.sealed.iter().cloned().collect() }
    }

    /// Serves these places no more, until the segment is gone; false when it is gone or was rewritten since it was read. Forgotten when the log is
    /// closed: the next round finds them again.
    pub fn note_damage(&mut self, damages: &Damages) -> bool {
        let place = self.sealed.partition_point(|segment| segment.base < damages.segment);
        match self.sealed.get_mut(place) {
            Some(segment) if (segment.base, segment.revision) == (damages.segment, damages.revision) => {
                *segment = Arc::new(segment.with_damaged(damages.places.clone()));
                true
            }
            Some(_) | None => false,
        }
    }

    /// How many places are served no more.
    pub fn damaged(&self) -> usize {
        self.sealed.iter().map(|segment| segment.damaged.len()).sum()
    }
}
