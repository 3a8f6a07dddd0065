//! A cluster of one broker that writes what the test lets it write.

use dohle_base::{Partition, TopicName};
use dohle_records::{Codec, Header};

use super::*;

fn limits() -> Limits {
    Limits {
        batch_bytes: 200,
        linger: Duration::from_millis(5),
        memory_bytes: 10_000,
        request_bytes: 1_000,
        in_flight: 5,
        delivery_timeout: Duration::from_secs(120),
        backoff: Backoff { first: Duration::from_millis(100), most: Duration::from_secs(1) },
        compression: Compression::NONE,
        idempotent: true,
    }
}

struct Fixture {
    accumulator: Accumulator,
    settled: Vec<Settled>,
}

fn ms(ms: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(ms)
}

fn place(partition: i32) -> TopicPartition {
    TopicPartition::new(TopicName::parse("t").unwrap(), Partition(partition))
}

impl Fixture {
    fn new(limits: Limits) -> Self {
        let mut accumulator = Accumulator::new(limits, Rng::new(1));
        accumulator.identify(ProducerId(7));
        Self { accumulator, settled: vec![] }
    }

    fn append(&mut self, now: u64, partition: i32, bytes: usize) -> Result<Placed, Refusal> {
        let value = vec![b'x'; bytes];
        let entry = Entry { value: Some(&value), ..Entry::default() };
        let placed = self.accumulator.append(ms(now), &place(partition), &entry);
        self.accumulator.check();
        placed
    }

    /// Records of a size in partition 0, all at once.
    fn fill(&mut self, count: usize, bytes: usize) {
        for _ in 0..count {
            self.append(0, 0, bytes).unwrap();
        }
    }

    fn drain(&mut self, now: u64) -> Vec<Dispatch> {
        let requests = self.accumulator.drain(ms(now), |_| Some(BrokerId(1)), |_| true);
        self.accumulator.check();
        requests.into_values().flatten().collect()
    }

    fn settle(&mut self, now: u64, dispatch: &Dispatch, outcome: Outcome) -> bool {
        let refresh = self.accumulator.settle(ms(now), &dispatch.place, dispatch.batch, outcome, &mut self.settled);
        self.accumulator.check();
        refresh
    }

    fn write(&mut self, now: u64, dispatch: &Dispatch) {
        self.settle(now, dispatch, Outcome::Written { base_offset: Offset(0), append_time: None });
    }

    fn refuse(&mut self, now: u64, dispatch: &Dispatch, code: ErrorCode) -> bool {
        self.settle(now, dispatch, Outcome::Refused { code, message: None })
    }
}

/// Epoch, first sequence and count, as the broker would read them.
fn numbers(dispatch: &Dispatch) -> (i16, i32, i32) {
    let header = Header::parse(&dispatch.bytes).unwrap();
    assert_eq!(header.crc, dohle_records::batch::header::checksum(&dispatch.bytes));
    (header.producer_epoch.0, header.base_sequence, header.record_count)
}

#[test]
fn records_wait_for_company_until_the_batch_is_full_or_has_waited_long_enough() {
    let mut it = Fixture::new(limits());
    assert!(it.append(0, 0, 20).unwrap().wakes);
    assert!(!it.append(1, 0, 20).unwrap().wakes);
    assert!(it.drain(4).is_empty());
    assert_eq!(it.accumulator.deadline(ms(4)), Some(ms(5)));
    let sent = it.drain(5);
    assert_eq!(numbers(&sent[0]), (0, 0, 2));
    assert!(it.append(6, 0, 150).unwrap().wakes);
    assert!(it.append(6, 0, 150).unwrap().wakes, "the second one fills a batch of its own");
    assert_eq!(numbers(&it.drain(6)[0]), (0, 2, 1));
    it.write(7, &sent[0]);
    assert!(!it.accumulator.is_empty());
}

#[test]
fn a_flush_does_not_wait() {
    let mut it = Fixture::new(limits());
    it.append(0, 0, 20).unwrap();
    it.append(0, 1, 20).unwrap();
    it.accumulator.flush();
    assert_eq!(it.drain(0).len(), 2);
    it.append(0, 0, 20).unwrap();
    assert!(it.drain(0).is_empty());
}

#[test]
fn memory_is_a_bound_and_comes_back() {
    let mut it = Fixture::new(Limits { memory_bytes: 500, ..limits() });
    let taken = (0..20).take_while(|_| it.append(0, 0, 100).is_ok()).count();
    assert_eq!(taken, 4);
    assert_eq!(it.append(0, 0, 100), Err(Refusal::Full));
    for _ in 0..4 {
        let sent = it.drain(10);
        it.write(10, &sent[0]);
    }
    assert!(it.accumulator.is_empty());
    assert!(matches!(it.append(0, 0, 2_000), Err(Refusal::TooLarge { .. })));
}

