//! Quotas of users, clients and addresses, as written.
//!
//! Nobody enforces them here: they are kept so that neither a snapshot nor a log that Kafka began loses one.

use dohle_protocol::record::metadata::{ClientQuotaRecord, client_quota::EntityData};
use imbl::OrdMap;

/// Whom a quota binds: pairs of entity type and name, sorted; without a name, all of that type.
pub type Entity = Vec<(String, Option<String>)>;

/// All quotas. Cloning shares them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quotas(OrdMap<Entity, OrdMap<String, f64>>);

impl Quotas {
    /// Every entity with its limits by key.
    pub fn iter(&self) -> impl Iterator<Item = (&Entity, &OrdMap<String, f64>)> {
        self.0.iter()
    }

    pub(super) fn set(&mut self, record: &ClientQuotaRecord) {
        let pair =
            |part: &EntityData| (part.entity_type.to_string(), part.entity_name.as_ref().map(ToString::to_string));
        let mut entity: Entity = record.entity.iter().map(pair).collect();
        entity.sort();
        let limits = self.0.entry(entity.clone()).or_default();
        if record.remove {
            limits.remove(record.key.as_str());
        } else {
            limits.insert(record.key.to_string(), record.value);
        }
        if limits.is_empty() {
            self.0.remove(&entity);
        }
    }
}
