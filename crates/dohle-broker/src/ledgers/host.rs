//! Where a ledger meets its partition: records go through the same append as everybody's, and what the high watermark has passed is
//! committed.
//!
//! Owns the lock around one ledger, the callers who wait for it, and its timer. Lock order: ledger, then partition; nobody holds a
//! partition's lock who takes a ledger's.
//! Laws: what the ledger proposed is appended before the lock is free, or, on a full disk, before anything else is proposed; any other
//! refused append ends the leadership.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

use dohle_base::{Instant, Offset, Timestamp};
use dohle_records::Batch;
use dohle_replication::ledger::{Effect, Effects, Folded, Ledger, Refusal};
use tokio::sync::Notify;

use super::load::LoadError;
use crate::clock::Clock;
use crate::lock::hold;
use crate::partition::guards::Author;
use crate::partition::{AppendRefusal, Follows, Partition};
use crate::waiters::Waiters;

/// The largest batch that a decision may make, in bytes.
pub(crate) const BATCH_BYTES_MAX: usize = 8 << 20;

/// How often it is tried again to write what a full disk did not take.
const LOOK_FOR_ROOM_EVERY: Duration = Duration::from_secs(1);

/// A machine whose records are kept in a partition.
pub(crate) trait Journal:
    Folded<Command: Send, Record: Send, Reply: Send + 'static, Soft: Send> + Send + 'static
{
    /// One batch of these records, in order.
    fn batch(records: &[Self::Record], now: Timestamp) -> Batch;

    /// The records of a batch that was read back; those that are not the machine's are left out, their offsets are not.
    fn read(batch: &Batch) -> Result<Vec<(Offset, Self::Record)>, LoadError>;
}

/// Why a caller is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// The state is still being read from the log.
    Loading,
    /// Led elsewhere, or lost while the caller waited.
    Lost,
    /// What was asked for does not fit into one batch.
    TooLarge,
    /// Not committed in time; it may still be.
    TimedOut,
    /// The disk is full, and what was decided before waits for room.
    NoRoom,
}

/// A ledger over a partition.
pub(crate) struct Host<M: Journal> {
    partition: Arc<Partition>,
    clock: Clock,
    waiters: Arc<Waiters<Result<M::Reply, Refusal>>>,
    stage: Mutex<Stage<M>>,
    /// The high watermark moved while somebody else held the stage.
    moved: AtomicBool,
    alarm: Notify,
    /// Something happened since somebody last waited for it.
    news: Notify,
    /// The moment for which the timer is set, in nanoseconds of the clock.
    armed: AtomicU64,
    /// Is shown every state that can no longer be taken back.
    observe: Box<dyn Fn(&M) + Send + Sync>,
}

enum Stage<M: Journal> {
    Loading,
    Leading(Box<Leading<M>>),
    Lost,
}

struct Leading<M: Journal> {
    ledger: Ledger<M>,
    /// What was decided and has no room on the disk yet, oldest first: of one step, for nothing more is decided meanwhile.
    stalled: VecDeque<(Offset, Vec<M::Record>)>,
}

/// Lets a partition wake its ledger without keeping it alive.
struct Wake<M: Journal>(std::sync::Weak<Host<M>>);

impl<M: Journal> Follows for Wake<M> {
    fn committed(&self) {
        if let Some(host) = self.0.upgrade() {
            host.moved.store(true, Ordering::SeqCst);
            host.settle();
        }
    }
}

impl<M: Journal> Host<M> {
    /// A ledger that is still to be loaded from `partition`.
    pub(crate) fn new(partition: Arc<Partition>, clock: Clock, observe: Box<dyn Fn(&M) + Send + Sync>) -> Arc<Self> {
        let host = Arc::new(Self {
            partition,
            clock,
            waiters: Waiters::new(),
            stage: Mutex::new(Stage::Loading),
            moved: AtomicBool::new(false),
            alarm: Notify::new(),
            news: Notify::new(),
            armed: AtomicU64::new(u64::MAX),
            observe,
        });
        host.partition.follow(Box::new(Wake(Arc::downgrade(&host))));
        host
    }

    /// The partition that keeps the records.
    pub(crate) fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    /// Begins to answer, from the state of the whole log up to `end`. Only once, and not after the leadership was lost.
    pub(crate) fn begin(&self, state: M, end: Offset) {
        {
            let mut stage = hold(&self.stage);
            if let Stage::Loading = *stage {
                (self.observe)(&state);
                let ledger = Ledger::lead(state, self.clock.now(), end, BATCH_BYTES_MAX);
                *stage = Stage::Leading(Box::new(Leading { ledger, stalled: VecDeque::new() }));
                self.news.notify_one();
                self.rearm(&stage);
            }
        }
        self.settle();
    }

