//! Memory follows the bytes that came, whatever they claim.

use bytes::Bytes;
use dohle_base::Rng;
use dohle_protocol::message::{AnyRequest, AnyResponse, ApiKey};
use dohle_protocol::{Reader, memory_max};

use super::sample::{Width, varint};
use super::subject::{Subject, subjects};

/// The most bytes that are allocated at once while a body is read, whether it is refused or not.
fn peak(subject: &Subject, bytes: Vec<u8>, version: i16) -> u64 {
    let Some(api) = ApiKey::from_code(subject.message.key) else { return 0 };
    let bytes = Bytes::from(bytes);
    let reading = match subject.message.kind.as_str() {
        "request" => allocation_counter::measure(|| {
            let _ = AnyRequest::decode(&mut Reader::new(bytes.clone()), api, version);
        }),
        "response" => allocation_counter::measure(|| {
            let _ = AnyResponse::decode(&mut Reader::new(bytes.clone()), api, version);
        }),
        _ => return 0,
    };
    reading.bytes_max
}

#[test]
fn an_array_of_nothings_takes_no_more_memory_than_it_may() {
    const LENGTH: usize = 40_000;
    for subject in subjects() {
        for version in subject.versions() {
            let sample = subject.sample(version, &mut Rng::new(5));
            for spot in &sample.spots {
                // The byte is the least value of something in some version: null, false, no tags, no elements, one element.
                for filling in [0, 1, 2] {
                    for count in [LENGTH as u32 / 3, LENGTH as u32 / 12, LENGTH as u32 / 40] {
                        let mut bytes = sample.bytes[..spot.at].to_vec();
                        match spot.width {
                            Width::Varint(_) => bytes.extend(varint(count)),
                            Width::Two => bytes.extend((count as i16).to_be_bytes()),
                            Width::Four => bytes.extend(count.to_be_bytes()),
                        }
                        bytes.resize(bytes.len() + LENGTH, filling);
                        let (most, peak) = (memory_max(bytes.len()), peak(&subject, bytes, version));
                        let name = &subject.message.name;
                        assert!(
                            peak <= most as u64,
                            "{name} {version}: {peak} bytes of {most}, {spot:?} filled with {filling}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn an_honest_message_is_far_from_what_it_may_take() {
    for subject in subjects() {
        for version in subject.versions() {
            for seed in 0..8 {
                let bytes = subject.sample(version, &mut Rng::new(seed)).bytes;
                let (length, peak) = (bytes.len(), peak(&subject, bytes, version));
                assert!(peak <= 10 * length as u64 + 1_000, "{} {version}: {peak} for {length}", subject.message.name);
            }
        }
    }
}
