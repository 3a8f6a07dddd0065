//! The bodies of the fuzz targets, which also run as seeded tests. Each takes any bytes and panics when a law is broken.

use std::path::{Path, PathBuf};

use dohle_base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use dohle_records::batch::encode::{Builder, Entry, Producer, Settings};
use dohle_records::control::EndTransaction;
use dohle_records::{Batch, Batches};

use crate::directory::Identity;
use crate::disk::{Disk, Memory};
use crate::epochs::Epochs;
use crate::log::{Append, Log, Opening};
use crate::options::Options;
use crate::producers::{Origin, Producers, snapshot};
use crate::segment::abort_index;

const DIR: &str = "/t-0";
const NOW: Timestamp = Timestamp(1_700_000_000_000);
/// More reads than a log of these sizes can take: an endless walk is a broken law.
const READS_MAX: usize = 10_000;

/// Opens a log whose files were damaged as the input says, after a clean stop or after none. Whatever they hold, it opens, tells damage
/// from batches, and takes more.
pub fn segment(input: &[u8]) {
    let Some((first, edits)) = input.split_first() else { return };
    let disk = sound_log();
    let files = names(&disk);
    edits.chunks_exact(EDIT_BYTES).for_each(|edit| damage(&disk, &files, edit));
    let opening = Opening {
        clean: first & 1 == 1,
        recovery_point: Offset(i64::from(first >> 1) % 40),
        start: Offset(i64::from(first >> 3) % 40),
    };
    let opened = Log::open(disk.clone(), Path::new(DIR), options(), &opening, NOW);
    let Ok((mut log, _)) = opened else { return };
    log.check();
    walk(&log, opening.clean);
    let append = Append { leader_epoch: LeaderEpoch(9_999), origin: Origin::Client(None), largest: None };
    if log.append(&batch(None, false), &append, NOW).is_ok()
        && let Some(flush) = log.begin_flush()
        && log.flushed(flush.run(), NOW).is_ok()
    {
        assert_eq!(log.synced(), log.end());
    }
    log.check();
}

/// Reads the small files that are beside the segments, from any bytes; what is accepted is written as it was read.
pub fn checkpoint(input: &[u8]) {
    if let Ok(epochs) = Epochs::parse(input) {
        assert_eq!(
            Epochs::parse(&epochs.to_bytes()).map(|again| again.starts().to_vec()),
            Ok(epochs.starts().to_vec())
        );
    }
    if let Ok(producers) = snapshot::parse(input) {
        let restored = Producers::restore(producers, Offset::ZERO, NOW);
        assert!(snapshot::parse(&snapshot::to_bytes(&restored)).is_ok());
    }
    if let Ok(identity) = Identity::parse(input) {
        assert_eq!(Identity::parse(&identity.to_bytes()), Ok(identity));
    }
    if let Some(aborted) = abort_index::parse(input) {
        assert_eq!(abort_index::to_bytes(&aborted), input);
    }
}

fn options() -> Options {
    Options { segment_bytes: 700, index_interval_bytes: 100, ..Options::default() }
}

/// A log of several segments with producers, transactions and epochs, stopped cleanly.
fn sound_log() -> Memory {
    let disk = Memory::new();
    disk.create_dir(Path::new(DIR)).expect("an empty disk takes a directory");
    let opening = Opening { clean: true, recovery_point: Offset::ZERO, start: Offset::ZERO };
    let opened = Log::open(disk.clone(), Path::new(DIR), options(), &opening, NOW);
    let (mut log, _) = opened.expect("an empty directory is a log");
    for n in 0..24 {
        let append = |origin| Append { leader_epoch: LeaderEpoch(n / 7), origin, largest: None };
        let appended = if n % 6 == 5 {
            let end = EndTransaction { committed: n % 12 == 5, coordinator_epoch: 1 };
            let marker = end.to_batch(NOW, ProducerId(1), ProducerEpoch(0));
            log.append(&marker, &append(Origin::Coordinator { transaction_version: 0 }), NOW)
        } else {
            let producer = Producer { id: ProducerId(i64::from(n % 2)), epoch: ProducerEpoch(0), base_sequence: n / 2 };
            log.append(&batch(Some(producer), n % 2 == 1), &append(Origin::Coordinator { transaction_version: 0 }), NOW)
        };
        appended.expect("a sound batch is appended");
    }
    log.close(NOW).expect("a disk without faults");
    disk
}

fn batch(producer: Option<Producer>, transactional: bool) -> Batch {
    let mut builder = Builder::new(Settings { producer, transactional, ..Settings::default() });
    for value in [b"one".as_slice(), b"another"] {
        let entry = Entry { timestamp: NOW, value: Some(value), ..Entry::default() };
        builder.append(&entry).expect("two records are not too many");
    }
    builder.finish()
}

fn names(disk: &Memory) -> Vec<PathBuf> {
    let entries = disk.list(Path::new(DIR)).expect("the directory is there");
    entries.into_iter().map(|entry| Path::new(DIR).join(entry.name)).collect()
}

/// Which file, what to do, where (two bytes), with what.
const EDIT_BYTES: usize = 5;

fn damage(disk: &Memory, files: &[PathBuf], edit: &[u8]) {
    let &[file, action, high, low, value] = edit else { return };
    let path = &files[usize::from(file) % files.len()];
    let place = usize::from(u16::from_be_bytes([high, low]));
    // A file that an earlier edit has removed stays removed.
    let _ = match action % 6 {
        0 => disk.remove(path),
        1 => disk.edit(path, |bytes| bytes.truncate(place)),
        2 => disk.edit(path, |bytes| bytes.resize(bytes.len() + place % 200, value)),
        3 => disk.edit(path, |bytes| bytes.iter_mut().skip(place).for_each(|byte| *byte = value)),
        _ => disk.edit(path, |bytes| {
            if let Some(byte) = place.checked_rem(bytes.len()).map(|place| &mut bytes[place]) {
                *byte = value;
            }
        }),
    };
}

fn walk(log: &Log<Memory>, clean: bool) {
    let mut from = log.start();
    for _ in 0..READS_MAX {
        let Ok(Some(slice)) = log.read(from, log.end(), 200, true) else { break };
        let Ok(bytes) = slice.read() else { break };
        let aborted = log.aborts(from, log.end(), &slice).map(|aborts| aborts.find()).transpose();
        assert!(
            aborted.is_err() || aborted.is_ok_and(|aborted| aborted.is_none_or(|aborted| aborted.len() <= READS_MAX))
        );
        let before = from;
        for batch in Batches::over(bytes).flatten() {
            assert!(
                clean || batch.header().base_offset < log.synced() || batch.is_intact(),
                "what was read at the opening is sound"
            );
            from = batch.header().next_offset().max(from);
        }
        if from == before {
            break;
        }
    }
    for time in [NOW.0 - 1, NOW.0, NOW.0 + 1] {
        let _ = log.by_time(Timestamp(time)).find();
    }
    let _ = log.by_largest_time().find();
}
