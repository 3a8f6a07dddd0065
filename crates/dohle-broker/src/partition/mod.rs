//! A partition that this broker leads: its log, the machine that says what is safe, and the lock that both are under.
//!
//! Owns the joint of log and leader; decides nothing. Under the lock there is one inline write at most: no sync, no creation, no
//! deletion, no scan; but for the last step of a move to another disk, which is rare and waits for both.
//! Laws: the high watermark that readers see is the machine's; who waits for it is told after the lock is free. Watchers are told of a
//! high watermark, a start of the log or a reign that has moved, and of the end.

pub(crate) mod guards;
pub(crate) mod produce;

mod append;
mod config;
mod copy;
mod flush;
mod offsets;
mod read;
mod relocate;
mod upkeep;
mod wait;
mod watch;

#[cfg(test)]
pub(crate) mod fixture;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock};

use dohle_base::metric::Counter;
use dohle_base::{ErrorCode, Instant, LeaderEpoch, Offset, Partition as Index, Timestamp, TopicId, TopicName};
use dohle_log::disk::Files;
use dohle_replication::partition::{Effect, Event, Leader};

use crate::lock::{hold, read};
use crate::volume::Volume;
use crate::waiters::Waiters;
use guards::{FirstBatch, Guard, Guards};
use watch::Watchers;

pub(crate) use append::AppendRefusal;
pub(crate) use copy::{CopyError, flush_copy};
pub(crate) use offsets::Sought;
pub(crate) use read::{Found, Isolation, LOOKS_MAX, Reading, Refused, Want};
pub(crate) use relocate::{Relocated, Successor};
pub(crate) use wait::Outcome;
pub(crate) use watch::{Letterbox, Overtaken, Place, Watch};

/// Whoever has found bytes reads them when the lock is free, and takes an open file for it: a partition is quiet when nobody has asked for it
/// between this many looks.
const STIRRED: u8 = 3;

/// A log on a file system.
pub(crate) type Log = dohle_log::log::Log<Files>;

/// Whom a partition tells when its high watermark has moved.
pub(crate) trait Follows: Send + Sync {
    /// The high watermark moved. Called without the partition's lock; the value is to be read anew.
    fn committed(&self);
}

/// A partition.
pub(crate) struct Partition {
    pub(crate) topic: TopicName,
    pub(crate) topic_id: TopicId,
    pub(crate) index: Index,
    pub(crate) cells: Cells,
    /// Changed under the state's lock only.
    volume: RwLock<Arc<Volume>>,
    waiters: Arc<Waiters<Outcome>>,
    high_watermark: AtomicI64,
    flush_asked: AtomicBool,
    /// For how many looks more it is to be asked whether it wants a flush or may rest: none while nobody has asked anything of it.
    stirred: AtomicU8,
    /// Where the log ended when it was last looked at: what has not moved since is quiet.
    end_seen: AtomicI64,
    /// The high watermark that its disk remembers, -1 where that is not known.
    marked: AtomicI64,
    follower: OnceLock<Box<dyn Follows>>,
    watchers: Watchers,
    state: Mutex<State>,
}

/// What is counted of a partition.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    pub(crate) bytes_in: Counter,
    pub(crate) messages_in: Counter,
    pub(crate) bytes_out: Counter,
    /// Members of the in-sync set.
    pub(crate) in_sync: AtomicUsize,
}

/// Who a partition is.
pub(crate) struct Identity {
    pub(crate) topic: TopicName,
    pub(crate) topic_id: TopicId,
    pub(crate) index: Index,
}

enum State {
    Leading(Box<Leading>),
    /// Led no more, or never again: the topic is gone, or its disk is.
    Stopped(ErrorCode),
}

struct Leading {
    log: Log,
    leader: Leader,
    /// Transactions about which their coordinators are asked.
    guards: Guards,
}

impl State {
    /// Serves nobody any more; the log, if there still was one.
    fn stop(&mut self, why: ErrorCode, effects: &mut Vec<Effect>) -> Option<Log> {
        match std::mem::replace(self, Self::Stopped(why)) {
            Self::Leading(mut leading) => {
                leading.leader.step(Instant::ZERO, Event::Resigned, effects);
                Some(leading.log)
            }
            stopped @ Self::Stopped(_) => {
                *self = stopped;
                None
            }
        }
    }
}

impl Leading {
    /// The log was made durable when it was opened.
    fn begin(mut log: Log, epoch: LeaderEpoch) -> Self {
        assert!(log.synced() == log.end(), "a reign begins over a durable log");
        let leader = Leader::new(epoch, config::durability(log.options()), log.end());
        log.begin_epoch(epoch);
        Self { log, leader, guards: Guards::default() }
    }

    /// Begins another reign over the same log. Who waits is refused: what it waits for was promised by the reign before. What may be
    /// seen stays seen.
    fn succeed(&mut self, epoch: LeaderEpoch, effects: &mut Vec<Effect>) {
        self.leader.step(Instant::ZERO, Event::Resigned, effects);
        let safe = self.log.synced().max(self.leader.high_watermark());
        self.leader = Leader::new(epoch, config::durability(self.log.options()), safe);
        self.log.begin_epoch(epoch);
        self.leader.step(Instant::ZERO, Event::Written { end: self.log.end() }, effects);
    }
}

/// What a step under the lock leaves to be done when the lock is free.
#[derive(Default)]
struct Aftermath {
    effects: Vec<Effect>,
    moved: bool,
}

