//! Bytes that were made to hurt: claims without substance, bombs, garbage behind the end, and a million small
//! mutations.

use std::io::Write;

use bytes::Bytes;
use dohle_base::{ErrorCode, Rng};
use dohle_records::batch::check::{self, Limits};
use dohle_records::batch::decode::Malformed;
use dohle_records::batch::validate::{self, Refusal, Rules};
use dohle_records::{Budget, Codec, Record, fuzzing};
use lz4::{BlockMode, BlockSize, ContentChecksum, EncoderBuilder};

use crate::support::{Draft, draw, packed, unpacked, with_body};

const RULES: Rules =
    Rules { keys: false, times: None, budget: Budget { batch_bytes_max: 1 << 20, record_bytes_max: 1 << 30 } };

fn read(codec: Codec, count: i32, body: &[u8]) -> Result<Vec<Record>, Malformed> {
    let batch = with_body(codec, count, body);
    let read = batch.records(RULES.budget).and_then(Iterator::collect);
    let validated = validate::validate(&batch, &RULES);
    match &read {
        Ok(_) => assert!(validated.is_ok(), "{validated:?}"),
        Err(error) => assert_eq!(validated.map_err(|refusal| refusal.code()), Err(error.code()), "{error}"),
    }
    read
}

fn refused(codec: Codec, body: &[u8]) -> Malformed {
    let error = read(codec, 1, body).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidRecord, "{error}");
    error
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn lz4(bytes: &[u8], builder: &mut EncoderBuilder) -> Vec<u8> {
    let mut encoder = builder.build(vec![]).unwrap();
    encoder.write_all(bytes).unwrap();
    let (packed, result) = encoder.finish();
    result.unwrap();
    packed
}

fn xerial(chunks: &[&[u8]]) -> Vec<u8> {
    let mut framed = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    for chunk in chunks {
        let packed = snap::raw::Encoder::new().compress_vec(chunk).unwrap();
        framed.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        framed.extend_from_slice(&packed);
    }
    framed
}

fn plain(drafts: &[Draft]) -> Bytes {
    packed(Codec::None, drafts).body()
}

/// A record of `value_bytes` zeros.
fn zeros(value_bytes: usize) -> Bytes {
    plain(&[Draft { value: Some(vec![0; value_bytes]), ..Draft::default() }])
}

#[test]
fn what_other_libraries_put_into_a_frame_is_read() {
    let drafts = draw(&mut Rng::new(21), 400, 2_000);
    let body = plain(&drafts);
    let expected = unpacked(&with_body(Codec::None, drafts.len() as i32, &body));
    let reads = |codec, packed: &[u8]| {
        assert!(unpacked(&with_body(codec, drafts.len() as i32, packed)) == expected, "{codec}");
    };
    reads(Codec::Snappy, &snap::raw::Encoder::new().compress_vec(&body).unwrap());
    reads(Codec::Snappy, &xerial(&body.chunks(1_000).collect::<Vec<_>>()));
    reads(Codec::Snappy, &xerial(&[b"", &body, b""]));
    reads(Codec::Gzip, &gzip(&body));
    reads(Codec::Zstd, &zstd::bulk::compress(&body, 3).unwrap());
    reads(
        Codec::Zstd,
        &[zstd::bulk::compress(&body[..99], 1).unwrap(), zstd::bulk::compress(&body[99..], 1).unwrap()].concat(),
    );
    for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
        for mode in [BlockMode::Linked, BlockMode::Independent] {
            for checksum in [ContentChecksum::NoChecksum, ContentChecksum::ChecksumEnabled] {
                for level in [1, 9] {
                    let mut builder = EncoderBuilder::new();
                    builder.block_size(size.clone()).block_mode(mode.clone()).checksum(checksum.clone()).level(level);
                    reads(Codec::Lz4, &lz4(&body, &mut builder));
                    reads(Codec::Lz4, &lz4(&body, builder.content_size(body.len() as u64)));
                }
            }
        }
    }
}

