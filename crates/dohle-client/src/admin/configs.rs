//! What topics, brokers and groups obey.

use std::collections::BTreeMap;
use std::fmt;

use dohle_base::BrokerId;
use dohle_protocol::message::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult,
};
use dohle_protocol::message::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use dohle_protocol::message::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};

use super::{Admin, Each};
use crate::transport::AskError;

/// Something that obeys configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// A topic.
    Topic(String),
    /// One broker.
    Broker(BrokerId),
    /// All brokers that say nothing else.
    Brokers,
    /// A group.
    Group(String),
}

/// Where a value comes from (`DescribeConfigsResponse.ConfigSource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// The topic itself.
    Topic,
    /// The one broker, altered while it runs.
    Broker,
    /// All brokers, altered while they run.
    Brokers,
    /// The broker's properties.
    Static,
    /// The release.
    Default,
    /// The broker's log level.
    Logger,
    /// Client metrics.
    ClientMetrics,
    /// The group itself.
    Group,
    /// Something that this client does not know.
    Unknown,
}

/// One key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: String,
    /// Its value; none when it is a secret or has none.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it can be altered while the broker runs.
    pub read_only: bool,
    /// Whether its value is never shown.
    pub sensitive: bool,
    /// What it does, in the broker's words, if it has some.
    pub documentation: Option<String>,
}

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// Give it a value.
    Set(String),
    /// Take its value away: the default counts again.
    Unset,
    /// Add values to a list.
    Append(String),
    /// Take values from a list.
    Subtract(String),
}

impl Resource {
    /// As the protocol counts kinds (`ConfigResource.Type`).
    fn kind(&self) -> i8 {
        match self {
            Self::Topic(_) => 2,
            Self::Broker(_) | Self::Brokers => 4,
            Self::Group(_) => 32,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Topic(name) | Self::Group(name) => name.clone(),
            Self::Broker(id) => id.to_string(),
            Self::Brokers => String::new(),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Broker(id) => write!(f, "broker {id}"),
            Self::Brokers => f.write_str("all brokers"),
            Self::Group(name) => write!(f, "group {name}"),
        }
    }
}

impl ConfigSource {
    fn from_code(code: i8) -> Self {
        match code {
            1 => Self::Topic,
            2 => Self::Broker,
            3 => Self::Brokers,
            4 => Self::Static,
            5 => Self::Default,
            6 => Self::Logger,
            7 => Self::ClientMetrics,
            8 => Self::Group,
            _ => Self::Unknown,
        }
    }

    /// As Kafka's tools write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Topic => "DYNAMIC_TOPIC_CONFIG",
            Self::Broker => "DYNAMIC_BROKER_CONFIG",
            Self::Brokers => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            Self::Static => "STATIC_BROKER_CONFIG",
            Self::Default => "DEFAULT_CONFIG",
            Self::Logger => "DYNAMIC_BROKER_LOGGER_CONFIG",
            Self::ClientMetrics => "DYNAMIC_CLIENT_METRICS_CONFIG",
            Self::Group => "DYNAMIC_GROUP_CONFIG",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl ConfigChange {
    fn operation(&self) -> i8 {
        match self {
            Self::Set(_) => 0,
            Self::Unset => 1,
            Self::Append(_) => 2,
            Self::Subtract(_) => 3,
        }
    }

    fn value(&self) -> Option<&str> {
        match self {
            Self::Set(value) | Self::Append(value) | Self::Subtract(value) => Some(value),
            Self::Unset => None,
        }
    }
}

impl Admin {
    /// All keys of one thing, by name.
    pub async fn describe_config(&self, resource: &Resource) -> Result<Vec<ConfigEntry>, AskError> {
        let mut described = self.describe_configs(std::slice::from_ref(resource)).await?;
        described.remove(resource).unwrap_or_else(|| Err(AskError::Nobody { what: resource.to_string() }))
    }

