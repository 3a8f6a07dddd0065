//! How each machine's records stand in its log.

use dohle_base::{LeaderEpoch, Offset, Timestamp};
use dohle_coordinator::transaction::{self, Outcome, TransactionCoordinator};
use dohle_coordinator::{GroupCoordinator, Producer, Record};
use dohle_metadata::controller::{self, Controller};
use dohle_protocol::record::MetadataRecord;
use dohle_records::batch::encode::{self, Builder, Entry, Settings};
use dohle_records::batch::header::NO_SEQUENCE;
use dohle_records::control::{ControlRecord, EndTransaction};
use dohle_records::{Batch, Budget};

use super::host::Journal;
use super::load::{LoadError, records};

const FITS: &str = "the ledger keeps a decision below the largest batch";

impl Journal for Controller {
    fn batch(records: &[MetadataRecord], now: Timestamp) -> Batch {
        let mut builder = Builder::new(Settings::default());
        for record in records {
            let value = record.encode(controller::version(record)).expect("what was decided can be written");
            builder.append(&Entry { timestamp: now, value: Some(&value), ..Entry::default() }).expect(FITS);
        }
        builder.finish()
    }

    fn read(batch: &Batch) -> Result<Vec<(Offset, MetadataRecord)>, LoadError> {
        records(batch, |record| {
            let value = record.value.as_ref().ok_or("a metadata record without a value")?;
            MetadataRecord::decode(value).map(Some).map_err(|error| error.to_string())
        })
    }
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

    fn read(batch: &Batch) -> Result<Vec<(Offset, transaction::Record)>, LoadError> {
        records(batch, |record| {
            let key = record.key.as_ref().ok_or("a transaction record without a key")?;
            transaction::Record::decode(key, record.value.as_ref()).map_err(|error| error.to_string())
        })
    }
}

impl Journal for GroupCoordinator {
    /// One decision writes for one purpose: plain records, those of one producer's transaction, or its end.
    fn batch(records: &[Record], now: Timestamp) -> Batch {
        if let [Record::TransactionEnded { producer, outcome, coordinator_epoch }] = records {
            let committed = *outcome == Outcome::Commit;
            let end = EndTransaction { committed, coordinator_epoch: coordinator_epoch.0 };
            return end.to_batch(now, producer.id, producer.epoch);
        }
        let author = records.first().and_then(producer);
        assert!(records.iter().all(|record| producer(record) == author), "one decision writes for one producer");
        assert!(!records.iter().any(|record| matches!(record, Record::TransactionEnded { .. })), "an end stands alone");
        let mut builder = Builder::new(settings(author));
        for encoded in records.iter().filter_map(Record::encode) {
            let (key, value) = (Some(&encoded.key[..]), encoded.value.as_deref());
            builder.append(&Entry { timestamp: now, key, value, headers: &[] }).expect(FITS);
        }
        builder.finish()
    }

    fn read(batch: &Batch) -> Result<Vec<(Offset, Record)>, LoadError> {
        let header = batch.header();
        let producer = Producer { id: header.producer_id, epoch: header.producer_epoch };
        if header.attributes.is_control() {
            return ends(batch, producer);
        }
        let producer = header.attributes.is_transactional().then_some(producer);
        records(batch, |record| {
            let key = record.key.as_ref().ok_or("a group record without a key")?;
            let read = Record::decode(key, record.value.as_ref(), producer);
            read.map_err(|error| error.to_string())
        })
    }
}

/// Whose transaction a record is part of.
fn producer(record: &Record) -> Option<Producer> {
    match record {
        Record::Offset { producer, .. } => *producer,
        Record::Group { .. } | Record::TransactionEnded { .. } => None,
    }
}

/// How a batch of that producer's transaction is packed; it has no sequence.
pub(crate) fn settings(producer: Option<Producer>) -> Settings {
    let author = |Producer { id, epoch }| encode::Producer { id, epoch, base_sequence: NO_SEQUENCE };
    Settings { producer: producer.map(author), transactional: producer.is_some(), ..Settings::default() }
}

/// The end of a transaction that a control batch tells of. One that compaction has emptied tells of none.
fn ends(batch: &Batch, producer: Producer) -> Result<Vec<(Offset, Record)>, LoadError> {
    let mut found = vec![];
    for record in batch.records(Budget::default())? {
        let record = record?;
        let Some(end) = EndTransaction::of(&ControlRecord::of(&record)?)? else { continue };
        let outcome = if end.committed { Outcome::Commit } else { Outcome::Abort };
        let coordinator_epoch = LeaderEpoch(end.coordinator_epoch);
        found.push((record.offset, Record::TransactionEnded { producer, outcome, coordinator_epoch }));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use dohle_base::{ProducerEpoch, ProducerId};

    use super::*;

    fn there_and_back(record: Record) {
        let batch = GroupCoordinator::batch(std::slice::from_ref(&record), Timestamp(7));
        assert_eq!(GroupCoordinator::read(&batch).unwrap(), [(Offset(0), record)]);
    }

    #[test]
    fn the_end_of_a_transaction_is_a_control_record_between_the_others() {
        let producer = Producer { id: ProducerId(5), epoch: ProducerEpoch(3) };
        for outcome in [Outcome::Commit, Outcome::Abort] {
            there_and_back(Record::TransactionEnded { producer, outcome, coordinator_epoch: LeaderEpoch(2) });
        }
    }
}
