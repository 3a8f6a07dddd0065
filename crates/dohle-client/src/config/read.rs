//! From text to values.

use std::time::Duration;

use dohle_base::config::{InvalidValue, Key, Table};
use dohle_records::{Codec, Compression};

use super::address::{Address, InvalidAddress};
use super::keys::{COMMON, CONSUMER, PRODUCER};
use super::{Acks, Common, Isolation, Properties, duration};
use crate::core::assign::Assignor;
use crate::core::positions::Reset;
use crate::core::retry::Backoff;

/// Properties that cannot be obeyed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No broker to ask.
    #[error("bootstrap.servers is missing: name at least one broker as host:port")]
    NoBootstrap,
    /// A broker's address is none.
    #[error("bootstrap.servers: {0}")]
    Address(#[from] InvalidAddress),
    /// A value that its key does not accept.
    #[error(transparent)]
    Value(#[from] InvalidValue),
    /// A value that its key does not accept, in words.
    #[error("invalid value {value} for configuration {key}: {expected}")]
    Word {
        /// The key.
        key: &'static str,
        /// What was written.
        value: String,
        /// What would be accepted.
        expected: &'static str,
    },
    /// Two keys that contradict each other.
    #[error("configuration {key}: {advice}")]
    Contradiction {
        /// The key to change.
        key: &'static str,
        /// How.
        advice: &'static str,
    },
}

/// What was written, beside the keys that count.
pub(super) struct Given {
    properties: Properties,
    tables: &'static [Table],
}

impl Given {
    pub(super) fn new<K: Into<String>, V: Into<String>>(
        properties: impl IntoIterator<Item = (K, V)>,
        tables: &'static [Table],
    ) -> Self {
        let properties: Properties = properties.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        // One set of properties often serves a producer, a consumer and an admin.
        let is_strange = |name: &&str| [COMMON, PRODUCER, CONSUMER].iter().all(|table| table.find(name).is_err());
        let strange: Vec<&str> = properties.keys().map(String::as_str).filter(is_strange).collect();
        if !strange.is_empty() {
            tracing::warn!(keys = strange.join(","), "unknown client configuration is ignored");
        }
        Self { properties, tables }
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        self.properties.contains_key(name)
    }

    fn key(&self, name: &str) -> &'static Key {
        self.tables.iter().find_map(|table| table.find(name).ok()).expect("a key that is read is declared")
    }

    fn value(&self, key: &Key) -> &str {
        self.properties.get(key.name).map_or(key.default.unwrap_or_default(), |value| value.trim())
    }

    pub(super) fn text(&self, name: &str) -> Result<&str, ConfigError> {
        let key = self.key(name);
        let value = self.value(key);
        key.check(value)?;
        Ok(value)
    }

    pub(super) fn text_if_any(&self, name: &str) -> Option<String> {
        Some(self.value(self.key(name)).to_owned()).filter(|text| !text.is_empty())
    }

    pub(super) fn whole(&self, name: &str) -> Result<usize, ConfigError> {
        let key = self.key(name);
        Ok(key.whole(self.value(key))? as usize)
    }

    fn level(&self, name: &str) -> Result<i32, ConfigError> {
        let key = self.key(name);
        Ok(key.whole(self.value(key))? as i32)
    }

    pub(super) fn millis(&self, name: &str) -> Result<Duration, ConfigError> {
        self.whole(name).map(|ms| Duration::from_millis(ms as u64))
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, ConfigError> {
        let key = self.key(name);
        Ok(key.boolean(self.value(key))?)
    }

    fn backoff(&self, first: &str, most: &str) -> Result<Backoff, ConfigError> {
        let (first, most) = (self.millis(first)?, self.millis(most)?);
        Ok(Backoff { first: first.min(most), most })
    }

    pub(super) fn common(&self) -> Result<Common, ConfigError> {
        let servers = self.properties.get("bootstrap.servers").map(String::as_str).unwrap_or_default();
        let servers = servers.split(',').map(str::trim).filter(|server| !server.is_empty());
        let bootstrap = servers.map(str::parse).collect::<Result<Vec<Address>, InvalidAddress>>()?;
        if bootstrap.is_empty() {
            return Err(ConfigError::NoBootstrap);
        }
        self.text("security.protocol")?;
        Ok(Common {
            bootstrap,
            client_id: self.text("client.id")?.to_owned(),
            request_timeout: self.millis("request.timeout.ms")?,
            setup_timeout: self.millis("socket.connection.setup.timeout.ms")?,
            reconnect: self.backoff("reconnect.backoff.ms", "reconnect.backoff.max.ms")?,
            retry: self.backoff("retry.backoff.ms", "retry.backoff.max.ms")?,
            metadata_max_age: self.millis("metadata.max.age.ms")?,
            api_timeout: self.millis("default.api.timeout.ms")?,
        })
    }

    pub(super) fn acks(&self) -> Result<Acks, ConfigError> {
        Ok(match self.text("acks")? {
            "0" => Acks::None,
            "1" => Acks::Leader,
            _ => Acks::All,
        })
    }

    pub(super) fn compression(&self) -> Result<Compression, ConfigError> {
        let codec = Codec::from_name(self.text("compression.type")?).unwrap_or(Codec::None);
        let key = match codec {
            Codec::None | Codec::Snappy => return Ok(Compression::of(codec)),
            Codec::Gzip => "compression.gzip.level",
            Codec::Lz4 => "compression.lz4.level",
            Codec::Zstd => "compression.zstd.level",
        };
        let level = self.level(key)?;
        Compression::at_level(codec, level).map_err(|_| ConfigError::Word {
            key,
            value: level.to_string(),
            expected: "must be a level that the codec has",
        })
    }

    pub(super) fn reset(&self) -> Result<Reset, ConfigError> {
        let value = self.text("auto.offset.reset")?;
        let by_duration = || value.strip_prefix("by_duration:").and_then(duration::parse_iso);
        match value {
            "earliest" => Ok(Reset::Earliest),
            "latest" => Ok(Reset::Latest),
            "none" => Ok(Reset::Fail),
            _ => by_duration().map(Reset::Since).ok_or_else(|| ConfigError::Word {
                key: "auto.offset.reset",
                value: value.to_owned(),
                expected: "must be earliest, latest, none, or by_duration: and a duration such as PT1H",
            }),
        }
    }

    pub(super) fn assignors(&self) -> Result<Vec<Assignor>, ConfigError> {
        let value = self.text("partition.assignment.strategy")?;
        let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
        let assignors: Option<Vec<Assignor>> = names.map(Assignor::from_name).collect();
        assignors.filter(|assignors| !assignors.is_empty()).ok_or_else(|| ConfigError::Word {
            key: "partition.assignment.strategy",
            value: value.to_owned(),
            expected: "must name range, cooperative-sticky, or both",
        })
    }

    pub(super) fn isolation(&self) -> Result<Isolation, ConfigError> {
        let committed = self.text("isolation.level")? == "read_committed";
        Ok(if committed { Isolation::ReadCommitted } else { Isolation::ReadUncommitted })
    }
}
