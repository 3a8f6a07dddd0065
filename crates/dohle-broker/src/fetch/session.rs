//! One fetch session (KIP-227): what a consumer wants of each partition, what it was told last, and which partitions may have news for it.
//!
//! Owns the turns and who is ready; knows neither logs nor sockets, and looks at nothing itself. A fetch without a session is one that
//! ends with its first answer, which is whole.
//! Laws: a partition that is neither ready nor owed has nothing to tell, and is watched, so that there is word when it has; only the newest
//! round touches the session; a partition that is served no more has stopped and told so, and what was refused is looked up anew, so that
//! nobody has to look whether the metadata have changed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use dohle_base::{ErrorCode, Offset, TopicId};

use crate::partition::{Letterbox, Overtaken, Partition, Place, Refused, Watch};

/// What is remembered of a partition whose state has to be told whatever it is: as of the beginning, or after an error or a divergence.
const UNTOLD: i64 = -1;
/// The epoch of a request that asks for a new session.
pub(super) const EPOCH_INITIAL: i32 = 0;

/// What a client calls a topic: by name before version 13, by id since.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum TopicKey {
    Name(Arc<str>),
    Id(TopicId),
}

/// A partition as a client asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) topic: TopicKey,
    pub(crate) partition: i32,
    pub(crate) offset: Offset,
    pub(crate) bytes_max: i32,
    pub(crate) current_leader_epoch: i32,
    pub(crate) last_fetched_epoch: i32,
}

/// A partition that has its turn, or why it cannot be read here.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) turn: Turn,
    pub(crate) wanted: Wanted,
    pub(crate) partition: Result<Arc<Partition>, Refused>,
}

/// What a look at a partition without records has shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) turn: Turn,
    pub(crate) high_watermark: Offset,
    pub(crate) log_start: Offset,
    /// Whether the reader has all that it may see.
    pub(crate) caught_up: bool,
}

/// What is told of a partition, to tell it again only when it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) error: ErrorCode,
    pub(crate) high_watermark: i64,
    pub(crate) log_start: i64,
    /// Whether records are in the answer.
    pub(crate) records: bool,
    /// Whether the client must truncate.
    pub(crate) diverging: bool,
    /// Whether there was nothing beyond what the client has.
    pub(crate) caught_up: bool,
}

/// A partition's place, in the order in which they get their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    number: u64,
    place: Place,
}

/// Too many watch a partition for this one to wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crowded;

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) epoch: i32,
    pub(super) by_id: bool,
    /// Whether the answer tells of all partitions.
    whole: bool,
    places: HashMap<(TopicKey, i32), Place>,
    entries: Vec<Option<Entry>>,
    free: Vec<Place>,
    next_turn: u64,
    /// May have something to tell.
    ready: BTreeSet<Turn>,
    /// Have changed in a way that belongs into the next answer and is no reason to give one.
    owed: BTreeSet<Turn>,
    letterbox: Arc<Letterbox>,
}

#[derive(Debug)]
struct Entry {
    wanted: Wanted,
    /// Whoever was given records goes to the end.
    turn: u64,
    high_watermark: i64,
    log_start: i64,
    partition: Option<Arc<Partition>>,
    watch: Option<Arc<Watch>>,
}

impl Session {
    /// A session whose first answer is to tell of all these. Of a partition that is named twice the last naming counts, at the place of the
    /// first, as in Kafka.
    pub(super) fn new(by_id: bool, wanted: Vec<Wanted>) -> Self {
        let mut session = Self {
            epoch: epoch_after(EPOCH_INITIAL),
            by_id,
            whole: true,
            places: HashMap::with_capacity(wanted.len()),
            entries: Vec::with_capacity(wanted.len()),
            free: vec![],
            next_turn: 0,
            ready: BTreeSet::new(),
            owed: BTreeSet::new(),
            letterbox: Arc::default(),
        };
        session.letterbox.begin(session.epoch);
        wanted.into_iter().for_each(|wanted| session.put(wanted));
        session
    }

