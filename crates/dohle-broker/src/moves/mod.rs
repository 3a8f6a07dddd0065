//! Moves of partitions from one log directory to another (KIP-113; `ReplicaAlterLogDirsManager`).
//!
//! Owns who is on the way where, the threads that carry moves out, and what was left of a move by a stop; the copying is the partition's.
//! Laws: a partition has one move at most; a move that ended, for whatever reason but the broker's stop, leaves nothing on the other disk; a move
//! that the stop has ended begins anew with the next start.

mod carry;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use dohle_base::{ErrorCode, Offset, Partition as Index, Rng, TopicId};

use crate::cleaner::Desk;
use crate::clock::Clock;
use crate::lock::{hold, hold_over_disk};
use crate::partition::Partition;
use crate::placements::Placements;
use crate::removals::{Doomed, Removals};
use crate::storage::Storage;
use crate::vital;
use crate::volume::Volume;

/// The most partitions that are on the way or wait for it; each has a directory on the other disk from the beginning.
pub(crate) const MOVES_MAX: usize = 10_000;

/// Which partition.
type Id = (TopicId, Index);

/// All moves.
pub(crate) struct Moves {
    clock: Clock,
    storage: Arc<Storage>,
    removals: Arc<Removals>,
    desk: Arc<Desk>,
    placements: Placements,
    list: Mutex<List>,
    changed: Condvar,
    /// Held while a move is begun or given up, and over what that does on a disk: one wish is obeyed after the other.
    turn: Mutex<Rng>,
}

#[derive(Default)]
struct List {
    /// The move that each partition is on, if it is still wanted.
    wanted: BTreeMap<Id, Arc<Move>>,
    /// In the order in which they were asked for, whether or not they are still wanted.
    waiting: VecDeque<Arc<Move>>,
    /// Partitions that a thread is at.
    under_way: BTreeSet<Id>,
    closed: bool,
}

/// A partition on its way.
pub(crate) struct Move {
    pub(crate) partition: Arc<Partition>,
    pub(crate) target: Arc<Volume>,
    /// Where it is put together.
    path: PathBuf,
    given_up: AtomicBool,
    end: AtomicI64,
    size: AtomicU64,
}

impl Move {
    /// Bytes that were copied.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// How many offsets are still to be copied.
    pub(crate) fn lag(&self) -> u64 {
        let end = self.partition.look(|log, _| log.end()).unwrap_or(Offset::ZERO);
        end.0.saturating_sub(self.end.load(Ordering::Relaxed)).max(0) as u64
    }

    fn is_wanted(&self) -> bool {
        !self.given_up.load(Ordering::Acquire)
    }

    fn id(&self) -> Id {
        (self.partition.topic_id, self.partition.index)
    }
}

impl List {
    /// The next move of a partition that no thread is at.
    fn take(&mut self) -> Option<Arc<Move>> {
        let place = self.waiting.iter().position(|moving| !self.under_way.contains(&moving.id()))?;
        let next = self.waiting.remove(place)?;
        self.under_way.insert(next.id());
        Some(next)
    }
}

impl Moves {
    pub(crate) fn new(
        clock: Clock,
        storage: Arc<Storage>,
        removals: Arc<Removals>,
        desk: Arc<Desk>,
        placements: Placements,
        rng: Rng,
    ) -> Self {
        let (list, changed, turn) = (Mutex::default(), Condvar::new(), Mutex::new(rng));
        Self { clock, storage, removals, desk, placements, list, changed, turn }
    }

    /// Starts the threads, one for each disk, where there are several; they end after [`Moves::close`].
    pub(crate) fn start(self: &Arc<Self>) -> std::io::Result<Vec<JoinHandle<()>>> {
        let disks = self.storage.volumes().len();
        let start_one = |number: usize| {
            let moves = Arc::clone(self);
            vital::spawn(&format!("mover-{number}"), move || {
                while let Some(moving) = moves.next() {
                    moves.carry(&moving);
                    moves.put_back(&moving);
                }
            })
        };
        (0..if disks > 1 { disks } else { 0 }).map(start_one).collect()
    }

    /// Lets the threads end; the next start takes up what they were at.
    pub(crate) fn close(&self) {
        hold(&self.list).closed = true;
        self.changed.notify_all();
    }