#[test]
fn bombs_are_refused_where_the_budget_ends() {
    let bomb = zeros(64 << 20);
    let packed = [
        (Codec::Gzip, gzip(&bomb)),
        (Codec::Snappy, xerial(&bomb.chunks(32 << 10).collect::<Vec<_>>())),
        (Codec::Snappy, snap::raw::Encoder::new().compress_vec(&bomb).unwrap()),
        (Codec::Lz4, lz4(&bomb, EncoderBuilder::new().block_size(BlockSize::Max4MB))),
        (Codec::Zstd, zstd::bulk::compress(&bomb, 1).unwrap()),
    ];
    for (codec, body) in packed {
        let error = read(codec, 1, &body).unwrap_err();
        assert_eq!(error, Malformed::OverBudget(1 << 20), "{codec}");
        assert_eq!(error.code(), ErrorCode::MessageTooLarge);
        let batch = with_body(codec, 1, &body);
        let again = batch.recompress(dohle_records::Compression::NONE, RULES.budget);
        assert_eq!(again.unwrap_err(), error, "{codec}");
    }
}

#[test]
fn many_small_records_are_a_bomb_too() {
    let drafts = vec![Draft { key: None, value: None, ..Draft::default() }; 300_000];
    let count = drafts.len() as i32;
    for codec in &Codec::ALL[1..] {
        let body = packed(*codec, &drafts).body();
        assert_eq!(read(*codec, count, &body).unwrap_err(), Malformed::OverBudget(1 << 20), "{codec}");
    }
}

#[test]
fn claims_without_substance_are_refused() {
    let lz4_only_a_header = lz4(b"", EncoderBuilder::new().block_size(BlockSize::Max4MB));
    assert_eq!(refused(Codec::Lz4, &lz4_only_a_header[..7]), Malformed::Packed(Codec::Lz4));
    let lz4_claim = [&lz4_only_a_header[..7], &(4u32 << 20).to_le_bytes()].concat();
    assert_eq!(refused(Codec::Lz4, &lz4_claim), Malformed::Packed(Codec::Lz4));
    let mut chunk = xerial(&[]);
    for claim in [i32::MAX, i32::MIN, -1, 1] {
        chunk.truncate(16);
        chunk.extend_from_slice(&claim.to_be_bytes());
        assert_eq!(refused(Codec::Snappy, &chunk), Malformed::Packed(Codec::Snappy));
    }
    let raw_claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    assert_eq!(refused(Codec::Snappy, &raw_claim), Malformed::Packed(Codec::Snappy));
    // A frame header that claims a window and a content of 128 MiB, and one byte.
    let zstd_claim = [0x28, 0xb5, 0x2f, 0xfd, 0x80, 0x88, 0, 0, 0, 8, 0x03, 0, 0, b'x'];
    assert_eq!(refused(Codec::Zstd, &zstd_claim), Malformed::Packed(Codec::Zstd));
    assert_eq!(refused(Codec::Gzip, &[0x1f, 0x8b, 8, 0, 0]), Malformed::Packed(Codec::Gzip));
    for codec in Codec::ALL {
        assert!(read(codec, 1, &[]).is_err(), "{codec}");
        assert!(read(codec, i32::MAX, &[0; 40]).is_err(), "{codec}");
    }
}

#[test]
fn garbage_behind_the_end_is_refused() {
    let body = plain(&[Draft::new(1, "k", "v")]);
    let packed = [
        (Codec::None, body.to_vec()),
        (Codec::Gzip, gzip(&body)),
        (Codec::Snappy, xerial(&[&body])),
        (Codec::Lz4, lz4(&body, &mut EncoderBuilder::new())),
        (Codec::Zstd, zstd::bulk::compress(&body, 3).unwrap()),
    ];
    for (codec, sound) in packed {
        assert!(read(codec, 1, &sound).is_ok());
        refused(codec, &[&sound[..], b"garbage"].concat());
        refused(codec, &[&sound[..], b"\0"].concat());
    }
    refused(Codec::Gzip, &[gzip(&body), gzip(b"")].concat());
    refused(Codec::Gzip, &[gzip(&body[..2]), gzip(&body[2..])].concat());
}

