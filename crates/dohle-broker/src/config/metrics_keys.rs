//! The keys of subscriptions to clients' metrics (KIP-714), with Kafka's names, defaults and ranges. They are kept and shown; who asks
//! clients for metrics obeys them, and declares them then.

use dohle_base::config::{Accepts, Kind, Table};

use super::tables::at_once as key;

/// The keys.
pub(crate) const METRICS_KEYS: Table = Table(&[
    key("interval.ms", Kind::Int, "300000", Accepts::Between(100, 3_600_000), "How often clients send their metrics."),
    key(
        "match",
        Kind::List,
        "",
        Accepts::Any,
        "Which clients are asked, by pairs of a trait and a pattern; all if empty.",
    ),
    key(
        "metrics",
        Kind::List,
        "",
        Accepts::Any,
        "The beginnings of the names of metrics that are asked for; none if empty.",
    ),
]);
