//! The features of the cluster and the levels on which it agreed.
//!
//! Owns the levels, and which ones this release supports; what a level means is known where it is obeyed.

use std::sync::Arc;

use dohle_protocol::record::metadata::FeatureLevelRecord;
use imbl::OrdMap;

/// The version of the records in the metadata log.
pub const METADATA_VERSION: &str = "metadata.version";
/// The version of the quorum, which agrees on it by itself.
pub const KRAFT_VERSION: &str = "kraft.version";
/// Eligible leaders (KIP-966).
pub const ELIGIBLE_LEADERS: &str = "eligible.leader.replicas.version";
/// How transactions end (KIP-890).
pub const TRANSACTION_VERSION: &str = "transaction.version";

/// A feature of this release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
    /// The lowest level that it can run with.
    pub least: i16,
    /// The highest, which a new cluster begins with.
    pub most: i16,
}

/// The features of Kafka 4.4 (`MetadataVersion` 4.4-IV2 and `Feature`), in the order in which a new cluster writes
/// them.
pub const FEATURES: &[Feature] = &[
    Feature { name: METADATA_VERSION, least: 7, most: 33 },
    Feature { name: ELIGIBLE_LEADERS, least: 0, most: 1 },
    Feature { name: "group.version", least: 0, most: 1 },
    Feature { name: "share.version", least: 0, most: 2 },
    Feature { name: "streams.version", least: 0, most: 1 },
    Feature { name: TRANSACTION_VERSION, least: 0, most: 2 },
];

/// The levels agreed on. Cloning shares them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features(OrdMap<Arc<str>, i16>);

impl Features {
    /// The level of a feature; 0 means that it is off.
    pub fn level(&self, name: &str) -> i16 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Every feature that is on, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i16)> {
        self.0.iter().map(|(name, level)| (&**name, *level))
    }

    /// Whether eligible leaders are kept.
    pub fn eligible_leaders(&self) -> bool {
        self.level(ELIGIBLE_LEADERS) > 0
    }

    /// Whether nobody has agreed on anything: the log is new.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn set(&mut self, record: &FeatureLevelRecord) {
        if record.feature_level == 0 {
            self.0.remove(record.name.as_str());
        } else {
            self.0.insert(Arc::from(record.name.as_str()), record.feature_level);
        }
    }
}
