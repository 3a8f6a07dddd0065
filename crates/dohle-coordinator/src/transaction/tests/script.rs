//! A small language for stories about transactions, in the form of that for groups: what is indented comes of the line
//! above it.
//!
//! ```text
//! init a 1 as=100:0                the caller that waits for the answer is called 1
//! add a 2 as=100:0 t/0 old         by a client of the old protocol
//! end commit a 3 as=100:0
//! outstanding                      what is to be marked, by where the log has the outcome
//! marked 2 4 t/0                   the markers of the outcome at offset 2 are safe in t/0
//! written a Ongoing as=7:3 t/0     a record of an earlier leader: the next one finds it there
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dohle_base::{
    ErrorCode, Instant, Now, Offset, Partition, ProducerEpoch, ProducerId, Timestamp, Token, TopicName, parse_duration,
};
use dohle_replication::ledger::{Effect, Effects, Folded, Ledger};

use crate::story::{self, Actor, BEGINNING, Words, later};
use crate::transaction::{
    AddPartitions, Command, End, Init, MarkersWritten, Outcome, Record, Reply, Settings, State, TopicPartition,
    Transaction, TransactionCoordinator, TransactionFilter, Version,
};
use crate::{Producer, TransactionalId};

const BATCH_BYTES_MAX: usize = 1_024;

/// Acts, and returns the script with what came of it.
pub(super) fn play(script: &str) -> String {
    story::play(script, &mut Stage::new(&story::given(script)))
}

struct Stage {
    ledger: Option<Ledger<TransactionCoordinator>>,
    settings: Arc<Settings>,
    log: Vec<Record>,
    now: Now,
    ids: i64,
    held: bool,
    stable: usize,
    happened: Vec<String>,
}

impl Words<'_> {
    fn id(&self, place: usize) -> TransactionalId {
        match self.nth(place) {
            "-" => "".into(),
            name => name.into(),
        }
    }

    fn producer(&self) -> Option<Producer> {
        self.get("as").map(producer)
    }

    fn version(&self) -> Version {
        if self.has("old") { Version::Zero } else { Version::Two }
    }

    fn partitions(&self) -> Vec<TopicPartition> {
        self.plain().filter(|word| word.contains('/')).map(place).collect()
    }
}

impl Actor for Stage {
    fn happened(&mut self) -> Vec<String> {
        std::mem::take(&mut self.happened)
    }

    fn act(&mut self, verb: &str, words: &Words<'_>) {
        match verb {
            "init" => self.ask(words.nth(1), init(words)),
            "add" => self.ask(words.nth(1), add(words)),
            "end" => self.ask(words.nth(2), end(words)),
            "marked" => self.ask(words.nth(1), marked(words)),
            "verify" => self.verify(words),
            "outstanding" => self.outstanding(),
            "describe" => self.describe(words),
            "list" => self.list(words),
            "wait" => self.wait(parse_duration(words.nth(0)).unwrap()),
            "hold" => self.held = true,
            "release" => {
                self.held = false;
                self.commit();
            }
            "resign" => self.resign(),
            "written" => self.log.push(written(words, self.now.wall)),
            _ => panic!("no such action: {verb}"),
        }
    }
}

impl Stage {
    fn new(given: &BTreeMap<&str, &str>) -> Self {
        let level = given.get("version").map_or(2, |level| level.parse().unwrap());
        let version = Version::from_level(level).unwrap();
        let settings = Settings::resolve(BATCH_BYTES_MAX, version, |key| given.get(key).copied()).unwrap();
        let settings = Arc::new(settings);
        let machine = TransactionCoordinator::new(Arc::clone(&settings));
        let ledger = Some(Ledger::lead(machine, BEGINNING, Offset::ZERO, BATCH_BYTES_MAX));
        let now = BEGINNING;
        Self { ledger, settings, log: vec![], now, ids: 100, held: false, stable: 0, happened: vec![] }
    }

    fn ledger(&mut self) -> &mut Ledger<TransactionCoordinator> {
        self.ledger.as_mut().unwrap()
    }

    /// Asks as the shell does: with an id as soon as one is needed.
    fn ask(&mut self, token: &str, command: Command) {
        let (now, token) = (self.now, Token(token.parse().expect("a caller is a number")));
        let mut out = vec![];
        self.ledger().propose(now, token, command.clone(), &mut out);
        let needs =
            |effect: &Effect<Record, Reply>| matches!(effect, Effect::Reply { reply: Reply::NeedsProducerId, .. });
        let needs_id = out.iter().any(needs);
        self.perform(out);
        if needs_id {
            let fresh = Some(self.fresh());
            let command = match command {
                Command::Init(init) => Command::Init(Init { fresh, ..init }),
                Command::End(end) => Command::End(End { fresh, ..end }),
                Command::AddPartitions(_) | Command::MarkersWritten(_) | Command::Spare(_) => unreachable!(),
            };
            let mut out = vec![];
            self.ledger().propose(now, token, command, &mut out);
            self.perform(out);
        }
    }

