use std::time::Duration;

use dohle_base::{ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Rng, Timestamp};
use dohle_records::control::EndTransaction;
use dohle_records::{Attributes, Header};

use super::{Origin, PRODUCERS_MAX, Producers, Refusal, Verdict, Verification, snapshot};

const CLIENT: Origin = Origin::Client(None);
const NOW: Timestamp = Timestamp(1_000_000);

/// A batch of `count` records of producer 1 whose first sequence is `sequence`.
fn batch(epoch: i16, sequence: i32, count: i32) -> Header {
    Header {
        base_offset: Offset(0),
        length: 100,
        leader_epoch: LeaderEpoch(0),
        crc: 0,
        attributes: Attributes::default(),
        last_offset_delta: count - 1,
        base_timestamp: Timestamp(5),
        max_timestamp: Timestamp(7),
        producer_id: ProducerId(1),
        producer_epoch: ProducerEpoch(epoch),
        base_sequence: sequence,
        record_count: count,
    }
}

fn transactional(epoch: i16, sequence: i32, count: i32) -> Header {
    let plain = batch(epoch, sequence, count);
    Header { attributes: plain.attributes.with_transactional(true), ..plain }
}

fn marker(epoch: i16) -> Header {
    let plain = transactional(epoch, -1, 1);
    Header { attributes: plain.attributes.with_control(true), ..plain }
}

fn end(committed: bool, coordinator_epoch: i32) -> EndTransaction {
    EndTransaction { committed, coordinator_epoch }
}

/// Judges a batch as a client's, and writes it behind the others when it may be written.
fn offer(producers: &mut Producers, header: Header) -> Result<Verdict, ErrorCode> {
    let header = Header { base_offset: producers.end(), ..header };
    let verdict = producers.check(&header, CLIENT).map_err(Refusal::code)?;
    if verdict == Verdict::Fresh {
        producers.apply(&header, None, NOW);
    }
    Ok(verdict)
}

fn write(producers: &mut Producers, header: Header, marker: Option<EndTransaction>) -> Option<super::Ended> {
    producers.apply(&Header { base_offset: producers.end(), ..header }, marker, NOW)
}

#[test]
fn sequences_follow_each_other_and_wrap() {
    use ErrorCode::{InvalidProducerEpoch, OutOfOrderSequenceNumber};
    const MAX: i32 = i32::MAX;
    let scripts: &[&[(Header, Result<(), ErrorCode>)]] = &[
        &[(batch(0, 0, 3), Ok(())), (batch(0, 3, 1), Ok(())), (batch(0, 5, 1), Err(OutOfOrderSequenceNumber))],
        &[(batch(0, 17, 2), Ok(())), (batch(0, 19, 1), Ok(()))],
        &[(batch(0, MAX - 1, 2), Ok(())), (batch(0, 0, 1), Ok(()))],
        &[(batch(0, MAX - 1, 5), Ok(())), (batch(0, 3, 1), Ok(()))],
        &[(batch(0, MAX, 1), Ok(())), (batch(0, 1, 1), Err(OutOfOrderSequenceNumber))],
        &[(batch(1, 0, 1), Ok(())), (batch(0, 1, 1), Err(InvalidProducerEpoch))],
        &[(batch(0, 0, 1), Ok(())), (batch(1, 1, 1), Err(OutOfOrderSequenceNumber)), (batch(1, 0, 1), Ok(()))],
        &[(batch(0, 0, 3), Ok(())), (batch(0, 1, 2), Err(OutOfOrderSequenceNumber))],
    ];
    for script in scripts {
        let mut producers = Producers::starting_at(Offset(0));
        for (header, expected) in *script {
            assert_eq!(offer(&mut producers, *header).map(drop), *expected, "{header:?}");
        }
    }
}

