//! What the broker runs with: written values resolved once, so that nothing below reads text.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use dohle_base::config::InvalidValue;
use dohle_base::{BrokerId, InvalidUuid, Uuid};

use super::cleaner_keys::CLEANER_KEYS;
use super::keys::BROKER_KEYS;
use super::listeners::{self, InvalidListeners, Listener, Written};
use super::properties::Properties;
use super::tables;
use super::values::Values;
use crate::space::Limits;

/// Everything that an operator decided, resolved.
#[derive(Clone, Debug)]
pub struct Settings {
    /// As written, for those who ask what was set where.
    pub(crate) written: Properties,
    pub(crate) node: Node,
    pub(crate) storage: Storage,
    pub(crate) net: Net,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) topics: Topics,
    pub(crate) fetch: Fetch,
    pub(crate) transactions: Transactions,
    pub(crate) upkeep: Upkeep,
    pub(crate) cleaner: Cleaner,
    pub(crate) scrub: Scrub,
    /// Keys that nobody here knows, named once at the start.
    unknown: Vec<String>,
    /// Those among them that would keep somebody out.
    unmet_security: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) id: BrokerId,
    pub(crate) rack: Option<String>,
    /// Of a cluster that is formed at the first start.
    pub(crate) cluster_id: Option<Uuid>,
}

#[derive(Clone, Debug)]
pub(crate) struct Storage {
    pub(crate) dirs: Vec<PathBuf>,
    pub(crate) metadata_dir: PathBuf,
    /// Threads that open logs, for each directory.
    pub(crate) openers_per_dir: usize,
    /// The most bytes of a directory's journal, or little more; none where it is to have none.
    pub(crate) journal_bytes: u64,
    pub(crate) space: Limits,
}

