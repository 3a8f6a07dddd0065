//! Producers that say anything at any time, and repeat what they said long ago: whatever comes, the laws hold, an answer is
//! true, and no request of one transaction touches another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dohle_base::{Instant, Now, Offset, Partition, ProducerEpoch, ProducerId, Rng, Timestamp, Token, TopicName};
use dohle_replication::ledger::{Effect, Effects, Folded, Ledger};
use imbl::OrdSet;

use crate::story::later;
use crate::transaction::{
    AddPartitions, Command, End, Init, MarkersWritten, Outcome, Record, Reply, Settings, State, TopicPartition,
    Transaction, TransactionCoordinator, Version,
};
use crate::{Producer, TransactionalId};

const SEEDS: u64 = 60;
const STEPS: usize = 2_000;
const BATCH_BYTES_MAX: usize = 2_048;
/// Each client keeps to one protocol.
const NAMES: [(&str, Version); 4] =
    [("a", Version::Two), ("b", Version::Two), ("c", Version::Two), ("old", Version::Zero)];
/// How many past requests are repeated.
const HISTORY: usize = 64;

type Ended = BTreeMap<(TransactionalId, Producer), Outcome>;

struct Storm {
    rng: Rng,
    now: Now,
    settings: Arc<Settings>,
    ledger: Option<Ledger<TransactionCoordinator>>,
    log: Vec<Record>,
    stable: usize,
    tokens: u64,
    ids: i64,
    /// Who waits for an answer to what.
    open: BTreeMap<Token, Command>,
    history: Vec<Command>,
    /// Whom each producer takes itself for.
    selves: BTreeMap<TransactionalId, Producer>,
    /// How each transaction under version 2 ended, by the epoch in which it was written.
    ended: Ended,
    told: BTreeSet<(TransactionalId, Producer)>,
    ends: usize,
    completions: usize,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let written = |key| match key {
            "transactional.id.expiration.ms" => Some("60000"),
            "transaction.remove.expired.transaction.cleanup.interval.ms" => Some("20000"),
            _ => None,
        };
        let settings = Arc::new(Settings::resolve(BATCH_BYTES_MAX, Version::Two, written).unwrap());
        let now = Now { instant: Instant(0), wall: Timestamp(1_000_000) };
        // The end of an id is near, so that it is reached often.
        let log: Vec<Record> =
            NAMES.iter().enumerate().map(|(place, (name, version))| aged(name, place, *version)).collect();
        let selves = log.iter().map(|it| (it.transactional_id.clone(), it.value.as_ref().unwrap().producer)).collect();
        let ledger = Some(Ledger::lead(folded(&settings, &log), now, Offset(log.len() as i64), BATCH_BYTES_MAX));
        Self {
            rng: Rng::new(seed),
            now,
            settings,
            ledger,
            stable: log.len(),
            log,
            tokens: 0,
            ids: 100,
            open: BTreeMap::new(),
            history: vec![],
            selves,
            ended: BTreeMap::new(),
            told: BTreeSet::new(),
            ends: 0,
            completions: 0,
        }
    }

    fn step(&mut self) {
        match self.rng.below(100) {
            0..50 => {
                let command = self.command();
                self.ask(command);
            }
            50..60 => self.repeat(),
            60..75 => self.mark(),
            75..80 => {
                let passed = Duration::from_millis(self.rng.below(9_000));
                self.pass(passed);
            }
            80..99 => self.commit(),
            _ => self.resign(),
        }
    }

    fn command(&mut self) -> Command {
        let (name, version) = *self.rng.pick(&NAMES).unwrap();
        let transactional_id = TransactionalId::from(name);
        let known = self.selves.get(&transactional_id).copied();
        let producer = known.unwrap_or(Producer { id: ProducerId(1), epoch: ProducerEpoch(0) });
        let outcome = if self.rng.chance(500) { Outcome::Commit } else { Outcome::Abort };
        match self.rng.below(20) {
            0 | 1 => self.init(transactional_id, known),
            2..10 => {
                let partitions = (0..self.rng.below(4) as i32).map(place).collect();
                Command::AddPartitions(AddPartitions { transactional_id, producer, partitions, version })
            }
            _ => Command::End(End { transactional_id, producer, outcome, version, fresh: None }),
        }
    }

    fn init(&mut self, transactional_id: TransactionalId, known: Option<Producer>) -> Command {
        let expected = known.filter(|_| self.rng.chance(500));
        let timeout_ms = 1 + self.rng.below(30_000) as i32;
        let (two_phase, keep_prepared) = (false, false);
        Command::Init(Init { transactional_id, timeout_ms, expected, two_phase, keep_prepared, fresh: None })
    }

    fn repeat(&mut self) {
        if let Some(command) = self.rng.pick(&self.history).cloned() {
            self.propose(command);
        }
    }

    fn ask(&mut self, command: Command) {
        if self.history.len() < HISTORY {
            self.history.push(command.clone());
        } else {
            let place = self.rng.below(HISTORY as u64) as usize;
            self.history[place] = command.clone();
        }
        self.propose(command);
    }

    fn propose(&mut self, command: Command) {
        let token = Token(self.tokens);
        self.tokens += 1;
        self.open.insert(token, command.clone());
        let before = self.log.len();
        let (mut out, now) = (vec![], self.now);
        self.ledger.as_mut().unwrap().propose(now, token, command.clone(), &mut out);
        self.perform(out);
        self.check_reach(before, &command);
    }

    /// Under version 2 an end ends the transaction of its very epoch, and nothing else.
    fn check_reach(&self, from: usize, command: &Command) {
        let Command::End(end) = command else { return };
        let decided = self.log[from..].iter().filter_map(|record| record.value.as_ref());
        for transaction in decided.filter(|it| matches!(it.state, State::Prepared(_))) {
            assert_eq!(transaction.producer.id, end.producer.id);
            let raised = i16::from(end.version.raises_epoch());
            assert_eq!(transaction.producer.epoch.0, end.producer.epoch.0 + raised);
        }
    }

    /// Markers of some committed outcome, in some of its partitions, perhaps not for the first time.
    fn mark(&mut self) {
        let ledger = self.ledger.as_ref().unwrap();
        let all: Vec<_> = ledger.committed().outstanding(ledger.soft(), Offset::ZERO).collect();
        let Some(one) = self.rng.pick(&all) else { return };
        assert!((one.prepared_at.0 as usize) < self.stable, "a marker before its outcome is safe");
        let written = MarkersWritten { prepared_at: one.prepared_at, partitions: one.partitions.clone() };
        let some = self.rng.below(1 + written.partitions.len() as u64) as usize;
        let partitions = written.partitions[..some].to_vec();
        self.ask(Command::MarkersWritten(MarkersWritten { partitions, ..written }));
    }

    fn perform(&mut self, effects: Effects<TransactionCoordinator>) {
        for effect in effects {
            match effect {
                Effect::Append { at, records } => {
                    assert_eq!(at.0 as usize, self.log.len());
                    assert!(records.iter().map(Record::weight).sum::<usize>() <= BATCH_BYTES_MAX);
                    for record in records {
                        note(&mut self.ended, &record);
                        self.completions += usize::from(is_complete(&record));
                        self.log.push(record);
                    }
                }
                Effect::Reply { token, reply } => self.answered(token, reply),
                Effect::Refuse { token, .. } => drop(self.open.remove(&token).expect("answered before")),
            }
        }
        let ledger = self.ledger.as_ref().unwrap();
        ledger.check();
        ledger.latest().check(ledger.soft());
    }

    fn answered(&mut self, token: Token, reply: Reply) {
        let command = self.open.remove(&token).expect("answered before");
        match (command, reply) {
            (Command::Init(init), Reply::NeedsProducerId) => {
                let fresh = Some(self.fresh());
                self.propose(Command::Init(Init { fresh, ..init }));
            }
            (Command::End(end), Reply::NeedsProducerId) => {
                let fresh = Some(self.fresh());
                self.propose(Command::End(End { fresh, ..end }));
            }
            (Command::Init(init), Reply::Init(Ok(producer))) => {
                assert!(producer.epoch >= ProducerEpoch(0) && producer.epoch < ProducerEpoch(i16::MAX));
                // Whoever begins anew is somebody new.
                let is_new = self.told.insert((init.transactional_id.clone(), producer));
                assert!(is_new || init.expected.is_some(), "{producer:?} was given away twice");
                self.selves.insert(init.transactional_id, producer);
            }
            (Command::End(end), Reply::End(Ok(producer))) => self.has_ended(end, producer),
            (_, _) => {}
        }
    }

    fn has_ended(&mut self, end: End, producer: Producer) {
        self.ends += 1;
        if !end.version.raises_epoch() {
            return;
        }
        assert!(producer.epoch >= ProducerEpoch(0) && producer.epoch < ProducerEpoch(i16::MAX));
        let key = (end.transactional_id.clone(), end.producer);
        assert_eq!(self.ended.get(&key), Some(&end.outcome), "{key:?} ended otherwise than it was told");
        if self.selves.get(&end.transactional_id) == Some(&end.producer) {
            self.told.insert((end.transactional_id.clone(), producer));
            self.selves.insert(end.transactional_id, producer);
        }
    }

    fn fresh(&mut self) -> ProducerId {
        self.ids += 1;
        ProducerId(self.ids)
    }

    fn commit(&mut self) {
        let uncommitted = (self.log.len() - self.stable) as u64;
        self.stable += self.rng.below(uncommitted + 1) as usize;
        let (mut out, stable) = (vec![], Offset(self.stable as i64));
        self.ledger.as_mut().unwrap().commit(stable, &mut out);
        self.perform(out);
    }

    fn pass(&mut self, duration: Duration) {
        self.now = later(self.now, duration);
        while self.ledger.as_ref().unwrap().deadline().is_some_and(|deadline| deadline <= self.now.instant) {
            let (mut out, now) = (vec![], self.now);
            self.ledger.as_mut().unwrap().tick(now, &mut out);
            self.perform(out);
            if self.ledger.as_ref().unwrap().soft().wants_producer_id() {
                let id = self.fresh();
                self.propose(Command::Spare(id));
            }
        }
    }

    /// What was not committed is lost; what was is read back from its bytes.
    fn resign(&mut self) {
        let mut out = vec![];
        let committed = self.ledger.take().unwrap().resign(&mut out);
        self.log.truncate(self.stable);
        let machine = folded(&self.settings, &self.log);
        assert_eq!(format!("{committed:?}"), format!("{machine:?}"));
        self.ended.clear();
        self.log.iter().for_each(|record| note(&mut self.ended, record));
        self.ledger = Some(Ledger::lead(machine, self.now, Offset(self.stable as i64), BATCH_BYTES_MAX));
        self.perform(out);
        assert!(self.open.is_empty(), "a resignation leaves nobody waiting");
    }

    /// No more producers: what is open times out, what is decided is marked, and all names are forgotten.
    fn calm(&mut self) {
        for _ in 0..300 {
            self.pass(Duration::from_secs(1));
            let (mut out, stable) = (vec![], Offset(self.log.len() as i64));
            self.stable = self.log.len();
            self.ledger.as_mut().unwrap().commit(stable, &mut out);
            self.perform(out);
            let ledger = self.ledger.as_ref().unwrap();
            let all = ledger.committed().outstanding(ledger.soft(), Offset::ZERO);
            let written = all.map(|one| MarkersWritten { prepared_at: one.prepared_at, partitions: one.partitions });
            for written in written.collect::<Vec<_>>() {
                self.propose(Command::MarkersWritten(written));
            }
        }
        assert!(self.open.is_empty(), "{:?} still wait", self.open);
        assert!(self.ledger.as_ref().unwrap().latest().is_empty(), "what nobody uses is forgotten");
    }
}

