//! The broker's own configuration keys: who it is, where it listens, what it holds back, what it does now and then. Keys of topics
//! and groups are declared where they are obeyed.

use dohle_base::config::{Accepts, Key, Kind, Table, Takes};

use super::tables::on_restart as key;

const POSITIVE: Accepts = Accepts::Between(1, i32::MAX as i64);
const POSITIVE_LONG: Accepts = Accepts::Between(1, i64::MAX);

/// Declares a key without a default.
const fn unset(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { name, kind, default: None, accepts: Accepts::Any, takes: Takes::OnRestart, synonyms: &[], about }
}

/// The keys.
pub(crate) const BROKER_KEYS: Table = Table(&[
    key("node.id", Kind::Int, "1", Accepts::Between(0, i32::MAX as i64), "The number of this node in its cluster."),
    unset("broker.id", Kind::Int, "The older name of node.id."),
    unset(
        "broker.rack",
        Kind::Text,
        "The rack, zone or room in which this node stands; replicas are spread over racks.",
    ),
    unset(
        "cluster.id",
        Kind::Text,
        "The id of a cluster that is formed at the first start; a random one if nothing is set.",
    ),
    unset(
        "process.roles",
        Kind::List,
        "As Kafka writes it; every node is broker,controller and anything else is refused.",
    ),
    key("log.dir", Kind::Text, "dohle-data", Accepts::Any, "The directory of the data, unless log.dirs is set."),
    unset("log.dirs", Kind::List, "The directories of the data, one for each disk."),
    key(
        "log.dirs.free.bytes.min",
        Kind::Long,
        "-1",
        Accepts::Between(-1, i64::MAX),
        "Batches are refused while a disk has less room; -1 is a twentieth of it, from 1 to 5 GiB, at most a quarter.",
    ),
    key(
        "log.dirs.reserve.bytes",
        Kind::Long,
        "67108864",
        Accepts::Between(0, i64::MAX),
        "Room that is held for the broker itself on each disk, at most a 256th of it, and given back when it is full.",
    ),
    key(
        "log.journal.bytes",
        Kind::Long,
        "1073741824",
        Accepts::Between(0, i64::MAX),
        "What each directory takes, at most a 32nd of its disk, for acknowledging batches of many partitions with one write; 0 syncs their own files.",
    ),
    key(
        "num.recovery.threads.per.data.dir",
        Kind::Int,
        "2",
        POSITIVE,
        "Threads that open logs when the broker starts, for each directory.",
    ),
    unset(
        "metadata.log.dir",
        Kind::Text,
        "The directory of the metadata log; the first of the data's if nothing is set.",
    ),
    key(
        "listeners",
        Kind::List,
        "PLAINTEXT://127.0.0.1:9092",
        Accepts::Any,
        "Where clients may call; unencrypted listeners stay on this machine unless insecure=true.",
    ),
    unset("advertised.listeners", Kind::List, "What clients are told to call, where it is not the listener itself."),
    key(
        "listener.security.protocol.map",
        Kind::Text,
        "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        Accepts::Any,
        "Which security protocol a listener of another name speaks.",
    ),
    key("controller.listener.names", Kind::List, "CONTROLLER", Accepts::Any, "Listeners that are not for clients."),
    unset("controller.quorum.voters", Kind::List, "As Kafka writes it; only this node may be named."),
    unset("controller.quorum.bootstrap.servers", Kind::List, "As Kafka writes it; only this node may be named."),
    unset("inter.broker.listener.name", Kind::Text, "The listener over which brokers would call each other."),
    key(
        "insecure",
        Kind::Boolean,
        "false",
        Accepts::Any,
        "Allows unencrypted connections without a login from other machines.",
    ),
    unset("http.listener", Kind::Text, "host:port of /metrics and /health; no HTTP if nothing is set."),
    key(
        "socket.request.max.bytes",
        Kind::Int,
        "104857600",
        POSITIVE,
        "The largest request; a longer frame ends its connection.",
    ),
    key(
        "socket.send.buffer.bytes",
        Kind::Int,
        "102400",
        Accepts::Between(-1, i32::MAX as i64),
        "A socket's send buffer; -1 leaves it to the system.",
    ),
    key(
        "socket.receive.buffer.bytes",
        Kind::Int,
        "102400",
        Accepts::Between(-1, i32::MAX as i64),
        "A socket's receive buffer; -1 leaves it to the system.",
    ),
    key("socket.listen.backlog.size", Kind::Int, "50", POSITIVE, "Connections that may wait to be accepted."),
    key("connections.max.idle.ms", Kind::Long, "600000", POSITIVE_LONG, "An idle connection is closed after this."),
    key(
        "max.connections",
        Kind::Int,
        "2147483647",
        Accepts::Between(0, i32::MAX as i64),
        "Most connections at a time; further ones are closed at once.",
    ),
    key(
        "max.connections.per.ip",
        Kind::Int,
        "2147483647",
        Accepts::Between(0, i32::MAX as i64),
        "Most connections at a time from one address.",
    ),
    key(
        "queued.max.request.bytes",
        Kind::Long,
        "-1",
        Accepts::Any,
        "Memory for requests on the whole node; where it is used up, sockets are not read. -1 is a quarter of the machine's.",
    ),
    key(
        "auto.create.topics.enable",
        Kind::Boolean,
        "true",
        Accepts::Any,
        "A topic is created when a client asks for it; false by default if other machines can call.",
    ),
    key("num.partitions", Kind::Int, "1", POSITIVE, "Partitions of a topic that is created without a number."),
    key(
        "default.replication.factor",
        Kind::Int,
        "1",
        POSITIVE,
        "Replicas of a topic that is created without a number.",
    ),
    key("delete.topic.enable", Kind::Boolean, "true", Accepts::Any, "Whether topics may be deleted."),
    key(
        "fetch.max.bytes",
        Kind::Int,
        "57671680",
        Accepts::Between(1024, i32::MAX as i64),
        "Most bytes of records in one answer to Fetch.",
    ),
    key(
        "max.incremental.fetch.session.cache.slots",
        Kind::Int,
        "1000",
        Accepts::Between(0, i32::MAX as i64),
        "Most incremental fetch sessions at a time (KIP-227).",
    ),
    key(
        "max.request.partition.size.limit",
        Kind::Int,
        "2000",
        POSITIVE,
        "Most partitions in one answer to DescribeTopicPartitions (KIP-966).",
    ),
    key(
        "log.retention.check.interval.ms",
        Kind::Long,
        "300000",
        POSITIVE_LONG,
        "How often it is looked what retention allows to delete.",
    ),
    key(
        "log.flush.offset.checkpoint.interval.ms",
        Kind::Int,
        "60000",
        POSITIVE,
        "How often the recovery points are written down.",
    ),
    key(
        "log.flush.start.offset.checkpoint.interval.ms",
        Kind::Int,
        "60000",
        POSITIVE,
        "How often the log starts are written down.",
    ),
    key(
        "replica.high.watermark.checkpoint.interval.ms",
        Kind::Long,
        "5000",
        POSITIVE_LONG,
        "How often the high watermarks are written down.",
    ),
    key(
        "add.partitions.to.txn.retry.backoff.max.ms",
        Kind::Int,
        "100",
        Accepts::Between(0, i32::MAX as i64),
        "How long a batch waits for the transaction before its own to be over in all its partitions.",
    ),
    key("add.partitions.to.txn.retry.backoff.ms", Kind::Int, "20", POSITIVE, "How often it is looked whether it is."),
    key(
        "producer.id.expiration.ms",
        Kind::Int,
        "86400000",
        POSITIVE,
        "How long a silent producer's sequence is remembered.",
    ),
    key(
        "producer.id.expiration.check.interval.ms",
        Kind::Int,
        "600000",
        POSITIVE,
        "How often silent producers are looked for.",
    ),
]);

#[cfg(test)]
mod tests {
    use super::BROKER_KEYS;

    #[test]
    fn every_default_is_accepted() {
        BROKER_KEYS.check().unwrap();
    }
}
