//! The rounds of the flusher: what is synced as it is, what goes into the journal, and when the journal's file is turned.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use dohle_base::{Instant, Partition as Index, Rng, TopicId};
use dohle_log::Failure;
use dohle_log::disk::Files;
use dohle_log::journal::{Journal, Piece, Written};
use dohle_log::log::Unsynced;

use super::costs::Costs;
use super::{Done, Lot};
use crate::chance;
use crate::clock::Clock;
use crate::lock::{hold_over_disk, read_over_disk};
use crate::partition::Partition;
use crate::volume::Volume;

/// So long what was journaled may be nowhere else.
const JOURNALED_MAX: Duration = Duration::from_secs(5);
/// While a file cannot be turned, it is tried again so often.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// What a sync of the files themselves costs beyond their batches, in bytes that the disk could write in that time: once, and for each file. Who has more
/// than that to be made durable is not journaled, because it would be written twice.
const ROUND_BYTES: u64 = 2 << 20;
const FILE_BYTES: u64 = 16 << 10;
/// With so much for each partition that is in it, one with another, a file is turned: most of what is written back is batches then, and what gathers does not
/// hold anybody up when it is.
const WORTH_BYTES: u64 = 256 << 10;

/// The flusher's state.
pub(super) struct Rounds {
    volume: Arc<Volume>,
    clock: Clock,
    costs: Costs,
    /// The journal, if there is to be one.
    journal: Option<Journaling>,
    /// Partitions that wait to be written back.
    rest: HashMap<(TopicId, Index), Arc<Partition>>,
    /// Whether a lot is being written back.
    is_writing_back: bool,
    lots: Sender<Lot>,
    done: Receiver<Done>,
}

/// A journal, and who has something in the file that is written to.
struct Journaling {
    journal: Journal<Files>,
    file_bytes_max: u64,
    partitions: HashMap<(TopicId, Index), Arc<Partition>>,
    /// When the file is to be turned at the latest; none while nothing is in it.
    due: Option<Instant>,
    /// Whether the file before is still needed.
    is_needed: bool,
}

type Unjournaled = Vec<(Arc<Partition>, Unsynced<Files>)>;

impl Rounds {
    pub(super) fn new(
        volume: Arc<Volume>,
        clock: Clock,
        journal_bytes: u64,
        lots: Sender<Lot>,
        done: Receiver<Done>,
    ) -> Self {
        let journal = (journal_bytes > 0).then(|| Journaling {
            journal: Journal::beside(Files, volume.root(), &hold_over_disk(&volume.left), Rng::new(chance::number())),
            file_bytes_max: journal_bytes / 2,
            partitions: HashMap::new(),
            due: None,
            is_needed: false,
        });
        let costs = Costs::default();
        Self { volume, clock, costs, journal, rest: HashMap::new(), is_writing_back: false, lots, done }
    }

    /// Makes durable what is asked for, until the broker stops.
    pub(super) fn run(&mut self) {
        let volume = Arc::clone(&self.volume);
        let due = |rounds: &Self| rounds.journal.as_ref().and_then(|it| it.due);
        while let Some(dirty) = volume.flusher.next(self.clock, due(self)) {
            self.round(dirty);
        }
    }

    fn round(&mut self, dirty: Vec<Arc<Partition>>) {
        if let Ok(done) = self.done.try_recv() {
            self.note_done(done);
        }
        dirty.iter().for_each(|partition| partition.hear());
        // A journal that is in use is the shorter way for a few as well.
        let is_in_use = self.journal.as_ref().map(Journaling::is_in_use);
        if is_in_use.is_none_or(|in_use| !in_use && dirty.len() < Costs::FILES_MIN) {
            self.sync_few(dirty);
        } else {
            self.journal(dirty);
        }
        self.turn_if_due();
        if !self.is_writing_back && !self.rest.is_empty() {
            let partitions = self.rest.drain().map(|(_, partition)| partition).collect();
            self.hand_over(partitions, None);
        }
    }

