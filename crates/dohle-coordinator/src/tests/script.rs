//! A small language for stories about groups.
//!
//! ```text
//! given group.max.size=2                   settings, before anything else
//! join g 1 client=app protocols=range:x    the caller that waits for the answer is called 1
//!   1 <- refused MEMBER_ID_REQUIRED as app#1
//! wait 10s                                 time passes, deadline by deadline
//! hold | release                           the log stops, goes on, committing
//! resign group.max.size=1                  the next leader begins with what the log holds, read back from bytes
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_base::{
    ErrorCode, Instant, LeaderEpoch, Now, Offset, Partition, ProducerEpoch, ProducerId, Token, TopicId, TopicName,
    Uuid, parse_duration,
};
use dohle_protocol::record::consumer::ConsumerProtocolSubscription;
use dohle_protocol::{Message, Reader, Rope};
use dohle_replication::ledger::{Effect, Effects, Folded, Ledger};

use crate::story::{self, Actor, BEGINNING, Words, later};
use crate::transaction::{Outcome, Version};
use crate::{
    Command, CommitOffsets, CommitOffsetsInTransaction, DeleteOffsets, DeletedTopic, EndTransaction, FetchOffsets,
    Generation, GroupCoordinator, GroupFilter, Heartbeat, Join, JoinedMember, Leave, Leaving, MemberId, OffsetKey,
    OffsetToCommit, OffsetValue, Producer, Protocol, Record, Reply, Settings, Sync, Wanted, Wish,
};

/// What a batch holds in these stories.
const BATCH_BYTES_MAX: usize = 4_096;

/// Acts, and returns the script with what came of it.
pub(super) fn play(script: &str) -> String {
    story::play(script, &mut Stage::new(&story::given(script)))
}

struct Stage {
    ledger: Option<Ledger<GroupCoordinator>>,
    settings: Arc<Settings>,
    log: Vec<Record>,
    now: Now,
    names: u8,
    held: bool,
    happened: Vec<String>,
}

impl Words<'_> {
    fn token(&self, place: usize) -> Token {
        Token(self.nth(place).parse().expect("a caller is a number"))
    }

    fn member(&self) -> Option<MemberId> {
        self.get("member").map(member)
    }

    fn generation(&self) -> Generation {
        Generation(self.get("gen").map_or(-1, |number| number.parse().unwrap()))
    }

    fn duration(&self, key: &str, default: &str) -> Duration {
        parse_duration(self.get(key).unwrap_or(default)).unwrap()
    }
}

impl Actor for Stage {
    fn happened(&mut self) -> Vec<String> {
        std::mem::take(&mut self.happened)
    }

    fn act(&mut self, verb: &str, words: &Words<'_>) {
        match verb {
            "join" => self.propose(words.token(1), |stage| stage.join(words)),
            "sync" => self.propose(words.token(1), |_| sync(words)),
            "heartbeat" => self.propose(words.token(1), |_| heartbeat(words)),
            "leave" => self.propose(words.token(1), |_| leave(words)),
            "commit" => self.propose(words.token(1), |_| Command::CommitOffsets(commit(words))),
            "commit-in" => self.propose(words.token(1), |_| commit_in_transaction(words)),
            "end" => self.propose(words.token(1), |_| end(words)),
            "fetch" => self.propose(words.token(1), |_| fetch(words)),
            "forget" => self.propose(words.token(1), |_| forget(words)),
            "delete" => {
                let groups = words.plain().skip(1).map(Into::into).collect();
                self.propose(words.token(0), |_| Command::DeleteGroups(groups));
            }
            "describe" => {
                let groups = words.plain().skip(1).map(Into::into).collect();
                self.propose(words.token(0), |_| Command::DescribeGroups(groups));
            }
            "list" => {
                let texts = |key| words.get(key).map(|all| all.split(',').map(str::to_owned).collect());
                let (states, kinds) = (texts("state").unwrap_or_default(), texts("kind").unwrap_or_default());
                self.propose(words.token(0), |_| Command::ListGroups(GroupFilter { states, kinds }));
            }
            "topic-deleted" => {
                let topics = words.plain().skip(1).map(|name| DeletedTopic { name: topic(name), id: identity(words) });
                self.propose(words.token(0), |_| Command::TopicsDeleted(topics.collect()));
                self.wait(Duration::ZERO);
            }
            "wait" => self.wait(parse_duration(words.nth(0)).unwrap()),
            "hold" => self.held = true,
            "release" => self.release(),
            "resign" => self.resign(words),
            "written" => self.write(words),
            _ => panic!("no such action: {verb}"),
        }
    }
}

