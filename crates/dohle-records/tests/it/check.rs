//! What a producer may send, and the code that it gets for anything else.

use bytes::Bytes;
use dohle_base::{ErrorCode, Offset, ProducerEpoch, ProducerId, Timestamp};
use dohle_records::batch::check::{self, Limits, Refusal};
use dohle_records::batch::encode::{Producer, Settings};
use dohle_records::batch::header::{self, Header, Unreadable};
use dohle_records::{Attributes, Batch, Batches, Codec, TimestampType};

use crate::support::{Draft, batch, packed, with_header};

const LIMITS: Limits = Limits { batch_bytes_max: 1_000, segment_bytes_max: 10_000, zstd: true };

fn sound() -> Batch {
    let producer = Some(Producer { id: ProducerId(1), epoch: ProducerEpoch(0), base_sequence: 0 });
    batch(Settings { producer, ..Settings::default() }, &[Draft::new(1, "a", "b"), Draft::new(2, "c", "d")])
}

fn refused(bytes: &Bytes) -> ErrorCode {
    check::check(bytes, &LIMITS).unwrap_err().code()
}

#[test]
fn a_sound_batch_is_taken_as_it_is() {
    for batch in Codec::ALL.map(|codec| packed(codec, &[Draft::new(1, "k", "v")])).into_iter().chain([sound()]) {
        assert_eq!(check::check(batch.bytes(), &LIMITS).as_ref(), Ok(&batch));
    }
}

#[test]
fn what_only_a_broker_may_claim_is_refused() {
    let header = *sound().header();
    let attributes = header.attributes;
    let cases: [(Header, ErrorCode); 14] = [
        (Header { base_offset: Offset(1), ..header }, ErrorCode::InvalidRecord),
        (Header { record_count: 1, ..header }, ErrorCode::InvalidRecord),
        (Header { record_count: 0, last_offset_delta: -1, ..header }, ErrorCode::InvalidRecord),
        (Header { record_count: -5, last_offset_delta: -6, ..header }, ErrorCode::InvalidRecord),
        (Header { record_count: i32::MIN, last_offset_delta: i32::MAX, ..header }, ErrorCode::InvalidRecord),
        (Header { attributes: attributes.with_control(true), ..header }, ErrorCode::InvalidRecord),
        (Header { attributes: attributes.with_delete_horizon(true), ..header }, ErrorCode::InvalidRecord),
        (Header { base_sequence: -1, ..header }, ErrorCode::InvalidRecord),
        (Header { producer_epoch: ProducerEpoch(-1), ..header }, ErrorCode::InvalidRecord),
        (
            Header { producer_id: ProducerId(-1), attributes: attributes.with_transactional(true), ..header },
            ErrorCode::InvalidRecord,
        ),
        (Header { base_timestamp: Timestamp(-2), ..header }, ErrorCode::InvalidRecord),
        (Header { max_timestamp: Timestamp(i64::MIN), ..header }, ErrorCode::InvalidRecord),
        (
            Header { attributes: attributes.with_timestamp_type(TimestampType::LogAppend), ..header },
            ErrorCode::InvalidTimestamp,
        ),
        (Header { attributes: Attributes(attributes.0 | 7), ..header }, ErrorCode::UnsupportedCompressionType),
    ];
    for (header, code) in cases {
        assert_eq!(refused(with_header(&header, &sound().body()).bytes()), code, "{header:?}");
    }
}

#[test]
fn what_is_not_exactly_one_batch_is_refused() {
    let batch = sound();
    assert_eq!(refused(&Bytes::new()), ErrorCode::InvalidRecord);
    for cut in 0..batch.bytes().len() {
        assert_eq!(refused(&batch.bytes().slice(..cut)), ErrorCode::InvalidRecord, "cut at {cut}");
    }
    let behind = |more: &[u8]| refused(&[batch.bytes(), more].concat().into());
    for more in [&b"\0"[..], &batch.bytes()[..30], batch.bytes()] {
        assert_eq!(behind(more), ErrorCode::InvalidRecord);
    }
    assert_eq!(behind(&[0; 12]), ErrorCode::CorruptMessage);
}

#[test]
fn other_formats_and_impossible_lengths_have_their_codes() {
    let changed = |at: usize, to: &[u8]| {
        let mut bytes = sound().bytes().to_vec();
        bytes[at..at + to.len()].copy_from_slice(to);
        refused(&bytes.into())
    };
    for (magic, code) in [(0, ErrorCode::InvalidRecord), (1, ErrorCode::InvalidRecord), (3, ErrorCode::CorruptMessage)]
    {
        assert_eq!(changed(16, &[magic]), code);
    }
    let size = sound().bytes().len() as i32;
    for length in [i32::MIN, -1, 0, 13, 14, 48, 49, size - 13] {
        assert_eq!(changed(8, &length.to_be_bytes()), ErrorCode::CorruptMessage, "length {length}");
    }
    for length in [1_000, i32::MAX] {
        assert_eq!(changed(8, &length.to_be_bytes()), ErrorCode::InvalidRecord, "length {length}");
    }
}

#[test]
fn limits_are_inclusive() {
    let bytes = sound().bytes().clone();
    let size = bytes.len();
    let code = |limits| check::check(&bytes, &limits).map_err(Refusal::code).err();
    assert_eq!(code(Limits { batch_bytes_max: size, segment_bytes_max: size, zstd: false }), None);
    assert_eq!(code(Limits { batch_bytes_max: size - 1, ..LIMITS }), Some(ErrorCode::MessageTooLarge));
    assert_eq!(code(Limits { segment_bytes_max: size - 1, ..LIMITS }), Some(ErrorCode::RecordListTooLarge));
    let zstd = packed(Codec::Zstd, &[Draft::new(1, "k", "v")]);
    let old = check::check(zstd.bytes(), &Limits { zstd: false, ..LIMITS });
    assert_eq!(old, Err(Refusal::ZstdTooNew));
    assert_eq!(Refusal::ZstdTooNew.code(), ErrorCode::UnsupportedCompressionType);
}

#[test]
fn every_changed_bit_is_noticed_but_in_the_epoch_that_the_broker_writes() {
    for batch in [sound(), packed(Codec::Lz4, &[Draft::new(1, "key", "value")])] {
        for bit in 0..batch.bytes().len() * 8 {
            let mut bytes = batch.bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let taken = check::check(&bytes.into(), &LIMITS).is_ok();
            assert_eq!(taken, (12..16).contains(&(bit / 8)), "bit {bit}");
        }
    }
}

#[test]
fn the_walk_over_batches_stops_at_garbage() {
    let batch = sound();
    for (garbage, error) in [(&[0; 20][..], Unreadable::Length(0)), (&[255; 20][..], Unreadable::Length(-1))] {
        let mut batches = Batches::over([batch.bytes(), garbage].concat().into());
        assert_eq!(batches.next(), Some(Ok(batch.clone())));
        assert_eq!(batches.next(), Some(Err(error)));
        assert_eq!(batches.next(), None);
    }
}

#[test]
fn a_size_is_told_from_the_first_bytes() {
    let batch = sound();
    for there in 0..batch.bytes().len() {
        let told = (there >= header::PREFIX_BYTES).then_some(batch.bytes().len());
        assert_eq!(header::size(&batch.bytes()[..there]), Ok(told));
    }
    assert_eq!(Header::parse(&batch.bytes()[..61]), Ok(*batch.header()));
    assert_eq!(Header::parse(&batch.bytes()[..60]), Err(Unreadable::Cut));
}
