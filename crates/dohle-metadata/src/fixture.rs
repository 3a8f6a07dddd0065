//! A controller on a log that commits at once, for tests.

use std::collections::BTreeMap;
use std::time::Duration;

use dohle_base::config::{Accepts, Key, Kind, Table, Takes};
use dohle_base::{BrokerId, Instant, Now, Offset, Timestamp, Token, Uuid};
use dohle_protocol::record::MetadataRecord;
use dohle_replication::ledger::{Effect, Ledger};

use crate::controller::brokers::{Heartbeat, RegisterBroker, Standing};
use crate::controller::topics::{CreateTopics, NewTopic, TopicResult};
use crate::controller::{Command, Controller, Policy, Reply, version};
use crate::effective::{ConfigTables, Order};
use crate::image::features::FEATURES;
use crate::image::{Assignment, BrokerEpoch, Image, Listener, Supported};

pub(crate) const CLUSTER: &str = "wZ2hOhVnQqWf0Oq3n2bJ8w";
pub(crate) const SESSION: Duration = Duration::from_secs(9);

const fn key(name: &'static str, kind: Kind, default: &'static str, accepts: Accepts) -> Key {
    let (takes, synonyms, about) = (Takes::Immediately, &[] as &[&str], "");
    Key { name, kind, default: Some(default), accepts, takes, synonyms, about }
}

const POLICIES: Accepts = Accepts::OneOf(&["compact", "delete"]);
const FROM_0: Accepts = Accepts::Between(0, i64::MAX);

static TOPIC: [Key; 6] = [
    Key { synonyms: &["log.cleanup.policy"], ..key("cleanup.policy", Kind::List, "delete", POLICIES) },
    key("max.compaction.lag.ms", Kind::Long, "9223372036854775807", Accepts::Between(1, i64::MAX)),
    key("min.compaction.lag.ms", Kind::Long, "0", FROM_0),
    Key {
        synonyms: &["min.insync.replicas"],
        ..key("min.insync.replicas", Kind::Int, "1", Accepts::Between(1, i32::MAX as i64))
    },
    Key {
        synonyms: &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
        ..key("retention.ms", Kind::Long, "604800000", Accepts::Between(-1, i64::MAX))
    },
    key("unclean.leader.election.enable", Kind::Boolean, "false", Accepts::Any),
];

static BROKER: [Key; 7] = [
    key("log.cleanup.policy", Kind::List, "delete", POLICIES),
    Key { takes: Takes::OnRestart, ..key("log.dirs", Kind::Text, "data", Accepts::Any) },
    key("log.retention.hours", Kind::Int, "168", Accepts::Any),
    Key { default: None, ..key("log.retention.minutes", Kind::Int, "", Accepts::Any) },
    Key { default: None, ..key("log.retention.ms", Kind::Long, "", Accepts::Any) },
    key("min.insync.replicas", Kind::Int, "1", Accepts::Between(1, i32::MAX as i64)),
    Key { default: None, ..key("ssl.key.password", Kind::Password, "", Accepts::Any) },
];

static GROUP: [Key; 2] = [
    key("consumer.heartbeat.interval.ms", Kind::Int, "5000", Accepts::Between(5_000, 15_000)),
    key("consumer.session.timeout.ms", Kind::Int, "45000", Accepts::Between(5_000, 60_000)),
];

static CLIENT_METRICS: [Key; 3] = [
    key("interval.ms", Kind::Int, "300000", Accepts::Between(100, 3_600_000)),
    key("match", Kind::List, "", Accepts::Any),
    key("metrics", Kind::List, "", Accepts::Any),
];

static ORDERS: [Order; 2] = [
    Order { smaller: "min.compaction.lag.ms", larger: "max.compaction.lag.ms", may_be_equal: true },
    Order { smaller: "consumer.heartbeat.interval.ms", larger: "consumer.session.timeout.ms", may_be_equal: false },
];

pub(crate) static TABLES: ConfigTables = ConfigTables {
    topic: Table(&TOPIC),
    broker: Table(&BROKER),
    group: Table(&GROUP),
    client_metrics: Table(&CLIENT_METRICS),
    orders: &ORDERS,
};

pub(crate) fn policy(seed: u64) -> Policy {
    Policy {
        node: BrokerId(1),
        tables: TABLES,
        statics: BTreeMap::new(),
        partitions_default: 2,
        replication_factor_default: 1,
        session_timeout: SESSION,
        seed,
    }
}

/// A cluster whose log commits at once.
pub(crate) struct World {
    pub(crate) ledger: Ledger<Controller>,
    pub(crate) now: Now,
    /// Everything that was written.
    pub(crate) log: Vec<MetadataRecord>,
    token: u64,
}

impl World {
    /// A new cluster without brokers.
    pub(crate) fn new(seed: u64) -> Self {
        let now = Now { instant: Instant::ZERO, wall: Timestamp(1_700_000_000_000) };
        let controller = Controller::new(CLUSTER, policy(seed));
        let ledger = Ledger::lead(controller, now, Offset::ZERO, 8 << 20);
        let mut world = Self { ledger, now, log: vec![], token: 0 };
        assert!(matches!(world.ask(Command::Bootstrap), Reply::Bootstrapped(true)));
        world
    }

