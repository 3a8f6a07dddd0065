//! How the records of each machine stand in its log, and how all logs are opened and read.

use std::collections::BTreeSet;
use std::path::Path;

use dohle_base::{LeaderEpoch, Offset, Timestamp};
use dohle_coordinator::transaction::{self, Outcome, TransactionCoordinator};
use dohle_coordinator::{GroupCoordinator, Producer, Record};
use dohle_log::disk::{Disk, Memory};
use dohle_log::log::{Log, Opening};
use dohle_log::options::Options;
use dohle_records::batch::encode::{self, Builder, Entry, Settings};
use dohle_records::batch::header::NO_SEQUENCE;
use dohle_records::control::{ControlRecord, EndTransaction};
use dohle_records::{Batch, Batches, Budget};
use dohle_replication::ledger::Folded;

use crate::transactions::fact::{Label, Line, Value, Written};
use crate::transactions::place::Place;

/// How much of a log is read at once.
const READ_BYTES: u64 = 16 << 10;
const FITS: &str = "a decision fits a batch";

/// A machine whose records are kept in a partition.
pub(super) trait Journal: Folded {
    /// One batch of these records, in order.
    fn batch(records: &[Self::Record], now: Timestamp) -> Batch;

    /// The records of a batch that was read back.
    fn read(batch: &Batch) -> Result<Vec<(Offset, Self::Record)>, String>;
}

impl Journal for TransactionCoordinator {
    fn batch(records: &[transaction::Record], now: Timestamp) -> Batch {
        let mut builder = Builder::new(Settings::default());
        for encoded in records.iter().map(transaction::Record::encode) {
            let (key, value) = (Some(&encoded.key[..]), encoded.value.as_deref());
            builder.append(&Entry { timestamp: now, key, value, headers: &[] }).expect(FITS);
        }
        builder.finish()
    }

    fn read(batch: &Batch) -> Result<Vec<(Offset, transaction::Record)>, String> {
        let mut read = vec![];
        for record in batch.records(Budget::default()).map_err(say)? {
            let record = record.map_err(say)?;
            let key = record.key.as_ref().ok_or("a record without a key")?;
            let decoded = transaction::Record::decode(key, record.value.as_ref()).map_err(say)?;
            read.push((record.offset, decoded.ok_or("a record of no known type")?));
        }
        Ok(read)
    }
}

impl Journal for GroupCoordinator {
    fn batch(records: &[Record], now: Timestamp) -> Batch {
        if let [Record::TransactionEnded { producer, outcome, coordinator_epoch }] = records {
            return marker(*producer, *outcome, *coordinator_epoch, now);
        }
        let producer = records.iter().find_map(producer_of);
        let mut builder = Builder::new(settings(producer, NO_SEQUENCE));
        for encoded in records.iter().filter_map(Record::encode) {
            let (key, value) = (Some(&encoded.key[..]), encoded.value.as_deref());
            builder.append(&Entry { timestamp: now, key, value, headers: &[] }).expect(FITS);
        }
        builder.finish()
    }

    fn read(batch: &Batch) -> Result<Vec<(Offset, Record)>, String> {
        let header = batch.header();
        let producer = Producer { id: header.producer_id, epoch: header.producer_epoch };
        if let Some((outcome, coordinator_epoch)) = end_of(batch)? {
            return Ok(vec![(header.base_offset, Record::TransactionEnded { producer, outcome, coordinator_epoch })]);
        }
        let producer = header.attributes.is_transactional().then_some(producer);
        let mut read = vec![];
        for record in batch.records(Budget::default()).map_err(say)? {
            let record = record.map_err(say)?;
            let key = record.key.as_ref().ok_or("a record without a key")?;
            let decoded = Record::decode(key, record.value.as_ref(), producer).map_err(say)?;
            read.push((record.offset, decoded.ok_or("a record of no known type")?));
        }
        Ok(read)
    }
}

fn producer_of(record: &Record) -> Option<Producer> {
    match record {
        Record::Offset { producer, .. } => *producer,
        Record::Group { .. } | Record::TransactionEnded { .. } => None,
    }
}

/// The batch that ends a transaction.
pub(super) fn marker(producer: Producer, outcome: Outcome, coordinator_epoch: LeaderEpoch, now: Timestamp) -> Batch {
    let committed = outcome == Outcome::Commit;
    EndTransaction { committed, coordinator_epoch: coordinator_epoch.0 }.to_batch(now, producer.id, producer.epoch)
}

/// The batch of a producer's transaction with these records.
pub(super) fn batch(producer: Producer, sequence: i32, values: &[Value], now: Timestamp) -> Batch {
    let mut builder = Builder::new(settings(Some(producer), sequence));
    for value in values {
        let words = words(*value);
        builder.append(&Entry { timestamp: now, value: Some(words.as_bytes()), ..Entry::default() }).expect(FITS);
    }
    builder.finish()
}

fn settings(producer: Option<Producer>, base_sequence: i32) -> Settings {
    let author = |Producer { id, epoch }| encode::Producer { id, epoch, base_sequence };
    Settings { producer: producer.map(author), transactional: producer.is_some(), ..Settings::default() }
}

/// A value as text.
pub(super) fn words(value: Value) -> String {
    format!("{}/{}", value.label.0, value.number)
}

pub(super) fn parse(words: &str) -> Option<Value> {
    let (label, number) = words.split_once('/')?;
    Some(Value { label: Label(label.parse().ok()?), number: number.parse().ok()? })
}