#[test]
fn fields_that_lie_about_their_size_are_refused() {
    let record = |fields: &[u8]| [&[fields.len() as u8 * 2], fields].concat();
    // Attributes, timestamp delta, offset delta, key, value, headers.
    assert!(read(Codec::None, 1, &record(&[0, 0, 0, 1, 1, 0])).is_ok());
    let lies: [(&[u8], Malformed); 9] = [
        (&[0, 0, 0, 1, 1], Malformed::Record),
        (&[0, 0, 0, 1, 1, 0, 0], Malformed::Record),
        (&[0, 0, 0, 20, 1, 0], Malformed::Record),
        (&[0, 0, 0, 1, 20, 0], Malformed::Record),
        (&[0, 0, 0, 1, 1, 1], Malformed::HeaderCount(-1)),
        (&[0, 0, 0, 1, 1, 2], Malformed::HeaderCount(1)),
        (&[0, 0, 0, 1, 1, 0x80, 0x80, 0x80, 0x80, 0x08], Malformed::HeaderCount(1 << 30)),
        (&[0, 0, 0, 1, 1, 2, 1, 1], Malformed::HeaderKey(-1)),
        (&[0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 1, 0], Malformed::Varint),
    ];
    for (fields, error) in lies {
        assert_eq!(refused(Codec::None, &record(fields)), error, "{fields:?}");
    }
    assert_eq!(refused(Codec::None, &[1]), Malformed::RecordLength(-1));
    assert_eq!(refused(Codec::None, &[0xfe, 0xff, 0xff, 0xff, 0x0f]), Malformed::Truncated);
    // Any negative length is absent, as in Kafka.
    let absent = read(Codec::None, 1, &record(&[0, 0, 0, 3, 5, 0])).unwrap();
    assert_eq!((&absent[0].key, &absent[0].value), (&None, &None));
}

#[test]
fn a_codec_that_does_not_exist_is_refused() {
    for id in 5..8 {
        let mut bytes = packed(Codec::None, &[Draft::default()]).bytes().to_vec();
        bytes[22] = id;
        let batch = fuzzing::repaired(&bytes).unwrap();
        let error = batch.records(RULES.budget).err();
        assert_eq!(error, Some(Malformed::Codec(id)));
        assert_eq!(validate::validate(&batch, &RULES), Err(Refusal::Malformed(Malformed::Codec(id))));
    }
}

fn seeds() -> Vec<Bytes> {
    let header = |name: &str| (name.to_owned(), Some(b"value of a header".to_vec()));
    let drafts = [
        Draft { headers: vec![header("a"), header("b")], ..Draft::new(1, "key", "value value value value") },
        Draft { key: None, value: None, ..Draft::default() },
        Draft::new(1_700_000_000_000, "key key key", ""),
    ];
    Codec::ALL.iter().map(|codec| packed(*codec, &drafts).bytes().clone()).collect()
}

#[test]
fn every_value_of_every_byte_is_survived_and_the_checksum_notices() {
    let limits = Limits { batch_bytes_max: 1 << 20, segment_bytes_max: 1 << 30, zstd: true };
    for seed in seeds() {
        let mut bytes = seed.to_vec();
        for at in 0..bytes.len() {
            for value in (0..=255).filter(|value| *value != seed[at]) {
                bytes[at] = value;
                fuzzing::batch(&bytes);
                let taken = check::check(&Bytes::copy_from_slice(&bytes), &limits).is_ok();
                assert_eq!(taken, (12..16).contains(&at), "byte {at} is {value}");
            }
            bytes[at] = seed[at];
        }
    }
}

#[test]
fn a_million_mutations_behind_a_right_checksum_are_survived() {
    const CASES: u64 = 1_000_000;
    let seeds = seeds();
    let mut rng = Rng::new(23);
    for _ in 0..CASES {
        // Every codec has its turn; the two whose contexts are costly to make have a shorter one.
        let turn = [0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 1, 4][rng.below(20) as usize];
        let mut bytes = seeds[turn].to_vec();
        for _ in 0..=rng.below(4) {
            mutate(&mut rng, &mut bytes);
        }
        fuzzing::records(&bytes);
    }
}

fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
    // Codec, count and records are what there is to hit; the rest of the header means little to a reader.
    let from = if rng.chance(200) { 21 } else { 57 };
    let at = (from + rng.below(bytes.len().saturating_sub(from as usize).max(1) as u64)) as usize;
    if at >= bytes.len() {
        return;
    }
    match rng.below(5) {
        0 => bytes[at] = rng.next_u64() as u8,
        1 => bytes[at] ^= 1 << rng.below(8),
        2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.below(5) as usize],
        3 => bytes.truncate(at.max(61)),
        _ => bytes.insert(at, rng.next_u64() as u8),
    }
}