    /// All keys of several things. A broker is asked itself, as only it knows its properties.
    pub async fn describe_configs(&self, resources: &[Resource]) -> Result<Each<Resource, Vec<ConfigEntry>>, AskError> {
        let mut described = Each::new();
        let (brokers, others): (Vec<_>, Vec<_>) =
            resources.iter().partition(|resource| matches!(resource, Resource::Broker(_)));
        if !others.is_empty() {
            let request = describe_request(&others);
            let answer = self.cluster.persist(|| self.cluster.ask_any(&request)).await?;
            self.take_described(&others, &answer.results, &mut described);
        }
        for resource in brokers {
            let Resource::Broker(broker) = resource else { continue };
            let request = describe_request(&[resource]);
            self.cluster.persist(|| self.cluster.meet()).await?;
            let answer = self.cluster.persist(|| self.cluster.ask(*broker, &request)).await?;
            self.take_described(&[resource], &answer.results, &mut described);
        }
        Ok(described)
    }

    fn take_described(
        &self,
        asked: &[&Resource],
        results: &[DescribeConfigsResult],
        described: &mut Each<Resource, Vec<ConfigEntry>>,
    ) {
        for result in results {
            let is_it = |resource: &&&Resource| {
                resource.kind() == result.resource_type && *resource.name() == *result.resource_name
            };
            let Some(resource) = asked.iter().find(is_it) else { continue };
            let refused = self.refused(result.error_code, result.error_message.as_deref(), || resource.to_string());
            let entries = || {
                let mut entries: Vec<ConfigEntry> = result.configs.iter().map(entry).collect();
                entries.sort_by(|a, b| a.name.cmp(&b.name));
                entries
            };
            described.insert((*resource).clone(), refused.map(|()| entries()));
        }
    }

    /// Changes some keys of one thing, all or none.
    pub async fn alter_config(
        &self,
        resource: &Resource,
        changes: &BTreeMap<String, ConfigChange>,
    ) -> Result<(), AskError> {
        let configs = changes.iter().map(|(name, change)| AlterableConfig {
            name: name.into(),
            config_operation: change.operation(),
            value: change.value().map(Into::into),
            ..AlterableConfig::default()
        });
        let altered = AlterConfigsResource {
            resource_type: resource.kind(),
            resource_name: resource.name().into(),
            configs: configs.collect(),
            ..AlterConfigsResource::default()
        };
        let request =
            IncrementalAlterConfigsRequest { resources: vec![altered], ..IncrementalAlterConfigsRequest::default() };
        let answer = match resource {
            Resource::Broker(broker) => {
                self.cluster.persist(|| self.cluster.meet()).await?;
                self.cluster.persist(|| self.cluster.ask(*broker, &request)).await?
            }
            Resource::Topic(_) | Resource::Brokers | Resource::Group(_) => {
                self.cluster.persist(|| self.ask_controller(&request)).await?
            }
        };
        answer.responses.iter().try_for_each(|result| {
            self.refused(result.error_code, result.error_message.as_deref(), || resource.to_string())
        })
    }
}

fn describe_request(resources: &[&Resource]) -> DescribeConfigsRequest {
    let asked = |resource: &&Resource| DescribeConfigsResource {
        resource_type: resource.kind(),
        resource_name: resource.name().into(),
        configuration_keys: None,
        ..DescribeConfigsResource::default()
    };
    DescribeConfigsRequest {
        resources: resources.iter().map(asked).collect(),
        include_documentation: true,
        ..DescribeConfigsRequest::default()
    }
}

fn entry(config: &DescribeConfigsResourceResult) -> ConfigEntry {
    ConfigEntry {
        name: config.name.to_string(),
        value: config.value.as_ref().map(|value| value.to_string()),
        source: ConfigSource::from_code(config.config_source),
        read_only: config.read_only,
        sensitive: config.is_sensitive,
        documentation: config.documentation.as_ref().map(|text| text.to_string()).filter(|text| !text.is_empty()),
    }
}
