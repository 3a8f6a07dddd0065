//! What was configured for topics, brokers, groups and metric subscriptions while the cluster ran.
//!
//! Owns the values as written; knows neither keys nor defaults, which [`crate::effective`] adds.

use std::fmt;
use std::sync::Arc;

use dohle_protocol::record::metadata::ConfigRecord;
use imbl::OrdMap;

use super::Contradiction;

/// What can be configured, with Kafka's numbers (`ConfigResource.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i8)]
pub enum ResourceKind {
    /// A topic, by name.
    Topic = 2,
    /// A broker, by number; without a name, all of them.
    Broker = 4,
    /// The levels of a broker's loggers.
    BrokerLogger = 8,
    /// A subscription to clients' metrics (KIP-714).
    ClientMetrics = 16,
    /// A group, by name.
    Group = 32,
}

impl ResourceKind {
    /// The kind of this number.
    pub fn from_code(code: i8) -> Option<Self> {
        match code {
            2 => Some(Self::Topic),
            4 => Some(Self::Broker),
            8 => Some(Self::BrokerLogger),
            16 => Some(Self::ClientMetrics),
            32 => Some(Self::Group),
            _ => None,
        }
    }

    /// The number on the wire and in records.
    pub fn code(self) -> i8 {
        self as i8
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Topic => "topic",
            Self::Broker => "broker",
            Self::BrokerLogger => "broker logger",
            Self::ClientMetrics => "client metrics",
            Self::Group => "group",
        })
    }
}

/// One thing that can be configured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// What it is.
    pub kind: ResourceKind,
    /// Its name; empty for all brokers.
    pub name: Arc<str>,
}

impl Resource {
    /// The resource of this kind and name.
    pub fn new(kind: ResourceKind, name: &str) -> Self {
        Self { kind, name: name.into() }
    }

    /// What all brokers share.
    pub fn all_brokers() -> Self {
        Self::new(ResourceKind::Broker, "")
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// The values of one resource, by key.
pub type Values = OrdMap<Arc<str>, Arc<str>>;

/// All values. Cloning shares them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configs(OrdMap<Resource, Values>);

impl Configs {
    /// The value of one key, if somebody set it on this resource.
    pub fn get(&self, resource: &Resource, key: &str) -> Option<&str> {
        self.0.get(resource)?.get(key).map(AsRef::as_ref)
    }

    /// All values of this resource.
    pub fn of(&self, resource: &Resource) -> impl Iterator<Item = (&str, &str)> {
        self.0.get(resource).into_iter().flat_map(|values| values.iter().map(|(key, value)| (&**key, &**value)))
    }

    /// The resources of this kind that have any value, by name.
    pub fn resources(&self, kind: ResourceKind) -> impl Iterator<Item = &Resource> {
        self.0.keys().filter(move |resource| resource.kind == kind)
    }

    pub(crate) fn all(&self) -> &OrdMap<Resource, Values> {
        &self.0
    }

    pub(super) fn set(&mut self, record: &ConfigRecord) -> Result<(), Contradiction> {
        let kind = ResourceKind::from_code(record.resource_type);
        let kind = kind.ok_or(Contradiction::ResourceKind(record.resource_type))?;
        let resource = Resource::new(kind, &record.resource_name);
        let Some(value) = &record.value else {
            self.unset(&resource, &record.name);
            return Ok(());
        };
        let values = self.0.entry(resource).or_default();
        values.insert(Arc::from(record.name.as_str()), Arc::from(value.as_str()));
        Ok(())
    }

    pub(super) fn forget(&mut self, resource: &Resource) {
        self.0.remove(resource);
    }

    fn unset(&mut self, resource: &Resource, key: &str) {
        let Some(values) = self.0.get_mut(resource) else { return };
        values.remove(key);
        if values.is_empty() {
            self.0.remove(resource);
        }
    }

    pub(super) fn check(&self) {
        assert!(self.0.values().all(|values| !values.is_empty()));
    }
}
