//! The keys that clients obey: name, kind, default, range, one sentence.

use dohle_base::config::{Accepts, Key, Kind, Table, Takes};

const INT: Accepts = Accepts::Between(0, i32::MAX as i64);
const LONG: Accepts = Accepts::Between(0, i64::MAX);
const POSITIVE: Accepts = Accepts::Between(1, i32::MAX as i64);

const fn key(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    accepts: Accepts,
    about: &'static str,
) -> Key {
    Key { name, kind, default, accepts, takes: Takes::OnRestart, synonyms: &[], about }
}

/// What every client obeys.
#[rustfmt::skip]
pub const COMMON: Table = Table(&[
    key("bootstrap.servers", Kind::List, None, Accepts::Any, "Brokers to ask first for the others, as host:port between commas."),
    key("client.id", Kind::Text, Some("dohle"), Accepts::Any, "What the client calls itself in the broker's logs and metrics."),
    key("request.timeout.ms", Kind::Int, Some("30000"), INT, "An answer is waited for so long."),
    key("default.api.timeout.ms", Kind::Int, Some("60000"), INT, "An operation made of several requests may take so long."),
    key("socket.connection.setup.timeout.ms", Kind::Long, Some("10000"), LONG, "A connection must stand after so long."),
    key("reconnect.backoff.ms", Kind::Long, Some("50"), LONG, "The first wait before a broker is tried again."),
    key("reconnect.backoff.max.ms", Kind::Long, Some("1000"), LONG, "The longest wait before a broker is tried again."),
    key("retry.backoff.ms", Kind::Long, Some("100"), LONG, "The first wait before a request is made again."),
    key("retry.backoff.max.ms", Kind::Long, Some("1000"), LONG, "The longest wait before a request is made again."),
    key("metadata.max.age.ms", Kind::Long, Some("300000"), LONG, "What is known of the cluster is asked for again after so long."),
    key("security.protocol", Kind::Text, Some("PLAINTEXT"), Accepts::OneOf(&["PLAINTEXT"]), "How connections are protected."),
]);

/// What producers obey beyond that.
#[rustfmt::skip]
pub const PRODUCER: Table = Table(&[
    key("acks", Kind::Text, Some("all"), Accepts::OneOf(&["all", "-1", "0", "1"]), "How many must have a record before it counts as delivered."),
    key("batch.size", Kind::Int, Some("16384"), INT, "A batch is closed when it would grow past so many bytes."),
    key("linger.ms", Kind::Long, Some("5"), LONG, "A record waits so long for company."),
    key("buffer.memory", Kind::Long, Some("33554432"), LONG, "Records that are not delivered yet take no more memory."),
    key("max.request.size", Kind::Int, Some("1048576"), INT, "No request and no record is larger."),
    key("max.block.ms", Kind::Long, Some("60000"), LONG, "A record may wait so long to be taken in."),
    key("max.in.flight.requests.per.connection", Kind::Int, Some("5"), POSITIVE, "Requests to one broker that are not answered yet."),
    key("enable.idempotence", Kind::Boolean, Some("true"), Accepts::Any, "Whether the broker recognises what it was sent twice."),
    key("compression.type", Kind::Text, Some("none"), Accepts::OneOf(&["none", "gzip", "snappy", "lz4", "zstd"]), "How batches are packed."),
    key("compression.gzip.level", Kind::Int, Some("-1"), Accepts::Between(-1, 9), "How hard gzip tries."),
    key("compression.lz4.level", Kind::Int, Some("9"), Accepts::Between(1, 17), "How hard lz4 tries."),
    key("compression.zstd.level", Kind::Int, Some("3"), Accepts::Between(-131_072, 22), "How hard zstd tries."),
    key("delivery.timeout.ms", Kind::Int, Some("120000"), INT, "A record that is not delivered after so long has failed."),
    key("partitioner.ignore.keys", Kind::Boolean, Some("false"), Accepts::Any, "Whether keys have no say in where records go."),
]);

/// What consumers obey beyond that.
#[rustfmt::skip]
pub const CONSUMER: Table = Table(&[
    key("group.id", Kind::Text, Some(""), Accepts::Any, "The group that shares the partitions and keeps the offsets."),
    key("group.instance.id", Kind::Text, Some(""), Accepts::Any, "The name under which a member comes back to its partitions."),
    key("auto.offset.reset", Kind::Text, Some("latest"), Accepts::Any, "Where to begin without a committed offset: earliest, latest, none, or by_duration:PT1H."),
    key("enable.auto.commit", Kind::Boolean, Some("true"), Accepts::Any, "Whether what was handed over is committed without being asked."),
    key("auto.commit.interval.ms", Kind::Int, Some("5000"), INT, "How often it is committed."),
    key("fetch.min.bytes", Kind::Int, Some("1"), INT, "A broker answers when it has so many bytes."),
    key("fetch.max.bytes", Kind::Int, Some("52428800"), INT, "An answer has no more bytes, unless its first batch is larger."),
    key("fetch.max.wait.ms", Kind::Int, Some("500"), INT, "A broker answers after so long whatever it has."),
    key("max.partition.fetch.bytes", Kind::Int, Some("1048576"), INT, "An answer has no more bytes of one partition, unless its first batch is larger."),
    key("max.poll.records", Kind::Int, Some("500"), POSITIVE, "One poll hands over no more records."),
    key("max.poll.interval.ms", Kind::Int, Some("300000"), POSITIVE, "A member that does not poll for so long loses its partitions."),
    key("session.timeout.ms", Kind::Int, Some("45000"), INT, "A member that is silent for so long loses its partitions."),
    key("heartbeat.interval.ms", Kind::Int, Some("3000"), INT, "How often a member says that it lives."),
    key("partition.assignment.strategy", Kind::List, Some("range,cooperative-sticky"), Accepts::Any, "How a group shares partitions out, the preferred way first."),
    key("isolation.level", Kind::Text, Some("read_uncommitted"), Accepts::OneOf(&["read_uncommitted", "read_committed"]), "What is seen of transactions."),
    key("check.crcs", Kind::Boolean, Some("true"), Accepts::Any, "Whether checksums of fetched batches are checked."),
    key("allow.auto.create.topics", Kind::Boolean, Some("true"), Accepts::Any, "Whether subscribing to a topic may create it."),
]);
