//! Which value a key has, and why: what was set on the resource itself, else on its broker, else on all brokers, else
//! what the broker was started with, else the key's default.
//!
//! Owns the order of the sources (Kafka's `ConfigHelper` and `KafkaConfigSchema`); knows nothing of what a value
//! does.

use std::collections::BTreeMap;
use std::sync::Arc;

use dohle_base::BrokerId;
use dohle_base::config::{Key, Kind, Table, Takes};

use crate::image::{Configs, Resource, ResourceKind};

/// The keys of every kind of resource, as the rooms that obey them declared them.
#[derive(Clone, Copy, Debug)]
pub struct ConfigTables {
    /// Keys of topics.
    pub topic: Table,
    /// Keys of brokers.
    pub broker: Table,
    /// Keys of groups.
    pub group: Table,
    /// Keys of subscriptions to clients' metrics.
    pub client_metrics: Table,
    /// Keys of a topic or a group of which one must not exceed the other.
    pub orders: &'static [Order],
}

impl ConfigTables {
    /// The keys of this kind of resource; none where keys are not declared.
    pub fn of(&self, kind: ResourceKind) -> Option<&Table> {
        match kind {
            ResourceKind::Topic => Some(&self.topic),
            ResourceKind::Broker => Some(&self.broker),
            ResourceKind::Group => Some(&self.group),
            ResourceKind::ClientMetrics => Some(&self.client_metrics),
            ResourceKind::BrokerLogger => None,
        }
    }
}

/// Two keys of one resource whose values belong in this order.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// The key of the smaller value.
    pub smaller: &'static str,
    /// The key of the larger value.
    pub larger: &'static str,
    /// Whether they may be equal.
    pub may_be_equal: bool,
}

/// Where a value comes from, with Kafka's numbers (`DescribeConfigsResponse.ConfigSource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub enum Source {
    /// Set on the topic.
    DynamicTopic = 1,
    /// Set on the broker.
    DynamicBroker = 2,
    /// Set on all brokers.
    DynamicDefaultBroker = 3,
    /// What the broker was started with.
    StaticBroker = 4,
    /// The key's default.
    Default = 5,
    /// Set on the subscription.
    ClientMetrics = 7,
    /// Set on the group.
    Group = 8,
}

impl Source {
    /// The number on the wire.
    pub fn code(self) -> i8 {
        self as i8
    }
}

/// A key with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: &'static Key,
    /// The value; none when there is neither a value nor a default. A password must not leave the node.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: Source,
    /// Every value that was set under one of the key's names, the one that counts first.
    pub synonyms: Vec<Synonym>,
}

impl Entry {
    /// Whether the value must not be shown.
    pub fn is_sensitive(&self) -> bool {
        self.key.kind == Kind::Password
    }

    /// Whether the value cannot be changed while the broker runs.
    pub fn is_read_only(&self) -> bool {
        self.key.takes == Takes::OnRestart
    }

    /// Whether nobody set it.
    pub fn is_default(&self) -> bool {
        self.source == Source::Default
    }
}

/// A value as somebody set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// The name under which it was set.
    pub name: &'static str,
    /// The value, in the unit of that name.
    pub value: String,
    /// Where it was set.
    pub source: Source,
}

/// All that decides about a value, as one broker sees it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The declared keys.
    pub tables: &'a ConfigTables,
    /// What was configured while the cluster ran.
    pub configs: &'a Configs,
    /// The broker that looks.
    pub broker: BrokerId,
    /// What it was started with.
    pub statics: &'a BTreeMap<String, String>,
}

impl<'a> View<'a> {
    /// Every key of a topic, in the order of their declaration.
    pub fn topic(&self, name: &str) -> impl Iterator<Item = Entry> {
        self.of(ResourceKind::Topic, name)
    }

    /// Every key of a group.
    pub fn group(&self, name: &str) -> impl Iterator<Item = Entry> {
        self.of(ResourceKind::Group, name)
    }

    /// Every key of a subscription to clients' metrics.
    pub fn client_metrics(&self, name: &str) -> impl Iterator<Item = Entry> {
        self.of(ResourceKind::ClientMetrics, name)
    }

    /// Every key of the broker that looks.
    pub fn broker(&self) -> impl Iterator<Item = Entry> {
        self.of(ResourceKind::Broker, &self.broker.to_string())
    }

    /// The keys that were set on all brokers, and no others.
    pub fn all_brokers(&self) -> impl Iterator<Item = Entry> {
        let (configs, all) = (self.configs, Resource::all_brokers());
        self.tables.broker.iter().filter_map(move |key| {
            let value = configs.get(&all, key.name)?.to_owned();
            let source = Source::DynamicDefaultBroker;
            let synonyms = vec![Synonym { name: key.name, value: value.clone(), source }];
            Some(Entry { key, value: Some(value), source, synonyms })
        })
    }

