//! Configuration changed while the cluster runs.
//!
//! Owns which change is allowed on what, through the tables of declared keys; what a value does is known where it is
//! obeyed. Follows Kafka's `ConfigurationControlManager`, `ControllerConfigurationValidator` and
//! `ConfigAdminManager`.
//! Laws: the changes of one resource are made together or not at all.

use std::collections::{BTreeMap, BTreeSet};

use dohle_base::config::{Key, Kind, Takes};
use dohle_base::{BrokerId, ErrorCode, TopicName};
use dohle_protocol::record::MetadataRecord;
use dohle_protocol::record::metadata::ClearElrRecord;

use super::features::MIN_IN_SYNC;
use super::{Controller, Decided, RECORDS_MAX, repeated, too_large};
use crate::Refusal;
use crate::effective::Order;
use crate::image::{Resource, ResourceKind};
use crate::snapshot::config_record;

/// The longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = i16::MAX as usize;

/// What clients may be matched by, in the key `match` of a subscription to their metrics (KIP-714).
const CLIENT_TRAITS: [&str; 6] = [
    "client_id",
    "client_instance_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// Change some keys of resources (`IncrementalAlterConfigs`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlterConfigs {
    /// The resources, each named once.
    pub resources: Vec<ResourceChange>,
    /// Say what would happen and change nothing.
    pub validate_only: bool,
}

/// The changes of one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceChange {
    /// What it is, as the number on the wire: an unknown one is refused without harm to the others.
    pub kind: i8,
    /// Its name; empty for all brokers.
    pub name: String,
    /// The changes, each key once.
    pub keys: Vec<KeyChange>,
}

/// The change of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyChange {
    /// The key.
    pub key: String,
    /// What to do, as the number on the wire; see [`Operation`].
    pub operation: i8,
    /// With what; none to delete.
    pub value: Option<String>,
}

/// What to do with a key (`AlterConfigOp.OpType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Operation {
    /// Give it the value.
    Set = 0,
    /// Take its value away.
    Delete = 1,
    /// Add items to its list.
    Append = 2,
    /// Take items off its list.
    Subtract = 3,
}

/// Give resources these keys and no others (`AlterConfigs`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplaceConfigs {
    /// The resources, each named once.
    pub resources: Vec<ResourceValues>,
    /// Say what would happen and change nothing.
    pub validate_only: bool,
}

/// All values of one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceValues {
    /// What it is, as the number on the wire.
    pub kind: i8,
    /// Its name; empty for all brokers.
    pub name: String,
    /// The values, each key once, none without a value.
    pub values: Vec<(String, Option<String>)>,
}

/// What became of the changes of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigResult {
    /// What it is, as the request said.
    pub kind: i8,
    /// Its name.
    pub name: String,
    /// Why nothing was changed.
    pub error: Option<Refusal>,
}

/// The new values of keys; none to take a value away.
type Changes = BTreeMap<String, Option<String>>;

impl Operation {
    /// The operation of this number.
    pub fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Set),
            1 => Some(Self::Delete),
            2 => Some(Self::Append),
            3 => Some(Self::Subtract),
            _ => None,
        }
    }

    /// The number on the wire.
    pub fn code(self) -> i8 {
        self as i8
    }
}

impl Controller {
    pub(super) fn alter_configs(&self, command: AlterConfigs) -> Decided<Vec<ConfigResult>> {
        let asked: Vec<_> = command.resources.iter().map(|change| (change.kind, change.name.as_str())).collect();
        let altered = command.resources.iter().map(|change| self.alter(change));
        decided(&asked, altered, command.validate_only, self.image.features.eligible_leaders())
    }

    pub(super) fn replace_configs(&self, command: ReplaceConfigs) -> Decided<Vec<ConfigResult>> {
        let asked: Vec<_> = command.resources.iter().map(|values| (values.kind, values.name.as_str())).collect();
        let replaced = command.resources.iter().map(|values| self.replace(values));
        decided(&asked, replaced, command.validate_only, self.image.features.eligible_leaders())
    }

