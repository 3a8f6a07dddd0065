//! `dohle config`.

mod keys;

use std::collections::BTreeMap;

use anyhow::Context;
use clap::{Args, Subcommand};
use dohle_base::BrokerId;
use dohle_client::admin::{ConfigChange, ConfigEntry, ConfigSource, Resource};
use serde::Serialize;

use super::Common;
use crate::text::{config_value, pair};

const DESCRIBE_HELP: &str = "\
Examples:
  dohle config describe topic orders
  dohle config describe topic orders --all
  dohle config describe broker 1 --all --json

JSON: {\"name\", \"value\", \"source\", \"read_only\", \"sensitive\"}, a line for each key";

const SET_HELP: &str = "\
Examples:
  dohle config set topic orders retention.ms=7d segment.bytes=64MiB
  dohle config set topic orders cleanup.policy=compact
  dohle config set brokers log.retention.ms=1d

Durations (500ms, 10s, 5m, 2h, 7d) and sizes (64MiB, 1GiB) are understood for keys that end in .ms and .bytes.
JSON: {\"resource\", \"changed\": {KEY: VALUE}}";

const UNSET_HELP: &str = "\
Examples:
  dohle config unset topic orders retention.ms

JSON: {\"resource\", \"changed\": {KEY: null}}";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show the configuration of a topic, a broker or a group
    #[command(after_help = DESCRIBE_HELP)]
    Describe {
        #[command(flatten)]
        of: Of,
        /// Also what is as the release has it
        #[arg(long)]
        all: bool,
    },
    /// Give keys a value
    #[command(after_help = SET_HELP)]
    Set {
        /// Of what: topic, broker, brokers (all of them) or group
        kind: Kind,
        /// The name of a topic or group, or a broker's number, unless it is `brokers`; then KEY=VALUE…
        #[arg(required = true, num_args = 1.., value_name = "NAME KEY=VALUE")]
        rest: Vec<String>,
    },
    /// Take the value of keys away, so that the default counts again
    #[command(after_help = UNSET_HELP)]
    Unset {
        /// Of what: topic, broker, brokers (all of them) or group
        kind: Kind,
        /// The name of a topic or group, or a broker's number, unless it is `brokers`; then KEY…
        #[arg(required = true, num_args = 1.., value_name = "NAME KEY")]
        rest: Vec<String>,
    },
    /// Show every key of this release: its type, default, values, and when a change takes effect
    #[command(after_help = keys::HELP)]
    Keys {
        /// The whole documentation, as a page of Markdown
        #[arg(long)]
        markdown: bool,
    },
}

#[derive(Args)]
pub(super) struct Of {
    /// Of what: topic, broker, brokers (all of them) or group
    kind: Kind,
    /// The name of a topic or group, or a broker's number; nothing with `brokers`
    name: Option<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub(super) enum Kind {
    Topic,
    Broker,
    Brokers,
    Group,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    value: Option<String>,
    source: &'static str,
    read_only: bool,
    sensitive: bool,
}

#[derive(Serialize)]
struct Changed {
    resource: String,
    changed: BTreeMap<String, Option<String>>,
}

pub(super) async fn run(common: &Common, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Describe { of, all } => describe(common, &resource(of.kind, of.name)?, all).await,
        Command::Set { kind, rest } => {
            let (resource, pairs) = split(kind, rest)?;
            let pairs = pairs.iter().map(|text| pair::parse(text).map_err(anyhow::Error::msg));
            let pairs: Vec<(String, String)> = pairs.collect::<Result<_, _>>()?;
            anyhow::ensure!(!pairs.is_empty(), "nothing to set: write KEY=VALUE behind the name");
            let set = |(key, value): (String, String)| {
                let value = config_value::plain(&key, value);
                (key, ConfigChange::Set(value))
            };
            change(common, &resource, pairs.into_iter().map(set).collect()).await
        }
        Command::Unset { kind, rest } => {
            let (resource, keys) = split(kind, rest)?;
            anyhow::ensure!(!keys.is_empty(), "nothing to unset: write KEY behind the name");
            change(common, &resource, keys.into_iter().map(|key| (key, ConfigChange::Unset)).collect()).await
        }
        Command::Keys { markdown } => keys::run(common, markdown),
    }
}

fn split(kind: Kind, mut rest: Vec<String>) -> anyhow::Result<(Resource, Vec<String>)> {
    let name = match kind {
        Kind::Brokers => None,
        Kind::Topic | Kind::Broker | Kind::Group => Some(rest.remove(0)),
    };
    Ok((resource(kind, name)?, rest))
}

fn resource(kind: Kind, name: Option<String>) -> anyhow::Result<Resource> {
    let named = || name.clone().context("of which? Write the name behind the kind, as in `topic orders`");
    Ok(match kind {
        Kind::Topic => Resource::Topic(named()?),
        Kind::Group => Resource::Group(named()?),
        Kind::Broker => {
            let number = named()?;
            Resource::Broker(BrokerId(number.parse().with_context(|| format!("`{number}` is no broker's number"))?))
        }
        Kind::Brokers => Resource::Brokers,
    })
}

async fn describe(common: &Common, resource: &Resource, all: bool) -> anyhow::Result<()> {
    let entries = common.admin().await?.describe_config(resource).await?;
    let shown: Vec<Entry> = entries.into_iter().filter(|entry| all || is_said(entry)).map(Entry::from).collect();
    if shown.is_empty() && !common.json {
        return crate::output::say(&format!("{resource} is as the release has it; --all shows every key"));
    }
    common.output().rows(["KEY", "VALUE", "SOURCE"], &shown, |entry| {
        let value = entry.value.clone().unwrap_or_else(|| if entry.sensitive { "(secret)" } else { "-" }.to_owned());
        [entry.name.clone(), value, entry.source.to_owned()]
    })
}

/// Whether somebody said so, rather than the release.
fn is_said(entry: &ConfigEntry) -> bool {
    match entry.source {
        ConfigSource::Default => false,
        ConfigSource::Topic
        | ConfigSource::Broker
        | ConfigSource::Brokers
        | ConfigSource::Static
        | ConfigSource::Logger
        | ConfigSource::ClientMetrics
        | ConfigSource::Group
        | ConfigSource::Unknown => true,
    }
}

impl From<ConfigEntry> for Entry {
    fn from(entry: ConfigEntry) -> Self {
        Self {
            name: entry.name,
            value: entry.value,
            source: entry.source.name(),
            read_only: entry.read_only,
            sensitive: entry.sensitive,
        }
    }
}

async fn change(common: &Common, resource: &Resource, changes: BTreeMap<String, ConfigChange>) -> anyhow::Result<()> {
    common.admin().await?.alter_config(resource, &changes).await?;
    let value = |change| match change {
        ConfigChange::Set(value) | ConfigChange::Append(value) | ConfigChange::Subtract(value) => Some(value),
        ConfigChange::Unset => None,
    };
    let changed = changes.into_iter().map(|(key, change)| (key, value(change))).collect();
    common.output().one(&Changed { resource: resource.to_string(), changed }, |done| {
        let line = |(key, value): (&String, &Option<String>)| match value {
            Some(value) => format!("{}: {key} is {value}", done.resource),
            None => format!("{}: {key} is as the default has it", done.resource),
        };
        done.changed.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}