    /// Makes a few partitions durable.
    fn sync_few(&mut self, dirty: Vec<Arc<Partition>>) {
        let busy = self.sync(dirty);
        self.write(busy);
    }

    /// Syncs partitions in their own files. Those that are being written back cannot be, and come back to be journaled.
    fn sync(&mut self, dirty: Vec<Arc<Partition>>) -> Unjournaled {
        let volume = Arc::clone(&self.volume);
        let _syncing = read_over_disk(&volume.syncing);
        let (mut begun, mut busy) = ((vec![], vec![]), vec![]);
        for partition in dirty {
            match partition.begin_flush(&self.volume) {
                Some(flush) => begun.extend([(flush, partition)]),
                None => busy.push(partition),
            }
        }
        self.volume.flush(begun, self.clock, &mut self.costs);
        self.waiting(busy).0
    }

    /// Journals what acknowledgements wait for, and lets the rest be written back.
    fn journal(&mut self, dirty: Vec<Arc<Partition>>) {
        let (mut waiting, mut rest) = self.waiting(dirty);
        let bytes: u64 = waiting.iter().map(|(_, unsynced)| unsynced.size()).sum();
        if bytes > ROUND_BYTES + FILE_BYTES * waiting.len() as u64 {
            waiting = self.sync(waiting.into_iter().map(|(partition, _)| partition).collect());
        }
        self.write(waiting);
        rest.retain(|partition| !self.will_be_written_back(partition));
        self.rest.extend(rest.into_iter().map(keyed));
    }

    /// What acknowledgements wait for, and the partitions for which a journal can do nothing.
    fn waiting(&self, dirty: Vec<Arc<Partition>>) -> (Unjournaled, Vec<Arc<Partition>>) {
        let (mut waiting, mut rest) = (vec![], vec![]);
        for partition in dirty {
            match partition.unsynced(&self.volume) {
                Some(unsynced) => waiting.push((partition, unsynced)),
                None => rest.push(partition),
            }
        }
        (waiting, rest)
    }

    fn will_be_written_back(&self, partition: &Partition) -> bool {
        let journaled = self.journal.as_ref().map(|journaling| &journaling.partitions);
        journaled.is_some_and(|partitions| partitions.contains_key(&(partition.topic_id, partition.index)))
    }

    /// One write of the journal.
    fn write(&mut self, waiting: Unjournaled) {
        let Some(journaling) = self.journal.as_mut().filter(|_| !waiting.is_empty()) else { return };
        match journaling.write(&waiting) {
            Ok(()) => {
                let now = self.clock.now();
                journaling.due.get_or_insert(now.instant + JOURNALED_MAX);
                for (partition, unsynced) in waiting {
                    partition.note_journaled(&unsynced, now);
                    journaling.partitions.extend([keyed(partition)]);
                }
            }
            Err(failure) if failure.is_for_room() => {
                self.volume.fail_unless_full(&failure, self.clock.instant());
                self.rest.extend(waiting.into_iter().map(|(partition, _)| keyed(partition)));
            }
            Err(failure) => waiting.iter().for_each(|(partition, _)| partition.fail(&failure)),
        }
    }

    /// Turns the journal's file when it is full or old. One that is full, while the one before is still needed, is waited for: the disk does not
    /// keep up.
    fn turn_if_due(&mut self) {
        let now = self.clock.instant();
        let Some(journaling) = &mut self.journal else { return };
        let size = journaling.journal.size();
        let is_full = size >= journaling.file_bytes_max;
        let is_worth = size >= WORTH_BYTES * journaling.partitions.len() as u64;
        let is_old = journaling.due.is_some_and(|due| due <= now);
        if size == 0 || !is_full && !is_old && !is_worth {
            return;
        }
        if self.is_writing_back && !is_full {
            journaling.due = journaling.due.map(|due| due.max(now + TRY_AGAIN));
            return;
        }
        if self.is_writing_back
            && let Ok(done) = self.done.recv()
        {
            self.note_done(done);
        }
        let Some(journaling) = &mut self.journal else { return };
        self.rest.extend(journaling.partitions.drain());
        let partitions = self.rest.drain().map(|(_, partition)| partition).collect();
        let written = journaling.journal.turn();
        (journaling.is_needed, journaling.due) = (true, None);
        self.hand_over(partitions, written);
    }

