//! DescribeConfigs (KIP-133, KIP-226, KIP-412, KIP-569): every key with its value, where that comes from, and what it means.

use dohle_base::config::Kind;
use dohle_base::{ErrorCode, TopicName};
use dohle_metadata::Refusal;
use dohle_metadata::effective::{self, Entry, Source};
use dohle_metadata::image::{Resource, ResourceKind};
use dohle_protocol::message::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};
use dohle_protocol::{ApiKey, Str};
use tracing::level_filters::LevelFilter;

use super::controlling::Verdict;
use super::lookup::{self, Named};
use super::{Api, resource};
use crate::catalog::View;
use crate::context::Context;
use crate::dispatch::Client;

pub(crate) const API: Api = Api::of(ApiKey::DescribeConfigs);

/// Where the level of a logger comes from, in Kafka's numbers.
const BROKER_LOGGER_SOURCE: i8 = 6;
/// The kind of a value of which nothing is known.
const UNKNOWN_KIND: i8 = 0;
/// The kind of a text.
const TEXT_KIND: i8 = 2;

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    _version: i16,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let view = cx.catalog.view();
    let unknown = request.resources.iter().find_map(|asked| resource::kind(asked.resource_type).err());
    let describe = Describe {
        cx,
        view: &view,
        effective: cx.effective(&view),
        synonyms: request.include_synonyms,
        documentation: request.include_documentation,
    };
    let results = request.resources.into_iter().map(|asked| {
        // One that is unknown spoils all.
        let described = unknown.clone().map_or_else(|| describe.resource(&asked), Err);
        let (configs, refused) = match described {
            Ok(configs) => (only(asked.configuration_keys, configs), None),
            Err(refusal) => (vec![], Some(refusal)),
        };
        let Verdict { code, message } = Verdict::of(client, refused.as_ref());
        DescribeConfigsResult {
            error_code: code,
            error_message: message,
            resource_type: asked.resource_type,
            resource_name: asked.resource_name,
            configs,
            ..Default::default()
        }
    });
    DescribeConfigsResponse { results: results.collect(), ..Default::default() }
}

/// Those that were asked for: all where none are named.
fn only(asked: Option<Vec<Str>>, all: Vec<DescribeConfigsResourceResult>) -> Vec<DescribeConfigsResourceResult> {
    match asked.filter(|asked| !asked.is_empty()) {
        Some(asked) => all.into_iter().filter(|config| asked.contains(&config.name)).collect(),
        None => all,
    }
}

struct Describe<'a> {
    cx: &'a Context,
    view: &'a View,
    effective: effective::View<'a>,
    synonyms: bool,
    documentation: bool,
}

impl Describe<'_> {
    fn resource(&self, asked: &DescribeConfigsResource) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
        let name = asked.resource_name.as_str();
        match resource::kind(asked.resource_type)? {
            ResourceKind::Topic => self.topic(name),
            ResourceKind::Broker => self.broker(name),
            ResourceKind::BrokerLogger => self.loggers(name),
            ResourceKind::ClientMetrics if name.is_empty() => Err(resource::invalid("a subscription needs a name")),
            ResourceKind::ClientMetrics => {
                Ok(self.effective.client_metrics(name).map(|entry| self.config(entry)).collect())
            }
            ResourceKind::Group if name.is_empty() => Err(resource::invalid("a group needs a name")),
            ResourceKind::Group => Ok(self.effective.group(name).map(|entry| self.config(entry)).collect()),
        }
    }

    fn topic(&self, name: &str) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
        TopicName::parse(name).map_err(|why| Refusal::new(ErrorCode::InvalidTopic, why.to_string()))?;
        lookup::topic(self.view, Named::Name(name))
            .map_err(|code| Refusal::new(code, format!("there is no topic {name}")))?;
        Ok(self.effective.topic(name).map(|entry| self.config(entry)).collect())
    }

    /// The keys of this broker, or those that were set for all.
    fn broker(&self, name: &str) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
        resource::check_broker(self.cx, name)?;
        let (known, source): (Vec<Entry>, _) = match name {
            "" => (self.effective.all_brokers().collect(), Source::DynamicDefaultBroker),
            _ => (self.effective.broker().collect(), Source::DynamicBroker),
        };
        let set = Resource::new(ResourceKind::Broker, name);
        let stray = self.view.image.configs.of(&set);
        let stray = stray.filter(|(key, _)| self.effective.tables.broker.find(key).is_err());
        let stray = stray.map(|(key, _)| undeclared(key, source));
        Ok(known.into_iter().map(|entry| self.config(entry)).chain(stray).collect())
    }

    /// There is one logger, and its level is decided when the broker starts.
    fn loggers(&self, name: &str) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
        resource::check_this_broker(self.cx, name)?;
        let level = LevelFilter::current().to_string().to_ascii_uppercase();
        Ok(vec![DescribeConfigsResourceResult {
            name: resource::ROOT_LOGGER.into(),
            value: Some(level.into()),
            read_only: true,
            config_source: BROKER_LOGGER_SOURCE,
            config_type: TEXT_KIND,
            ..Default::default()
        }])
    }

    fn config(&self, entry: Entry) -> DescribeConfigsResourceResult {
        let (is_sensitive, read_only) = (entry.is_sensitive(), entry.is_read_only());
        let Entry { key, value, source, synonyms } = entry;
        let shown = |value: String| (!is_sensitive).then(|| value.into());
        let synonym = |synonym: effective::Synonym| DescribeConfigsSynonym {
            name: synonym.name.into(),
            value: shown(synonym.value),
            source: synonym.source.code(),
            ..Default::default()
        };
        DescribeConfigsResourceResult {
            name: key.name.into(),
            value: value.and_then(shown),
            read_only,
            config_source: source.code(),
            is_sensitive,
            synonyms: if self.synonyms { synonyms.into_iter().map(synonym).collect() } else { vec![] },
            config_type: kind(key.kind),
            documentation: self.documentation.then(|| key.about.into()),
            ..Default::default()
        }
    }
}

/// A key that somebody set and nobody declared: it may be a secret.
fn undeclared(key: &str, source: Source) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult {
        name: key.into(),
        value: None,
        config_source: source.code(),
        is_sensitive: true,
        config_type: UNKNOWN_KIND,
        ..Default::default()
    }
}

/// The numbers are those of `DescribeConfigsResponse.ConfigType`.
fn kind(kind: Kind) -> i8 {
    match kind {
        Kind::Boolean => 1,
        Kind::Text => TEXT_KIND,
        Kind::Int => 3,
        Kind::Short => 4,
        Kind::Long => 5,
        Kind::Double => 6,
        Kind::List => 7,
        Kind::Class => 8,
        Kind::Password => 9,
    }
}