    fn alter(&self, change: &ResourceChange) -> Result<Vec<MetadataRecord>, Refusal> {
        let operations = change.keys.iter().map(|change| Ok((change, operation(change)?)));
        let operations: Vec<(&KeyChange, Operation)> = operations.collect::<Result<_, Refusal>>()?;
        let needs_value =
            |(change, operation): &&(&KeyChange, Operation)| *operation != Operation::Delete && change.value.is_none();
        check_keys(change.keys.iter().map(|change| change.key.as_str()))?;
        check_missing(operations.iter().filter(needs_value).map(|(change, _)| change.key.as_str()))?;
        let resource = resource(change.kind, &change.name)?;
        let mut changes = Changes::new();
        for (change, operation) in operations {
            changes.insert(change.key.clone(), self.altered(&resource, change, operation)?);
        }
        self.written(&resource, &changes)
    }

    fn replace(&self, new: &ResourceValues) -> Result<Vec<MetadataRecord>, Refusal> {
        check_keys(new.values.iter().map(|(key, _)| key.as_str()))?;
        check_missing(new.values.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key.as_str()))?;
        let resource = resource(new.kind, &new.name)?;
        let mut changes: Changes = self.image.configs.of(&resource).map(|(key, _)| (key.to_owned(), None)).collect();
        changes.extend(new.values.iter().cloned());
        self.written(&resource, &changes)
    }

    /// The value of a key after an operation.
    fn altered(
        &self,
        resource: &Resource,
        change: &KeyChange,
        operation: Operation,
    ) -> Result<Option<String>, Refusal> {
        let given = change.value.as_deref().unwrap_or_default();
        match operation {
            Operation::Set => Ok(Some(given.to_owned())),
            Operation::Delete => Ok(None),
            Operation::Append => {
                let mut list = self.list(resource, &change.key)?;
                let new: Vec<&str> = items(given).filter(|item| !list.iter().any(|known| known == item)).collect();
                list.extend(new.into_iter().map(str::to_owned));
                Ok(Some(list.join(",")))
            }
            Operation::Subtract => {
                let mut list = self.list(resource, &change.key)?;
                list.retain(|known| !items(given).any(|item| item == known));
                Ok(Some(list.join(",")))
            }
        }
    }

    /// The items that a list has now, its default's if nobody set it.
    fn list(&self, resource: &Resource, key: &str) -> Result<Vec<String>, Refusal> {
        let no_list =
            || Refusal::new(ErrorCode::InvalidConfig, format!("{key} is not a list: it can only be set or deleted"));
        let key = self.key(resource, key).filter(|key| key.kind == Kind::List).ok_or_else(no_list)?;
        let value = self.image.configs.get(resource, key.name).or(key.default).unwrap_or_default();
        Ok(items(value).map(str::to_owned).collect())
    }

    /// The records of changes that are allowed.
    fn written(&self, resource: &Resource, changes: &Changes) -> Result<Vec<MetadataRecord>, Refusal> {
        self.check_values(resource, changes)?;
        self.check_exists(resource)?;
        let changed = changes.iter().filter(|(key, value)| {
            // A broker reads a value again although it is the same: the file that it names may be another
            // (KAFKA-14136).
            resource.kind == ResourceKind::Broker || self.image.configs.get(resource, key) != value.as_deref()
        });
        Ok(changed.map(|(key, value)| config_record(resource, key, value.as_deref())).collect())
    }

    /// Refuses values that the resource must not have. Whether it exists is another question.
    pub(super) fn check_values(&self, resource: &Resource, changes: &Changes) -> Result<(), Refusal> {
        for (key, value) in changes {
            self.check_min_in_sync(resource, key, value.as_deref())?;
            if let Some(value) = value {
                self.check_value(resource, key, value)?;
            }
        }
        self.tables().orders.iter().try_for_each(|order| self.check_order(resource, changes, order))
    }

    /// With eligible leaders all brokers must agree on how many replicas must be in sync (KIP-966).
    fn check_min_in_sync(&self, resource: &Resource, key: &str, value: Option<&str>) -> Result<(), Refusal> {
        if key != MIN_IN_SYNC || resource.kind != ResourceKind::Broker || !self.image.features.eligible_leaders() {
            return Ok(());
        }
        let why = match (&*resource.name, value) {
            ("", Some(_)) => return Ok(()),
            ("", None) => "cannot be removed from all brokers",
            _ => "cannot be set on a single broker",
        };
        let message = format!("{MIN_IN_SYNC} {why} while eligible leader replicas are enabled");
        Err(Refusal::new(ErrorCode::InvalidConfig, message))
    }

    fn check_value(&self, resource: &Resource, key: &str, value: &str) -> Result<(), Refusal> {
        if value.len() > VALUE_BYTES_MAX {
            let message = format!("the value of {key} is longer than {VALUE_BYTES_MAX} bytes");
            return Err(Refusal::new(ErrorCode::InvalidConfig, message));
        }
        let invalid = invalid_value(resource.kind);
        let Some(known) = self.key(resource, key) else {
            // Plugins of a broker may have keys of their own.
            if resource.kind == ResourceKind::Broker {
                return Ok(());
            }
            return Err(Refusal::new(invalid, format!("unknown {} configuration {key}", resource.kind)));
        };
        if resource.kind == ResourceKind::Broker && known.takes == Takes::OnRestart {
            let message =
                format!("{key} cannot be changed while a broker runs: set it in the configuration file and restart");
            return Err(Refusal::new(invalid, message));
        }
        known.check(value).map_err(|why| Refusal::new(invalid, why.to_string()))?;
        if resource.kind == ResourceKind::ClientMetrics && key == "match" { check_match(value) } else { Ok(()) }
    }

    /// Compares two keys of which the changes touch one, with the values that they would have then.
    fn check_order(&self, resource: &Resource, changes: &Changes, order: &Order) -> Result<(), Refusal> {
        if !changes.contains_key(order.smaller) && !changes.contains_key(order.larger) {
            return Ok(());
        }
        let (Some(smaller), Some(larger)) = (self.key(resource, order.smaller), self.key(resource, order.larger))
        else {
            return Ok(());
        };
        let value = |key| self.value_after(resource, changes, key);
        let (Some(less), Some(more)) = (value(smaller), value(larger)) else { return Ok(()) };
        if less < more || (order.may_be_equal && less == more) {
            return Ok(());
        }
        let must = if order.may_be_equal { "must not be larger than" } else { "must be smaller than" };
        let message = format!("{} ({less}) {must} {} ({more})", smaller.name, larger.name);
        Err(Refusal::new(invalid_value(resource.kind), message))
    }

    fn value_after(&self, resource: &Resource, changes: &Changes, key: &'static Key) -> Option<i64> {
        let own = match changes.get(key.name) {
            Some(change) => change.as_deref(),
            None => self.image.configs.get(resource, key.name),
        };
        self.view().entry(resource.kind, key, own).value?.trim().parse().ok()
    }

    fn check_exists(&self, resource: &Resource) -> Result<(), Refusal> {
        let name = &*resource.name;
        match resource.kind {
            ResourceKind::Topic if self.image.topics.named(name).is_none() => {
                Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, format!("there is no topic {name}")))
            }
            ResourceKind::Broker if !name.is_empty() && !self.knows_node(name) => {
                Err(Refusal::new(ErrorCode::BrokerIdNotRegistered, format!("no node {name} is registered")))
            }
            ResourceKind::Topic
            | ResourceKind::Broker
            | ResourceKind::BrokerLogger
            | ResourceKind::ClientMetrics
            | ResourceKind::Group => Ok(()),
        }
    }

    fn knows_node(&self, name: &str) -> bool {
        let Ok(id) = name.parse().map(BrokerId) else { return false };
        let mut controllers = self.image.brokers.controllers();
        self.image.brokers.get(id).is_some() || controllers.any(|controller| controller.id == id)
    }

    fn key(&self, resource: &Resource, key: &str) -> Option<&'static Key> {
        self.tables().of(resource.kind)?.find(key).ok()
    }

    fn tables(&self) -> &crate::effective::ConfigTables {
        &self.policy.tables
    }
}