    /// One key of a topic; none when no such key is declared.
    pub fn topic_key(&self, topic: &str, key: &str) -> Option<Entry> {
        let key = self.tables.topic.find(key).ok()?;
        let own = self.configs.get(&Resource::new(ResourceKind::Topic, topic), key.name);
        Some(self.entry(ResourceKind::Topic, key, own))
    }

    /// Every key of a topic that would have these values and no others of its own.
    pub fn topic_with(&self, values: &BTreeMap<String, String>) -> impl Iterator<Item = Entry> {
        self.tables.topic.iter().map(|key| {
            let own = values.get(key.name).map(String::as_str);
            self.entry(ResourceKind::Topic, key, own)
        })
    }

    /// The value of a key on a resource that has `own` for it, or nothing.
    pub fn entry(&self, kind: ResourceKind, key: &'static Key, own: Option<&str>) -> Entry {
        let own =
            own.and_then(|value| Some(Synonym { name: key.name, value: value.to_owned(), source: own_source(kind)? }));
        let synonyms: Vec<Synonym> = own.into_iter().chain(self.inherited(kind, key)).collect();
        let (value, source) = match synonyms.first() {
            Some(first) if first.source != Source::Default => (Some(converted(key, first)), first.source),
            Some(_) | None => (key.default.map(str::to_owned), Source::Default),
        };
        Entry { key, value, source, synonyms: told(kind, key, synonyms) }
    }

    fn of(&self, kind: ResourceKind, name: &str) -> impl Iterator<Item = Entry> + use<'a> {
        let (view, resource) = (*self, Resource { kind, name: Arc::from(name) });
        let keys = view.tables.of(kind).into_iter().flat_map(Table::iter);
        keys.map(move |key| view.entry(kind, key, view.configs.get(&resource, key.name)))
    }

    /// What the broker's own keys say, the strongest source first.
    fn inherited(&self, kind: ResourceKind, key: &'static Key) -> Vec<Synonym> {
        let names =
            || (kind == ResourceKind::Broker).then_some(key.name).into_iter().chain(key.synonyms.iter().copied());
        let mine = Resource::new(ResourceKind::Broker, &self.broker.to_string());
        let all = Resource::all_brokers();
        let mut found = vec![];
        let mut add = |source: Source, value: &dyn Fn(&'static str) -> Option<String>| {
            found.extend(names().filter_map(|name| Some(Synonym { name, value: value(name)?, source })));
        };
        add(Source::DynamicBroker, &|name| self.configs.get(&mine, name).map(str::to_owned));
        add(Source::DynamicDefaultBroker, &|name| self.configs.get(&all, name).map(str::to_owned));
        add(Source::StaticBroker, &|name| self.statics.get(name).cloned());
        add(Source::Default, &|name| self.tables.broker.find(name).ok()?.default.map(str::to_owned));
        found
    }
}

/// The synonyms that are told: from the first on under the name that the key has on a broker, as Kafka tells them. What was set
/// under another name counts for a topic and is told, too.
fn told(kind: ResourceKind, key: &Key, mut synonyms: Vec<Synonym>) -> Vec<Synonym> {
    let broker = match kind {
        ResourceKind::Broker => Some(key.name),
        ResourceKind::Topic | ResourceKind::Group | ResourceKind::ClientMetrics | ResourceKind::BrokerLogger => {
            key.synonyms.first().copied()
        }
    };
    let own = synonyms.iter().take_while(|one| own_source(kind) == Some(one.source)).count();
    let untold = |one: &Synonym| Some(one.name) != broker && one.source == Source::Default;
    let untold = synonyms[own..].iter().take_while(|one| untold(one)).count();
    synonyms.drain(own..own + untold);
    synonyms
}

/// What a value that was set on the resource itself counts as. A broker's own values are among the inherited ones.
fn own_source(kind: ResourceKind) -> Option<Source> {
    match kind {
        ResourceKind::Topic => Some(Source::DynamicTopic),
        ResourceKind::Group => Some(Source::Group),
        ResourceKind::ClientMetrics => Some(Source::ClientMetrics),
        ResourceKind::Broker | ResourceKind::BrokerLogger => None,
    }
}

/// The value in the unit of the key: `log.retention.hours=1` is `retention.ms=3600000`. Less than nothing is for
/// ever.
fn converted(key: &Key, synonym: &Synonym) -> String {
    let (Some(into), Some(from)) = (unit_ms(key.name), unit_ms(synonym.name)) else { return synonym.value.clone() };
    if from == into {
        return synonym.value.clone();
    }
    match synonym.value.trim().parse::<i64>() {
        Ok(number) if number < 0 => "-1".to_owned(),
        Ok(number) => (number.saturating_mul(from) / into).to_string(),
        Err(_) => synonym.value.clone(),
    }
}

/// The unit with which the name of a key ends.
fn unit_ms(name: &str) -> Option<i64> {
    match name.rsplit('.').next()? {
        "ms" => Some(1),
        "seconds" => Some(1_000),
        "minutes" => Some(60_000),
        "hours" => Some(3_600_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
