//! Which leader wrote what: the first offset of every leader epoch in a log (KIP-101, KIP-279, `LeaderEpochFileCache`).
//!
//! Owns the list and its file, `leader-epoch-checkpoint`. Law: epochs and starts strictly increase. Knows no segments.

use std::fmt;

use dohle_base::{LeaderEpoch, Offset};

use crate::checkpoint::{self, Corrupt};

/// The name of the file in a partition's directory.
pub const FILE_NAME: &str = "leader-epoch-checkpoint";

/// Where an epoch begins in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// The first offset that its leader wrote, or would have written.
    pub start: Offset,
}

/// Where an epoch ends in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The highest known epoch that is not above the one asked for; that one itself when none is.
    pub epoch: LeaderEpoch,
    /// The offset behind its last record. Exclusive.
    pub end: Offset,
}

/// The epochs of one log, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    starts: Vec<EpochStart>,
    /// Raised by every change, so that whoever writes the file knows whether it holds the newest.
    version: u64,
}

impl Epochs {
    /// Reads the file. Starts that break the law are damage.
    pub fn parse(bytes: &[u8]) -> Result<Self, Corrupt> {
        let starts = checkpoint::read(bytes, |line| {
            let (epoch, start) = line.split_once(' ')?;
            Some(EpochStart { epoch: LeaderEpoch(epoch.parse().ok()?), start: Offset(start.parse().ok()?) })
        })?;
        let unlike = starts.windows(2).find(|pair| pair[0].epoch >= pair[1].epoch || pair[0].start >= pair[1].start);
        match unlike {
            Some(pair) => Err(Corrupt::Line(pair[1].to_string())),
            None => Ok(Self { starts, version: 0 }),
        }
    }

    /// The file as it is to be written.
    pub fn to_bytes(&self) -> Vec<u8> {
        checkpoint::write(self.starts.iter())
    }

    /// All of them, oldest first.
    pub fn starts(&self) -> &[EpochStart] {
        &self.starts
    }

