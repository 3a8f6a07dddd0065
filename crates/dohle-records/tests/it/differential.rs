//! The same records through another implementation, the `kafka-protocol` crate, in both directions.

use bytes::{Bytes, BytesMut};
use dohle_base::{Offset, ProducerEpoch, ProducerId, Rng};
use dohle_records::batch::encode::{Producer, Settings};
use dohle_records::{Batches, Budget, Codec, Compression};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression as TheirCompression, Record as TheirRecord, RecordBatchDecoder, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType,
};

use crate::support::{Draft, batch, draw};

const PRODUCER: Producer = Producer { id: ProducerId(12), epoch: ProducerEpoch(3), base_sequence: 40 };

fn theirs(codec: Codec) -> TheirCompression {
    match codec {
        Codec::None => TheirCompression::None,
        Codec::Gzip => TheirCompression::Gzip,
        Codec::Snappy => TheirCompression::Snappy,
        Codec::Lz4 => TheirCompression::Lz4,
        Codec::Zstd => TheirCompression::Zstd,
    }
}

/// Records whose header names do not repeat: the other implementation keeps headers in a map.
fn drafts(rng: &mut Rng) -> Vec<Draft> {
    let mut drafts = draw(rng, 30, 500);
    for draft in &mut drafts {
        draft.headers.sort();
        draft.headers.dedup_by(|a, b| a.0 == b.0);
    }
    drafts
}

fn of_theirs(record: &TheirRecord) -> Draft {
    let owned = |bytes: &Bytes| bytes.to_vec();
    Draft {
        timestamp: record.timestamp,
        key: record.key.as_ref().map(owned),
        value: record.value.as_ref().map(owned),
        headers: record.headers.iter().map(|(key, value)| (key.to_string(), value.as_ref().map(owned))).collect(),
    }
}

fn to_theirs(place: usize, draft: &Draft) -> TheirRecord {
    let headers =
        draft.headers.iter().map(|(key, value)| (StrBytes::from_string(key.clone()), value.clone().map(Bytes::from)));
    TheirRecord {
        transactional: true,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: PRODUCER.id.0,
        producer_epoch: PRODUCER.epoch.0,
        timestamp_type: TimestampType::Creation,
        offset: place as i64,
        sequence: PRODUCER.base_sequence + place as i32,
        timestamp: draft.timestamp,
        key: draft.key.clone().map(Bytes::from),
        value: draft.value.clone().map(Bytes::from),
        headers: headers.collect::<IndexMap<_, _>>(),
    }
}

#[test]
fn what_we_write_another_implementation_reads() {
    let mut rng = Rng::new(11);
    for _ in 0..40 {
        let drafts = drafts(&mut rng);
        for codec in Codec::ALL {
            let compression = Compression::of(codec);
            let base_offset = Offset(rng.below(1 << 50) as i64);
            let settings = Settings {
                compression,
                base_offset,
                producer: Some(PRODUCER),
                transactional: true,
                ..Settings::default()
            };
            let written = batch(settings, &drafts);
            let read = RecordBatchDecoder::decode(&mut written.bytes().clone()).unwrap();
            assert!(read.records.iter().map(of_theirs).eq(drafts.iter().cloned()), "{codec}");
            let places = read.records.iter().map(|record| (record.offset, record.sequence));
            assert!(places.eq((0..drafts.len()).map(|place| (base_offset.0 + place as i64, 40 + place as i32))));
        }
    }
}

#[test]
fn what_another_implementation_writes_we_read() {
    let mut rng = Rng::new(12);
    for _ in 0..40 {
        let drafts = drafts(&mut rng);
        let records: Vec<_> = drafts.iter().enumerate().map(|(place, draft)| to_theirs(place, draft)).collect();
        for codec in Codec::ALL {
            let mut written = BytesMut::new();
            let options = RecordEncodeOptions { version: 2, compression: theirs(codec) };
            RecordBatchEncoder::encode(&mut written, &records, &options).unwrap();
            let mut read = vec![];
            for batch in Batches::over(written.freeze()).map(Result::unwrap) {
                assert!(batch.is_intact());
                assert!(batch.header().attributes.is_transactional());
                assert_eq!(batch.header().producer_id, PRODUCER.id);
                read.extend(batch.records(Budget::default()).unwrap().map(|record| Draft::of(&record.unwrap())));
            }
            assert_eq!(read, drafts, "{codec}");
        }
    }
}