#[derive(Clone, Debug)]
pub(crate) struct Net {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) request_bytes_max: usize,
    pub(crate) send_buffer_bytes: Option<usize>,
    pub(crate) receive_buffer_bytes: Option<usize>,
    pub(crate) backlog: i32,
    pub(crate) idle_max: Duration,
    pub(crate) connections_max: usize,
    pub(crate) connections_per_address_max: usize,
    /// None leaves it to the size of the machine.
    pub(crate) requests_bytes_max: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Topics {
    pub(crate) auto_create: bool,
    pub(crate) partitions: i32,
    pub(crate) replication_factor: i16,
    pub(crate) delete: bool,
    pub(crate) described_partitions_max: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    pub(crate) bytes_max: usize,
    pub(crate) sessions_max: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Transactions {
    /// For how long a batch waits for the transaction before its own to be told to all its partitions.
    pub(crate) join_patience: Duration,
    /// How often it is looked.
    pub(crate) join_pause: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct Upkeep {
    pub(crate) retention: Duration,
    pub(crate) recovery_points: Duration,
    pub(crate) log_starts: Duration,
    pub(crate) high_watermarks: Duration,
    pub(crate) producer_check: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct Cleaner {
    pub(crate) enabled: bool,
    pub(crate) threads: usize,
    /// For the keys, all threads together.
    pub(crate) keys_bytes: u64,
    pub(crate) load_percent: u64,
    pub(crate) bytes_per_second: f64,
    pub(crate) backoff: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct Scrub {
    /// None for no scrubbing.
    pub(crate) bytes_per_second: Option<u64>,
    pub(crate) interval: Duration,
}

impl Scrub {
    /// How long after the start, and after a round that took all its time, there is rest.
    pub(crate) fn rest_min(&self) -> Duration {
        const REST: Duration = Duration::from_secs(60);
        REST.min(self.interval)
    }
}

/// Settings with which no broker starts.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSettings {
    /// A value that its key does not accept.
    #[error(transparent)]
    Value(#[from] InvalidValue),
    /// Where to listen.
    #[error(transparent)]
    Listeners(#[from] InvalidListeners),
    /// The id of the cluster.
    #[error("cluster.id: {0}")]
    ClusterId(InvalidUuid),
    /// A quorum of others, or of several.
    #[error("{key}={value} means a cluster of several nodes, and this one would begin another of its own: {remedy}")]
    NotAlone {
        /// What was set.
        key: &'static str,
        /// To what.
        value: String,
        /// What to write instead.
        remedy: &'static str,
    },
    /// Where to serve HTTP.
    #[error("http.listener `{0}` is not an address: write 127.0.0.1:8080")]
    Http(String),
    /// HTTP that others could reach.
    #[error(
        "http.listener {0} would answer other machines without a login; listen on 127.0.0.1, or allow it with --insecure (insecure=true)"
    )]
    InsecureHttp(SocketAddr),
}

impl Settings {
    /// Resolves what is written over Kafka's defaults.
    pub fn resolve(written: Properties) -> Result<Self, InvalidSettings> {
        let written = without_older_names(written);
        check(&written)?;
        let values = Values { written: &written, keys: &BROKER_KEYS };
        check_alone(values)?;
        let insecure = values.boolean("insecure")?;
        let listeners = listeners::resolve(Written {
            listeners: values.text("listeners"),
            advertised: values.text("advertised.listeners"),
            protocol_map: values.text("listener.security.protocol.map"),
            controller_names: values.text("controller.listener.names"),
            insecure,
        })?;
        let alone = listeners.iter().all(|l| l.bind.address().is_ok_and(|address| address.ip().is_loopback()));
        let unheeded = written.keys().filter(|name| tables::broker().find(name).is_err()).cloned();
        let (unmet_security, unknown) = unheeded.partition(|name| is_of_security(name));
        Ok(Self {
            node: node(values)?,
            storage: storage(values)?,
            net: net(values, listeners)?,
            http: http(values.text("http.listener"), insecure)?,
            topics: topics(values, alone)?,
            fetch: Fetch {
                bytes_max: values.size("fetch.max.bytes")?,
                sessions_max: values.size("max.incremental.fetch.session.cache.slots")?,
            },
            transactions: Transactions {
                join_patience: values.millis("add.partitions.to.txn.retry.backoff.max.ms")?,
                join_pause: values.millis("add.partitions.to.txn.retry.backoff.ms")?,
            },
            upkeep: upkeep(values)?,
            cleaner: cleaner(Values { keys: &CLEANER_KEYS, ..values })?,
            scrub: scrub(Values { keys: &CLEANER_KEYS, ..values })?,
            unknown,
            unmet_security,
            written,
        })
    }

    /// Tells whoever asks for the configuration what clients are told to call.
    pub(crate) fn note_advertised(&mut self, listeners: &[Listener]) {
        let told: Vec<String> = listeners.iter().map(|listener| listener.advertised.to_string()).collect();
        self.written.insert("advertised.listeners".to_owned(), told.join(","));
    }

    /// Keys that were set and that nobody here knows.
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// Keys that were set to keep somebody out, and that have no effect yet.
    pub fn unmet_security(&self) -> &[String] {
        &self.unmet_security
    }
}

/// Holds every value to its key, also those that are obeyed in other rooms.
fn check(written: &Properties) -> Result<(), InvalidValue> {
    let mut known = written.iter().filter_map(|(name, value)| Some((tables::broker().find(name).ok()?, value)));
    known.try_for_each(|(key, value)| key.check(value))
}

/// Keys that Kafka has under two names are known by the newer one.
fn without_older_names(mut written: Properties) -> Properties {
    for (older, newer) in [("broker.id", "node.id"), ("log.dir", "log.dirs")] {
        if let Some(value) = written.remove(older) {
            written.entry(newer.to_owned()).or_insert(value);
        }
    }
    written
}

/// Refuses a quorum that is not this node alone: a node that was meant to join another cluster must not begin one.
fn check_alone(values: Values<'_>) -> Result<(), InvalidSettings> {
    let listed = |key: &'static str| values.written(key).map(|value| (key, value, value.split(',').map(str::trim)));
    let refuse = |key, value: &str, remedy| Err(InvalidSettings::NotAlone { key, value: value.to_owned(), remedy });
    if let Some((key, value, roles)) = listed("process.roles")
        && !["broker", "controller"].iter().all(|role| roles.clone().any(|written| written == *role))
    {
        return refuse(key, value, "write process.roles=broker,controller");
    }
    let id = values.whole("node.id")?;
    let is_this = |voter: &str| voter.split_once('@').is_some_and(|(voter, _)| voter.parse() == Ok(id));
    if let Some((key, value, mut voters)) = listed("controller.quorum.voters")
        && !(voters.next().is_some_and(is_this) && voters.next().is_none())
    {
        return refuse(key, value, "name this node alone, or leave the key out");
    }
    if let Some((key, value, servers)) = listed("controller.quorum.bootstrap.servers")
        && servers.count() > 1
    {
        return refuse(key, value, "name this node alone, or leave the key out");
    }
    Ok(())
}

/// Whether a key that is not obeyed would have kept somebody out.
fn is_of_security(key: &str) -> bool {
    let names =
        ["authorizer.", "super.users", "sasl.", "ssl.", "security.", "allow.everyone.", "principal.", "listener.name."];
    names.iter().any(|name| key.starts_with(name))
}

fn node(values: Values<'_>) -> Result<Node, InvalidSettings> {
    let cluster_id = values.written("cluster.id").map(str::parse).transpose().map_err(InvalidSettings::ClusterId)?;
    Ok(Node {
        id: BrokerId(values.whole("node.id")? as i32),
        rack: values.written("broker.rack").filter(|rack| !rack.is_empty()).map(str::to_owned),
        cluster_id,
    })
}

fn storage(values: Values<'_>) -> Result<Storage, InvalidValue> {
    let written = values.written("log.dirs").unwrap_or(values.text("log.dir"));
    let dirs: Vec<PathBuf> = written.split(',').map(|dir| PathBuf::from(dir.trim())).collect();
    let metadata_dir = values.written("metadata.log.dir").map_or_else(|| dirs[0].clone(), PathBuf::from);
    let space = Limits {
        free_min: u64::try_from(values.whole("log.dirs.free.bytes.min")?).ok(),
        reserve: values.size("log.dirs.reserve.bytes")? as u64,
    };
    let openers_per_dir = values.size("num.recovery.threads.per.data.dir")?;
    let journal_bytes = values.size("log.journal.bytes")? as u64;
    Ok(Storage { dirs, metadata_dir, openers_per_dir, journal_bytes, space })
}

fn net(values: Values<'_>, listeners: Vec<Listener>) -> Result<Net, InvalidValue> {
    Ok(Net {
        listeners,
        request_bytes_max: values.size("socket.request.max.bytes")?,
        send_buffer_bytes: usize::try_from(values.whole("socket.send.buffer.bytes")?).ok(),
        receive_buffer_bytes: usize::try_from(values.whole("socket.receive.buffer.bytes")?).ok(),
        backlog: values.whole("socket.listen.backlog.size")? as i32,
        idle_max: values.millis("connections.max.idle.ms")?,
        connections_max: values.size("max.connections")?,
        connections_per_address_max: values.size("max.connections.per.ip")?,
        requests_bytes_max: u64::try_from(values.whole("queued.max.request.bytes")?).ok().filter(|bytes| *bytes > 0),
    })
}

fn http(written: &str, insecure: bool) -> Result<Option<SocketAddr>, InvalidSettings> {
    if written.is_empty() {
        return Ok(None);
    }
    let address: SocketAddr = written.parse().map_err(|_| InvalidSettings::Http(written.to_owned()))?;
    if !insecure && !address.ip().is_loopback() {
        return Err(InvalidSettings::InsecureHttp(address));
    }
    Ok(Some(address))
}

fn topics(values: Values<'_>, alone: bool) -> Result<Topics, InvalidValue> {
    let chosen = values.written("auto.create.topics.enable").is_some();
    Ok(Topics {
        auto_create: if chosen { values.boolean("auto.create.topics.enable")? } else { alone },
        partitions: values.whole("num.partitions")? as i32,
        replication_factor: values.whole("default.replication.factor")?.min(i64::from(i16::MAX)) as i16,
        delete: values.boolean("delete.topic.enable")?,
        described_partitions_max: values.size("max.request.partition.size.limit")?,
    })
}

fn upkeep(values: Values<'_>) -> Result<Upkeep, InvalidValue> {
    Ok(Upkeep {
        retention: values.millis("log.retention.check.interval.ms")?,
        recovery_points: values.millis("log.flush.offset.checkpoint.interval.ms")?,
        log_starts: values.millis("log.flush.start.offset.checkpoint.interval.ms")?,
        high_watermarks: values.millis("replica.high.watermark.checkpoint.interval.ms")?,
        producer_check: values.millis("producer.id.expiration.check.interval.ms")?,
    })
}

fn cleaner(values: Values<'_>) -> Result<Cleaner, InvalidValue> {
    const BUFFER: &str = "log.cleaner.dedupe.buffer.size";
    const BYTES_PER_THREAD_MIN: u64 = 1 << 20;
    let (threads, keys_bytes) = (values.size("log.cleaner.threads")?, values.size(BUFFER)? as u64);
    if keys_bytes < BYTES_PER_THREAD_MIN.saturating_mul(threads as u64) {
        let expected = "must be at least 1 MiB for each of log.cleaner.threads".to_owned();
        return Err(InvalidValue { key: BUFFER, value: keys_bytes.to_string(), expected });
    }
    Ok(Cleaner {
        enabled: values.boolean("log.cleaner.enable")?,
        threads,
        keys_bytes,
        load_percent: (values.fraction("log.cleaner.io.buffer.load.factor")? * 100.0) as u64,
        bytes_per_second: values.fraction("log.cleaner.io.max.bytes.per.second")?,
        backoff: values.millis("log.cleaner.backoff.ms")?,
    })
}

fn scrub(values: Values<'_>) -> Result<Scrub, InvalidValue> {
    let bytes_per_second = values.size("log.scrub.max.bytes.per.second")? as u64;
    Ok(Scrub {
        bytes_per_second: Some(bytes_per_second).filter(|bytes| *bytes > 0),
        interval: values.millis("log.scrub.interval.ms")?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::properties;
    use super::*;

    fn resolve(text: &str) -> Result<Settings, InvalidSettings> {
        Settings::resolve(properties::parse(text))
    }

    #[test]
    fn a_node_that_was_meant_to_join_others_does_not_begin_a_cluster_of_its_own() {
        let alone = [
            "",
            "process.roles=broker,controller",
            "process.roles= controller , broker\nnode.id=7\ncontroller.quorum.voters=7@a:9093",
            "controller.quorum.bootstrap.servers=a:9093",
        ];
        for text in alone {
            assert!(resolve(text).is_ok(), "{text}");
        }
        let several = [
            "process.roles=broker",
            "process.roles=controller",
            "node.id=3\ncontroller.quorum.voters=1@a:9093",
            "node.id=1\ncontroller.quorum.voters=1@a:9093,2@b:9093",
            "controller.quorum.bootstrap.servers=a:9093,b:9093",
        ];
        for text in several {
            assert!(matches!(resolve(text), Err(InvalidSettings::NotAlone { .. })), "{text}");
        }
    }

    #[test]
    fn what_would_keep_somebody_out_is_told_apart_from_what_is_merely_unknown() {
        let settings = resolve("super.users=User:a\nnum.io.threads=8\nssl.keystore.location=x").unwrap();
        assert_eq!(settings.unknown(), ["num.io.threads"]);
        assert_eq!(settings.unmet_security(), ["ssl.keystore.location", "super.users"]);
    }

    #[test]
    fn a_broker_without_settings_listens_on_this_machine_and_creates_topics() {
        let settings = resolve("").unwrap();
        assert_eq!(settings.net.listeners[0].bind.to_string(), "PLAINTEXT://127.0.0.1:9092");
        assert_eq!(settings.node.id, BrokerId(1));
        assert!(settings.topics.auto_create && settings.http.is_none());
        assert_eq!(settings.storage.dirs, [PathBuf::from("dohle-data")]);
    }

    #[test]
    fn kafkas_own_file_is_obeyed_where_it_is_known_and_named_where_it_is_not() {
        let settings = resolve(
            "process.roles=broker,controller\nbroker.id=7\nlisteners=PLAINTEXT://:9092,CONTROLLER://:9093\ninsecure=true\n\
             log.dirs=/a, /b\nnum.io.threads=8\nnum.partitions=3",
        )
        .unwrap();
        assert_eq!(settings.unknown(), ["num.io.threads"]);
        assert_eq!(settings.node.id, BrokerId(7));
        assert_eq!(settings.storage.dirs, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(settings.topics.partitions, 3);
        assert!(!settings.topics.auto_create, "other machines can call");
        assert!(settings.written.contains_key("node.id"));
    }

    #[test]
    fn a_value_that_its_key_does_not_accept_stops_the_start() {
        for text in [
            "node.id=-1",
            "num.partitions=x",
            "insecure=perhaps",
            "cluster.id=short",
            "http.listener=x",
            "log.cleaner.threads=129",
            "log.cleaner.io.buffer.load.factor=1",
            "http.listener=0.0.0.0:1",
        ] {
            assert!(resolve(text).is_err(), "{text}");
        }
    }
}
