use super::*;
use crate::partition::fixture::Fixture;

fn wanted(partition: i32, offset: i64) -> Wanted {
    Wanted {
        topic: TopicKey::Name("t".into()),
        partition,
        offset: Offset(offset),
        bytes_max: 1_000,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
    }
}

fn told(high_watermark: i64, records: bool) -> Told {
    Told { error: ErrorCode::None, high_watermark, log_start: 0, records, diverging: false, caught_up: !records }
}

/// Nothing is served here.
fn nowhere(_: &Wanted) -> Result<Arc<Partition>, Refused> {
    Err(ErrorCode::UnknownTopicOrPartition.into())
}

/// A consumer that begins at the start of each partition.
struct Consumer {
    fixture: Fixture,
    session: Session,
}

impl Consumer {
    fn new(partitions: i32) -> Self {
        let wanted = (0..partitions).map(|partition| wanted(partition, 0)).collect();
        Self { fixture: Fixture::new(partitions), session: Session::new(false, wanted) }
    }

    fn ready(&mut self) -> Vec<Source> {
        let find = |wanted: &Wanted| Ok(Arc::clone(&self.fixture.partitions[wanted.partition as usize]));
        self.session.ready(self.session.epoch, find).unwrap()
    }

    fn owed(&mut self) -> Vec<i32> {
        let find = |wanted: &Wanted| Ok(Arc::clone(&self.fixture.partitions[wanted.partition as usize]));
        names(&self.session.owed(self.session.epoch, find).unwrap())
    }

    /// Looks once; who was looked at.
    fn look(&mut self) -> Vec<i32> {
        let ready = self.ready();
        let seen: Vec<Seen> = ready.iter().map(seen).collect();
        assert_eq!(self.session.settle(self.session.epoch, seen.into_iter()), Ok(Ok(())));
        names(&ready)
    }

    /// Answers with what is ready and owed; who is in the answer.
    fn answer(&mut self) -> Vec<i32> {
        let mut sources = self.ready();
        let find = |wanted: &Wanted| Ok(Arc::clone(&self.fixture.partitions[wanted.partition as usize]));
        sources.extend(self.session.owed(self.session.epoch, find).unwrap());
        sources.retain(|source| {
            let seen = seen(source);
            let told = Told { log_start: seen.log_start.0, ..told(seen.high_watermark.0, !seen.caught_up) };
            self.session.must_tell(source.turn, &told)
        });
        self.session.go_on();
        names(&sources)
    }

    /// Begins the next round, having read so far.
    fn next(&mut self, read: &[(i32, i64)]) {
        self.session.begin(read.iter().map(|(partition, offset)| wanted(*partition, *offset)).collect(), &[]);
    }
}

fn seen(source: &Source) -> Seen {
    let partition = source.partition.as_ref().unwrap();
    let (high_watermark, log_start) = partition.look(|log, leader| (leader.high_watermark(), log.start())).unwrap();
    Seen { turn: source.turn, high_watermark, log_start, caught_up: source.wanted.offset >= high_watermark }
}

fn names(sources: &[Source]) -> Vec<i32> {
    sources.iter().map(|source| source.wanted.partition).collect()
}

#[test]
fn a_round_looks_only_at_those_that_have_news() {
    let mut consumer = Consumer::new(4);
    assert_eq!(consumer.answer(), [0, 1, 2, 3], "the first answer is whole");
    consumer.next(&[]);
    assert_eq!(consumer.look(), [0, 1, 2, 3], "nobody is watched yet");
    assert_eq!(consumer.look(), [0, 1, 2, 3], "nobody has looked since they are");
    assert_eq!(consumer.look(), [0; 0]);
    consumer.fixture.append(2);
    consumer.fixture.append(2);
    assert_eq!(consumer.look(), [2]);
    assert_eq!(consumer.answer(), [2]);
    consumer.next(&[(2, 2)]);
    assert_eq!(consumer.look(), [2], "it was named again");
    assert_eq!(consumer.look(), [0; 0]);
    assert_eq!(consumer.answer(), [0; 0]);
}

#[test]
fn who_has_more_than_was_given_stays_ready_and_waits_for_the_others() {
    let mut consumer = Consumer::new(3);
    consumer.answer();
    for index in 0..3 {
        consumer.fixture.append(index);
    }
    consumer.next(&[]);
    let first = consumer.ready().remove(0);
    assert!(consumer.session.must_tell(first.turn, &told(1, true)));
    assert_eq!(names(&consumer.ready()), [1, 2, 0], "nobody has said that he read it");
    consumer.next(&[(0, 1)]);
    assert_eq!(names(&consumer.ready()), [1, 2, 0]);
}

#[test]
fn what_is_worth_no_answer_is_told_with_the_next_even_if_the_round_that_saw_it_died() {
    let mut consumer = Consumer::new(2);
    consumer.answer();
    consumer.next(&[(0, 0), (1, 9)]);
    assert_eq!((consumer.look(), consumer.look()), (vec![0, 1], vec![0, 1]));
    consumer.fixture.append(1);
    assert_eq!(consumer.look(), [1], "the consumer is ahead of it: no records, another high watermark");
    assert_eq!(consumer.look(), [0; 0]);
    assert_eq!(consumer.owed(), [1]);
    consumer.next(&[]);
    assert_eq!(consumer.owed(), [1]);
    assert_eq!(consumer.answer(), [1]);
    assert_eq!(consumer.owed(), [0; 0]);
    consumer.next(&[]);
    assert_eq!(consumer.answer(), [0; 0]);
}