fn end_of(batch: &Batch) -> Result<Option<(Outcome, LeaderEpoch)>, String> {
    if !batch.header().attributes.is_control() {
        return Ok(None);
    }
    let mut records = batch.records(Budget::default()).map_err(say)?;
    let record = records.next().ok_or("a marker without a record")?.map_err(say)?;
    let end = EndTransaction::of(&ControlRecord::of(&record).map_err(say)?).map_err(say)?.ok_or("no marker")?;
    let outcome = if end.committed { Outcome::Commit } else { Outcome::Abort };
    Ok(Some((outcome, LeaderEpoch(end.coordinator_epoch))))
}

/// What the batch says of a transaction; none where it is part of none.
pub(super) fn line(place: Place, batch: &Batch) -> Result<Option<Line>, String> {
    let header = batch.header();
    if !header.attributes.is_transactional() {
        return Ok(None);
    }
    let producer = Producer { id: header.producer_id, epoch: header.producer_epoch };
    let written = match end_of(batch)? {
        Some((outcome, _)) => Written::Marker(outcome),
        None => Written::Records(values(place, batch)?),
    };
    Ok(Some(Line { place, at: header.base_offset, producer, written }))
}

fn values(place: Place, batch: &Batch) -> Result<Vec<Value>, String> {
    if place == Place::Offsets {
        return Ok(GroupCoordinator::read(batch)?.iter().filter_map(|(_, record)| value_of(record)).collect());
    }
    let mut values = vec![];
    for record in batch.records(Budget::default()).map_err(say)? {
        let value = record.map_err(say)?.value.ok_or("a record without a value")?;
        let words = std::str::from_utf8(&value).map_err(say)?;
        values.push(parse(words).ok_or("a record that nobody wrote")?);
    }
    Ok(values)
}

/// The value that a committed offset bears as its words.
pub(super) fn value_of(record: &Record) -> Option<Value> {
    match record {
        Record::Offset { value: Some(value), .. } => parse(value.metadata.as_deref()?),
        Record::Offset { value: None, .. } | Record::Group { .. } | Record::TransactionEnded { .. } => None,
    }
}

/// The batches of a log from its beginning to `end`.
pub(super) fn batches(log: &Log<Memory>, end: Offset) -> Result<Vec<Batch>, String> {
    let (mut found, mut from) = (vec![], log.start());
    while from < end {
        let slice = log.read(from, end, READ_BYTES, true).map_err(say)?;
        let Some(slice) = slice else { return Err(format!("nothing at {from} below {end}")) };
        let before = from;
        for batch in Batches::over(slice.read().map_err(say)?) {
            let batch = batch.map_err(say)?;
            // The bytes may begin in a batch that was read before.
            if batch.header().next_offset() > from {
                from = batch.header().next_offset();
                found.push(batch);
            }
        }
        if from == before {
            return Err(format!("no whole batch at {from}"));
        }
    }
    Ok(found)
}

/// What a reader of committed records is given: it is told with each answer which transactions to leave out, as clients are.
pub(super) fn committed(log: &Log<Memory>, place: Place, last_stable: Offset) -> Result<BTreeSet<Value>, String> {
    let (mut seen, mut from) = (BTreeSet::new(), log.start());
    while from < last_stable {
        let slice = log.read(from, last_stable, READ_BYTES, true).map_err(say)?;
        let Some(slice) = slice else { return Err(format!("nothing at {from} below {last_stable}")) };
        let aborts = log.aborts(from, last_stable, &slice);
        let mut aborted = aborts.map_or(Ok(vec![]), |aborts| aborts.find()).map_err(say)?;
        aborted.sort_by_key(|aborted| aborted.first);
        let (mut aborted, mut left_out) = (aborted.into_iter().peekable(), BTreeSet::new());
        for batch in Batches::over(slice.read().map_err(say)?) {
            let batch = batch.map_err(say)?;
            let header = batch.header();
            if header.base_offset >= last_stable {
                return Ok(seen);
            }
            while let Some(begun) = aborted.next_if(|aborted| aborted.first <= header.last_offset()) {
                left_out.insert(begun.producer);
            }
            if let Some((outcome, _)) = end_of(&batch)? {
                if outcome == Outcome::Abort {
                    left_out.remove(&header.producer_id);
                }
            } else if !left_out.contains(&header.producer_id) && header.next_offset() > from {
                seen.extend(values(place, &batch)?);
            }
            from = from.max(header.next_offset());
        }
    }
    Ok(seen)
}

/// A disk with a directory for each log.
pub(super) fn format(directories: &[&str]) -> Memory {
    let disk = Memory::new();
    for directory in directories {
        disk.create_dir(Path::new(directory)).expect("an empty disk takes a directory");
    }
    disk.sync_dir(Path::new("/")).expect("an empty disk takes a name");
    disk
}

pub(super) fn open(
    disk: &Memory,
    directory: &str,
    segment_bytes: u64,
    opening: &Opening,
    now: Timestamp,
) -> Result<Log<Memory>, String> {
    let compacts = directory.starts_with("/__");
    let topic = |key: &str| (compacts && key == "cleanup.policy").then(|| "compact".to_owned());
    let mut options = Options::resolve(&topic, &|_| None).map_err(say)?;
    // Far below what a topic may be given, so that a short run rolls many segments.
    options.segment_bytes = segment_bytes;
    options.index_interval_bytes = 200;
    let opened = Log::open(disk.clone(), Path::new(directory), options, opening, now);
    opened.map(|(log, _)| log).map_err(|error| format!("{directory} cannot be opened: {error}"))
}

fn say(error: impl std::fmt::Display) -> String {
    error.to_string()
}
