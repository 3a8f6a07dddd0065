//! A directory with one partition in it, as a broker has it: the log, what is written down beside it, and the leader over both.

use std::io;
use std::path::{Path, PathBuf};

use dohle_base::{BrokerId, Instant, LeaderEpoch, Offset, Partition, Rng, Timestamp, TopicName, Uuid};
use dohle_log::directory::{Checkpoint, Directory, Identity, Offsets, PartitionName};
use dohle_log::disk::{self, Disk, Memory};
use dohle_log::log::{Append, AppendError, Flush, Log, Opening};
use dohle_log::options::{self, Options};
use dohle_log::producers::Origin;
use dohle_records::Batches;
use dohle_records::batch::header;
use dohle_replication::partition::{Durability, Effect, Event, Leader};

use super::Fault;
use super::ledger::{Found, Rotten, Wanted};

/// When the world begins.
pub(super) const BEGUN: Timestamp = Timestamp(1_700_000_000_000);
const ROOT: &str = "/data";
/// How much of the log is read at once.
const READ_BYTES: u64 = 4 << 10;
/// Where the bytes of a batch begin that its checksum is made of.
const CHECKED_FROM: usize = 21;

/// What became of an append.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wrote {
    At(Offset),
    /// It was there already.
    Again(Offset),
    NoRoom,
    Failed,
}

/// How the broker goes down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    /// The power goes, not the process alone.
    pub(super) power: bool,
    /// It goes once more while the broker recovers.
    pub(super) torn: bool,
}

/// A partition under its leader.
pub(super) struct Shelf {
    disk: Memory,
    directory: Directory<Memory>,
    log: Log<Memory>,
    leader: Leader,
    flush: Option<Flush<Memory>>,
    now: Timestamp,
    segment_bytes: u64,
}

impl Shelf {
    /// A new partition on a new disk.
    pub(super) fn new(durability: Durability, rng: &mut Rng) -> Result<Self, String> {
        let disk = Memory::new();
        let mut directory = directory(&disk)?;
        let identity =
            Identity { cluster_id: "simulated".to_owned(), node_id: BrokerId(1), directory_id: Uuid::random(rng) };
        directory.claim(identity).map_err(say)?;
        directory.create_partition(&name(), Uuid::random(rng)).map_err(say)?;
        Self::open(disk, directory, durability, 512 << rng.below(4), BEGUN)
    }

    fn open(
        disk: Memory,
        directory: Directory<Memory>,
        durability: Durability,
        segment_bytes: u64,
        now: Timestamp,
    ) -> Result<Self, String> {
        let offset = |checkpoint| {
            let offsets = directory.read_offsets(checkpoint).map_err(say)?;
            Ok::<Offset, String>(offsets.get(&name()).copied().unwrap_or(Offset::ZERO))
        };
        let opening = Opening {
            clean: directory.take_clean_stop().map_err(say)?.is_some(),
            recovery_point: offset(Checkpoint::RecoveryPoint)?,
            start: offset(Checkpoint::LogStart)?,
        };
        let path = directory.path_of(&name());
        let (mut log, _) =
            Log::open(disk.clone(), &path, options(durability, segment_bytes), &opening, now).map_err(say)?;
        if let Some(flush) = log.begin_flush() {
            log.flushed(flush.run(), now).map_err(say)?;
        }
        if log.synced() < log.end() {
            return Err("what was found is not durable".to_owned());
        }
        let epoch = log.epochs().latest().map_or(LeaderEpoch(0), LeaderEpoch::next);
        let leader = Leader::new(epoch, durability, log.end());
        log.begin_epoch(epoch);
        log.check();
        Ok(Self { disk, directory, log, leader, flush: None, now, segment_bytes })
    }

    pub(super) fn end(&self) -> Offset {
        self.log.end()
    }

    pub(super) fn synced(&self) -> Offset {
        self.log.synced()
    }

    pub(super) fn high_watermark(&self) -> Offset {
        self.leader.high_watermark()
    }

    /// A moment passes.
    pub(super) fn pass_time(&mut self, rng: &mut Rng) {
        self.now = Timestamp(self.now.0 + rng.below(20) as i64);
    }

    /// Appends as the leader does.
    pub(super) fn append(&mut self, wanted: &Wanted) -> Wrote {
        let append = Append { leader_epoch: self.leader.epoch(), origin: Origin::Client(None), largest: None };
        match self.log.append(&wanted.batch, &append, self.now) {
            Ok(appended) if appended.duplicate => Wrote::Again(appended.base_offset),
            Ok(appended) => {
                self.step(Event::Written { end: self.log.end() });
                Wrote::At(appended.base_offset)
            }
            Err(AppendError::Storage(failure)) if is_full(&failure.source) && !self.log.is_offline() => Wrote::NoRoom,
            Err(_) => Wrote::Failed,
        }
    }