#[test]
fn the_last_five_batches_are_recognised_and_older_ones_refused() {
    let mut producers = Producers::starting_at(Offset(0));
    for n in 0..7 {
        assert_eq!(offer(&mut producers, batch(0, n * 2, 2)), Ok(Verdict::Fresh));
    }
    for n in 0..2 {
        assert_eq!(offer(&mut producers, batch(0, n * 2, 2)), Err(ErrorCode::OutOfOrderSequenceNumber));
    }
    for n in 2..7 {
        let Ok(Verdict::Duplicate(written)) = offer(&mut producers, batch(0, n * 2, 2)) else { panic!("{n}") };
        assert_eq!(
            (written.base_offset(), written.last_offset),
            (Offset(i64::from(n) * 2), Offset(i64::from(n) * 2 + 1))
        );
        assert_eq!(written.timestamp, Timestamp(7));
    }
    assert!(offer(&mut producers, batch(0, 12, 1)).is_err(), "the same first sequence and another last");
    offer(&mut producers, batch(1, 0, 1)).unwrap();
    assert_eq!(
        offer(&mut producers, batch(0, 12, 2)),
        Err(ErrorCode::InvalidProducerEpoch),
        "a new epoch forgets the batches"
    );
}

#[test]
fn a_batch_across_the_largest_sequence_is_recognised() {
    let mut producers = Producers::starting_at(Offset(0));
    offer(&mut producers, batch(0, i32::MAX - 1, 4)).unwrap();
    assert!(matches!(offer(&mut producers, batch(0, i32::MAX - 1, 4)), Ok(Verdict::Duplicate(_))));
}

/// Random producers against a list of all that they wrote.
#[test]
fn verdicts_are_those_of_a_list_of_all_batches() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let mut producers = Producers::starting_at(Offset(0));
        let mut list: Vec<(i16, i32, i32)> = Vec::new();
        for _ in 0..60 {
            let epoch =
                list.last().map_or(0, |last| last.0) + i16::from(rng.below(10) == 0) - i16::from(rng.below(10) == 0);
            let epoch = epoch.max(0);
            let next = list.last().map_or(0, |last| last.2.checked_add(1).unwrap_or(0));
            let again = rng.pick(&list).copied();
            let (sequence, count) = match again.filter(|_| rng.chance(400)) {
                Some((_, first, last)) => (first, last.wrapping_sub(first).wrapping_add(1).clamp(1, 4)),
                None => ((next + rng.below(2) as i32 * rng.below(3) as i32).max(0), 1 + rng.below(3) as i32),
            };
            let header = batch(epoch, sequence, count);
            let expected = judge(&list, epoch, sequence, header.last_sequence());
            let found = offer(&mut producers, header);
            assert_eq!(
                found.map(|verdict| verdict != Verdict::Fresh),
                expected,
                "seed {seed}: {list:?} then {header:?}"
            );
            if expected == Ok(false) {
                list.push((epoch, sequence, header.last_sequence()));
            }
        }
    }
}

/// Whether it is a duplicate, by the rules as they are told.
fn judge(list: &[(i16, i32, i32)], epoch: i16, first: i32, last: i32) -> Result<bool, ErrorCode> {
    let Some(newest) = list.last() else { return Ok(false) };
    let of_epoch: Vec<_> = list.iter().rev().take_while(|written| written.0 == newest.0).take(5).collect();
    if of_epoch.iter().any(|written| **written == (epoch, first, last)) {
        return Ok(true);
    }
    if epoch < newest.0 {
        return Err(ErrorCode::InvalidProducerEpoch);
    }
    let expected = if epoch > newest.0 { 0 } else { newest.2.checked_add(1).unwrap_or(0) };
    if first == expected { Ok(false) } else { Err(ErrorCode::OutOfOrderSequenceNumber) }
}

