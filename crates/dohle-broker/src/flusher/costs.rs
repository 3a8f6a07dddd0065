//! Whether the files of a round are synced one by one or as a whole: by what the two ways have cost lately.

use std::time::Duration;

/// How the files of a round are synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    OneByOne,
    /// With one sync of the whole file system. It costs little more than one file does, and far less than ten, unless others have much unwritten on
    /// the same file system: then their writing is waited for as well.
    Together,
}

/// What the two ways have cost lately.
#[derive(Debug)]
pub(super) struct Costs {
    file: Duration,
    whole: Duration,
    /// What the rounds since the whole was last tried have cost together.
    since: Duration,
}

impl Costs {
    /// Fewer files are synced one by one.
    pub(super) const FILES_MIN: usize = 4;
    /// The whole, where it was dearer, is tried again when the disk has been busy for so many times as long.
    const TRY_AGAIN: u32 = 50;
    /// What is new counts for this part.
    const WEIGHT: u32 = 8;

    pub(super) fn choose(&self, files: usize) -> Way {
        if files < Self::FILES_MIN {
            return Way::OneByOne;
        }
        let one_by_one = self.file.saturating_mul(u32::try_from(files).unwrap_or(u32::MAX));
        if self.whole <= one_by_one || self.since >= self.whole * Self::TRY_AGAIN {
            Way::Together
        } else {
            Way::OneByOne
        }
    }

    pub(super) fn note(&mut self, way: Way, files: usize, took: Duration) {
        let (known, new) = match way {
            Way::OneByOne => {
                self.since += took;
                (&mut self.file, took / u32::try_from(files).unwrap_or(u32::MAX).max(1))
            }
            Way::Together => {
                self.since = Duration::ZERO;
                (&mut self.whole, took)
            }
        };
        *known = (*known * (Self::WEIGHT - 1) + new) / Self::WEIGHT;
    }
}

impl Default for Costs {
    fn default() -> Self {
        Self { file: Duration::from_micros(250), whole: Duration::ZERO, since: Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_files_are_synced_together_as_long_as_that_is_cheaper() {
        let mut costs = Costs::default();
        assert_eq!(costs.choose(Costs::FILES_MIN - 1), Way::OneByOne);
        for _ in 0..50 {
            assert_eq!(costs.choose(100), Way::Together);
            costs.note(Way::Together, 100, Duration::from_millis(10));
        }
        costs.note(Way::Together, 100, Duration::from_secs(10));
        let mut busy = Duration::ZERO;
        while costs.choose(100) == Way::OneByOne {
            busy += Duration::from_millis(25);
            costs.note(Way::OneByOne, 100, Duration::from_millis(25));
        }
        assert!(busy > Duration::from_secs(50), "{busy:?}: somebody writes much on the same disk, and may do so still");
        for _ in 0..100 {
            costs.note(Way::Together, 100, Duration::from_millis(10));
        }
        assert_eq!(costs.choose(100), Way::Together);
    }
}