#[test]
fn what_is_sent_again_goes_alone_and_first_and_unchanged() {
    let mut it = Fixture::new(limits());
    it.fill(4, 150);
    let sent: Vec<Dispatch> = (0..4).flat_map(|_| it.drain(10)).collect();
    assert_eq!(sent.iter().map(numbers).collect::<Vec<_>>(), [(0, 0, 1), (0, 1, 1), (0, 2, 1), (0, 3, 1)]);
    assert!(it.refuse(20, &sent[0], ErrorCode::NotLeaderOrFollower), "the leader is elsewhere");
    for later in &sent[1..] {
        it.refuse(20, later, ErrorCode::OutOfOrderSequenceNumber);
    }
    assert!(it.drain(50).is_empty(), "it rests before it is sent again");
    for expected in &sent {
        let again = it.drain(3_000);
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].bytes, expected.bytes);
        assert!(it.drain(3_000).is_empty(), "nothing follows before the first is in the log");
        it.write(3_000, &again[0]);
    }
    assert_eq!(it.settled.len(), 4);
}

#[test]
fn a_batch_that_failed_for_good_leaves_no_gap_in_the_numbers() {
    let mut it = Fixture::new(limits());
    it.fill(3, 150);
    let sent: Vec<Dispatch> = (0..3).flat_map(|_| it.drain(10)).collect();
    it.refuse(20, &sent[0], ErrorCode::InvalidRecord);
    assert!(matches!(it.settled[0], Settled::Failed { .. }));
    it.append(20, 0, 150).unwrap();
    assert!(it.drain(30).is_empty(), "what is under way keeps its numbers");
    it.refuse(40, &sent[1], ErrorCode::OutOfOrderSequenceNumber);
    it.refuse(40, &sent[2], ErrorCode::OutOfOrderSequenceNumber);
    for expected in [(1, 0, 1), (1, 1, 1), (1, 2, 1)] {
        let again = it.drain(3_000);
        assert_eq!(numbers(&again[0]), expected);
        it.write(3_000, &again[0]);
    }
    assert_eq!(it.settled.len(), 4);
}

#[test]
fn a_batch_that_is_too_large_goes_on_as_two() {
    let mut it = Fixture::new(limits());
    for _ in 0..3 {
        it.append(0, 0, 20).unwrap();
    }
    let sent = it.drain(10);
    it.refuse(20, &sent[0], ErrorCode::MessageTooLarge);
    let Settled::Split { into, first, .. } = it.settled[0] else { panic!("{:?}", it.settled) };
    assert_eq!(first, 1);
    let halves: Vec<Dispatch> = (0..2).flat_map(|_| it.drain(3_000)).collect();
    assert_eq!(halves.iter().map(|half| half.batch).collect::<Vec<_>>(), [into.0, into.1]);
    assert_eq!(halves.iter().map(numbers).collect::<Vec<_>>(), [(1, 0, 1), (1, 1, 2)]);
    it.write(3_000, &halves[0]);
    it.write(3_000, &halves[1]);
    assert!(it.accumulator.is_empty());
}

#[test]
fn what_is_not_delivered_in_time_has_failed() {
    let mut it = Fixture::new(limits());
    it.append(0, 0, 20).unwrap();
    let sent = it.drain(10);
    assert!(it.settle(30_000, &sent[0], Outcome::Silence));
    it.append(30_000, 0, 20).unwrap();
    assert_eq!(it.accumulator.deadline(ms(60_000)), Some(ms(120_000)));
    it.accumulator.expire(ms(120_000), &mut it.settled);
    let reason = Reason::Expired { last: None, unknown: true };
    assert_eq!(it.settled, [Settled::Failed { batch: sent[0].batch, reason }]);
    assert_eq!(numbers(&it.drain(120_000)[0]), (1, 0, 1));
}

#[test]
fn a_producer_whose_epochs_are_used_up_asks_for_another_id() {
    let mut it = Fixture::new(limits());
    for round in 0..=i16::MAX as u64 {
        it.append(round, 0, 20).unwrap();
        it.accumulator.flush();
        let sent = it.drain(round);
        it.refuse(round, &sent[0], ErrorCode::InvalidRecord);
    }
    assert!(it.accumulator.needs_id());
    it.accumulator.identify(ProducerId(8));
    it.append(0, 0, 20).unwrap();
    let sent = it.drain(100_000);
    assert_eq!(Header::parse(&sent[0].bytes).unwrap().producer_id, ProducerId(8));
    assert_eq!(numbers(&sent[0]), (0, 0, 1));
}

#[test]
fn a_full_request_does_not_always_leave_out_the_same_partition() {
    let mut it = Fixture::new(Limits { request_bytes: 400, ..limits() });
    let mut partitions = vec![];
    for round in 0..4 {
        for partition in 0..3 {
            it.append(round, partition, 120).unwrap();
        }
        let sent = it.drain(10 + round);
        partitions.extend(sent.iter().map(|sent| sent.place.partition.0));
        sent.iter().for_each(|sent| it.write(10 + round, sent));
    }
    for partition in 0..3 {
        assert!(partitions.iter().filter(|sent| **sent == partition).count() >= 2, "{partitions:?}");
    }
}

#[test]
fn packed_batches_are_packed() {
    let compression = Compression::of(Codec::Zstd);
    let mut it = Fixture::new(Limits { compression, batch_bytes: 10_000, ..limits() });
    it.fill(8, 800);
    let sent = it.drain(10);
    assert!(sent[0].bytes.len() < 300, "{}", sent[0].bytes.len());
    it.refuse(20, &sent[0], ErrorCode::MessageTooLarge);
    let half = it.drain(3_000);
    assert_eq!(numbers(&half[0]), (1, 0, 4));
}