#[test]
fn a_replica_takes_what_its_leader_took() {
    let mut producers = Producers::starting_at(Offset(0));
    for header in [batch(5, 10, 1), batch(4, 99, 1), batch(6, 3, 2)] {
        write(&mut producers, header, None);
    }
    let known = producers.get(ProducerId(1)).unwrap();
    assert_eq!((known.epoch, known.last_sequence(), known.last_offset()), (ProducerEpoch(6), 4, Offset(3)));
}

#[test]
fn a_coordinator_is_held_to_the_epoch_and_not_to_sequences() {
    let mut producers = Producers::starting_at(Offset(0));
    offer(&mut producers, transactional(2, 0, 1)).unwrap();
    let coordinator = Origin::Coordinator { transaction_version: 1 };
    assert_eq!(producers.check(&transactional(2, -1, 1), coordinator), Ok(Verdict::Fresh));
    assert!(matches!(
        producers.check(&transactional(1, -1, 1), coordinator),
        Err(Refusal::InvalidProducerEpoch { .. })
    ));
}

#[test]
fn a_transaction_keeps_the_stable_offset_down_until_its_marker_is_replicated() {
    let mut producers = Producers::starting_at(Offset(0));
    offer(&mut producers, batch(0, 0, 4)).unwrap();
    offer(&mut producers, transactional(0, 4, 2)).unwrap();
    assert_eq!(offer(&mut producers, batch(0, 6, 1)), Err(ErrorCode::InvalidTxnState));
    offer(&mut producers, transactional(0, 6, 2)).unwrap();
    assert_eq!(producers.last_stable(Offset(8)), Offset(4));
    assert_eq!(producers.last_stable(Offset(3)), Offset(3));
    let ended = write(&mut producers, marker(0), Some(end(false, 3))).unwrap();
    assert_eq!((ended.first, ended.last, ended.aborted, ended.last_stable), (Offset(4), Offset(8), true, Offset(9)));
    assert_eq!(producers.last_stable(Offset(8)), Offset(4), "the marker is not replicated");
    assert_eq!(producers.last_stable(Offset(9)), Offset(9));
    assert_eq!(
        write(&mut producers, marker(0), Some(end(true, 3))),
        None,
        "a marker without a transaction ends nothing"
    );
    assert_eq!(offer(&mut producers, batch(0, 8, 1)), Ok(Verdict::Fresh));
}

#[test]
fn the_abort_index_gets_the_stable_offset_as_it_is_without_the_transaction() {
    let mut producers = Producers::starting_at(Offset(0));
    let of = |id, header: Header| Header { producer_id: ProducerId(id), ..header };
    write(&mut producers, of(1, transactional(0, 0, 1)), None);
    write(&mut producers, of(2, transactional(0, 0, 1)), None);
    let ended = write(&mut producers, of(1, marker(0)), Some(end(false, 0))).unwrap();
    assert_eq!(ended.last_stable, Offset(1), "the other one is still open");
    let ended = write(&mut producers, of(2, marker(0)), Some(end(true, 0))).unwrap();
    assert_eq!((ended.aborted, ended.last_stable), (false, Offset(4)));
}

#[test]
fn markers_are_held_to_both_epochs() {
    let mut open = Producers::starting_at(Offset(0));
    write(&mut open, transactional(3, 0, 1), None);
    let mut closed = open.clone();
    write(&mut closed, marker(3), Some(end(true, 5)));
    let fenced = Err(ErrorCode::TransactionCoordinatorFenced);
    let late = Err(ErrorCode::InvalidProducerEpoch);
    let cases = [
        ("of the epoch, first version", &open, 3, 5, 1, Ok(())),
        ("of the epoch, second version", &open, 3, 5, 2, late),
        ("above it", &open, 4, 5, 2, Ok(())),
        ("below it", &open, 2, 5, 1, late),
        ("again, second version", &closed, 3, 5, 2, Ok(())),
        ("of an older coordinator", &closed, 3, 4, 1, fenced),
    ];
    for (name, producers, epoch, coordinator_epoch, version, expected) in cases {
        let judged = producers.check_marker(&marker(epoch), end(true, coordinator_epoch), version);
        assert_eq!(judged.map_err(Refusal::code), expected, "{name}");
    }
}