    /// Begins to make durable what waits; false when nothing does.
    pub(super) fn begin_flush(&mut self) -> bool {
        if self.flush.is_none() && self.log.wants_flush(self.now) {
            self.flush = self.log.begin_flush();
        }
        self.flush.is_some()
    }

    /// The disk is done with it; false when it failed.
    pub(super) fn end_flush(&mut self) -> bool {
        let Some(flush) = self.flush.take() else { return true };
        match self.log.flushed(flush.run(), self.now) {
            Ok(upto) => {
                self.step(Event::Synced { upto });
                self.log.check();
                true
            }
            Err(_) => false,
        }
    }

    fn step(&mut self, event: Event) {
        let mut effects = vec![];
        self.leader.step(Instant::ZERO, event, &mut effects);
        self.leader.check();
        assert!(effects.iter().all(|effect| *effect == Effect::Sync), "nobody waits at the leader itself");
    }

    /// Writes down what a broker does now and then; false when the disk failed.
    pub(super) fn write_checkpoints(&mut self) -> bool {
        let written = [
            (Checkpoint::RecoveryPoint, self.log.synced()),
            (Checkpoint::HighWatermark, self.leader.high_watermark()),
            (Checkpoint::LogStart, self.log.start()),
        ]
        .into_iter()
        .try_for_each(|(checkpoint, offset)| {
            self.directory.write_offsets(checkpoint, &Offsets::from([(name(), offset)]))
        });
        written.map_or_else(|failure| is_full(&failure.source), |()| true)
    }

    /// Lets the disk do something wrong soon.
    pub(super) fn spoil(&mut self, fault: Fault, rng: &mut Rng) {
        let (soon, next) = (self.disk.operations() + 1 + rng.below(10), self.disk.operations() + 1);
        match fault {
            Fault::TornOperation => self.disk.fail(soon, disk::Fault::Crash),
            Fault::WriteError => self.disk.fail(next, disk::Fault::Error(io::ErrorKind::Other)),
            Fault::SyncError => self.disk.fail_sync(),
            Fault::ShortWrite => self.disk.fail(next, disk::Fault::Short),
            Fault::PowerCut | Fault::Kill | Fault::NoSpace | Fault::SlowSync | Fault::BitRot => {
                unreachable!("not a fault of one operation")
            }
        }
    }

    /// Leaves the disk next to no room.
    pub(super) fn fill(&self, rng: &mut Rng) {
        self.disk.limit(Some(self.disk.used() + rng.below(400)));
    }

    /// There is room again.
    pub(super) fn give_room(&self) {
        self.disk.limit(None);
    }

    /// Nothing goes wrong any more, and all that waits is asked for.
    pub(super) fn calm(&mut self) {
        self.disk.forgive();
        self.give_room();
        self.log.set_options(options(Durability::Synced, self.segment_bytes));
        self.step(Event::Altered { durability: Durability::Synced });
    }

    /// Stops in good order; false when the disk fails.
    pub(super) fn close(&mut self) -> bool {
        self.end_flush()
            && self.log.close(self.now).is_ok()
            && self.write_checkpoints()
            && self.directory.mark_clean_stop(7).is_ok()
    }

    /// Starts on the same disk.
    pub(super) fn reopen(self, durability: Durability) -> Result<Self, String> {
        let Self { disk, directory, log, segment_bytes, now, .. } = self;
        drop((log, directory));
        let directory = self::directory(&disk)?;
        Self::open(disk, directory, durability, segment_bytes, now)
    }

    /// Goes down and starts again, and says how many records it reports lost.
    pub(super) fn restart(self, stop: Stop, durability: Durability, rng: &mut Rng) -> Result<(Self, u64), String> {
        let mut disk = if stop.power { self.disk.crash(rng) } else { self.disk.kill() };
        if stop.torn {
            disk.fail(disk.operations() + 1 + rng.below(12), disk::Fault::Crash);
            // Whatever becomes of it: the power goes.
            let _ = self::directory(&disk)
                .and_then(|directory| Self::open(disk.clone(), directory, durability, self.segment_bytes, self.now));
            disk = disk.crash(rng);
        }
        let directory = self::directory(&disk)?;
        let shown = directory.read_offsets(Checkpoint::HighWatermark).map_err(say)?;
        let mut shelf = Self::open(disk, directory, durability, self.segment_bytes, self.now)?;
        // What is told once is not told again after the next stop.
        if !shelf.write_checkpoints() {
            return Err("a sound disk fails".to_owned());
        }
        let shown = shown.get(&name()).copied().unwrap_or(Offset::ZERO);
        let reported = if shown > shelf.end() { shown.since(shelf.end()) } else { 0 };
        Ok((shelf, reported))
    }