impl Partition {
    /// Begins to lead over an opened log, whose every record was confirmed by the disk.
    pub(crate) fn lead(
        identity: Identity,
        log: Log,
        epoch: LeaderEpoch,
        volume: Arc<Volume>,
        waiters: Arc<Waiters<Outcome>>,
    ) -> Arc<Self> {
        let Identity { topic, topic_id, index } = identity;
        let leading = Leading::begin(log, epoch);
        let high_watermark = AtomicI64::new(leading.leader.high_watermark().0);
        Arc::new(Self {
            topic,
            topic_id,
            index,
            cells: Cells::default(),
            volume: RwLock::new(volume),
            waiters,
            high_watermark,
            flush_asked: AtomicBool::new(false),
            stirred: AtomicU8::new(STIRRED),
            end_seen: AtomicI64::new(-1),
            marked: AtomicI64::new(-1),
            follower: OnceLock::new(),
            watchers: Watchers::default(),
            state: Mutex::new(State::Leading(Box::new(leading))),
        })
    }

    /// The disk that it is on. By the next call it may be on another.
    pub(crate) fn volume(&self) -> Arc<Volume> {
        Arc::clone(&read(&self.volume))
    }

    /// Whether it is on this disk.
    pub(crate) fn is_on(&self, volume: &Volume) -> bool {
        self.on_volume(|mine| std::ptr::eq(mine, volume))
    }

    /// Looks at the disk that it is on, for a moment in which it does not go to another.
    fn on_volume<T>(&self, look: impl FnOnce(&Volume) -> T) -> T {
        look(&read(&self.volume))
    }

    /// A guard under which to ask the coordinator about the first batch of a transaction; none if the transaction is open here.
    pub(crate) fn guard(&self, batch: &FirstBatch, now: Timestamp) -> Result<Option<Guard>, ErrorCode> {
        self.look_leading(|leading| leading.guards.open(&leading.log, batch, now))
    }

    /// Goes on leading in another epoch.
    pub(crate) fn succeed(self: &Arc<Self>, epoch: LeaderEpoch) {
        // A partition that has stopped reigns no more.
        let _ = self.step(|leading, effects| leading.succeed(epoch, effects));
        self.watchers.tell();
    }

    /// Offsets below this are safe and may be seen.
    pub(crate) fn high_watermark(&self) -> Offset {
        Offset(self.high_watermark.load(Ordering::Acquire))
    }

    /// Tells `follower` from now on when the high watermark moves. There is one at most, for as long as the partition is led.
    pub(crate) fn follow(&self, follower: Box<dyn Follows>) {
        assert!(self.follower.set(follower).is_ok(), "{}-{} is followed already", self.topic, self.index);
    }

    /// Runs `step` on the leader under the lock, and does what it left to be done when the lock is free.
    fn step<T>(self: &Arc<Self>, step: impl FnOnce(&mut Leading, &mut Vec<Effect>) -> T) -> Result<T, ErrorCode> {
        let mut aftermath = Aftermath::default();
        let stepped = {
            let mut state = self.stir();
            match &mut *state {
                State::Stopped(why) => return Err(*why),
                State::Leading(leading) => {
                    let stepped = step(leading, &mut aftermath.effects);
                    aftermath.moved = self.show(leading);
                    stepped
                }
            }
        };
        self.settle(aftermath);
        Ok(stepped)
    }

    /// Looks at the log under the lock.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Log, &Leader) -> T) -> Result<T, ErrorCode> {
        match &*self.stir() {
            State::Stopped(why) => Err(*why),
            State::Leading(leading) => Ok(look(&leading.log, &leading.leader)),
        }
    }

    /// The same for upkeep, which is nobody who asks something of the partition.
    pub(crate) fn glance<T>(&self, look: impl FnOnce(&Log) -> T) -> Result<T, ErrorCode> {
        match &*hold(&self.state) {
            State::Stopped(why) => Err(*why),
            State::Leading(leading) => Ok(look(&leading.log)),
        }
    }

    /// Looks at what the log keeps in order as it is asked.
    fn look_mut<T>(&self, look: impl FnOnce(&mut Log, &Leader) -> T) -> Result<T, ErrorCode> {
        self.look_leading(|leading| look(&mut leading.log, &leading.leader))
    }

    fn look_leading<T>(&self, look: impl FnOnce(&mut Leading) -> T) -> Result<T, ErrorCode> {
        match &mut *self.stir() {
            State::Stopped(why) => Err(*why),
            State::Leading(leading) => Ok(look(leading)),
        }
    }

    /// The lock, for somebody who asks something of the partition.
    fn stir(&self) -> MutexGuard<'_, State> {
        let state = hold(&self.state);
        if self.stirred.load(Ordering::Relaxed) != STIRRED {
            self.stirred.store(STIRRED, Ordering::Relaxed);
        }
        state
    }

    /// Why the partition is not served here any more; none while it is.
    pub(crate) fn stopped(&self) -> Option<ErrorCode> {
        match &*hold(&self.state) {
            State::Stopped(why) => Some(*why),
            State::Leading(_) => None,
        }
    }

    /// Shows readers the high watermark, and says whether it has moved.
    fn show(&self, leading: &Leading) -> bool {
        let high_watermark = leading.leader.high_watermark().0;
        self.high_watermark.swap(high_watermark, Ordering::AcqRel) != high_watermark
    }

    fn settle(self: &Arc<Self>, aftermath: Aftermath) {
        // Before those who wait: whoever asks for a record that was acknowledged here is to find it.
        if aftermath.moved {
            self.watchers.tell();
        }
        for effect in aftermath.effects {
            match effect {
                Effect::Sync => self.ask_flush(),
                Effect::Release { token } => self.waiters.tell(token, Outcome::Safe),
                Effect::Expire { token } => self.waiters.tell(token, Outcome::Expired),
                Effect::Refuse { token } => self.waiters.tell(token, Outcome::Refused),
            }
        }
        if aftermath.moved
            && let Some(follower) = self.follower.get()
        {
            follower.committed();
        }
    }
}

impl std::fmt::Debug for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}