/// The records of all resources whose changes are allowed, and one result each.
fn decided(
    asked: &[(i8, &str)],
    outcomes: impl Iterator<Item = Result<Vec<MetadataRecord>, Refusal>>,
    validate_only: bool,
    eligible_leaders: bool,
) -> Decided<Vec<ConfigResult>> {
    let result = |(kind, name): (i8, &str), error| ConfigResult { kind, name: name.to_owned(), error };
    let repeated = repeated(asked.iter());
    let mut records = vec![];
    let mut results = vec![];
    for (resource, outcome) in asked.iter().zip(outcomes) {
        let once = if repeated.contains(resource) { Err(named_twice()) } else { outcome };
        results.push(result(*resource, once.map(|new| records.extend(new)).err()));
    }
    if eligible_leaders {
        let forgotten: Vec<MetadataRecord> = records.iter().filter_map(forget_eligible_leaders).collect();
        records.extend(forgotten);
    }
    if records.len() > RECORDS_MAX {
        return (vec![], asked.iter().map(|resource| result(*resource, Some(too_large()))).collect());
    }
    (if validate_only { vec![] } else { records }, results)
}

/// Who was complete under another number of replicas in sync need not be complete any more.
fn forget_eligible_leaders(record: &MetadataRecord) -> Option<MetadataRecord> {
    let MetadataRecord::Config(config) = record else { return None };
    let is_topic = config.resource_type == ResourceKind::Topic.code();
    let topic_name = if is_topic { config.resource_name.clone() } else { Default::default() };
    (config.name == *MIN_IN_SYNC).then(|| MetadataRecord::ClearElr(ClearElrRecord { topic_name, ..Default::default() }))
}