    /// Every batch, by the reader.
    pub(super) fn read(&self) -> Result<Vec<Found>, String> {
        let read = read(&self.log)?;
        if read.ended_in_rot { Err("a batch is damaged".to_owned()) } else { Ok(read.sound) }
    }

    /// A copy of the disk on which a byte of a closed segment has changed; none where no segment is closed.
    pub(super) fn rotten_copy(&self, rng: &mut Rng) -> Option<RottenCopy> {
        let copy = self.disk.copy();
        let dir = self.directory.path_of(&name());
        let mut logs: Vec<String> =
            copy.list(&dir).ok()?.into_iter().map(|entry| entry.name).filter(|name| name.ends_with(".log")).collect();
        logs.sort();
        logs.pop();
        let chosen = logs.get(rng.below(logs.len().max(1) as u64) as usize)?;
        let (file, draw) = (dir.join(chosen), rng.next_u64());
        copy.edit(&file, |bytes| rot_first_batch(bytes, draw)).ok()?;
        Some(RottenCopy { disk: copy, dir, segment_bytes: self.segment_bytes, now: self.now })
    }
}

/// A disk on which something rots.
pub(super) struct RottenCopy {
    disk: Memory,
    dir: PathBuf,
    segment_bytes: u64,
    now: Timestamp,
}

impl RottenCopy {
    /// Starts on it after a clean stop, which looks at no closed segment, and reads as far as all is sound.
    pub(super) fn open_and_read(self, durability: Durability) -> Result<Rotten, String> {
        let opening = Opening { clean: true, recovery_point: Offset::ZERO, start: Offset::ZERO };
        let options = options(durability, self.segment_bytes);
        let (log, _) = Log::open(self.disk, &self.dir, options, &opening, self.now).map_err(say)?;
        read(&log)
    }
}

/// Changes a byte of the first batch that its checksum covers.
fn rot_first_batch(bytes: &mut [u8], draw: u64) {
    let Ok(header) = header::Header::parse(bytes) else { return };
    let covered = CHECKED_FROM..header.size_in_bytes();
    let place = covered.start + (draw as usize >> 8) % covered.len();
    bytes[place] ^= 1 << (draw % 8);
}

fn read(log: &Log<Memory>) -> Result<Rotten, String> {
    let mut sound = vec![];
    let mut from = log.start();
    loop {
        let slice = match log.read(from, log.end(), READ_BYTES, true) {
            Ok(Some(slice)) => slice,
            Ok(None) => return Ok(Rotten { sound, ended_in_rot: false }),
            Err(dohle_log::log::ReadError::Damaged { .. }) => return Ok(Rotten { sound, ended_in_rot: true }),
            Err(error) => return Err(error.to_string()),
        };
        for batch in Batches::over(slice.read().map_err(say)?) {
            let Ok(batch) = batch else { return Ok(Rotten { sound, ended_in_rot: true }) };
            if !batch.is_intact() {
                return Ok(Rotten { sound, ended_in_rot: true });
            }
            let header = batch.header();
            from = header.next_offset();
            sound.push(Found {
                offset: header.base_offset,
                producer: header.producer_id,
                sequence: header.base_sequence,
                body: batch.body(),
            });
        }
    }
}

fn directory(disk: &Memory) -> Result<Directory<Memory>, String> {
    Directory::open(disk.clone(), Path::new(ROOT)).map_err(say)
}

fn name() -> PartitionName {
    PartitionName { topic: TopicName::parse("t").expect("a legal name"), partition: Partition(0) }
}

fn options(durability: Durability, segment_bytes: u64) -> Options {
    let durability = match durability {
        Durability::Synced => options::Durability::Synced,
        Durability::Relaxed => options::Durability::Relaxed,
    };
    Options {
        segment_bytes,
        index_interval_bytes: 200,
        flush_messages: 50,
        flush_ms: 1_000,
        durability,
        ..Options::default()
    }
}

fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::StorageFull
}

fn say(error: impl std::fmt::Display) -> String {
    error.to_string()
}
