//! The keys of groups of the newer protocols (KIP-848, KIP-932, KIP-1071), with Kafka's names, defaults and ranges.
//!
//! They are kept and shown; classic groups, the only ones that are served, have no keys of their own. Whoever serves the other groups
//! obeys them, and declares them then.

use dohle_base::config::{Accepts, Key, Kind, Table};
use dohle_metadata::effective::Order;

use super::tables::at_once as key;

const SESSION: Accepts = Accepts::Between(45_000, 60_000);
const HEARTBEAT: Accepts = Accepts::Between(5_000, 15_000);
const ASSIGNMENT: Accepts = Accepts::Between(0, 15_000);

const fn int(name: &'static str, default: &'static str, accepts: Accepts, about: &'static str) -> Key {
    key(name, Kind::Int, default, accepts, about)
}

/// The keys.
pub(crate) const GROUP_KEYS: Table = Table(&[
    int("consumer.assignment.interval.ms", "1000", ASSIGNMENT, "The least time between two assignments."),
    int("consumer.heartbeat.interval.ms", "5000", HEARTBEAT, "How often members say that they are alive."),
    int("consumer.session.timeout.ms", "45000", SESSION, "Silence after which a member counts as dead."),
    key(
        "errors.deadletterqueue.copy.record.enable",
        Kind::Boolean,
        "false",
        Accepts::Any,
        "Whether a record that nobody could process is copied to the topic of such records, not only told of.",
    ),
    key(
        "errors.deadletterqueue.topic.name",
        Kind::Text,
        "",
        Accepts::Any,
        "The topic of records that nobody could process; none if empty.",
    ),
    int("share.assignment.interval.ms", "1000", ASSIGNMENT, "The least time between two assignments."),
    key(
        "share.auto.offset.reset",
        Kind::Text,
        "latest",
        Accepts::OneOf(&["latest", "earliest"]),
        "Where a group begins that has read nothing yet.",
    ),
    int("share.delivery.count.limit", "5", Accepts::Between(2, 10), "How often a record is delivered at most."),
    int("share.heartbeat.interval.ms", "5000", HEARTBEAT, "How often members say that they are alive."),
    key(
        "share.isolation.level",
        Kind::Text,
        "read_uncommitted",
        Accepts::OneOf(&["read_committed", "read_uncommitted"]),
        "Whether records of open and aborted transactions are delivered.",
    ),
    int(
        "share.partition.max.record.locks",
        "2000",
        Accepts::Between(100, 4_000),
        "The most records of a partition that are out for delivery.",
    ),
    int(
        "share.record.lock.duration.ms",
        "30000",
        Accepts::Between(15_000, 60_000),
        "How long a member may take for a record.",
    ),
    key(
        "share.renew.acknowledge.enable",
        Kind::Boolean,
        "true",
        Accepts::Any,
        "Whether a member may ask for more time for a record.",
    ),
    int("share.session.timeout.ms", "45000", SESSION, "Silence after which a member counts as dead."),
    int("streams.assignment.interval.ms", "1000", ASSIGNMENT, "The least time between two assignments."),
    key("streams.assignor.name", Kind::Text, "sticky", Accepts::OneOf(&["sticky"]), "How tasks are shared out."),
    int("streams.heartbeat.interval.ms", "5000", HEARTBEAT, "How often members say that they are alive."),
    int(
        "streams.initial.rebalance.delay.ms",
        "3000",
        Accepts::Between(0, i32::MAX as i64),
        "How long the first assignment waits for more members.",
    ),
    int("streams.num.standby.replicas", "0", Accepts::Between(0, 2), "How many copies of a task's state stand by."),
    key(
        "streams.rack.aware.assignment.tags",
        Kind::List,
        "",
        Accepts::Any,
        "The tags of clients by which copies of a task's state are kept apart.",
    ),
    int("streams.session.timeout.ms", "45000", SESSION, "Silence after which a member counts as dead."),
]);

/// Keys of one group whose values belong in this order.
pub(crate) const GROUP_ORDERS: [Order; 3] = [
    before_session("consumer.heartbeat.interval.ms", "consumer.session.timeout.ms"),
    before_session("share.heartbeat.interval.ms", "share.session.timeout.ms"),
    before_session("streams.heartbeat.interval.ms", "streams.session.timeout.ms"),
];

const fn before_session(heartbeat: &'static str, session: &'static str) -> Order {
    Order { smaller: heartbeat, larger: session, may_be_equal: false }
}
