//! The coordinator's records in a real log, on a disk in memory.

use std::path::Path;

use dohle_base::{LeaderEpoch, Offset, Timestamp};
use dohle_coordinator::Record;
use dohle_log::disk::{Disk, Memory};
use dohle_log::log::{Append, Log, Opening};
use dohle_log::options::Options;
use dohle_log::producers::Origin;
use dohle_records::batch::encode::{Builder, Entry, Settings};
use dohle_records::{Batches, Budget};

const DIRECTORY: &str = "/__consumer_offsets-0";
/// How much of the log is read at once.
const READ_BYTES: u64 = 64 << 10;

/// How the log was left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    pub(super) clean: bool,
    pub(super) recovery_point: Offset,
}

/// A disk with the partition's directory on it.
pub(super) fn format() -> Memory {
    let disk = Memory::new();
    disk.create_dir(Path::new(DIRECTORY)).expect("an empty disk takes a directory");
    disk.sync_dir(Path::new("/")).expect("an empty disk takes a name");
    disk
}

pub(super) fn open(disk: &Memory, segment_bytes: u64, opened: Opened, now: Timestamp) -> Result<Log<Memory>, String> {
    let topic = |key: &str| (key == "cleanup.policy").then(|| "compact".to_owned());
    let mut options = Options::resolve(&topic, &|_| None).map_err(|error| error.to_string())?;
    // Far below what a topic may be given, so that a short run rolls many segments.
    options.segment_bytes = segment_bytes;
    let opening = Opening { clean: opened.clean, recovery_point: opened.recovery_point, start: Offset::ZERO };
    let opened = Log::open(disk.clone(), Path::new(DIRECTORY), options, &opening, now);
    opened.map(|(log, _)| log).map_err(|error| format!("the log cannot be opened: {error}"))
}

/// Makes all of the log durable; false when the disk fails.
pub(super) fn sync(log: &mut Log<Memory>, now: Timestamp) -> bool {
    match log.begin_flush() {
        Some(flush) => log.flushed(flush.run(), now).is_ok(),
        None => true,
    }
}

/// Stops in good order; false when the disk fails.
pub(super) fn close(log: &mut Log<Memory>, now: Timestamp) -> bool {
    log.close(now).is_ok()
}

/// Appends the records as one batch, the first at `at`; false when the disk fails.
pub(super) fn append(
    log: &mut Log<Memory>,
    leader_epoch: LeaderEpoch,
    at: Offset,
    records: &[Record],
    now: Timestamp,
) -> bool {
    let mut batch = Builder::new(Settings::default());
    for record in records {
        let encoded = record.encode().expect("a coordinator writes no markers");
        let (key, value) = (Some(&*encoded.key), encoded.value.as_deref());
        batch.append(&Entry { timestamp: now, key, value, ..Entry::default() }).expect("a decision fits a batch");
    }
    let batch = batch.finish();
    let weight: usize = records.iter().map(Record::weight).sum();
    assert!(batch.bytes().len() <= weight + dohle_records::batch::header::BYTES, "a record outweighs its bound");
    let append = Append { leader_epoch, origin: Origin::Coordinator { transaction_version: 0 }, largest: None };
    match log.append(&batch, &append, now) {
        Ok(appended) => {
            assert_eq!(appended.base_offset, at, "the log and the ledger count alike");
            true
        }
        Err(_) => false,
    }
}

/// Every record of the log, from offset 0 on.
pub(super) fn read(log: &Log<Memory>) -> Result<Vec<(Offset, Record)>, String> {
    let mut records = Vec::new();
    let (mut from, end) = (Offset::ZERO, log.end());
    while from < end {
        let slice = log.read(from, end, READ_BYTES, true).map_err(|error| error.to_string())?;
        let bytes = slice.ok_or_else(|| format!("nothing at {from} below {end}"))?.read();
        let before = from;
        for batch in Batches::over(bytes.map_err(|error| error.to_string())?) {
            let batch = batch.map_err(|error| error.to_string())?;
            for record in batch.records(Budget::default()).map_err(|error| error.to_string())? {
                let record = record.map_err(|error| error.to_string())?;
                if record.offset < before {
                    continue;
                }
                let key = record.key.ok_or("a record without key")?;
                let read = Record::decode(&key, record.value.as_ref(), None).map_err(|error| error.to_string())?;
                records.push((record.offset, read.ok_or("a record of no known type")?));
            }
            from = batch.header().next_offset();
        }
        if from == before {
            return Err(format!("no whole batch at {from}"));
        }
    }
    Ok(records)
}