#[test]
fn a_control_batch_without_records_changes_nothing() {
    let mut producers = Producers::starting_at(Offset(0));
    write(&mut producers, transactional(3, 0, 1), None);
    let before: Vec<_> = producers.iter().copied().collect();
    assert_eq!(write(&mut producers, marker(9), None), None);
    assert_eq!(producers.iter().copied().collect::<Vec<_>>(), before);
    assert_eq!(producers.end(), Offset(2));
}

#[test]
fn a_verified_producer_whose_epoch_rises_begins_at_zero() {
    let producers = Producers::starting_at(Offset(0));
    let verified = |lowest_sequence, supports_epoch_bump| {
        Origin::Client(Some(Verification { lowest_sequence, supports_epoch_bump }))
    };
    let cases = [
        (0, verified(0, true), true),
        (5, verified(5, true), false),
        (5, verified(5, false), true),
        (6, verified(5, false), false),
    ];
    for (sequence, origin, accepted) in cases {
        assert_eq!(producers.check(&transactional(0, sequence, 1), origin).is_ok(), accepted, "{sequence} {origin:?}");
    }
}

#[test]
fn the_silent_are_forgotten_and_the_open_are_not() {
    let mut producers = Producers::starting_at(Offset(0));
    write(&mut producers, batch(0, 0, 1), None);
    write(&mut producers, Header { producer_id: ProducerId(2), ..transactional(0, 0, 1) }, None);
    let day = Duration::from_hours(24);
    assert_eq!(producers.expire(NOW.saturating_add(day - Duration::from_millis(1)), day), 0);
    assert_eq!(producers.expire(NOW.saturating_add(day), day), 1);
    assert_eq!(producers.iter().map(|known| known.id).collect::<Vec<_>>(), [ProducerId(2)]);
}

#[test]
fn the_bound_is_kept_by_forgetting_the_longest_silent() {
    let mut producers = Producers::starting_at(Offset(0));
    let count = PRODUCERS_MAX as i64 + 10;
    for id in 0..count {
        let header = Header { producer_id: ProducerId(id), base_offset: producers.end(), ..batch(0, 0, 1) };
        let header =
            if id == 0 { Header { attributes: header.attributes.with_transactional(true), ..header } } else { header };
        producers.apply(&header, None, Timestamp(id));
        assert!(producers.len() <= PRODUCERS_MAX);
    }
    assert!(producers.get(ProducerId(0)).is_some(), "its transaction is open");
    assert!(producers.get(ProducerId(1)).is_none());
    assert!(producers.get(ProducerId(count - 1)).is_some());
    assert_eq!(producers.evicted() + producers.len() as u64, count as u64);
}

#[test]
fn a_snapshot_keeps_what_replicas_agree_on_and_damage_is_seen() {
    let mut producers = Producers::starting_at(Offset(0));
    write(&mut producers, transactional(3, 4, 2), None);
    write(&mut producers, Header { producer_id: ProducerId(2), ..transactional(0, 0, 1) }, None);
    write(&mut producers, Header { producer_id: ProducerId(2), ..marker(1) }, Some(end(true, 8)));
    let bytes = snapshot::to_bytes(&producers);
    assert_eq!(bytes.len(), 10 + 2 * 46);
    let read = snapshot::parse(&bytes).unwrap();
    let restored = Producers::restore(read, producers.end(), NOW);
    assert_eq!(restored.iter().copied().collect::<Vec<_>>(), producers.iter().copied().collect::<Vec<_>>());
    assert_eq!(restored.first_open(), Some(Offset(0)));
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1 << bit;
            assert!(snapshot::parse(&damaged).is_err(), "byte {place} bit {bit}");
        }
        assert!(snapshot::parse(&bytes[..place]).is_err(), "cut at {place}");
    }
}