    fn fresh(&mut self) -> ProducerId {
        self.ids += 1;
        ProducerId(self.ids - 1)
    }

    fn perform(&mut self, effects: Effects<TransactionCoordinator>) {
        for effect in effects {
            match effect {
                Effect::Append { at, records } => {
                    assert_eq!(at.0 as usize, self.log.len());
                    for record in records {
                        self.happened.push(format!("log {}: {}", self.log.len(), show_record(&record)));
                        self.log.push(record);
                    }
                }
                Effect::Reply { token, reply } => self.happened.push(format!("{token} <- {}", show_reply(&reply))),
                Effect::Refuse { token, refusal } => self.happened.push(format!("{token} <- {refusal:?}")),
            }
        }
        let ledger = self.ledger.as_ref().unwrap();
        ledger.check();
        ledger.latest().check(ledger.soft());
        if !self.held && ledger.end() > Offset::ZERO {
            self.commit();
        }
    }

    fn commit(&mut self) {
        self.stable = self.log.len();
        let (mut out, end) = (vec![], Offset(self.log.len() as i64));
        self.ledger().commit(end, &mut out);
        for effect in out {
            match effect {
                Effect::Reply { token, reply } => self.happened.push(format!("{token} <- {}", show_reply(&reply))),
                Effect::Append { .. } | Effect::Refuse { .. } => unreachable!("a commit only releases"),
            }
        }
    }

    /// Ticks at every deadline on the way, and gives ids to timeouts that lack them.
    fn wait(&mut self, duration: Duration) {
        let until = self.now.instant + duration;
        while let Some(deadline) = self.ledger().deadline().filter(|deadline| *deadline <= until) {
            self.advance(deadline);
            let before = self.happened.len();
            let (mut out, now) = (vec![], self.now);
            self.ledger().tick(now, &mut out);
            self.perform(out);
            if self.ledger().soft().wants_producer_id() {
                let id = self.fresh();
                self.ask("0", Command::Spare(id));
            }
            if self.happened.len() > before {
                let seconds = self.now.instant.0 as f64 / 1e9;
                self.happened.insert(before, format!("at {seconds}s"));
            }
        }
        self.advance(until);
    }

    fn advance(&mut self, to: Instant) {
        self.now = later(self.now, to.saturating_since(self.now.instant));
    }

    /// The next leader knows what the log holds, and nothing else. What was not committed is lost.
    fn resign(&mut self) {
        let mut out = vec![];
        self.ledger.take().unwrap().resign(&mut out);
        for effect in out {
            match effect {
                Effect::Refuse { token, refusal } => self.happened.push(format!("{token} <- {refusal:?}")),
                Effect::Append { .. } | Effect::Reply { .. } => unreachable!("a resignation only refuses"),
            }
        }
        if self.held {
            self.log.truncate(self.stable);
        }
        self.held = false;
        let mut machine = TransactionCoordinator::new(Arc::clone(&self.settings));
        for (offset, record) in self.log.iter().enumerate() {
            let encoded = record.encode();
            let read = Record::decode(&encoded.key, encoded.value.as_ref()).unwrap().unwrap();
            assert_eq!(read, *record);
            machine.apply(Offset(offset as i64), &read);
        }
        let end = Offset(self.log.len() as i64);
        self.ledger = Some(Ledger::lead(machine, self.now, end, BATCH_BYTES_MAX));
    }

    fn verify(&mut self, words: &Words<'_>) {
        let (id, producer) = (words.id(0), words.producer().unwrap());
        let line = match self.ledger().committed().verify(&id, producer, &words.partitions()) {
            Ok(codes) => codes.into_iter().map(code).collect::<Vec<_>>().join(", "),
            Err(error) => format!("refused {}", error.name()),
        };
        self.happened.push(line);
    }

    fn outstanding(&mut self) {
        let ledger = self.ledger.as_ref().unwrap();
        for one in ledger.committed().outstanding(ledger.soft(), Offset::ZERO) {
            let partitions = one.partitions.iter().map(show_place).collect::<Vec<_>>().join(" ");
            let Producer { id, epoch } = one.producer;
            let (name, outcome, level) = (one.transactional_id, one.outcome, one.version.level());
            self.happened
                .push(format!("{}: {name} {outcome:?} {id}:{epoch} v{level} in {partitions}", one.prepared_at));
        }
    }

    fn describe(&mut self, words: &Words<'_>) {
        let described = self.ledger().committed().describe(&words.id(0)).map(show_transaction);
        self.happened.push(described.unwrap_or_else(|| "unknown".to_owned()));
    }