    /// Wants a partition to lie on `target` from now on, and gives up any other move of it (`ReplicaManager.alterReplicaLogDirs`). It is
    /// on its way when this returns, unless it is there already. Waits for the disk.
    pub(crate) fn alter(&self, partition: &Arc<Partition>, target: &Arc<Volume>) -> Result<(), ErrorCode> {
        let mut rng = hold_over_disk(&self.turn);
        let id = (partition.topic_id, partition.index);
        let now = hold(&self.list).wanted.get(&id).cloned();
        match now {
            Some(moving) if Arc::ptr_eq(&moving.target, target) => return Ok(()),
            Some(moving) => self.give_up(&moving),
            None => {}
        }
        if Arc::ptr_eq(&partition.volume(), target) {
            return Ok(());
        }
        if !self.storage.is_whole() {
            // What is in the directory that cannot be seen may be a part of the same partition.
            return Err(ErrorCode::KafkaStorageError);
        }
        self.begin(partition, target, &mut rng)
    }

    /// Begins again what an earlier stop has ended. Waits for the disk.
    pub(crate) fn resume(&self, partition: &Arc<Partition>) {
        let left = self.storage.take_left_over(&partition.name());
        if left.is_empty() {
            return;
        }
        let mut rng = hold_over_disk(&self.turn);
        let home = partition.volume();
        let is_of =
            |volume: &Volume, path| volume.directory.topic_id_at(path).is_ok_and(|id| id == Some(partition.topic_id));
        let wanted = left.iter().find(|(volume, path)| !Arc::ptr_eq(volume, &home) && is_of(volume, path));
        if let Some((target, _)) = wanted {
            // What is not begun is told of; the partition is where it was.
            let _ = self.begin(partition, target, &mut rng);
        }
        left.iter().for_each(|(volume, path)| self.sweep(volume, path, partition, &mut rng));
    }

    /// The partitions on their way to a disk.
    pub(crate) fn to(&self, volume: &Arc<Volume>) -> Vec<Arc<Move>> {
        let list = hold(&self.list);
        list.wanted.values().filter(|moving| Arc::ptr_eq(&moving.target, volume)).cloned().collect()
    }

    fn begin(&self, partition: &Arc<Partition>, target: &Arc<Volume>, rng: &mut Rng) -> Result<(), ErrorCode> {
        if hold(&self.list).wanted.len() >= MOVES_MAX {
            return Err(ErrorCode::PolicyViolation);
        }
        let made = target.directory.create_future(&partition.name(), partition.topic_id, rng);
        let path = made.map_err(|failure| {
            target.fail_unless_full(&failure, self.clock.instant());
            ErrorCode::KafkaStorageError
        })?;
        tracing::info!(?partition, to = %target.root().display(), "a move begins");
        let moving = Arc::new(Move {
            partition: Arc::clone(partition),
            target: Arc::clone(target),
            path,
            given_up: AtomicBool::new(false),
            end: AtomicI64::new(0),
            size: AtomicU64::new(0),
        });
        let mut list = hold(&self.list);
        list.wanted.insert(moving.id(), Arc::clone(&moving));
        list.waiting.push_back(moving);
        self.changed.notify_one();
        Ok(())
    }

    /// From the return on the move does not happen any more, if it has not yet.
    fn give_up(&self, moving: &Arc<Move>) {
        // Under the partition's lock, as the last step is: afterwards its disk is what it is.
        let _ = moving.partition.look(|_, _| moving.given_up.store(true, Ordering::Release));
        self.forget(moving);
    }

    fn forget(&self, moving: &Arc<Move>) {
        let mut list = hold(&self.list);
        if list.wanted.get(&moving.id()).is_some_and(|wanted| Arc::ptr_eq(wanted, moving)) {
            list.wanted.remove(&moving.id());
        }
    }

    /// Waits for a move to carry out; none when the broker stops.
    fn next(&self) -> Option<Arc<Move>> {
        let mut list = hold(&self.list);
        loop {
            if list.closed {
                return None;
            }
            if let Some(next) = list.take() {
                return Some(next);
            }
            list = self.changed.wait(list).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn put_back(&self, moving: &Move) {
        hold(&self.list).under_way.remove(&moving.id());
        // Another move of the same partition may have waited for this.
        self.changed.notify_all();
    }

    fn is_closed(&self) -> bool {
        hold(&self.list).closed
    }

    /// Removes what was put together of a partition, soon.
    fn sweep(&self, volume: &Arc<Volume>, path: &std::path::Path, partition: &Partition, rng: &mut Rng) {
        if volume.is_offline() {
            return;
        }
        match volume.directory.delete_future(path, &partition.name(), rng) {
            Ok(path) => self.removals.add(self.clock.instant(), Doomed::Partition(Arc::clone(volume), path)),
            Err(failure) => volume.fail_unless_full(&failure, self.clock.instant()),
        }
    }
}
