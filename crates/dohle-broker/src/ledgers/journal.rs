//! How each machine's records stand in its log.

use dohle_base::{Offset, Timestamp};
use dohle_coordinator::{GroupCoordinator, Producer};
use dohle_metadata::controller::{self, Controller};
use dohle_protocol::record::MetadataRecord;
use dohle_records::Batch;
use dohle_records::batch::encode::{Builder, Entry, Settings};

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

impl Journal for GroupCoordinator {
    fn batch(records: &[dohle_coordinator::Record], now: Timestamp) -> Batch {
        let mut builder = Builder::new(Settings::default());
        for encoded in records.iter().filter_map(dohle_coordinator::Record::encode) {
            let (key, value) = (Some(&encoded.key[..]), encoded.value.as_deref());
            builder.append(&Entry { timestamp: now, key, value, headers: &[] }).expect(FITS);
        }
        builder.finish()
    }

    fn read(batch: &Batch) -> Result<Vec<(Offset, dohle_coordinator::Record)>, LoadError> {
        let header = batch.header();
        let producer = Producer { id: header.producer_id, epoch: header.producer_epoch };
        let producer = header.attributes.is_transactional().then_some(producer);
        records(batch, |record| {
            let key = record.key.as_ref().ok_or("a group record without a key")?;
            let read = dohle_coordinator::Record::decode(key, record.value.as_ref(), producer);
            read.map_err(|error| error.to_string())
        })
    }
}