    /// Gives the leadership up; whoever waits is told.
    pub(crate) fn resign(&self) {
        let mut stage = hold(&self.stage);
        self.lose(&mut stage);
        self.alarm.notify_one();
    }

    /// Asks and waits until the answer is committed.
    pub(crate) async fn ask(&self, command: M::Command) -> Result<M::Reply, Unanswered> {
        let waiter = self.waiters.admit();
        let (token, now) = (waiter.token(), self.clock.now());
        self.drive(|ledger, effects| ledger.propose(now, token, command, effects))?;
        answered(waiter.await)
    }

    /// The same, for `patience` at most.
    pub(crate) async fn ask_within(&self, patience: Duration, command: M::Command) -> Result<M::Reply, Unanswered> {
        tokio::time::timeout(patience, self.ask(command)).await.unwrap_or(Err(Unanswered::TimedOut))
    }

    /// Asks where `check` allows it at that moment, before anything is decided; nobody else writes in between.
    pub(crate) async fn ask_if<E>(
        &self,
        check: impl FnOnce(&Partition) -> Result<(), E>,
        command: M::Command,
    ) -> Result<Result<M::Reply, E>, Unanswered> {
        let waiter = self.waiters.admit();
        let (token, now) = (waiter.token(), self.clock.now());
        let mut refused = None;
        self.drive(|ledger, effects| match check(&self.partition) {
            Ok(()) => ledger.propose(now, token, command, effects),
            Err(refusal) => refused = Some(refusal),
        })?;
        match refused {
            Some(refusal) => Ok(Err(refusal)),
            None => answered(waiter.await).map(Ok),
        }
    }

    /// Waits until more is committed, time has done its part, or the leadership is over. For one caller.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// Looks at what can no longer be taken back.
    pub(crate) fn committed<T>(&self, look: impl FnOnce(&M) -> T) -> Result<T, Unanswered> {
        self.look(|ledger| look(ledger.committed()))
    }

    /// Where the next record goes.
    pub(crate) fn end(&self) -> Result<Offset, Unanswered> {
        self.look(Ledger::end)
    }