/// How a transaction under version 2 ended. It was written in the epoch below that of its markers.
fn note(ended: &mut Ended, record: &Record) {
    let Some(transaction) = &record.value else { return };
    let State::Prepared(outcome) = transaction.state else { return };
    if !transaction.version.raises_epoch() {
        return;
    }
    let Producer { id, epoch } = transaction.producer;
    let producer = Producer { id, epoch: ProducerEpoch(epoch.0 - 1) };
    let before = ended.insert((record.transactional_id.clone(), producer), outcome);
    assert!(before.is_none_or(|before| before == outcome), "{producer:?} ended twice");
}

fn is_complete(record: &Record) -> bool {
    record.value.as_ref().is_some_and(|transaction| matches!(transaction.state, State::Complete(_)))
}

fn folded(settings: &Arc<Settings>, log: &[Record]) -> TransactionCoordinator {
    let mut machine = TransactionCoordinator::new(Arc::clone(settings));
    for (offset, record) in log.iter().enumerate() {
        let encoded = record.encode();
        let read = Record::decode(&encoded.key, encoded.value.as_ref()).unwrap().unwrap();
        machine.apply(Offset(offset as i64), &read);
    }
    machine
}

/// A producer in its last epochs.
fn aged(name: &str, place: usize, version: Version) -> Record {
    let producer = Producer { id: ProducerId(10 + place as i64), epoch: ProducerEpoch(32_760) };
    let value = Transaction {
        producer,
        previous_id: producer.id,
        next_id: None,
        timeout_ms: 10_000,
        state: State::Empty,
        partitions: OrdSet::new(),
        started_at: None,
        updated_at: Timestamp(1_000_000),
        version,
    };
    Record { transactional_id: name.into(), value: Some(Arc::new(value)) }
}

fn place(number: i32) -> TopicPartition {
    TopicPartition { topic: TopicName::parse("t").unwrap(), partition: Partition(number) }
}

#[test]
fn whatever_producers_say_answers_are_true_and_nothing_reaches_into_another_transaction() {
    let (mut ends, mut completions, mut reborn) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut storm = Storm::new(seed);
        (0..STEPS).for_each(|_| storm.step());
        storm.calm();
        ends += storm.ends;
        completions += storm.completions;
        reborn += storm.ids - 100;
    }
    // A storm in which nobody ever gets anywhere proves nothing.
    assert!(ends > 6_000, "only {ends} ends were answered");
    assert!(completions > 3_000, "only {completions} transactions were completed");
    assert!(reborn > 200, "only {reborn} ids were used up");
}
