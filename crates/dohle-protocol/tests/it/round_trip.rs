//! Every message in every version gives back the bytes that its schema says.

use bytes::{Buf, Bytes};
use dohle_base::{Rng, Uuid};
use dohle_protocol::message::fetch::{FetchableTopicResponse, PartitionData, ReplicaState};
use dohle_protocol::message::{FetchRequest, FetchResponse, JoinGroupRequest, MetadataRequest};
use dohle_protocol::{DecodeError, EncodeError, Message, Reader, Rope, Str};

use super::subject::subjects;

const SEEDS: u64 = 24;

#[test]
fn every_message_in_every_version_gives_back_its_bytes() {
    let mut versions = 0;
    for subject in subjects() {
        for version in subject.versions() {
            versions += 1;
            for seed in 0..SEEDS {
                let sample = subject.sample(version, &mut Rng::new(seed));
                let place = || format!("{} {version} seed {seed}", subject.message.name);
                let again =
                    subject.again(&sample.bytes, version).unwrap_or_else(|refusal| panic!("{}: {refusal}", place()));
                assert_eq!(again[..], sample.bytes[..], "{}", place());
            }
        }
    }
    assert!(versions > 500, "only {versions} versions were tried");
}

#[test]
fn a_message_cut_short_anywhere_is_refused() {
    for subject in subjects() {
        for version in subject.versions() {
            let sample = subject.sample(version, &mut Rng::new(3));
            for length in 0..sample.bytes.len() {
                let cut = subject.again(&sample.bytes[..length], version);
                assert!(cut.is_err(), "{} {version} cut at {length}", subject.message.name);
            }
        }
    }
}

fn encoded(message: &impl Message, version: i16) -> Result<Bytes, EncodeError> {
    let mut rope = Rope::new();
    message.encode(&mut rope, version)?;
    Ok(rope.into_bytes())
}

#[test]
fn a_value_that_a_version_cannot_carry_is_refused() {
    let state = ReplicaState { replica_id: 7, ..ReplicaState::default() };
    let request = FetchRequest { replica_state: state, ..FetchRequest::default() };
    let field = "FetchRequest.replica_state";
    assert_eq!(encoded(&request, 14), Err(EncodeError::Unrepresentable { field, version: 14 }));
    encoded(&request, 15).unwrap();
}

#[test]
fn an_ignorable_value_is_dropped_where_it_cannot_be_carried() {
    let request = FetchRequest { rack_id: Str::from_static("a"), ..FetchRequest::default() };
    assert_eq!(encoded(&request, 10), encoded(&FetchRequest::default(), 10));
}

#[test]
fn null_is_refused_where_the_version_has_none() {
    let request = MetadataRequest { topics: None, ..MetadataRequest::default() };
    assert_eq!(encoded(&request, 0), Err(EncodeError::Null { field: "MetadataRequest.topics" }));
    assert_eq!(encoded(&request, 1).unwrap()[..], [255; 4]);
    let mut reader = Reader::new(Bytes::from_static(&[255; 4]));
    assert_eq!(MetadataRequest::decode(&mut reader, 0), Err(DecodeError::Null { at: 0 }));
}

#[test]
fn a_version_that_does_not_exist_is_refused_by_name() {
    let refusal = encoded(&JoinGroupRequest::default(), 99).unwrap_err();
    assert_eq!(refusal.to_string(), "JoinGroupRequest has no version 99, only 0-9");
    let refusal = FetchRequest::decode(&mut Reader::new(Bytes::new()), 3).unwrap_err();
    assert_eq!(refusal.to_string(), "FetchRequest has no version 3, only 4-18");
}

fn answer_with(records: &[Bytes]) -> FetchResponse {
    let partition =
        |records: &Bytes| PartitionData { records: Some(records.clone().into()), ..PartitionData::default() };
    let partitions = records.iter().map(partition).collect();
    let topic = FetchableTopicResponse { topic_id: Uuid([7; 16]), partitions, ..FetchableTopicResponse::default() };
    FetchResponse { responses: vec![topic], ..FetchResponse::default() }
}

#[test]
fn records_are_sent_from_where_they_lie() {
    let records = [Bytes::from(vec![1; 100_000]), Bytes::from_static(b"few"), Bytes::from(vec![2; 50_000])];
    let mut rope = Rope::frame();
    answer_with(&records).encode(&mut rope, 16).unwrap();
    let pieces = rope.seal().unwrap();
    assert_eq!(pieces.iter().count(), 5, "heads, records, heads, records, tail");
    for large in [&records[0], &records[2]] {
        assert!(pieces.iter().any(|piece| piece.as_ptr() == large.as_ptr()), "shared, not copied");
    }
    let copied: usize = pieces.iter().map(Bytes::len).filter(|length| *length < 50_000).sum();
    assert!(copied < 256, "{copied} bytes of heads");
}

#[test]
fn pieces_are_the_same_bytes_however_they_are_consumed() {
    let records = [Bytes::from(vec![1; 5_000]), Bytes::new(), Bytes::from(vec![2; 1_025])];
    let mut rope = Rope::frame();
    answer_with(&records).encode(&mut rope, 16).unwrap();
    let pieces = rope.seal().unwrap();
    let whole = pieces.clone().into_bytes();
    assert_eq!(whole.len(), pieces.len());
    assert_eq!(whole.len() - 4, usize::try_from(i32::from_be_bytes(whole[..4].try_into().unwrap())).unwrap());
    for step in [1, 3, 1_000, 5_001, 10_000] {
        let (mut left, mut seen) = (pieces.clone(), Vec::new());
        while left.has_remaining() {
            let count = step.min(left.chunk().len());
            seen.extend_from_slice(&left.chunk()[..count]);
            left.advance(count);
        }
        assert_eq!(seen, whole, "{step} bytes at a time");
    }
}