    /// The newest epoch.
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.starts.last().map(|start| start.epoch)
    }

    /// The epoch of the record at `offset`.
    pub fn at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.starts.partition_point(|start| start.start <= offset);
        after.checked_sub(1).map(|place| self.starts[place].epoch)
    }

    /// Rises with each change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Notes that `epoch` writes from `start` on. What was noted for the same or later offsets or epochs is forgotten: it
    /// was never, or is no more, in the log.
    pub fn assign(&mut self, epoch: LeaderEpoch, start: Offset) {
        assert!(epoch.0 >= 0, "an epoch is known when it is written");
        let known = self.starts.last().is_some_and(|last| last.epoch == epoch && last.start <= start);
        if known {
            return;
        }
        let kept = self.starts.iter().take_while(|known| known.epoch < epoch && known.start < start).count();
        self.starts.truncate(kept);
        self.starts.push(EpochStart { epoch, start });
        self.version += 1;
    }

    /// Forgets what begins at `end` or behind it.
    pub fn truncate_from_end(&mut self, end: Offset) {
        let kept = self.starts.partition_point(|start| start.start < end);
        if kept < self.starts.len() {
            self.starts.truncate(kept);
            self.version += 1;
        }
    }

    /// Forgets what ends before `start`; the epoch of `start` itself begins there now.
    pub fn truncate_from_start(&mut self, start: Offset) {
        let passed = self.starts.partition_point(|known| known.start <= start);
        let Some(last) = passed.checked_sub(1) else { return };
        if last == 0 && self.starts[0].start == start {
            return;
        }
        self.starts.drain(..last);
        self.starts[0].start = start;
        self.version += 1;
    }

    /// Knows what `other` knows, and no more.
    pub fn copy(&mut self, other: &Self) {
        if self.starts != other.starts {
            self.starts.clone_from(&other.starts);
            self.version += 1;
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.starts.clear();
        self.version += 1;
    }

    /// Where `epoch` ends in a log that ends at `log_end`, as OffsetForLeaderEpoch answers: none for an epoch that is newer than all,
    /// and when nothing is known. For one older than all, itself and the start of the oldest.
    pub fn end_of(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<EpochEnd> {
        if self.latest().is_none_or(|latest| epoch > latest || epoch == LeaderEpoch::NONE) {
            return None;
        }
        let after = self.starts.partition_point(|start| start.epoch <= epoch);
        let end = self.starts.get(after).map_or(log_end, |next| next.start);
        let found = after.checked_sub(1).map_or(epoch, |place| self.starts[place].epoch);
        Some(EpochEnd { epoch: found, end })
    }

    /// Where a follower's log parts from this one, when its last record is of `last_epoch` and it wants to go on at `fetch`: it
    /// has to truncate to that. None when it is a prefix of this log, or when nothing can be said.
    pub fn divergence(&self, last_epoch: LeaderEpoch, fetch: Offset, log_end: Offset) -> Option<EpochEnd> {
        let found = match self.end_of(last_epoch, log_end) {
            Some(found) => found,
            // The follower has an epoch that this log never saw: all of ours is older.
            None => EpochEnd { epoch: self.latest()?, end: log_end },
        };
        (found.epoch < last_epoch || found.end < fetch).then_some(found)
    }
}

impl fmt::Display for EpochStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.epoch, self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(starts: &[(i32, i64)]) -> Epochs {
        let mut epochs = Epochs::default();
        starts.iter().for_each(|(epoch, start)| epochs.assign(LeaderEpoch(*epoch), Offset(*start)));
        epochs
    }

    fn starts(epochs: &Epochs) -> Vec<(i32, i64)> {
        epochs.starts().iter().map(|start| (start.epoch.0, start.start.0)).collect()
    }

    #[test]
    fn an_assigned_epoch_replaces_what_it_contradicts() {
        type Starts = &'static [(i32, i64)];
        let cases: &[(Starts, Starts)] = &[
            (&[(1, 0), (2, 5)], &[(1, 0), (2, 5)]),
            (&[(1, 0), (1, 5)], &[(1, 0)]),
            (&[(1, 4), (1, 2)], &[(1, 2)]),
            (&[(1, 0), (3, 5), (2, 7)], &[(1, 0), (2, 7)]),
            (&[(1, 0), (2, 5), (3, 5)], &[(1, 0), (3, 5)]),
            (&[(1, 0), (2, 5), (3, 2)], &[(1, 0), (3, 2)]),
        ];
        for (assigned, expected) in cases {
            assert_eq!(starts(&epochs(assigned)), *expected, "{assigned:?}");
        }
    }

    #[test]
    fn the_end_of_an_epoch_is_the_start_of_the_next() {
        let known = epochs(&[(2, 10), (4, 20), (5, 20 + 5)]);
        let cases = [
            (-1, None),
            (1, Some((1, 10))),
            (2, Some((2, 20))),
            (3, Some((2, 20))),
            (4, Some((4, 25))),
            (5, Some((5, 30))),
            (6, None),
        ];
        for (epoch, expected) in cases {
            let found = known.end_of(LeaderEpoch(epoch), Offset(30)).map(|end| (end.epoch.0, end.end.0));
            assert_eq!(found, expected, "epoch {epoch}");
        }
        assert_eq!(Epochs::default().end_of(LeaderEpoch(0), Offset(0)), None);
    }

    /// The cases of KIP-279, by letter: the follower's log by epochs and its end, the leader's, and where the follower truncates to.
    #[test]
    fn a_follower_finds_where_it_parts_from_its_leader() {
        type Log = (&'static [(i32, i64)], i64);
        let cases: [(char, Log, Log, i64); 7] = [
            ('A', (&[(1, 0)], 2), (&[(1, 0)], 4), 2),
            ('B', (&[(1, 0)], 2), (&[(1, 0), (2, 2)], 4), 2),
            ('C', (&[(1, 0)], 4), (&[(1, 0), (2, 2)], 3), 2),
            ('D', (&[(1, 0), (2, 2)], 4), (&[(1, 0), (3, 2)], 2), 2),
            ('E', (&[(1, 0), (2, 2)], 4), (&[(1, 0), (3, 2)], 4), 2),
            ('F', (&[(1, 0), (2, 1)], 4), (&[(1, 0), (3, 2)], 4), 1),
            ('G', (&[(1, 0)], 4), (&[(2, 0)], 4), 0),
        ];
        for (letter, (follower, follower_end), (leader, leader_end), expected) in cases {
            let (mut follower, leader) = (epochs(follower), epochs(leader));
            let mut end = Offset(follower_end);
            // A follower with an empty log has no last epoch and is never told that it diverges.
            while let Some(last) = follower.at(end - 1)
                && let Some(found) = leader.divergence(last, end, Offset(leader_end))
            {
                let own = follower.end_of(found.epoch, end).expect("not above the follower's epochs");
                let truncated = own.end.min(found.end);
                assert!(truncated < end, "{letter}: each round truncates");
                end = truncated;
                follower.truncate_from_end(end);
            }
            assert_eq!(end, Offset(expected), "{letter}");
        }
    }

    #[test]
    fn both_ends_can_be_cut_off() {
        let mut known = epochs(&[(1, 0), (2, 10), (3, 20)]);
        known.truncate_from_start(Offset(15));
        assert_eq!(starts(&known), [(2, 15), (3, 20)]);
        known.truncate_from_end(Offset(20));
        assert_eq!(starts(&known), [(2, 15)]);
        let version = known.version();
        known.truncate_from_start(Offset(15));
        known.truncate_from_start(Offset(3));
        known.truncate_from_end(Offset(40));
        assert_eq!(known.version(), version, "nothing changed");
        assert_eq!(known.at(Offset(14)), None);
        assert_eq!(known.at(Offset(15)), Some(LeaderEpoch(2)));
    }

    #[test]
    fn the_file_is_kafkas() {
        let known = epochs(&[(1, 0), (2, 10)]);
        assert_eq!(known.to_bytes(), b"0\n2\n1 0\n2 10\n");
        assert_eq!(starts(&Epochs::parse(b"0\n2\n1 0\n2 10\n").unwrap()), [(1, 0), (2, 10)]);
        for garbage in ["0\n2\n2 0\n1 10\n", "0\n2\n1 5\n2 5\n", "0\n1\n1\n", "0\n1\n1 x\n"] {
            assert!(Epochs::parse(garbage.as_bytes()).is_err(), "{garbage:?}");
        }
    }
}