    /// How many partitions it holds.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether the answer tells of all partitions.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Where its partitions leave word.
    pub(crate) fn letterbox(&self) -> &Arc<Letterbox> {
        &self.letterbox
    }

    /// From now on only what changed is told.
    pub(super) fn go_on(&mut self) {
        self.whole = false;
    }

    /// Begins the round of another request; the one before, if it still waits, ends.
    pub(super) fn begin(&mut self, wanted: Vec<Wanted>, forgotten: &[(TopicKey, i32)]) {
        wanted.into_iter().for_each(|wanted| self.put(wanted));
        forgotten.iter().for_each(|gone| self.forget(gone));
        self.epoch = epoch_after(self.epoch);
        self.letterbox.begin(self.epoch);
    }

    /// Those that may have something to tell, in the order of their turns.
    pub(crate) fn ready(
        &mut self,
        round: i32,
        find: impl Fn(&Wanted) -> Result<Arc<Partition>, Refused>,
    ) -> Result<Vec<Source>, Overtaken> {
        self.check_round(round)?;
        let (ready, entries) = (&mut self.ready, &self.entries);
        self.letterbox.take(|place| {
            // A word of a partition that was forgotten since says nothing.
            let Some(entry) = entries.get(place as usize).and_then(Option::as_ref) else { return };
            if let Some(watch) = &entry.watch {
                watch.rearm();
            }
            ready.insert(Turn { number: entry.turn, place });
        });
        let turns = self.ready.iter().copied();
        Ok(sources(&mut self.entries, turns, find))
    }

    /// Those that are in the answer although nothing came of them, but for those that are ready.
    pub(crate) fn owed(
        &mut self,
        round: i32,
        find: impl Fn(&Wanted) -> Result<Arc<Partition>, Refused>,
    ) -> Result<Vec<Source>, Overtaken> {
        self.check_round(round)?;
        let turns = self.owed.difference(&self.ready).copied();
        Ok(sources(&mut self.entries, turns, find))
    }

    /// Watches what was looked at, before the round waits; what has nothing to give is not looked at again before there is word.
    pub(crate) fn settle(
        &mut self,
        round: i32,
        seen: impl Iterator<Item = Seen>,
    ) -> Result<Result<(), Crowded>, Overtaken> {
        self.check_round(round)?;
        for seen in seen {
            let Some(entry) = entry(&mut self.entries, seen.turn) else { continue };
            if !entry.watches(seen.turn.place, &self.letterbox) {
                return Ok(Err(Crowded));
            }
            if seen.caught_up {
                self.ready.remove(&seen.turn);
                if self.whole || entry.differs(seen.high_watermark.0, seen.log_start.0) {
                    self.owed.insert(seen.turn);
                }
            }
        }
        Ok(Ok(()))
    }

    /// Refuses a round that was overtaken.
    pub(crate) fn check_round(&self, round: i32) -> Result<(), Overtaken> {
        if self.epoch == round { Ok(()) } else { Err(Overtaken) }
    }

    /// Whether a partition belongs into the answer, and remembers that it was told. Called by the newest round only.
    pub(crate) fn must_tell(&mut self, turn: Turn, told: &Told) -> bool {
        let Some(entry) = entry(&mut self.entries, turn) else { return false };
        let changed = entry.differs(told.high_watermark, told.log_start);
        entry.remember(told);
        self.owed.remove(&turn);
        // The only answer, or the first, is not worth a watch yet.
        let rests =
            told.caught_up && (entry.watch.is_some() || !self.whole && entry.watches(turn.place, &self.letterbox));
        if rests {
            self.ready.remove(&turn);
        } else {
            self.ready.insert(turn);
        }
        if told.records && !self.whole {
            self.yield_turn(turn);
        }
        self.whole || told.records || told.diverging || !told.error.is_none() || changed
    }

