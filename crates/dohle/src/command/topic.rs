//! `dohle topic`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use dohle_base::{BrokerId, ErrorCode, TopicName};
use dohle_client::admin::{ConfigChange, ConfigSource, NewTopic, Resource, TopicDescription};
use dohle_client::core::TopicPartition;
use dohle_client::{Admin, AskError, OffsetSpec};
use serde::Serialize;

use super::{Common, confirm, topic_name};
use crate::output::{say, table};
use crate::text::number::or_dash;
use crate::text::{config_value, pair};

const CREATE_HELP: &str = "\
Examples:
  dohle topic create orders --partitions 3
  dohle topic create audit --config cleanup.policy=compact --config retention.ms=7d
  dohle topic create a b c --if-not-exists

JSON: {\"name\", \"id\", \"partitions\", \"replication_factor\", \"created\"}, a line for each topic";

const LIST_HELP: &str = "\
Examples:
  dohle topic list
  dohle topic list --json | jq -r .name

JSON: {\"name\", \"id\", \"internal\", \"partitions\", \"replication_factor\"}, a line for each topic";

const DESCRIBE_HELP: &str = "\
Examples:
  dohle topic describe orders
  dohle topic describe orders --json | jq '.partitions[].end'

JSON: {\"name\", \"id\", \"internal\", \"configs\": {KEY: VALUE}, \"partitions\": [{\"partition\", \"leader\",
\"leader_epoch\", \"replicas\", \"in_sync\", \"offline\", \"begin\", \"end\"}]}, a line for each topic";

const ALTER_HELP: &str = "\
Examples:
  dohle topic alter orders --partitions 6
  dohle topic alter orders --config retention.ms=1d --unset segment.bytes

JSON: {\"name\", \"partitions\", \"changed\": {KEY: VALUE or null}}";

const DELETE_HELP: &str = "\
Examples:
  dohle topic delete orders --yes

JSON: {\"name\", \"deleted\"}, a line for each topic";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Create topics
    #[command(after_help = CREATE_HELP)]
    Create(Create),
    /// List topics
    #[command(after_help = LIST_HELP)]
    List {
        /// Also those that the brokers keep for themselves
        #[arg(long)]
        internal: bool,
    },
    /// Show the partitions and the configuration of topics
    #[command(after_help = DESCRIBE_HELP)]
    Describe {
        /// The topics
        #[arg(required = true, value_parser = topic_name)]
        names: Vec<TopicName>,
    },
    /// Give a topic more partitions, or change its configuration
    #[command(after_help = ALTER_HELP)]
    Alter(Alter),
    /// Delete topics and all of their records
    #[command(after_help = DELETE_HELP)]
    Delete {
        /// The topics
        #[arg(required = true, value_parser = topic_name)]
        names: Vec<TopicName>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        /// A topic that is not there is no failure
        #[arg(long)]
        if_exists: bool,
    },
}

#[derive(Args)]
pub(super) struct Create {
    /// The topics
    #[arg(required = true, value_parser = topic_name)]
    names: Vec<TopicName>,
    /// How many partitions; the broker's num.partitions if not said
    #[arg(long, short)]
    partitions: Option<i32>,
    /// How many copies; the broker's default.replication.factor if not said
    #[arg(long, short)]
    replication_factor: Option<i16>,
    /// Who has the copies of each partition: brokers between colons, partitions between commas, as in 1:2,2:3
    #[arg(long, value_name = "BROKERS", conflicts_with_all = ["partitions", "replication_factor"])]
    assignment: Option<String>,
    /// A key of the topic, such as retention.ms=7d
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = pair::parse)]
    config: Vec<(String, String)>,
    /// A topic that is there already is no failure
    #[arg(long)]
    if_not_exists: bool,
    /// Only check whether it could be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
pub(super) struct Alter {
    /// The topic
    #[arg(value_parser = topic_name)]
    name: TopicName,
    /// How many partitions it is to have: more than now
    #[arg(long, short)]
    partitions: Option<i32>,
    /// A key and its new value
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = pair::parse)]
    config: Vec<(String, String)>,
    /// A key whose default is to count again
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
}

pub(super) async fn run(common: &Common, command: Command) -> anyhow::Result<()> {
    let admin = common.admin().await?;
    match command {
        Command::Create(create) => create_topics(common, &admin, create).await,
        Command::List { internal } => list(common, &admin, internal).await,
        Command::Describe { names } => describe(common, &admin, &names).await,
        Command::Alter(alter) => alter_topic(common, &admin, alter).await,
        Command::Delete { names, yes, if_exists } => delete(common, &admin, &names, yes, if_exists).await,
    }
}

#[derive(Serialize)]
struct Created {
    name: String,
    id: String,
    partitions: i32,
    replication_factor: i16,
    created: bool,
}

async fn create_topics(common: &Common, admin: &Admin, create: Create) -> anyhow::Result<()> {
    let assignment = create.assignment.as_deref().map(parse_assignment).transpose()?.unwrap_or_default();
    let configs: BTreeMap<String, String> =
        create.config.into_iter().map(|(key, value)| (key.clone(), config_value::plain(&key, value))).collect();
    let new = |name: &TopicName| NewTopic {
        partitions: create.partitions,
        replication_factor: create.replication_factor,
        assignment: assignment.clone(),
        configs: configs.clone(),
        ..NewTopic::new(name.clone())
    };
    let topics: Vec<NewTopic> = create.names.iter().map(new).collect();
    let mut failed = vec![];
    for (name, created) in admin.create_topics(&topics, create.dry_run).await? {
        match created {
            Ok(made) => {
                let created = Created {
                    name: name.to_string(),
                    id: made.id.to_string(),
                    partitions: made.partitions,
                    replication_factor: made.replication_factor,
                    created: !create.dry_run,
                };
                common.output().one(&created, |made| {
                    let verb = if made.created { "created" } else { "could be created" };
                    format!(
                        "{verb}: {}, {} partitions, replication {}",
                        made.name, made.partitions, made.replication_factor
                    )
                })?;
            }
            Err(error) if create.if_not_exists && error.code() == Some(ErrorCode::TopicAlreadyExists) => {
                let there = Created {
                    name: name.to_string(),
                    id: String::new(),
                    partitions: -1,
                    replication_factor: -1,
                    created: false,
                };
                common.output().one(&there, |there| format!("there already: {}", there.name))?;
            }
            Err(error) => failed.push(error),
        }
    }
    all_done(failed)
}

fn parse_assignment(text: &str) -> anyhow::Result<BTreeMap<i32, Vec<BrokerId>>> {
    let brokers = |text: &str| -> anyhow::Result<Vec<BrokerId>> {
        let id = |id: &str| id.parse().map(BrokerId).with_context(|| format!("`{id}` is no broker's number"));
        text.split(':').map(id).collect()
    };
    (0..).zip(text.split(',')).map(|(partition, text)| Ok((partition, brokers(text)?))).collect()
}

/// The first failure, and how many more there are.
fn all_done(failed: Vec<AskError>) -> anyhow::Result<()> {
    let more = failed.len().saturating_sub(1);
    for error in failed.iter().skip(1) {
        eprintln!("error: {error}");
    }
    match failed.into_iter().next() {
        None => Ok(()),
        Some(error) if more == 0 => Err(error.into()),
        Some(error) => Err(anyhow::Error::from(error).context(format!("{} of several failed", more + 1))),
    }
}

#[derive(Serialize)]
struct Listed {
    name: String,
    id: String,
    internal: bool,
    partitions: usize,
    replication_factor: usize,
}

async fn list(common: &Common, admin: &Admin, internal: bool) -> anyhow::Result<()> {
    let listed = |topic: TopicDescription| Listed {
        name: topic.name.to_string(),
        id: topic.id.to_string(),
        internal: topic.internal,
        partitions: topic.partitions.len(),
        replication_factor: topic.partitions.first().map_or(0, |partition| partition.replicas.len()),
    };
    let topics = admin.list_topics().await?;
    let topics: Vec<Listed> = topics.into_iter().filter(|topic| internal || !topic.internal).map(listed).collect();
    if topics.is_empty() && !common.json {
        return say("no topics; create one with `dohle topic create NAME`");
    }
    common.output().rows(["TOPIC", "PARTITIONS", "REPLICATION", "ID"], &topics, |topic| {
        [topic.name.clone(), topic.partitions.to_string(), topic.replication_factor.to_string(), topic.id.clone()]
    })
}

#[derive(Serialize)]
struct Described {
    name: String,
    id: String,
    internal: bool,
    configs: BTreeMap<String, Option<String>>,
    partitions: Vec<Partition>,
}

#[derive(Serialize)]
struct Partition {
    partition: i32,
    leader: Option<i32>,
    leader_epoch: i32,
    replicas: Vec<i32>,
    in_sync: Vec<i32>,
    offline: Vec<i32>,
    begin: Option<i64>,
    end: Option<i64>,
}

async fn describe(common: &Common, admin: &Admin, names: &[TopicName]) -> anyhow::Result<()> {
    let mut failed = vec![];
    let mut described = admin.describe_topics(names).await?;
    for (place, name) in names.iter().enumerate() {
        match described.remove(name) {
            Some(Ok(topic)) => {
                if place > 0 && !common.json {
                    say("")?;
                }
                common.output().one(&describe_one(admin, topic).await?, describe_text)?;
            }
            Some(Err(error)) => failed.push(error),
            // Named twice.
            None => {}
        }
    }
    all_done(failed)
}

async fn describe_one(admin: &Admin, topic: TopicDescription) -> anyhow::Result<Described> {
    let configs = admin.describe_config(&Resource::Topic(topic.name.to_string())).await?;
    let own = configs.into_iter().filter(|entry| entry.source == ConfigSource::Topic);
    let begins = offsets(admin, &topic, OffsetSpec::Earliest).await?;
    let ends = offsets(admin, &topic, OffsetSpec::Latest).await?;
    let ids = |brokers: &[BrokerId]| brokers.iter().map(|broker| broker.0).collect();
    let partition = |partition: &dohle_client::admin::PartitionDescription| Partition {
        partition: partition.partition.0,
        leader: partition.leader.map(|leader| leader.0),
        leader_epoch: partition.leader_epoch.0,
        replicas: ids(&partition.replicas),
        in_sync: ids(&partition.in_sync),
        offline: ids(&partition.offline),
        begin: begins.get(&partition.partition.0).copied(),
        end: ends.get(&partition.partition.0).copied(),
    };
    Ok(Described {
        name: topic.name.to_string(),
        id: topic.id.to_string(),
        internal: topic.internal,
        configs: own.map(|entry| (entry.name, entry.value)).collect(),
        partitions: topic.partitions.iter().map(partition).collect(),
    })
}

/// The offsets of those partitions that have a leader.
async fn offsets(admin: &Admin, topic: &TopicDescription, spec: OffsetSpec) -> anyhow::Result<BTreeMap<i32, i64>> {
    let led = topic.partitions.iter().filter(|partition| partition.leader.is_some());
    let wanted = led.map(|partition| (TopicPartition::new(topic.name.clone(), partition.partition), spec)).collect();
    let found = admin.list_offsets(&wanted).await?;
    let known = found.into_iter().filter_map(|(place, found)| Some((place.partition.0, found.ok()?.offset?.0)));
    Ok(known.collect())
}

fn describe_text(topic: &Described) -> String {
    let list = |ids: &[i32]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let row = |partition: &Partition| {
        let records = partition.end.zip(partition.begin).map(|(end, begin)| end - begin);
        [
            partition.partition.to_string(),
            or_dash(partition.leader),
            list(&partition.replicas),
            list(&partition.in_sync),
            or_dash(partition.begin),
            or_dash(partition.end),
            or_dash(records),
        ]
    };
    let heads = ["PARTITION", "LEADER", "REPLICAS", "IN SYNC", "BEGIN", "END", "OFFSETS"];
    let partitions = table(heads, topic.partitions.iter().map(row));
    let config = |(key, value): (&String, &Option<String>)| format!("{key}={}", or_dash(value.as_ref()));
    let configs: Vec<String> = topic.configs.iter().map(config).collect();
    let configs = if configs.is_empty() { "as the brokers have it".to_owned() } else { configs.join(" ") };
    format!("topic {}\nid {}\nconfiguration {configs}\n{partitions}", topic.name, topic.id)
}

#[derive(Serialize)]
struct Altered {
    name: String,
    partitions: Option<i32>,
    changed: BTreeMap<String, Option<String>>,
}

async fn alter_topic(common: &Common, admin: &Admin, alter: Alter) -> anyhow::Result<()> {
    if alter.partitions.is_none() && alter.config.is_empty() && alter.unset.is_empty() {
        bail!("nothing to alter: say --partitions, --config or --unset");
    }
    let set = alter.config.into_iter().map(|(key, value)| {
        let value = config_value::plain(&key, value);
        (key, Some(value))
    });
    let changed: BTreeMap<String, Option<String>> = set.chain(alter.unset.into_iter().map(|key| (key, None))).collect();
    if !changed.is_empty() {
        let change = |value: &Option<String>| value.clone().map_or(ConfigChange::Unset, ConfigChange::Set);
        let changes = changed.iter().map(|(key, value)| (key.clone(), change(value))).collect();
        admin.alter_config(&Resource::Topic(alter.name.to_string()), &changes).await?;
    }
    if let Some(count) = alter.partitions {
        admin.create_partitions(&alter.name, count).await?;
    }
    let altered = Altered { name: alter.name.to_string(), partitions: alter.partitions, changed };
    common.output().one(&altered, |altered| {
        let count = altered.partitions.map(|count| format!("{}: {count} partitions", altered.name));
        let line = |(key, value): (&String, &Option<String>)| match value {
            Some(value) => format!("{}: {key} is {value}", altered.name),
            None => format!("{}: {key} is as the brokers have it", altered.name),
        };
        count.into_iter().chain(altered.changed.iter().map(line)).collect::<Vec<_>>().join("\n")
    })
}

#[derive(Serialize)]
struct Deleted {
    name: String,
    deleted: bool,
}

async fn delete(common: &Common, admin: &Admin, names: &[TopicName], yes: bool, if_exists: bool) -> anyhow::Result<()> {
    let names: BTreeSet<TopicName> = names.iter().cloned().collect();
    let list = names.iter().map(TopicName::as_str).collect::<Vec<_>>().join(", ");
    confirm(yes, &format!("Delete {list} and all of the records?"))?;
    let mut failed = vec![];
    let names: Vec<TopicName> = names.into_iter().collect();
    for (name, deleted) in admin.delete_topics(&names).await? {
        let deleted = match deleted {
            Ok(()) => true,
            Err(error) if if_exists && error.code() == Some(ErrorCode::UnknownTopicOrPartition) => false,
            Err(error) => {
                failed.push(error);
                continue;
            }
        };
        common.output().one(&Deleted { name: name.to_string(), deleted }, |it| {
            let verb = if it.deleted { "deleted" } else { "not there" };
            format!("{verb}: {}", it.name)
        })?;
    }
    all_done(failed)
}