    fn list(&mut self, words: &Words<'_>) {
        let texts = |key| words.get(key).into_iter().flat_map(|all| all.split(','));
        let filter = TransactionFilter {
            states: texts("states").map(str::to_owned).collect(),
            producers: texts("ids").map(|id| ProducerId(id.parse().unwrap())).collect(),
            duration_ms: words.get("longer").map(|ms| ms.parse().unwrap()),
        };
        self.happened.extend(filter.unknown_states().map(|name| format!("no such state: {name}")));
        let (ledger, now) = (self.ledger.as_ref().unwrap(), self.now.wall);
        let listed = ledger.committed().list(&filter, now);
        let show = |it: crate::transaction::ListedTransaction<'_>| {
            format!("{} {} {}", it.transactional_id, it.transaction.state.name(), it.transaction.producer.id)
        };
        self.happened.extend(listed.map(show));
    }
}

fn init(words: &Words<'_>) -> Command {
    Command::Init(Init {
        transactional_id: words.id(0),
        timeout_ms: words.get("timeout").map_or(60_000, |ms| ms.parse().unwrap()),
        expected: words.producer(),
        two_phase: words.has("2pc"),
        keep_prepared: words.has("keep"),
        fresh: None,
    })
}

fn add(words: &Words<'_>) -> Command {
    Command::AddPartitions(AddPartitions {
        transactional_id: words.id(0),
        producer: words.producer().unwrap(),
        partitions: words.partitions(),
        version: words.version(),
    })
}

fn end(words: &Words<'_>) -> Command {
    Command::End(End {
        transactional_id: words.id(1),
        producer: words.producer().unwrap(),
        outcome: outcome(words.nth(0)),
        version: words.version(),
        fresh: None,
    })
}

fn marked(words: &Words<'_>) -> Command {
    Command::MarkersWritten(MarkersWritten {
        prepared_at: Offset(words.nth(0).parse().unwrap()),
        partitions: words.partitions(),
    })
}

fn written(words: &Words<'_>, now: Timestamp) -> Record {
    let Some(state) = state(words.nth(1)) else { return Record { transactional_id: words.id(0), value: None } };
    let transaction = Transaction {
        producer: words.producer().unwrap(),
        previous_id: words.get("was").map_or(words.producer().unwrap().id, |id| ProducerId(id.parse().unwrap())),
        next_id: words.get("next").map(|id| ProducerId(id.parse().unwrap())),
        timeout_ms: 60_000,
        state,
        partitions: words.partitions().into_iter().collect(),
        started_at: (state != State::Empty).then_some(now),
        updated_at: now,
        version: words.version(),
    };
    Record { transactional_id: words.id(0), value: Some(Arc::new(transaction)) }
}

pub(super) fn state(name: &str) -> Option<State> {
    State::ALL.into_iter().find(|state| state.name() == name)
}

pub(super) fn outcome(text: &str) -> Outcome {
    BTreeMap::from([("commit", Outcome::Commit), ("abort", Outcome::Abort)])[text]
}

/// `7:3` is the producer with id 7 in epoch 3.
pub(super) fn producer(text: &str) -> Producer {
    let (id, epoch) = text.split_once(':').expect("a producer is id:epoch");
    Producer { id: ProducerId(id.parse().unwrap()), epoch: ProducerEpoch(epoch.parse().unwrap()) }
}

pub(super) fn place(text: &str) -> TopicPartition {
    let (topic, partition) = text.split_once('/').expect("a partition is topic/number");
    TopicPartition { topic: TopicName::parse(topic).unwrap(), partition: Partition(partition.parse().unwrap()) }
}

pub(super) fn code(code: ErrorCode) -> String {
    if code.is_none() { "ok".to_owned() } else { code.name().to_owned() }
}

fn show_place(place: &TopicPartition) -> String {
    format!("{}/{}", place.topic, place.partition)
}

pub(super) fn show_reply(reply: &Reply) -> String {
    match reply {
        Reply::Init(Ok(it)) | Reply::End(Ok(it)) => format!("{}:{}", it.id, it.epoch),
        Reply::AddPartitions(Ok(())) => "ok".to_owned(),
        Reply::Init(Err(error)) | Reply::AddPartitions(Err(error)) | Reply::End(Err(error)) => {
            format!("refused {}", error.name())
        }
        Reply::MarkersWritten => "noted".to_owned(),
        Reply::Spare => "kept".to_owned(),
        Reply::NeedsProducerId => "needs an id".to_owned(),
    }
}

fn show_record(record: &Record) -> String {
    let name = &record.transactional_id;
    let value = record.value.as_ref().map(|transaction| show_transaction(transaction));
    format!("{name} {}", value.unwrap_or_else(|| "is no more".to_owned()))
}

fn show_transaction(it: &Transaction) -> String {
    let previous = if it.previous_id == it.producer.id { String::new() } else { format!(" was {}", it.previous_id) };
    let next = it.next_id.map_or(String::new(), |id| format!(" next {id}"));
    let partitions: String = it.partitions.iter().map(|place| format!(" {}", show_place(place))).collect();
    let since = it.started_at.map_or(String::new(), |at| format!(" since {}ms", at.0 - BEGINNING.wall.0));
    let (state, level) = (it.state.name(), it.version.level());
    format!("{state} {}:{}{previous}{next} v{level}{partitions}{since}", it.producer.id, it.producer.epoch)
}
