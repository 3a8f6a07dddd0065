//! What a topic asks of each record.

use dohle_base::{ErrorCode, Rng, Timestamp};
use dohle_records::batch::decode::Malformed;
use dohle_records::batch::validate::{self, OFFENCES_MAX, Offence, Refusal, Rule, Rules, Times, Valid};
use dohle_records::{Batch, Budget, Codec, Compression};

use crate::support::{Draft, draw, packed, with_body};

const NONE: Rules =
    Rules { keys: false, times: None, budget: Budget { batch_bytes_max: 1 << 20, record_bytes_max: 1 << 20 } };
const KEYS: Rules = Rules { keys: true, ..NONE };
const NEAR: Times = Times { now: Timestamp(1_000), before_max_ms: 100, after_max_ms: 10 };
const TIMES: Rules = Rules { times: Some(NEAR), ..NONE };

fn each(drafts: &[Draft], check: impl Fn(&Batch)) {
    for codec in Codec::ALL {
        check(&packed(codec, drafts));
    }
}

#[test]
fn the_largest_timestamp_is_found_where_it_stands_first() {
    let drafts = [3, 9, 9, 1].map(|timestamp| Draft::new(timestamp, "k", "v"));
    each(&drafts, |batch| {
        let valid = Valid { max_timestamp: Timestamp(9), max_timestamp_delta: 1 };
        assert_eq!(validate::validate(batch, &NONE), Ok(valid));
    });
    let none = packed(Codec::None, &[Draft::new(-1, "k", "v")]);
    let valid = Valid { max_timestamp: Timestamp::NONE, max_timestamp_delta: -1 };
    assert_eq!(validate::validate(&none, &TIMES), Ok(valid));
}

#[test]
fn a_compacted_topic_needs_keys() {
    let drafts = [Draft::new(1, "", "v"), Draft { key: None, ..Draft::new(2, "", "v") }, Draft::new(3, "k", "")];
    each(&drafts, |batch| {
        assert!(validate::validate(batch, &NONE).is_ok());
        let refusal = validate::validate(batch, &KEYS).unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::InvalidRecord);
        assert_eq!(refusal, Refusal::Offences(vec![Offence { index: 1, rule: Rule::Key }]));
    });
}

#[test]
fn a_time_is_near_or_none() {
    for (timestamp, fine) in [(900, true), (899, false), (1_010, true), (1_011, false), (-1, true), (-2, false)] {
        each(&[Draft::new(timestamp, "k", "v")], |batch| {
            let validated = validate::validate(batch, &TIMES);
            assert_eq!(validated.is_ok(), fine, "{timestamp}");
            assert!(validated.is_ok_and(|_| true) || !fine);
        });
    }
    let both = [Draft { key: None, ..Draft::new(1_000, "", "") }, Draft::new(5_000, "k", "v")];
    let refusal = validate::validate(&packed(Codec::None, &both), &Rules { keys: true, ..TIMES }).unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::InvalidTimestamp);
    let ever = Times { now: Timestamp(1_000), before_max_ms: i64::MAX, after_max_ms: i64::MAX };
    let far = packed(Codec::None, &[Draft::new(i64::MAX, "k", "v")]);
    assert!(validate::validate(&far, &Rules { times: Some(ever), ..NONE }).is_ok());
}

#[test]
fn only_so_many_offences_are_told() {
    let drafts = vec![Draft { key: None, ..Draft::default() }; OFFENCES_MAX * 2];
    let Err(Refusal::Offences(offences)) = validate::validate(&packed(Codec::None, &drafts), &KEYS) else { panic!() };
    assert_eq!(offences.len(), OFFENCES_MAX);
}

#[test]
fn records_out_of_order_are_refused() {
    let body = packed(Codec::None, &[Draft::new(1, "k", "v"), Draft::new(1, "k", "v")]).body();
    let record = body.len() / 2;
    let swapped = [&body[record..], &body[..record]].concat();
    let refusal = validate::validate(&with_body(Codec::None, 2, &swapped), &NONE).unwrap_err();
    assert_eq!(refusal, Malformed::OffsetDelta { found: 1, expected: 0 }.into());
    assert_eq!(refusal.code(), ErrorCode::InvalidRecord);
}

#[test]
fn a_count_that_is_not_that_of_the_records_is_noticed() {
    let drafts = draw(&mut Rng::new(7), 20, 100);
    each(&drafts, |batch| {
        let codec = batch.header().attributes.codec().unwrap();
        let count = drafts.len() as i32;
        let validated = |count| validate::validate(&with_body(codec, count, &batch.body()), &NONE);
        assert!(validated(count).is_ok());
        assert_eq!(validated(count + 1), Err(Malformed::Truncated.into()));
        assert_eq!(validated(count - 1), Err(Malformed::Trailing.into()));
        assert_eq!(validated(-1), Err(Malformed::Count(-1).into()));
    });
}

#[test]
fn one_large_record_is_refused_where_it_is_unpacked() {
    let drafts = [Draft { value: Some(vec![0; 5_000]), ..Draft::default() }];
    let budget = Budget { record_bytes_max: 4_000, ..Budget::default() };
    let plain = packed(Codec::None, &drafts);
    assert!(validate::validate(&plain, &Rules { budget, ..NONE }).is_ok());
    for codec in &Codec::ALL[1..] {
        let batch = plain.recompress(Compression::of(*codec), Budget::default()).unwrap();
        let refusal = validate::validate(&batch, &Rules { budget, ..NONE }).unwrap_err();
        assert!(matches!(refusal, Refusal::Malformed(Malformed::RecordTooLarge { bytes_max: 4_000, .. })), "{codec}");
        assert_eq!(refusal.code(), ErrorCode::InvalidRecord);
    }
}
