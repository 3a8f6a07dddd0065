//! A million bounded cases: valid messages with one thing wrong.
//!
//! Nothing may panic, and what is read nevertheless must be written and read the same again.

use dohle_base::Rng;
use dohle_protocol::fuzzing;

use super::sample::{Sample, Spot, Width, varint};
use super::subject::{Subject, subjects};

/// Lengths and counts that somebody may claim.
const CLAIMS: [i64; 16] = [
    -1,
    -2,
    0,
    1,
    2,
    3,
    127,
    128,
    10_000,
    10_001,
    32_767,
    32_768,
    1_000_000,
    1_000_001,
    i32::MAX as i64,
    i32::MIN as i64,
];

/// The bytes with another number at one of the spots.
fn claimed(sample: &Sample, spot: Spot, claim: i64) -> Vec<u8> {
    let (width, number) = match spot.width {
        Width::Varint(width) => (width, varint(claim as u32)),
        Width::Two => (2, (claim as i16).to_be_bytes().to_vec()),
        Width::Four => (4, (claim as i32).to_be_bytes().to_vec()),
    };
    let mut bytes = sample.bytes.clone();
    bytes.splice(spot.at..spot.at + width, number);
    bytes
}

fn try_bytes(subject: &Subject, version: i16, bytes: &[u8]) {
    let Ok(first) = subject.again(bytes, version) else { return };
    let second = subject.again(&first, version);
    assert_eq!(second.as_deref(), Ok(&first[..]), "{} {version} {bytes:?}", subject.message.name);
}

#[test]
fn every_length_count_and_size_can_be_a_lie() {
    let mut cases = 0;
    let mut seed = 0;
    let subjects = subjects();
    while cases < 600_000 {
        for subject in &subjects {
            for version in subject.versions() {
                let sample = subject.sample(version, &mut Rng::new(seed));
                for spot in &sample.spots {
                    for claim in CLAIMS {
                        try_bytes(subject, version, &claimed(&sample, *spot, claim));
                        cases += 1;
                    }
                }
            }
        }
        seed += 1;
    }
}

#[test]
fn any_byte_can_be_another() {
    let mut rng = Rng::new(7);
    let subjects = subjects();
    let mut cases = 0;
    while cases < 200_000 {
        for subject in &subjects {
            for version in subject.versions() {
                let mut bytes = subject.sample(version, &mut rng).bytes;
                for _ in 0..8 {
                    if !bytes.is_empty() {
                        let at = rng.below(bytes.len() as u64) as usize;
                        bytes[at] = rng.next_u64() as u8;
                    }
                    try_bytes(subject, version, &bytes);
                    cases += 1;
                }
            }
        }
    }
}

#[test]
fn whole_frames_hold_against_the_bodies_of_the_fuzz_targets() {
    let mut rng = Rng::new(11);
    let subjects: Vec<Subject> = subjects().into_iter().filter(|subject| subject.family.is_empty()).collect();
    let mut cases = 0;
    while cases < 200_000 {
        for subject in &subjects {
            let Some(version) = rng.pick(&subject.versions().collect::<Vec<_>>()).copied() else { continue };
            let head = [subject.message.key.to_be_bytes(), version.to_be_bytes()].concat();
            let body = subject.sample(version, &mut rng).bytes;
            let mut frame = [&head[..], &[0, 0, 0, 1, 255, 255, 0], &body].concat();
            for _ in 0..8 {
                let at = rng.below(frame.len() as u64) as usize;
                frame[at] = rng.next_u64() as u8;
                fuzzing::request(&frame);
                fuzzing::response(&frame);
                fuzzing::frames(&frame);
                fuzzing::record(&frame);
                cases += 4;
            }
        }
    }
}