impl Stage {
    fn new(given: &BTreeMap<&str, &str>) -> Self {
        let settings = Settings::resolve(BATCH_BYTES_MAX, |key| given.get(key).copied()).unwrap();
        let settings = Arc::new(settings);
        let machine = GroupCoordinator::new(Arc::clone(&settings));
        let ledger = Some(Ledger::lead(machine, BEGINNING, Offset::ZERO, BATCH_BYTES_MAX));
        Self { ledger, settings, log: vec![], now: BEGINNING, names: 0, held: false, happened: vec![] }
    }

    fn propose(&mut self, token: Token, command: impl FnOnce(&mut Self) -> Command) {
        let command = command(self);
        let mut out = vec![];
        let now = self.now;
        self.ledger.as_mut().unwrap().propose(now, token, command, &mut out);
        self.perform(out);
    }

    fn perform(&mut self, effects: Effects<GroupCoordinator>) {
        for effect in effects {
            match effect {
                Effect::Append { at, records } => {
                    assert_eq!(at.0 as usize, self.log.len());
                    self.happened.extend(records.iter().map(|record| format!("log: {}", show_record(record))));
                    self.log.extend(records);
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
        let (mut out, end) = (vec![], Offset(self.log.len() as i64));
        self.ledger.as_mut().unwrap().commit(end, &mut out);
        for effect in out {
            match effect {
                Effect::Reply { token, reply } => self.happened.push(format!("{token} <- {}", show_reply(&reply))),
                Effect::Append { .. } | Effect::Refuse { .. } => unreachable!("a commit only releases"),
            }
        }
    }

    fn release(&mut self) {
        self.held = false;
        self.commit();
    }

    /// Ticks at every deadline on the way.
    fn wait(&mut self, duration: Duration) {
        let until = self.now.instant + duration;
        loop {
            let deadline = self.ledger.as_ref().unwrap().deadline().unwrap_or(Instant::NEVER);
            if deadline > until {
                break;
            }
            self.advance(deadline);
            let before = self.happened.len();
            let (mut out, now) = (vec![], self.now);
            self.ledger.as_mut().unwrap().tick(now, &mut out);
            self.perform(out);
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
    fn resign(&mut self, words: &Words<'_>) {
        let mut out = vec![];
        let committed = if self.held { self.stable() } else { self.log.len() };
        self.ledger.take().unwrap().resign(&mut out);
        for effect in out {
            match effect {
                Effect::Refuse { token, refusal } => self.happened.push(format!("{token} <- {refusal:?}")),
                Effect::Append { .. } | Effect::Reply { .. } => unreachable!("a resignation only refuses"),
            }
        }
        self.log.truncate(committed);
        self.held = false;
        if !words.0.is_empty() {
            self.settings = Arc::new(Settings::resolve(BATCH_BYTES_MAX, |key| words.get(key)).unwrap());
        }
        let mut machine = GroupCoordinator::new(Arc::clone(&self.settings));
        for (offset, record) in self.log.iter().enumerate() {
            machine.apply(Offset(offset as i64), &reread(record));
        }
        let end = Offset(self.log.len() as i64);
        self.ledger = Some(Ledger::lead(machine, self.now, end, BATCH_BYTES_MAX));
    }

    fn stable(&self) -> usize {
        let committed = self.ledger.as_ref().unwrap().committed();
        // The longest beginning of the log that leads to what is committed.
        let mut machine = GroupCoordinator::new(Arc::clone(&self.settings));
        let mut length = 0;
        for (offset, record) in self.log.iter().enumerate() {
            if is_same(&machine, committed) {
                length = offset;
            }
            machine.apply(Offset(offset as i64), record);
        }
        length
    }

    /// Puts a record into the log as if an earlier leader had written it: the next leader finds it there.
    fn write(&mut self, words: &Words<'_>) {
        let producer = words.get("producer").map(producer);
        let ended =
            |producer, outcome| Record::TransactionEnded { producer, outcome, coordinator_epoch: LeaderEpoch(0) };
        let record = match (words.nth(0), producer) {
            ("commit", Some(producer)) => ended(producer, Outcome::Commit),
            ("abort", Some(producer)) => ended(producer, Outcome::Abort),
            (group, producer) => {
                let place = place(words.nth(1));
                let key = OffsetKey { group: group.into(), topic: place.topic, partition: place.partition };
                let value = OffsetValue {
                    offset: place.offset,
                    leader_epoch: place.leader_epoch,
                    metadata: place.metadata,
                    committed_at: self.now.wall,
                    expires_at: None,
                    topic_id: place.topic_id,
                };
                Record::Offset { key, value: Some(value), producer }
            }
        };
        self.log.push(record);
    }

    fn join(&mut self, words: &Words<'_>) -> Command {
        self.names += 1;
        let mut fresh = Uuid::ZERO;
        fresh.0[15] = self.names;
        Command::Join(Box::new(Join {
            group: words.nth(0).into(),
            member: words.member(),
            instance: words.get("static").map(Into::into),
            client_id: words.get("client").unwrap_or("c").into(),
            client_host: "/127.0.0.1".into(),
            protocol_type: words.get("type").unwrap_or("consumer").into(),
            protocols: words
                .get("protocols")
                .unwrap_or("range:t")
                .split(',')
                .filter(|p| !p.is_empty())
                .map(protocol)
                .collect(),
            session_timeout: words.duration("session", "10s"),
            rebalance_timeout: words.duration("rebalance", "60s"),
            must_come_again: !words.has("old"),
            may_skip_assignment: words.has("skip"),
            fresh,
        }))
    }
}

fn is_same(one: &GroupCoordinator, other: &GroupCoordinator) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

/// The record as it comes out of its bytes; the marker of a transaction has none here.
fn reread(record: &Record) -> Record {
    let producer = match record {
        Record::Offset { producer, .. } => *producer,
        Record::Group { .. } | Record::TransactionEnded { .. } => None,
    };
    match record.encode() {
        Some(encoded) => Record::decode(&encoded.key, encoded.value.as_ref(), producer).unwrap().unwrap(),
        None => record.clone(),
    }
}

/// `range:t+u` is a protocol whose metadata subscribes to topics t and u, `range=!abc` one with these very bytes.
fn protocol(text: &str) -> Protocol {
    let (name, metadata) = text.split_once(':').unwrap_or((text, ""));
    let metadata = match metadata.strip_prefix('!') {
        Some(raw) => Bytes::copy_from_slice(raw.as_bytes()),
        None => subscription(metadata),
    };
    Protocol { name: name.into(), metadata }
}

fn subscription(topics: &str) -> Bytes {
    let topics = topics.split('+').filter(|topic| !topic.is_empty()).map(Into::into).collect();
    let mut rope = Rope::new();
    rope.i16(0);
    ConsumerProtocolSubscription { topics, ..Default::default() }.encode(&mut rope, 0).unwrap();
    rope.into_bytes()
}

fn sync(words: &Words<'_>) -> Command {
    let shares = words.get("shares").unwrap_or_default().split(',').filter_map(|share| share.split_once(':'));
    let bytes = |share: &str| match share.strip_prefix('*') {
        Some(length) => Bytes::from(vec![b'x'; length.parse().unwrap()]),
        None => Bytes::copy_from_slice(share.as_bytes()),
    };
    Command::Sync(Sync {
        group: words.nth(0).into(),
        member: words.member().unwrap(),
        instance: words.get("static").map(Into::into),
        generation: words.generation(),
        protocol_type: words.get("type").map(Into::into),
        protocol: words.get("protocol").map(Into::into),
        assignments: shares.map(|(id, share)| (member(id), bytes(share))).collect(),
    })
}

fn heartbeat(words: &Words<'_>) -> Command {
    Command::Heartbeat(Heartbeat {
        group: words.nth(0).into(),
        member: words.member().unwrap(),
        instance: words.get("static").map(Into::into),
        generation: words.generation(),
    })
}

/// Each who goes is `member`, `member/instance` or `/instance`.
fn leave(words: &Words<'_>) -> Command {
    let members = words.plain().skip(2).map(|one| {
        let (id, instance) = one.split_once('/').map_or((one, None), |(id, instance)| (id, Some(instance)));
        Leaving { member: (!id.is_empty()).then(|| member(id)), instance: instance.map(Into::into) }
    });
    Command::Leave(Leave { group: words.nth(0).into(), members: members.collect() })
}

fn commit(words: &Words<'_>) -> CommitOffsets {
    CommitOffsets {
        group: words.nth(0).into(),
        member: words.member(),
        instance: words.get("static").map(Into::into),
        generation: words.generation(),
        retention: words.get("retention").map(|text| parse_duration(text).unwrap()),
        offsets: words.plain().skip(2).map(place).collect(),
    }
}

fn commit_in_transaction(words: &Words<'_>) -> Command {
    let producer = producer(words.get("producer").unwrap());
    Command::CommitOffsetsInTransaction(CommitOffsetsInTransaction { producer, commit: commit(words) })
}

/// `end commit 1 producer=7:3 version=0`: the marker of a transaction, under version 2 unless another is given.
fn end(words: &Words<'_>) -> Command {
    Command::EndTransaction(EndTransaction {
        producer: producer(words.get("producer").unwrap()),
        outcome: if words.nth(0) == "commit" { Outcome::Commit } else { Outcome::Abort },
        version: Version::from_level(words.get("version").map_or(2, |level| level.parse().unwrap())).unwrap(),
        coordinator_epoch: LeaderEpoch(0),
    })
}

/// `7:3` is the producer with id 7 in epoch 3, `7` the one in epoch 0.
fn producer(text: &str) -> Producer {
    let (id, epoch) = text.split_once(':').unwrap_or((text, "0"));
    Producer { id: ProducerId(id.parse().unwrap()), epoch: ProducerEpoch(epoch.parse().unwrap()) }
}

/// `t/0@42` is a place, `t/0@42:words` one with the client's words, `t/0@42:*5000` one with many words.
fn place(text: &str) -> OffsetToCommit {
    let (partition, place) = text.split_once('@').expect("a place is topic/partition@offset");
    let (offset, words) = place.split_once(':').map_or((place, None), |(offset, words)| (offset, Some(words)));
    let words = words.map(|words| words.strip_prefix('*').map_or(words.to_owned(), |n| "w".repeat(n.parse().unwrap())));
    let (topic, partition) = topic_partition(partition);
    OffsetToCommit {
        topic,
        topic_id: TopicId::ZERO,
        partition,
        offset: Offset(offset.parse().unwrap()),
        leader_epoch: LeaderEpoch::NONE,
        metadata: words.map(Into::into),
    }
}

fn fetch(words: &Words<'_>) -> Command {
    let partitions: Vec<_> = words.plain().skip(2).filter(|word| word.contains('/')).map(topic_partition).collect();
    let wish = |(topic, partition)| Wish { topic, topic_id: TopicId::ZERO, partition };
    let wanted =
        if words.has("all") { Wanted::All } else { Wanted::Listed(partitions.into_iter().map(wish).collect()) };
    Command::FetchOffsets(FetchOffsets { group: words.nth(0).into(), wanted, require_stable: words.has("stable") })
}

fn forget(words: &Words<'_>) -> Command {
    let partitions = words.plain().skip(2).map(topic_partition).collect();
    Command::DeleteOffsets(DeleteOffsets { group: words.nth(0).into(), partitions })
}

fn topic(name: &str) -> TopicName {
    TopicName::parse(name).unwrap()
}

fn identity(words: &Words<'_>) -> TopicId {
    words.get("id").map_or(TopicId::ZERO, |_| TopicId::METADATA_TOPIC)
}

fn topic_partition(text: &str) -> (TopicName, Partition) {
    let (name, partition) = text.split_once('/').expect("a partition is topic/number");
    (topic(name), Partition(partition.parse().unwrap()))
}

const LONG: &str = "-00000000-0000-0000-0000-0000000000";

/// `app#1` stands for the first name that the coordinator gives, with `app` as its stem.
fn member(text: &str) -> MemberId {
    match text.split_once('#') {
        Some((stem, number)) => format!("{stem}{LONG}{:02x}", number.parse::<u8>().unwrap()).into(),
        None => text.into(),
    }
}

fn show_member(member: &MemberId) -> String {
    match member.as_str().split_once(LONG) {
        Some((stem, number)) => format!("{stem}#{}", u8::from_str_radix(number, 16).unwrap()),
        None => member.as_str().to_owned(),
    }
}

fn show_bytes(bytes: &Bytes) -> String {
    let mut reader = Reader::new(bytes.clone());
    if reader.i16() == 0
        && let Ok(subscription) = ConsumerProtocolSubscription::decode(&mut reader, 0)
    {
        return subscription.topics.iter().map(|topic| topic.as_str()).collect::<Vec<_>>().join("+");
    }
    if bytes.len() > 40 { format!("{} bytes", bytes.len()) } else { String::from_utf8_lossy(bytes).into_owned() }
}

fn list<T>(items: impl IntoIterator<Item = T>, show: impl Fn(T) -> String) -> String {
    items.into_iter().map(show).collect::<Vec<_>>().join(", ")
}

fn code(code: ErrorCode) -> String {
    if code.is_none() { "ok".to_owned() } else { code.name().to_owned() }
}

fn show_reply(reply: &Reply) -> String {
    match reply {
        Reply::Join(Ok(joined)) => {
            let show = |it: &JoinedMember| {
                let instance = it.instance.as_ref().map_or(String::new(), |instance| format!("/{instance}"));
                format!("{}{instance} on {}", show_member(&it.member), show_bytes(&it.metadata))
            };
            let members = list(&joined.members, show);
            let protocol = joined.protocol.as_deref().unwrap_or("nothing");
            format!(
                "joined {} as {}, {protocol}, leader {}{}{}{members}",
                joined.generation,
                show_member(&joined.member),
                show_member(&joined.leader),
                if joined.skip_assignment { ", skip" } else { "" },
                if members.is_empty() { "" } else { ": " },
            )
        }
        Reply::Join(Err(refusal)) => {
            let member = refusal.member.as_ref().map_or(String::new(), |member| format!(" as {}", show_member(member)));
            format!("refused {}{member}", refusal.code.name())
        }
        Reply::Sync(Ok(synced)) => {
            format!("share {:?} of {}", show_bytes(&synced.assignment), synced.protocol.as_deref().unwrap_or("nothing"))
        }
        Reply::Sync(Err(error))
        | Reply::Heartbeat(Err(error))
        | Reply::EndTransaction(Err(error))
        | Reply::Leave(Err(error))
        | Reply::CommitOffsets(Err(error))
        | Reply::CommitOffsetsInTransaction(Err(error))
        | Reply::DeleteOffsets(Err(error)) => format!("refused {}", error.name()),
        Reply::Heartbeat(Ok(())) | Reply::EndTransaction(Ok(())) => "ok".to_owned(),
        Reply::Leave(Ok(left)) => list(left, |one| {
            let member = one.member.as_ref().map_or(String::new(), show_member);
            let instance = one.instance.as_ref().map_or(String::new(), |instance| format!("/{instance}"));
            format!("{member}{instance} {}", code(one.code))
        }),
        Reply::CommitOffsets(Ok(codes))
        | Reply::CommitOffsetsInTransaction(Ok(codes))
        | Reply::DeleteOffsets(Ok(codes)) => list(codes.iter().copied(), code),
        Reply::FetchOffsets(fetched) => list(fetched, |one| {
            let place = match &one.committed {
                Ok(Some(value)) => format!("@{}{}", value.offset, show_words(value)),
                Ok(None) => " none".to_owned(),
                Err(error) => format!(" {}", error.name()),
            };
            format!("{}/{}{place}", one.topic, one.partition)
        }),
        Reply::DeleteGroups(deleted) => list(deleted, |one| format!("{} {}", one.group, code(one.code))),
        Reply::DescribeGroups(described) => list(described, |(id, view)| match view {
            None => format!("{id} unknown"),
            Some(view) => {
                let members = list(&view.members, |it| {
                    format!(
                        "{} {:?} {:?}",
                        show_member(&it.member),
                        show_bytes(&it.metadata),
                        show_bytes(&it.assignment)
                    )
                });
                format!("{id} {} {:?} {:?} [{members}]", view.state, view.protocol_type, view.protocol)
            }
        }),
        Reply::ListGroups(listed) => {
            list(listed, |it| format!("{} {} {:?} {}", it.group, it.state, it.protocol_type, it.kind))
        }
        Reply::TopicsDeleted => "forgotten".to_owned(),
    }
}

fn show_words(value: &OffsetValue) -> String {
    value.metadata.as_ref().map_or(String::new(), |words| format!(":{words}"))
}

fn show_record(record: &Record) -> String {
    match record {
        Record::Offset { key, value: None, .. } => format!("{} forgets {}/{}", key.group, key.topic, key.partition),
        Record::Offset { key, value: Some(value), producer } => {
            let until = value.expires_at.map_or(String::new(), |at| format!(" until {}ms", at.0 - BEGINNING.wall.0));
            let by = producer.map_or(String::new(), |it| format!(" if {}:{} commits", it.id, it.epoch));
            format!("{} at {}/{}@{}{}{until}{by}", key.group, key.topic, key.partition, value.offset, show_words(value))
        }
        Record::Group { group, value: None } => format!("{group} is no more"),
        Record::Group { group, value: Some(stored) } if stored.members.is_empty() => {
            format!("{group} generation {} empty", stored.generation)
        }
        Record::Group { group, value: Some(stored) } => {
            let members = list(stored.members.iter(), |it| {
                let instance = it.instance.as_ref().map_or(String::new(), |instance| format!("/{instance}"));
                format!("{}{instance} {:?}", show_member(&it.id), show_bytes(&it.assignment))
            });
            format!(
                "{group} generation {} {}: {members}",
                stored.generation,
                stored.protocol.as_deref().unwrap_or_default()
            )
        }
        Record::TransactionEnded { producer, outcome, coordinator_epoch: _ } => {
            format!("{outcome:?} of {}:{}", producer.id, producer.epoch)
        }
    }
}
