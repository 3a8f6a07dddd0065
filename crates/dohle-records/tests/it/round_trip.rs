//! What is written is read, through every codec and from one to another.

use bytes::{Bytes, BytesMut};
use dohle_base::{LeaderEpoch, Offset, Rng, Timestamp};
use dohle_records::batch::decode::Malformed;
use dohle_records::batch::encode::{Builder, Settings};
use dohle_records::batch::stamp::{Stamp, Time};
use dohle_records::{Batch, Batches, Budget, Codec, Compression, TimestampType};

use crate::support::{Draft, batch, draw, fill, packed, unpacked};

#[test]
fn records_come_back_from_every_codec_and_every_other_codec_behind_it() {
    let mut rng = Rng::new(1);
    for round in 0..40 {
        let drafts = draw(&mut rng, 60, if round % 8 == 0 { 50_000 } else { 300 });
        for codec in Codec::ALL {
            let batch = packed(codec, &drafts);
            assert!(batch.is_intact());
            assert_eq!(batch.header().record_count as usize, drafts.len());
            assert_eq!(unpacked(&batch), drafts, "round {round}, {codec}");
            for other in Codec::ALL {
                let again = batch.recompress(Compression::of(other), Budget::default()).unwrap();
                assert!(again.is_intact());
                assert_eq!(unpacked(&again), drafts, "round {round}, {codec} to {other}");
            }
            let plain = batch.recompress(Compression::NONE, Budget::default()).unwrap();
            assert_eq!(plain, packed(Codec::None, &drafts), "round {round}, {codec}");
        }
    }
}

#[test]
fn every_level_of_kafka_packs() {
    let drafts = draw(&mut Rng::new(2), 50, 2_000);
    let levels =
        [(Codec::Gzip, vec![-1, 1, 9]), (Codec::Lz4, vec![1, 9, 17]), (Codec::Zstd, vec![-131_072, -1, 1, 3, 19, 22])];
    for (codec, levels) in levels {
        for level in levels {
            let compression = Compression::at_level(codec, level).unwrap();
            let batch = batch(Settings { compression, ..Settings::default() }, &drafts);
            assert_eq!(unpacked(&batch), drafts, "{codec} at {level}");
        }
    }
    let unheard = [(Codec::Gzip, 0), (Codec::Gzip, 10), (Codec::Lz4, 0), (Codec::Lz4, 18), (Codec::Zstd, 23)];
    assert!(unheard.into_iter().all(|(codec, level)| Compression::at_level(codec, level).is_err()));
}

#[test]
fn a_record_larger_than_any_buffer_passes() {
    let mut value = vec![0; 3 << 20];
    Rng::new(3).fill(&mut value);
    let drafts = [Draft { value: Some(value), ..Draft::default() }, Draft::new(1, "k", "v")];
    for codec in Codec::ALL {
        assert_eq!(unpacked(&packed(codec, &drafts)), drafts, "{codec}");
    }
}

#[test]
fn sizes_are_told_while_a_batch_grows() {
    let drafts = draw(&mut Rng::new(4), 500, 400);
    for codec in Codec::ALL {
        let mut builder = Builder::new(Settings { compression: Compression::of(codec), ..Settings::default() });
        assert!(builder.is_empty());
        fill(&mut builder, &drafts);
        let (unpacked, written, count) = (builder.bytes_unpacked(), builder.bytes_written(), builder.len());
        let size = builder.finish().header().size_in_bytes();
        assert_eq!(count, drafts.len());
        assert!(written <= size && size <= unpacked + 200, "{codec}: {written} {size} {unpacked}");
        assert_eq!(codec == Codec::None, unpacked == size);
    }
}

#[test]
fn what_is_not_packed_is_not_copied() {
    let batch = packed(Codec::None, &[Draft::new(1, "key", "value")]);
    let record = batch.records(Budget::default()).unwrap().next().unwrap().unwrap();
    let within = batch.bytes().as_ptr_range();
    assert!(within.contains(&record.key.unwrap().as_ptr()));
    assert!(within.contains(&record.value.unwrap().as_ptr()));
    let stamp = Stamp { base_offset: Offset(9), leader_epoch: LeaderEpoch(1), time: Time::Append(Timestamp(7)) };
    assert!(within.contains(&batch.stamp(&stamp).tail.as_ptr()));
}

#[test]
fn a_stamp_changes_the_header_and_nothing_else() {
    let drafts = draw(&mut Rng::new(5), 20, 100);
    for codec in Codec::ALL {
        let batch = packed(codec, &drafts);
        let before = batch.clone();
        let stamp = |time| {
            let stamped = batch.stamp(&Stamp { base_offset: Offset(1 << 40), leader_epoch: LeaderEpoch(77), time });
            let whole = Batch::first(&stamped.to_bytes()).unwrap().unwrap();
            assert!(whole.is_intact());
            assert_eq!(stamped.size_in_bytes(), whole.bytes().len());
            assert_eq!(*whole.header(), stamped.header);
            assert_eq!(whole.body(), batch.body());
            assert_eq!((whole.header().base_offset, whole.header().leader_epoch), (Offset(1 << 40), LeaderEpoch(77)));
            whole
        };
        let kept = stamp(Time::Kept);
        assert_eq!(kept.header().crc, batch.header().crc);
        assert_eq!(unpacked(&kept), drafts);
        let largest = stamp(Time::Largest(Timestamp(3)));
        assert_eq!(largest.header().max_timestamp, Timestamp(3));
        assert_eq!(unpacked(&largest), drafts);
        let appended = stamp(Time::Append(Timestamp(4)));
        assert_eq!(appended.header().attributes.timestamp_type(), TimestampType::LogAppend);
        assert!(unpacked(&appended).iter().all(|draft| draft.timestamp == 4));
        assert_eq!(batch, before);
    }
}

#[test]
fn batches_are_walked_up_to_one_that_is_cut_off() {
    let one = packed(Codec::None, &[Draft::new(1, "k", "v")]);
    let two = packed(Codec::Zstd, &[Draft::new(2, "kk", "vv")]);
    let whole: BytesMut = [one.bytes(), two.bytes(), one.bytes()].into_iter().flatten().copied().collect();
    let whole = whole.freeze();
    let first_two = one.bytes().len() + two.bytes().len();
    for cut in first_two..whole.len() {
        let mut batches = Batches::over(whole.slice(..cut));
        let walked: Vec<Batch> = batches.by_ref().map(Result::unwrap).collect();
        assert_eq!(walked, [one.clone(), two.clone()]);
        assert_eq!(batches.rest().len(), cut - first_two);
    }
    assert_eq!(Batches::over(whole).count(), 3);
    assert_eq!(Batches::over(Bytes::new()).count(), 0);
}

#[test]
fn an_iterator_that_failed_stays_failed() {
    let mut records = packed(Codec::None, &[Draft::new(1, "k", "v")]).body().to_vec();
    records.push(0);
    let batch = crate::support::with_body(Codec::None, 1, &records);
    let mut records = batch.records(Budget::default()).unwrap();
    assert_eq!(records.left(), 1);
    assert_eq!(records.next(), Some(Err(Malformed::Trailing)));
    assert_eq!(records.next(), None);
    assert_eq!(records.left(), 0);
}
