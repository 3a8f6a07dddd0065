//! The keys of every kind of resource, gathered from the rooms that obey them.

use std::sync::LazyLock;

use dohle_base::config::{Accepts, Key, Kind, Table, Takes};
use dohle_log::options::TOPIC_KEYS;
use dohle_metadata::effective::{ConfigTables, Order};

use super::cleaner_keys::CLEANER_KEYS;
use super::group_keys::{GROUP_KEYS, GROUP_ORDERS};
use super::keys::BROKER_KEYS;
use super::metrics_keys::METRICS_KEYS;
use super::topic_defaults::TOPIC_DEFAULT_KEYS;

/// Declares a key that takes effect as soon as it is altered.
pub(super) const fn at_once(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    accepts: Accepts,
    about: &'static str,
) -> Key {
    Key { name, kind, default: Some(default), accepts, takes: Takes::Immediately, synonyms: &[], about }
}

/// Declares a key that takes effect when the broker starts.
pub(super) const fn on_restart(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    accepts: Accepts,
    about: &'static str,
) -> Key {
    Key { takes: Takes::OnRestart, ..at_once(name, kind, default, accepts, about) }
}

/// Keys of one topic or group whose values belong in this order.
const ORDERS: &[Order] = {
    let [consumer, share, streams] = GROUP_ORDERS;
    let compaction = Order { smaller: "min.compaction.lag.ms", larger: "max.compaction.lag.ms", may_be_equal: true };
    &[compaction, consumer, share, streams]
};

static BROKER: LazyLock<Table> = LazyLock::new(|| {
    let rooms =
        [BROKER_KEYS, CLEANER_KEYS, TOPIC_DEFAULT_KEYS, dohle_coordinator::KEYS, dohle_coordinator::transaction::KEYS];
    let keys: Vec<Key> = rooms.iter().flat_map(|room| room.0.iter().copied()).collect();
    // For as long as the process lives: tables are constants everywhere else.
    Table(keys.leak())
});

static ALL: LazyLock<ConfigTables> = LazyLock::new(|| ConfigTables {
    topic: TOPIC_KEYS,
    broker: *BROKER,
    group: GROUP_KEYS,
    client_metrics: METRICS_KEYS,
    orders: ORDERS,
});

/// The keys of brokers, topics, groups and subscriptions to clients' metrics, for who documents them.
pub fn config_tables() -> [Table; 4] {
    [*BROKER, TOPIC_KEYS, GROUP_KEYS, METRICS_KEYS]
}

/// The keys of every kind of resource.
pub(crate) fn all() -> &'static ConfigTables {
    &ALL
}

/// The keys of brokers.
pub(crate) fn broker() -> &'static Table {
    &BROKER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_room_declares_its_own_keys_and_accepts_its_own_defaults() {
        for table in [*broker(), TOPIC_KEYS, GROUP_KEYS, METRICS_KEYS] {
            table.check().unwrap();
        }
    }

    #[test]
    fn whatever_a_topic_inherits_is_declared_for_the_broker() {
        for synonym in TOPIC_KEYS.iter().flat_map(|key| key.synonyms) {
            assert!(broker().find(synonym).is_ok(), "{synonym}");
        }
    }
}