    /// A cluster of brokers 1 to `count` that serve.
    pub(crate) fn of(count: i32) -> Self {
        let mut world = Self::new(7);
        (1..=count).for_each(|id| world.start(id));
        world
    }

    pub(crate) fn image(&self) -> &Image {
        self.ledger.committed().image()
    }

    /// What the controller answers once everything that it wrote is committed.
    pub(crate) fn ask(&mut self, command: Command) -> Reply {
        self.token += 1;
        let mut effects = vec![];
        self.ledger.propose(self.now, Token(self.token), command, &mut effects);
        let end = self.ledger.end();
        self.ledger.commit(end, &mut effects);
        self.take(effects).expect("every command is answered")
    }

    /// Lets time go by until nothing is due.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.now.instant += time;
        while self.ledger.deadline().is_some_and(|deadline| deadline <= self.now.instant) {
            let mut effects = vec![];
            self.ledger.tick(self.now, &mut effects);
            let end = self.ledger.end();
            self.ledger.commit(end, &mut effects);
            self.take(effects);
        }
    }

    fn take(&mut self, effects: Vec<Effect<MetadataRecord, Reply>>) -> Option<Reply> {
        let mut answer = None;
        for effect in effects {
            match effect {
                Effect::Append { records, .. } => self.log.extend(records),
                Effect::Reply { reply, .. } => answer = Some(reply),
                Effect::Refuse { refusal, .. } => panic!("{refusal:?}"),
            }
        }
        self.ledger.check();
        self.ledger.committed().check();
        answer
    }

    /// Every record comes back from its bytes as it was.
    pub(crate) fn check_bytes(&self) {
        for record in &self.log {
            let bytes = record.encode(version(record)).unwrap();
            assert_eq!(MetadataRecord::decode(&bytes).as_ref(), Ok(record));
        }
    }

    pub(crate) fn register(&self, id: i32, incarnation: u8) -> RegisterBroker {
        RegisterBroker {
            id: BrokerId(id),
            cluster_id: CLUSTER.to_owned(),
            incarnation: Uuid([incarnation; 16]),
            listeners: vec![Listener {
                name: "PLAINTEXT".to_owned(),
                host: format!("host{id}"),
                port: 9092,
                security_protocol: 0,
            }],
            features: supported(),
            rack: None,
            directories: vec![directory(id)],
            previous_epoch: None,
            log_end: self.ledger.end(),
        }
    }

    /// Registers a broker and lets it serve.
    pub(crate) fn start(&mut self, id: i32) {
        let command = self.register(id, 1);
        match self.ask(Command::RegisterBroker(command)) {
            Reply::Registered(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
        assert!(!self.beat(id).is_fenced);
    }

    pub(crate) fn epoch(&self, id: i32) -> BrokerEpoch {
        self.image().brokers.get(BrokerId(id)).unwrap().epoch
    }

    pub(crate) fn heartbeat(&self, id: i32) -> Heartbeat {
        let (id, epoch, metadata_offset) = (BrokerId(id), self.epoch(id), self.image().offset);
        Heartbeat { id, epoch, metadata_offset, ..Heartbeat::default() }
    }

    /// A broker says that it is alive and has read everything.
    pub(crate) fn beat(&mut self, id: i32) -> Standing {
        let command = self.heartbeat(id);
        self.tell(command)
    }

    pub(crate) fn tell(&mut self, command: Heartbeat) -> Standing {
        match self.ask(Command::Heartbeat(command)) {
            Reply::Heartbeat(Ok(standing)) => standing,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn create(&mut self, topics: Vec<NewTopic>) -> Vec<TopicResult> {
        match self.ask(Command::CreateTopics(CreateTopics { topics, validate_only: false })) {
            Reply::TopicsCreated(results) => results,
            other => panic!("{other:?}"),
        }
    }

    /// Makes a topic that must be possible.
    pub(crate) fn make(&mut self, name: &str, partitions: i32, replication_factor: i16) {
        let topic = NewTopic { partitions, replication_factor, ..NewTopic::named(name) };
        let results = self.create(vec![topic]);
        results[0].outcome.as_ref().unwrap();
    }

    pub(crate) fn partition(&self, topic: &str, index: i32) -> Assignment {
        let topic = self.image().topics.named(topic).unwrap();
        Assignment::clone(topic.partition(dohle_base::Partition(index)).unwrap())
    }
}

pub(crate) fn directory(id: i32) -> Uuid {
    Uuid([0x40 + id as u8; 16])
}

pub(crate) fn supported() -> Vec<Supported> {
    let feature = |feature: &crate::image::features::Feature| Supported {
        name: feature.name.to_owned(),
        least: feature.least,
        most: feature.most,
    };
    FEATURES.iter().map(feature).collect()
}

pub(crate) fn brokers(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
}