    /// Takes back what was handed over. Where the disk has failed, what is in the journal is not to be touched any more.
    fn note_done(&mut self, done: Done) {
        self.is_writing_back = false;
        let Some(journaling) = &mut self.journal else { return };
        match done.free {
            Some(free) => {
                journaling.journal.take_back(free);
                journaling.is_needed = false;
            }
            None if self.volume.is_offline() => self.journal = None,
            // The file stays for the next start, if there was one.
            None => journaling.is_needed = false,
        }
    }

    fn hand_over(&mut self, partitions: Vec<Arc<Partition>>, written: Option<Written<Files>>) {
        // The other thread ends after this one.
        self.is_writing_back = self.lots.send(Lot { partitions, written }).is_ok();
    }
}

fn keyed(partition: Arc<Partition>) -> ((TopicId, Index), Arc<Partition>) {
    ((partition.topic_id, partition.index), partition)
}

impl Journaling {
    fn write(&mut self, waiting: &Unjournaled) -> Result<(), Failure> {
        let names: Vec<_> = waiting.iter().map(|(partition, _)| partition.name()).collect();
        let pieces = waiting.iter().zip(&names);
        let pieces = pieces.map(|((partition, batches), name)| Piece { name, topic: partition.topic_id, batches });
        self.journal.write(&pieces.collect::<Vec<_>>())
    }