    fn put(&mut self, wanted: Wanted) {
        let next = self.free.last().map_or(self.entries.len() as Place, |free| *free);
        let place = *self.places.entry((wanted.topic.clone(), wanted.partition)).or_insert(next);
        if place != next {
            let entry = self.entries[place as usize].as_mut().expect("a place that is named is taken");
            self.ready.insert(Turn { number: entry.turn, place });
            entry.wanted = wanted;
            return;
        }
        let turn = self.next_turn;
        let entry = Entry { wanted, turn, high_watermark: UNTOLD, log_start: UNTOLD, partition: None, watch: None };
        match self.free.pop() {
            Some(free) => self.entries[free as usize] = Some(entry),
            None => self.entries.push(Some(entry)),
        }
        self.ready.insert(Turn { number: turn, place });
        self.next_turn += 1;
    }

    fn forget(&mut self, gone: &(TopicKey, i32)) {
        let Some(place) = self.places.remove(gone) else { return };
        let Some(entry) = self.entries[place as usize].take() else { return };
        let turn = Turn { number: entry.turn, place };
        self.ready.remove(&turn);
        self.owed.remove(&turn);
        self.free.push(place);
    }

    fn yield_turn(&mut self, turn: Turn) {
        let Some(entry) = entry(&mut self.entries, turn) else { return };
        entry.turn = self.next_turn;
        self.next_turn += 1;
        if self.ready.remove(&turn) {
            self.ready.insert(Turn { number: entry.turn, ..turn });
        }
    }
}

/// The partition that has this turn, unless it was forgotten.
fn entry(entries: &mut [Option<Entry>], turn: Turn) -> Option<&mut Entry> {
    entries.get_mut(turn.place as usize)?.as_mut().filter(|entry| entry.turn == turn.number)
}

fn sources(
    entries: &mut [Option<Entry>],
    turns: impl Iterator<Item = Turn>,
    find: impl Fn(&Wanted) -> Result<Arc<Partition>, Refused>,
) -> Vec<Source> {
    let source = |turn| {
        let entry = entry(entries, turn)?;
        let partition = entry.find(&find);
        Some(Source { turn, wanted: entry.wanted.clone(), partition })
    };
    turns.filter_map(source).collect()
}

impl Entry {
    /// The partition, looked up anew where the last answer was a refusal.
    fn find(&mut self, find: impl Fn(&Wanted) -> Result<Arc<Partition>, Refused>) -> Result<Arc<Partition>, Refused> {
        if let Some(partition) = self.partition.as_ref().filter(|_| self.high_watermark != UNTOLD) {
            return Ok(Arc::clone(partition));
        }
        let found = find(&self.wanted);
        let known = self.partition.as_ref();
        let is_same = found.as_ref().is_ok_and(|found| known.is_some_and(|known| Arc::ptr_eq(known, found)));
        if !is_same {
            self.watch = None;
            self.partition = found.as_ref().ok().map(Arc::clone);
        }
        found
    }

    /// Watches the partition; false where too many do, or there is none.
    fn watches(&mut self, place: Place, letterbox: &Arc<Letterbox>) -> bool {
        if self.watch.is_none() {
            self.watch = self.partition.as_ref().and_then(|partition| partition.watch(place, letterbox));
        }
        self.watch.is_some()
    }

    fn differs(&self, high_watermark: i64, log_start: i64) -> bool {
        self.high_watermark != high_watermark || self.log_start != log_start
    }

    fn remember(&mut self, told: &Told) {
        // After an error or a divergence, what follows is told even if it equals what was told before.
        let unsettled = told.diverging || !told.error.is_none();
        self.high_watermark = if unsettled { UNTOLD } else { told.high_watermark };
        self.log_start = told.log_start;
    }
}

fn epoch_after(epoch: i32) -> i32 {
    // Neither 0 nor a negative number is an epoch of a session.
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
mod tests;