    /// Looks at the whole ledger.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Ledger<M>) -> T) -> Result<T, Unanswered> {
        let looked = match &*hold(&self.stage) {
            Stage::Loading => Err(Unanswered::Loading),
            Stage::Lost => Err(Unanswered::Lost),
            Stage::Leading(leading) => Ok(look(&leading.ledger)),
        };
        self.settle();
        looked
    }

    /// Does what time alone demands, for as long as the leadership lasts.
    pub(crate) async fn keep_time(self: Arc<Self>) {
        while let Some(deadline) = self.arm() {
            tokio::select! {
                () = tokio::time::sleep_until(self.clock.timer(deadline)) => self.tick(),
                () = self.alarm.notified() => {}
            }
        }
    }

    /// Lets the machine do what is due.
    pub(crate) fn tick(&self) {
        let now = self.clock.now();
        self.go_on(&mut hold(&self.stage));
        // A ledger that is not leading has nothing due.
        let _ = self.drive(|ledger, effects| ledger.tick(now, effects));
        self.news.notify_one();
    }

    /// Sets the timer; none when the leadership is over.
    fn arm(&self) -> Option<Instant> {
        let deadline = {
            let stage = hold(&self.stage);
            let deadline = match &*stage {
                Stage::Lost => return None,
                Stage::Loading => Instant::NEVER,
                Stage::Leading(leading) if !leading.stalled.is_empty() => self.clock.instant() + LOOK_FOR_ROOM_EVERY,
                Stage::Leading(leading) => leading.ledger.deadline().unwrap_or(Instant::NEVER),
            };
            // Under the lock, so that whoever changes the deadline afterwards sees for when the timer is set.
            self.armed.store(deadline.0, Ordering::Relaxed);
            deadline
        };
        self.settle();
        Some(deadline)
    }

    /// Wakes the timer if it would come too late.
    fn rearm(&self, stage: &Stage<M>) {
        let Stage::Leading(leading) = stage else { return };
        let stalled = (!leading.stalled.is_empty()).then(|| self.clock.instant() + LOOK_FOR_ROOM_EVERY);
        let deadline = stalled.or(leading.ledger.deadline());
        if deadline.is_some_and(|deadline| deadline.0 < self.armed.load(Ordering::Relaxed)) {
            self.alarm.notify_one();
        }
    }

    fn drive(&self, step: impl FnOnce(&mut Ledger<M>, &mut Effects<M>)) -> Result<(), Unanswered> {
        let driven = {
            let mut stage = hold(&self.stage);
            let mut effects = vec![];
            let driven = match &mut *stage {
                Stage::Loading => Err(Unanswered::Loading),
                Stage::Lost => Err(Unanswered::Lost),
                Stage::Leading(leading) if !leading.stalled.is_empty() => Err(Unanswered::NoRoom),
                Stage::Leading(leading) => {
                    step(&mut leading.ledger, &mut effects);
                    Ok(())
                }
            };
            self.perform(&mut stage, effects);
            self.rearm(&stage);
            driven
        };
        self.settle();
        driven
    }

    /// Commits what the high watermark has passed. If somebody else holds the stage, it is done there: whoever has held the stage settles
    /// when it is free again.
    fn settle(&self) {
        loop {
            // With the fence of whoever reports a move: either the lock is seen free here, or its holder sees the move.
            fence(Ordering::SeqCst);
            if !self.moved.load(Ordering::SeqCst) {
                return;
            }
            match self.stage.try_lock() {
                Ok(mut stage) => {
                    self.moved.store(false, Ordering::SeqCst);
                    self.catch_up(&mut stage);
                    self.rearm(&stage);
                }
                Err(TryLockError::WouldBlock) => return,
                Err(TryLockError::Poisoned(_)) => {
                    return tracing::error!(partition = ?self.partition, "a ledger has died");
                }
            }
        }
    }

    fn catch_up(&self, stage: &mut Stage<M>) {
        let Stage::Leading(leading) = stage else { return };
        let ledger = &mut leading.ledger;
        let mut effects = vec![];
        let before = ledger.stable();
        let high_watermark = self.partition.high_watermark();
        if high_watermark > before {
            ledger.commit(high_watermark, &mut effects);
            (self.observe)(ledger.committed());
            self.news.notify_one();
        }
        self.perform(stage, effects);
    }

    fn perform(&self, stage: &mut Stage<M>, effects: Effects<M>) {
        let mut appended = false;
        for effect in effects {
            match effect {
                Effect::Append { at, records } => {
                    let Stage::Leading(leading) = stage else { return };
                    leading.stalled.push_back((at, records));
                    appended = self.go_on(stage);
                }
                Effect::Reply { token, reply } => self.waiters.tell(token, Ok(reply)),
                Effect::Refuse { token, refusal } => self.waiters.tell(token, Err(refusal)),
            }
        }
        if appended {
            self.catch_up(stage);
        }
    }

    /// Appends what was decided, until the disk has no room for it: then it is tried again now and then, and not at every request. Says
    /// whether nothing is left of it. Any other failure ends the leadership.
    fn go_on(&self, stage: &mut Stage<M>) -> bool {
        while let Stage::Leading(leading) = stage
            && let Some((at, records)) = leading.stalled.front()
        {
            match self.append(*at, records) {
                Ok(()) => drop(leading.stalled.pop_front()),
                Err(Misplaced::Refused(refusal)) if refusal.is_for_room() => return false,
                Err(error) => {
                    tracing::error!(partition = ?self.partition, "a ledger lost its log: {error}");
                    self.lose(stage);
                    return false;
                }
            }
        }
        true
    }

    fn append(&self, at: Offset, records: &[M::Record]) -> Result<(), Misplaced> {
        let now = self.clock.now();
        let batch = M::batch(records, now.wall);
        // Whatever is demanded of a marker beyond that has been looked at before it was decided.
        let author = Author::Coordinator { transaction_version: 0 };
        let found = self.partition.append(&batch, author, None, now)?.base_offset;
        if found == at { Ok(()) } else { Err(Misplaced::Elsewhere { found, at }) }
    }

    fn lose(&self, stage: &mut Stage<M>) {
        self.news.notify_one();
        if let Stage::Leading(leading) = std::mem::replace(stage, Stage::Lost) {
            let mut effects = vec![];
            leading.ledger.resign(&mut effects);
            for effect in effects {
                match effect {
                    Effect::Reply { token, reply } => self.waiters.tell(token, Ok(reply)),
                    Effect::Refuse { token, refusal } => self.waiters.tell(token, Err(refusal)),
                    Effect::Append { .. } => unreachable!("a resignation writes nothing"),
                }
            }
        }
    }
}

fn answered<A>(answer: Option<Result<A, Refusal>>) -> Result<A, Unanswered> {
    match answer {
        Some(Ok(reply)) => Ok(reply),
        Some(Err(Refusal::TooLarge)) => Err(Unanswered::TooLarge),
        Some(Err(Refusal::Resigned)) | None => Err(Unanswered::Lost),
    }
}

/// A batch of a ledger that is not where it must be.
#[derive(Debug, thiserror::Error)]
enum Misplaced {
    #[error(transparent)]
    Refused(#[from] AppendRefusal),
    #[error("the batch is at {found}, not at {at}")]
    Elsewhere { found: Offset, at: Offset },
}