#[test]
fn a_log_start_a_reign_and_the_end_are_news() {
    let mut consumer = Consumer::new(2);
    consumer.fixture.append(0);
    consumer.answer();
    consumer.next(&[(0, 1)]);
    consumer.look();
    consumer.look();
    assert_eq!(consumer.fixture.partitions[0].delete_records(None), Ok(Offset(1)));
    assert_eq!(consumer.look(), [0]);
    assert_eq!(consumer.owed(), [0]);
    consumer.fixture.partitions[1].succeed(dohle_base::LeaderEpoch(1));
    assert_eq!(consumer.look(), [1]);
    drop(consumer.fixture.partitions[1].stop(ErrorCode::NotLeaderOrFollower));
    assert_eq!(names(&consumer.ready()), [1]);
}

#[test]
fn what_was_refused_is_looked_up_anew_and_told_in_every_round() {
    let mut consumer = Consumer::new(1);
    consumer.answer();
    consumer.next(&[]);
    consumer.look();
    consumer.look();
    let another = Fixture::new(1);
    drop(consumer.fixture.partitions[0].stop(ErrorCode::UnknownTopicOrPartition));
    let refusal = Told { error: ErrorCode::UnknownTopicOrPartition, ..told(-1, true) };
    for _ in 0..2 {
        let source = consumer.ready().remove(0);
        assert!(consumer.session.must_tell(source.turn, &Told { records: false, ..refusal }));
        consumer.next(&[]);
    }
    consumer.fixture = another;
    let source = consumer.ready().remove(0);
    assert!(Arc::ptr_eq(source.partition.as_ref().unwrap(), &consumer.fixture.partitions[0]));
    assert!(consumer.session.must_tell(source.turn, &told(0, false)), "the error went away");
    assert_eq!((consumer.look(), consumer.look()), (vec![0], vec![]));
    consumer.fixture.append(0);
    assert_eq!(consumer.look(), [0], "the new one is watched");
}

#[test]
fn a_round_that_was_overtaken_touches_nothing() {
    let mut consumer = Consumer::new(1);
    let round = consumer.session.epoch;
    consumer.next(&[]);
    assert!(matches!(consumer.session.ready(round, nowhere), Err(Overtaken)));
    assert!(matches!(consumer.session.owed(round, nowhere), Err(Overtaken)));
    assert_eq!(consumer.session.settle(round, std::iter::empty()), Err(Overtaken));
}

#[test]
fn of_a_partition_that_is_named_twice_the_last_naming_counts() {
    let named = vec![wanted(3, 0), wanted(1, 0), wanted(3, 7)];
    let mut session = Session::new(false, named);
    let sources = session.ready(1, nowhere).unwrap();
    assert_eq!(names(&sources), [3, 1]);
    assert_eq!(sources[0].wanted.offset, Offset(7));
}

#[test]
fn a_place_that_was_given_up_is_given_to_another() {
    let mut consumer = Consumer::new(3);
    consumer.answer();
    consumer.next(&[]);
    consumer.look();
    consumer.look();
    let topic = TopicKey::Name("t".into());
    consumer.session.begin(vec![], &[(topic.clone(), 1), (topic.clone(), 7)]);
    consumer.fixture.append(1);
    assert_eq!(consumer.look(), [0; 0], "nobody wants it any more");
    consumer.session.begin(vec![wanted(1, 0)], &[(topic, 0)]);
    assert_eq!((consumer.look(), consumer.answer()), (vec![1], vec![1]));
    assert_eq!(consumer.session.entries.len(), 3);
}

#[test]
fn only_what_changed_is_told() {
    let mut session = Session::new(false, (0..3).map(|partition| wanted(partition, 0)).collect());
    let turns: Vec<Turn> = session.ready(1, nowhere).unwrap().iter().map(|source| source.turn).collect();
    assert!(turns.iter().all(|turn| session.must_tell(*turn, &told(0, false))), "the first answer is whole");
    session.go_on();
    session.begin(vec![], &[]);
    assert!(session.must_tell(turns[0], &told(7, true)));
    assert!(!session.must_tell(turns[1], &told(0, false)));
    let refusal = Told { error: ErrorCode::UnknownTopicOrPartition, ..told(-1, false) };
    assert!(session.must_tell(turns[2], &refusal));
    assert!(session.must_tell(turns[2], &told(0, false)), "the error went away");
    assert!(!session.must_tell(turns[2], &told(0, false)));
    assert!(session.must_tell(turns[2], &Told { log_start: 5, ..told(0, false) }));
    assert!(session.must_tell(turns[2], &Told { diverging: true, ..told(0, false) }));
    assert!(!session.must_tell(turns[0], &told(7, true)), "it has another turn by now");
}

#[test]
fn a_partition_of_a_large_session_costs_some_two_hundred_bytes() {
    const COUNT: usize = 10_000;
    let session = Session::new(false, (0..COUNT as i32).map(|partition| wanted(partition, 0)).collect());
    // Such a map has a byte for each bucket beside it, and is full at seven eighths.
    let buckets = (session.places.capacity() * 8 / 7).next_power_of_two();
    let places = buckets * (size_of::<((TopicKey, i32), Place)>() + 1);
    let entries = session.entries.capacity() * size_of::<Option<Entry>>();
    // A watch has its two counters, and stands in the partition's list.
    let watches = COUNT * (2 * size_of::<usize>() + size_of::<Watch>() + size_of::<std::sync::Weak<Watch>>());
    let each = (places + entries + watches) / COUNT;
    assert!(each <= 200, "{each}");
}