    /// Whether something is in it that is nowhere else.
    fn is_in_use(&self) -> bool {
        self.is_needed || !self.partitions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;

    use dohle_base::{Offset, Timestamp};
    use dohle_log::journal::Left;
    use dohle_log::log::{Log, Opening};
    use dohle_log::options::{Durability, Options};

    use super::*;
    use crate::partition::fixture::Fixture;

    const PARTITIONS: usize = 8;

    /// The flusher of a disk with partitions that wait for it, without its threads.
    struct Scene {
        fixture: Fixture,
        volume: Arc<Volume>,
        rounds: Rounds,
        asked: Receiver<Lot>,
        done: Sender<Done>,
    }

    impl Scene {
        /// Every partition has a durable record: what was never durable is not journaled.
        fn new(journal_bytes: u64) -> Self {
            let fixture = Fixture::with(PARTITIONS as i32, Durability::Synced);
            let volume = fixture.partitions[0].volume();
            let (lots, asked) = mpsc::channel();
            let (done, written_back) = mpsc::channel();
            let rounds = Rounds::new(Arc::clone(&volume), Clock::start(), journal_bytes, lots, written_back);
            let mut scene = Self { fixture, volume, rounds, asked, done };
            scene.append(0..PARTITIONS);
            scene.write_back();
            assert_eq!(scene.durable(), [(1, 1); PARTITIONS]);
            scene
        }

        /// Appends a record to some partitions, and makes one round of it.
        fn append(&mut self, indexes: std::ops::Range<usize>) {
            indexes.clone().for_each(|index| self.fixture.append(index));
            self.rounds.round(indexes.map(|index| Arc::clone(&self.fixture.partitions[index])).collect());
        }

        /// Does what the other thread is asked for, and says whether anything was.
        fn write_back(&self) -> bool {
            let Ok(lot) = self.asked.try_recv() else { return false };
            self.done.send(lot.write_back(&self.volume, self.rounds.clock)).unwrap();
            true
        }

        /// Up to where each partition is acknowledged, and up to where it is in its own files.
        fn durable(&self) -> Vec<(i64, i64)> {
            let synced = |partition: &Arc<Partition>| partition.look(|log, _| log.synced().0).unwrap();
            self.fixture.partitions.iter().map(|it| (it.high_watermark().0, synced(it))).collect()
        }

        fn file(&self, index: usize) -> fs::File {
            let dir = self.volume.directory.path_of(&self.fixture.partitions[index].name());
            fs::File::options().write(true).open(dir.join("00000000000000000000.log")).unwrap()
        }

        fn journal_files(&self) -> usize {
            let files = fs::read_dir(self.volume.root()).unwrap();
            files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|it| it == "journal")).count()
        }
    }

    #[test]
    fn many_partitions_are_acknowledged_by_the_journal_which_gives_back_what_their_files_have_lost() {
        let mut scene = Scene::new(1 << 30);
        let synced: Vec<u64> = (0..PARTITIONS).map(|index| scene.file(index).metadata().unwrap().len()).collect();
        scene.append(0..PARTITIONS);
        scene.append(0..1);
        assert_eq!(scene.durable()[..2], [(3, 1), (2, 1)], "what is in use is used for a few as well");
        assert!(!scene.write_back());
        let left = Left::read(Files, scene.volume.root()).unwrap();
        for (index, partition) in scene.fixture.partitions.iter().enumerate() {
            // What a power cut may take, and the worst that it leaves.
            scene.file(index).set_len(synced[index]).unwrap();
            let opening = Opening { clean: false, recovery_point: Offset(1), start: Offset(0) };
            let dir = scene.volume.directory.path_of(&partition.name());
            let (mut log, _) = Log::open(Files, &dir, Options::default(), &opening, Timestamp(1)).unwrap();
            assert_eq!(log.end(), Offset(1));
            let pieces = left.of(&partition.name().to_string()).unwrap();
            pieces.restore(partition.topic_id, &mut log, Timestamp(1)).unwrap();
            assert_eq!(log.end(), partition.high_watermark());
        }
    }

    #[test]
    fn a_full_file_is_written_anew_when_all_that_is_in_it_was_written_back() {
        let mut scene = Scene::new(2);
        for end in 2..10 {
            scene.append(0..PARTITIONS);
            assert_eq!(scene.durable(), [(end, end - 1); PARTITIONS]);
            assert!(scene.write_back());
            assert_eq!(scene.durable(), [(end, end); PARTITIONS]);
        }
        assert_eq!(scene.journal_files(), 1);
    }

    #[test]
    fn a_file_is_not_given_up_when_the_disk_has_failed_meanwhile() {
        let mut scene = Scene::new(2);
        scene.append(0..PARTITIONS);
        scene.volume.fail(&std::io::Error::other("a bad day"));
        assert!(scene.write_back());
        scene.append(0..0);
        assert!(scene.rounds.journal.is_none(), "nothing is written to it any more");
        assert_eq!(Left::read(Files, scene.volume.root()).unwrap().len(), PARTITIONS);
    }

    #[test]
    fn a_partition_that_is_being_synced_keeps_its_file_of_the_journal() {
        let mut scene = Scene::new(2);
        scene.append(0..PARTITIONS);
        let partition = Arc::clone(&scene.fixture.partitions[0]);
        let (volume, clock) = (Arc::clone(&scene.volume), scene.rounds.clock);
        let syncing = read_over_disk(&scene.volume.syncing);
        let flush = partition.begin_flush(&volume).unwrap();
        let lot = scene.asked.try_recv().unwrap();
        std::thread::scope(|scope| {
            let writes_back = scope.spawn(move || lot.write_back(&volume, clock));
            while scene.durable()[1..] != [(2, 2); PARTITIONS - 1] {
                std::thread::yield_now();
            }
            // The barrier: whoever wants to write keeps others from reading.
            while scene.volume.syncing.try_read().is_ok() {
                std::thread::yield_now();
            }
            assert!(!writes_back.is_finished());
            assert_eq!(Left::read(Files, scene.volume.root()).unwrap().len(), PARTITIONS);
            partition.end_flush(flush.run(), clock.now());
            drop(syncing);
            assert!(writes_back.join().unwrap().free.is_some());
        });
    }

    #[test]
    fn where_there_is_to_be_no_journal_the_files_themselves_are_synced() {
        let mut scene = Scene::new(0);
        scene.append(0..PARTITIONS);
        assert_eq!(scene.durable(), [(2, 2); PARTITIONS]);
        assert_eq!(scene.journal_files(), 0);
    }
}