/// Reads what a request wants to change.
fn resource(kind: i8, name: &str) -> Result<Resource, Refusal> {
    let invalid = |message: String| Err(Refusal::new(ErrorCode::InvalidRequest, message));
    match ResourceKind::from_code(kind) {
        Some(kind @ (ResourceKind::Topic | ResourceKind::Group | ResourceKind::ClientMetrics)) if name.is_empty() => {
            invalid(format!("a {kind} resource needs a name: there is none for all of them"))
        }
        Some(ResourceKind::Topic) => match TopicName::parse(name) {
            Ok(_) => Ok(Resource::new(ResourceKind::Topic, name)),
            Err(why) => Err(Refusal::new(ErrorCode::InvalidTopic, why.to_string())),
        },
        Some(ResourceKind::Broker) if !name.is_empty() && !name.parse::<i32>().is_ok_and(|id| id >= 0) => {
            invalid(format!("a broker is named by its number, not {name:?}"))
        }
        Some(kind @ (ResourceKind::Broker | ResourceKind::Group | ResourceKind::ClientMetrics)) => {
            Ok(Resource::new(kind, name))
        }
        Some(ResourceKind::BrokerLogger) | None => {
            invalid(format!("resources of type {kind} cannot be configured here"))
        }
    }
}

fn operation(change: &KeyChange) -> Result<Operation, Refusal> {
    let unknown = || Refusal::new(ErrorCode::InvalidRequest, format!("unknown operation {}", change.operation));
    Operation::from_code(change.operation).ok_or_else(unknown)
}

fn check_keys<'a>(keys: impl Iterator<Item = &'a str>) -> Result<(), Refusal> {
    match repeated(keys).first() {
        Some(key) => Err(Refusal::new(ErrorCode::InvalidRequest, format!("{key} is changed more than once"))),
        None => Ok(()),
    }
}

fn check_missing<'a>(keys: impl Iterator<Item = &'a str>) -> Result<(), Refusal> {
    let missing: BTreeSet<&str> = keys.collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!("a value is needed for {}", missing.into_iter().collect::<Vec<_>>().join(", "));
    Err(Refusal::new(ErrorCode::InvalidRequest, message))
}

/// Pairs of a client's trait and a pattern.
fn check_match(value: &str) -> Result<(), Refusal> {
    let is_known = |item: &&str| item.split_once('=').is_some_and(|(name, _)| CLIENT_TRAITS.contains(&name.trim()));
    match items(value).find(|item| !is_known(item)) {
        Some(item) => {
            let message = format!("{item:?} matches no client: write a trait and a pattern, such as client_id=web.*");
            Err(Refusal::new(ErrorCode::InvalidConfig, message))
        }
        None => Ok(()),
    }
}

/// Kafka's code for a value that this kind of resource does not take.
fn invalid_value(kind: ResourceKind) -> ErrorCode {
    match kind {
        ResourceKind::Topic | ResourceKind::Group => ErrorCode::InvalidConfig,
        ResourceKind::Broker | ResourceKind::BrokerLogger | ResourceKind::ClientMetrics => ErrorCode::InvalidRequest,
    }
}

fn named_twice() -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, "the request names this resource more than once")
}

/// The items of a list as people write it.
fn items(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests;
