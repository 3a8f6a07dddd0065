//! Batches as Kafka's own classes wrote them (`MemoryRecordsBuilder` of kafka-clients 4.4.0, with the codecs' Java
//! libraries).

use std::collections::BTreeMap;

use bytes::Bytes;
use dohle_base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use dohle_records::batch::encode::{Builder, Producer, Settings};
use dohle_records::batch::header::NO_SEQUENCE;
use dohle_records::batch::stamp::{Stamp, Time};
use dohle_records::control::{self, ControlRecord, EndTransaction, Kind};
use dohle_records::{Batch, Budget, Codec};

use crate::support::{Draft, batch, packed, unpacked};

/// One line a batch: its name and its bytes in hexadecimal.
const KAFKA: &str = include_str!("../golden/kafka-clients-4.4.0.txt");

fn golden() -> BTreeMap<&'static str, Bytes> {
    KAFKA.lines().map(|line| line.split_once(' ').unwrap()).map(|(name, hex)| (name, bytes(hex))).collect()
}

fn bytes(hex: &str) -> Bytes {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn read(bytes: &Bytes) -> Batch {
    let batch = Batch::first(bytes).unwrap().unwrap();
    assert!(batch.is_intact());
    assert_eq!(batch.bytes(), bytes);
    assert_eq!(batch.header().to_bytes()[..], bytes[..61]);
    batch
}

/// What the batches `fields` and, with one more, those named after a codec hold.
fn fields() -> Vec<Draft> {
    let header = |key: &str, value: Option<&str>| (key.to_owned(), value.map(|value| value.as_bytes().to_vec()));
    let headers = vec![header("h1", Some("x")), header("h2", None), header("h1", Some(""))];
    vec![
        Draft { headers, ..Draft::new(1_700_000_000_000, "key-0", "value-0") },
        Draft { key: None, ..Draft::new(1_700_000_000_007, "", "value-1") },
        Draft { value: None, ..Draft::new(1_699_999_999_995, "key-2", "") },
        Draft { headers: vec![header("", Some("ä€"))], ..Draft::new(1_700_000_000_005, "", "") },
    ]
}

#[test]
fn what_kafka_packed_with_each_codec_is_read() {
    let long = Draft::new(1_700_000_000_003, "key-4", &"dohle ".repeat(12_000));
    let expected = [fields(), vec![long]].concat();
    for codec in &Codec::ALL[1..] {
        let kafka = read(&golden()[codec.name()]);
        assert_eq!(kafka.header().attributes.codec(), Ok(*codec));
        assert_eq!(kafka.header().max_timestamp, Timestamp(1_700_000_000_007));
        assert_eq!(unpacked(&kafka), expected, "{codec}");
        assert_eq!(unpacked(&packed(*codec, &expected)), expected, "{codec}");
    }
}

#[test]
fn our_framing_of_snappy_and_lz4_is_that_of_kafka() {
    let long = Draft::new(1_700_000_000_003, "key-4", &"dohle ".repeat(12_000));
    let drafts = [fields(), vec![long]].concat();
    for (codec, framing_bytes) in [(Codec::Snappy, 16), (Codec::Lz4, 7)] {
        let kafka = read(&golden()[codec.name()]).body();
        let ours = packed(codec, &drafts).body();
        assert_eq!(ours[..framing_bytes], kafka[..framing_bytes], "{codec}");
    }
}

#[test]
fn what_is_not_packed_is_written_as_kafka_writes_it() {
    let golden = golden();
    let is = |name: &str, batch: &Batch| {
        assert_eq!(read(&golden[name]), *batch, "{name}");
        assert_eq!(golden[name], batch.bytes(), "{name}");
    };
    is("plain", &packed(Codec::None, &[Draft::new(1_700_000_000_000, "k", "v")]));
    is("fields", &packed(Codec::None, &fields()));
    let two = [Draft::new(5, "a", "b"), Draft::new(6, "c", "d")];
    let producer = Producer { id: ProducerId(4711), epoch: ProducerEpoch(3), base_sequence: 17 };
    let placed = Settings {
        base_offset: Offset(42),
        leader_epoch: LeaderEpoch(9),
        producer: Some(producer),
        ..Settings::default()
    };
    is("idempotent", &batch(placed, &two));
    let last = Some(Producer { base_sequence: i32::MAX, ..producer });
    is("transactional", &batch(Settings { producer: last, transactional: true, ..placed }, &two));
    let appended = Settings {
        base_offset: Offset(100),
        leader_epoch: LeaderEpoch(2),
        append_time: Some(Timestamp(1_234_567_890_123)),
        ..Settings::default()
    };
    is("append-time", &batch(appended, &two));
    let original = *batch(placed, &[two.to_vec(), vec![Draft::new(1_700_000_000_007, "e", "f")]].concat()).header();
    is("emptied", &Builder::new(placed).finish_in_place_of(&original));
}

#[test]
fn a_sequence_starts_over_behind_the_largest() {
    let batch = read(&golden()["transactional"]);
    assert_eq!((batch.header().base_sequence, batch.header().last_sequence()), (i32::MAX, 0));
    let batch = read(&golden()["idempotent"]);
    assert_eq!((batch.header().base_sequence, batch.header().last_sequence()), (17, 18));
    assert_eq!((batch.header().last_offset(), batch.header().next_offset()), (Offset(43), Offset(44)));
    assert_eq!(read(&golden()["plain"]).header().last_sequence(), NO_SEQUENCE);
}

#[test]
fn the_time_of_the_append_counts_where_the_batch_says_so() {
    let times = unpacked(&read(&golden()["append-time"])).into_iter().map(|draft| draft.timestamp);
    assert!(times.eq([1_234_567_890_123; 2]));
}

fn controls(batch: &Batch) -> Vec<ControlRecord> {
    assert!(batch.header().attributes.is_control());
    let records = batch.records(Budget::default()).unwrap();
    records.map(|record| ControlRecord::of(&record.unwrap()).unwrap()).collect()
}

#[test]
fn transaction_markers_are_read_and_written_as_kafka_does() {
    for (name, committed) in [("commit", true), ("abort", false)] {
        let kafka = read(&golden()[name]);
        let marker = EndTransaction { committed, coordinator_epoch: 11 };
        let record = controls(&kafka).remove(0);
        assert_eq!(EndTransaction::of(&record), Ok(Some(marker)));
        let ours = marker.to_batch(Timestamp(1_700_000_000_000), ProducerId(4711), ProducerEpoch(3));
        let stamp = Stamp { base_offset: Offset(7), leader_epoch: LeaderEpoch(5), time: Time::Kept };
        assert_eq!(ours.stamp(&stamp).to_bytes(), kafka.bytes());
    }
}

#[test]
fn the_quorums_control_records_are_told_apart_and_rewritten() {
    let expected = [
        ("leader-change", vec![Kind::LeaderChange]),
        ("snapshot", vec![Kind::SnapshotHeader, Kind::KRaftVersion, Kind::KRaftVoters, Kind::SnapshotFooter]),
    ];
    for (name, kinds) in expected {
        let kafka = read(&golden()[name]);
        let records = controls(&kafka);
        assert!(records.iter().map(|record| record.kind).eq(kinds));
        assert!(records.iter().all(|record| EndTransaction::of(record) == Ok(None)));
        let settings = Settings { control: true, leader_epoch: LeaderEpoch(1), ..Settings::default() };
        let mut builder = Builder::new(settings);
        for record in &records {
            control::append(&mut builder, Timestamp(1_700_000_000_000), record.kind, &record.value).unwrap();
        }
        assert_eq!(builder.finish().bytes(), kafka.bytes());
    }
}
