//! Batches of which compaction took records away.

use dohle_base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use dohle_records::batch::encode::{Builder, Producer, Settings};
use dohle_records::batch::stamp::{Stamp, Time};
use dohle_records::{Batch, Budget, Codec, Compression};

use crate::support::{Draft, batch};

fn original() -> Batch {
    let settings = Settings {
        compression: Compression::of(Codec::Lz4),
        base_offset: Offset(100),
        producer: Some(Producer { id: ProducerId(7), epoch: ProducerEpoch(1), base_sequence: 30 }),
        ..Settings::default()
    };
    let headers = vec![("h".to_owned(), Some(b"v".to_vec())), (String::new(), None)];
    let drafts = (0..10).map(|number| Draft { headers: headers.clone(), ..Draft::new(1_000 + number, "k", "v") });
    batch(settings, &drafts.collect::<Vec<_>>())
}

fn keep(settings: Settings, original: &Batch, kept: &[i64]) -> Batch {
    let mut builder = Builder::new(settings);
    for record in original.records(Budget::default()).unwrap().map(Result::unwrap) {
        if kept.contains(&record.offset.0) {
            builder.append_record(&record).unwrap();
        }
    }
    builder.finish_in_place_of(original.header())
}

#[test]
fn what_is_left_of_a_batch_keeps_its_place_and_its_sequence() {
    let original = original();
    let settings = Settings::like(original.header()).unwrap();
    let left = keep(settings, &original, &[103, 107]);
    let kept: Vec<_> = left.records(Budget::default()).unwrap().map(Result::unwrap).collect();
    let expected = original.records(Budget::default()).unwrap().map(Result::unwrap);
    let expected: Vec<_> = expected.filter(|record| [103, 107].contains(&record.offset.0)).collect();
    assert_eq!(kept, expected);
    let (now, then) = (left.header(), original.header());
    assert_eq!((now.base_offset, now.last_offset(), now.record_count), (then.base_offset, then.last_offset(), 2));
    assert_eq!((now.base_sequence, now.last_sequence()), (then.base_sequence, then.last_sequence()));
    assert_eq!((now.base_timestamp, now.max_timestamp), (Timestamp(1_003), Timestamp(1_007)));
}

#[test]
fn a_batch_that_lost_all_records_keeps_its_place_and_its_time() {
    let original = original();
    let settings = Settings::like(original.header()).unwrap();
    let left = keep(Settings { compression: Compression::NONE, ..settings }, &original, &[]);
    assert_eq!(left.bytes().len(), 61);
    assert_eq!(left.records(Budget::default()).unwrap().count(), 0);
    assert_eq!(left.header().last_offset(), original.header().last_offset());
    assert_eq!(left.header().max_timestamp, original.header().max_timestamp);
    assert_eq!(left.header().base_timestamp, Timestamp::NONE);
}

#[test]
fn a_delete_horizon_takes_the_place_of_the_base_timestamp() {
    let original = original();
    let settings = Settings::like(original.header()).unwrap();
    let horizon = Timestamp(999_999);
    let left = keep(Settings { delete_horizon: Some(horizon), ..settings }, &original, &[101]);
    assert_eq!(left.header().delete_horizon(), Some(horizon));
    let record = left.records(Budget::default()).unwrap().next().unwrap().unwrap();
    assert_eq!((record.offset, record.timestamp), (Offset(101), Timestamp(1_001)));
    assert_eq!(original.header().delete_horizon(), None);
}

#[test]
fn the_time_of_the_append_outlives_the_records() {
    let header = *original().header();
    let stamp = Stamp { base_offset: Offset(100), leader_epoch: LeaderEpoch(4), time: Time::Append(Timestamp(77)) };
    let appended = Batch::first(&original().stamp(&stamp).to_bytes()).unwrap().unwrap();
    for kept in [&[104][..], &[]] {
        let left = keep(Settings::like(appended.header()).unwrap(), &appended, kept);
        let now = left.header();
        assert_eq!((now.max_timestamp, now.leader_epoch), (Timestamp(77), LeaderEpoch(4)));
        assert_eq!(now.attributes, appended.header().attributes);
        assert_ne!(now.attributes, header.attributes);
        assert!(left.records(Budget::default()).unwrap().all(|record| record.unwrap().timestamp == Timestamp(77)));
    }
}
