//! `dohle group`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use dohle_base::{LeaderEpoch, Offset, Partition, TopicName};
use dohle_client::admin::{GroupDescription, GroupListing};
use dohle_client::core::TopicPartition;
use dohle_client::core::positions::Committed;
use dohle_client::{Admin, OffsetSpec};
use serde::Serialize;

use super::{Common, confirm};
use crate::output::{say, table};
use crate::text::instant;
use crate::text::number::or_dash;
use crate::text::place::{self, Place};

const LIST_HELP: &str = "\
Examples:
  dohle group list
  dohle group list --json | jq -r 'select(.state == \"Empty\") | .group'

JSON: {\"group\", \"kind\", \"protocol_type\", \"state\", \"coordinator\"}, a line for each group";

const DESCRIBE_HELP: &str = "\
Examples:
  dohle group describe billing
  dohle group describe billing --json | jq '[.offsets[].lag] | add'

JSON: {\"group\", \"kind\", \"state\", \"assignor\", \"coordinator\", \"members\": [{\"id\", \"instance\", \"client_id\", \"host\",
\"partitions\": [{\"topic\", \"partition\"}]}], \"offsets\": [{\"topic\", \"partition\", \"offset\", \"end\", \"lag\", \"member\"}]}";

const RESET_HELP: &str = "\
Examples:
  dohle group reset billing --to beginning                      show what would change
  dohle group reset billing --to beginning --execute            and do it
  dohle group reset billing --to -1h --topic orders --execute
  dohle group reset billing --to 2026-01-31T10:00:00Z --execute
  dohle group reset billing --topic orders:0,2 --to 1000 --execute
  dohle group reset billing --shift -100 --execute

The group must have no members. An offset outside of a partition is moved to its nearer end.
JSON: {\"group\", \"topic\", \"partition\", \"from\", \"to\", \"executed\"}, a line for each partition";

const DELETE_HELP: &str = "\
Examples:
  dohle group delete billing --yes
  dohle group delete billing --topic orders --yes               only the offsets of a topic

JSON: {\"group\", \"deleted\"}, a line for each group";

#[derive(Subcommand)]
pub(super) enum Command {
    /// List groups
    #[command(after_help = LIST_HELP)]
    List,
    /// Show a group's members, offsets and lag
    #[command(after_help = DESCRIBE_HELP)]
    Describe {
        /// The group
        group: String,
    },
    /// Move a group's offsets: shows from where to where, and does it with --execute
    #[command(after_help = RESET_HELP)]
    Reset(Reset),
    /// Delete groups, or a group's offsets of topics
    #[command(after_help = DELETE_HELP)]
    Delete {
        /// The groups
        #[arg(required = true)]
        groups: Vec<String>,
        /// Only forget the offsets of this topic
        #[arg(long, value_parser = super::topic_name)]
        topic: Vec<TopicName>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Args)]
pub(super) struct Reset {
    /// The group
    group: String,
    /// Where to
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true, required_unless_present = "shift", long_help = to_help())]
    to: Option<Place>,
    /// By how many records, forward or, with a minus, back
    #[arg(long, value_name = "N", allow_hyphen_values = true, conflicts_with = "to")]
    shift: Option<i64>,
    /// Only this topic, or these partitions of it; else every topic that the group has offsets of
    #[arg(long, value_name = "TOPIC[:PARTITION,…]", value_parser = scope)]
    topic: Vec<Scope>,
    /// Do it
    #[arg(long, visible_alias = "yes")]
    execute: bool,
}

fn to_help() -> String {
    format!("Where to: {}", place::GRAMMAR)
}

/// A topic, or some of its partitions.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    topic: TopicName,
    partitions: Vec<i32>,
}

fn scope(text: &str) -> Result<Scope, String> {
    let (topic, partitions) = text.split_once(':').unwrap_or((text, ""));
    let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is no partition"));
    let partitions = partitions.split(',').filter(|text| !text.is_empty()).map(number).collect::<Result<_, _>>()?;
    Ok(Scope { topic: super::topic_name(topic)?, partitions })
}

pub(super) async fn run(common: &Common, command: Command) -> anyhow::Result<()> {
    let admin = common.admin().await?;
    match command {
        Command::List => list(common, &admin).await,
        Command::Describe { group } => describe(common, &admin, &group).await,
        Command::Reset(reset) => run_reset(common, &admin, &reset).await,
        Command::Delete { groups, topic, yes } => delete(common, &admin, &groups, &topic, yes).await,
    }
}

#[derive(Serialize)]
struct Listed {
    group: String,
    kind: String,
    protocol_type: String,
    state: String,
    coordinator: i32,
}

async fn list(common: &Common, admin: &Admin) -> anyhow::Result<()> {
    let listed = |group: GroupListing| Listed {
        group: group.group,
        kind: group.kind,
        protocol_type: group.protocol_type,
        state: group.state,
        coordinator: group.coordinator.0,
    };
    let groups: Vec<Listed> = admin.list_groups().await?.into_iter().map(listed).collect();
    if groups.is_empty() && !common.json {
        return say("no groups; one begins with `dohle consume TOPIC --group NAME`");
    }
    common.output().rows(["GROUP", "KIND", "STATE", "PROTOCOL", "COORDINATOR"], &groups, |group| {
        let protocol = or_dash(Some(&group.protocol_type).filter(|text| !text.is_empty()));
        [group.group.clone(), group.kind.clone(), group.state.clone(), protocol, group.coordinator.to_string()]
    })
}

#[derive(Serialize)]
struct Described {
    group: String,
    kind: String,
    state: String,
    assignor: String,
    coordinator: i32,
    members: Vec<Member>,
    offsets: Vec<Standing>,
}

#[derive(Serialize)]
struct Member {
    id: String,
    instance: Option<String>,
    client_id: String,
    host: String,
    partitions: Vec<Named>,
}

#[derive(Serialize)]
struct Named {
    topic: String,
    partition: i32,
}

#[derive(Serialize)]
struct Standing {
    topic: String,
    partition: i32,
    offset: Option<i64>,
    end: Option<i64>,
    lag: Option<i64>,
    member: Option<String>,
}

async fn describe(common: &Common, admin: &Admin, group: &str) -> anyhow::Result<()> {
    let description = admin.describe_group(group).await?;
    let committed = admin.group_offsets(group, None).await?;
    let assigned =
        description.members.iter().flat_map(|member| member.assigned.iter().map(|place| (place, &member.id)));
    let readers: BTreeMap<&TopicPartition, &String> = assigned.collect();
    let places: BTreeSet<&TopicPartition> = committed.keys().chain(readers.keys().copied()).collect();
    let ends = found(admin, places.iter().copied(), OffsetSpec::Latest).await?;
    let standing = |place: &&TopicPartition| {
        let offset = committed.get(*place).map(|committed| committed.offset.0);
        let end = ends.get(*place).map(|end| end.0);
        Standing {
            topic: place.topic.to_string(),
            partition: place.partition.0,
            offset,
            end,
            lag: end.zip(offset).map(|(end, offset)| (end - offset).max(0)),
            member: readers.get(*place).map(|id| (*id).clone()),
        }
    };
    let described = described(&description, places.iter().map(standing).collect());
    common.output().one(&described, describe_text)
}

fn described(description: &GroupDescription, offsets: Vec<Standing>) -> Described {
    let named = |place: &TopicPartition| Named { topic: place.topic.to_string(), partition: place.partition.0 };
    let member = |member: &dohle_client::admin::GroupMember| Member {
        id: member.id.clone(),
        instance: member.instance.clone(),
        client_id: member.client_id.clone(),
        host: member.host.clone(),
        partitions: member.assigned.iter().map(named).collect(),
    };
    Described {
        group: description.group.clone(),
        kind: description.kind.clone(),
        state: description.state.clone(),
        assignor: description.assignor.clone(),
        coordinator: description.coordinator.0,
        members: description.members.iter().map(member).collect(),
        offsets,
    }
}

fn describe_text(group: &Described) -> String {
    let members = group.members.len();
    let assignor = if group.assignor.is_empty() { String::new() } else { format!(", {}", group.assignor) };
    let head = format!(
        "group {}: {} ({}{assignor}), {members} members, coordinator {}",
        group.group, group.state, group.kind, group.coordinator
    );
    let row = |it: &Standing| {
        let (offset, end, lag) = (or_dash(it.offset), or_dash(it.end), or_dash(it.lag));
        [it.topic.clone(), it.partition.to_string(), offset, end, lag, or_dash(it.member.as_ref())]
    };
    let heads = ["TOPIC", "PARTITION", "OFFSET", "END", "LAG", "MEMBER"];
    let offsets = table(heads, group.offsets.iter().map(row));
    let row = |it: &Member| [it.id.clone(), it.client_id.clone(), it.host.clone(), it.partitions.len().to_string()];
    let members = table(["MEMBER", "CLIENT", "HOST", "PARTITIONS"], group.members.iter().map(row));
    match (group.offsets.is_empty(), group.members.is_empty()) {
        (true, true) => head,
        (false, true) => format!("{head}\n\n{offsets}"),
        (true, false) => format!("{head}\n\n{members}"),
        (false, false) => format!("{head}\n\n{offsets}\n\n{members}"),
    }
}

type Offsets = BTreeMap<TopicPartition, Offset>;

/// Where a rule leads in those partitions that are still there.
async fn found<'a>(
    admin: &Admin,
    places: impl Iterator<Item = &'a TopicPartition>,
    spec: OffsetSpec,
) -> anyhow::Result<Offsets> {
    let wanted: BTreeMap<TopicPartition, OffsetSpec> = places.map(|place| (place.clone(), spec)).collect();
    if wanted.is_empty() {
        return Ok(Offsets::new());
    }
    let found = admin.list_offsets(&wanted).await?;
    Ok(found.into_iter().filter_map(|(place, found)| Some((place, found.ok()?.offset?))).collect())
}

#[derive(Serialize)]
struct Move {
    group: String,
    topic: String,
    partition: i32,
    from: Option<i64>,
    to: i64,
    executed: bool,
}

async fn run_reset(common: &Common, admin: &Admin, reset: &Reset) -> anyhow::Result<()> {
    let group = &reset.group;
    let committed = admin.group_offsets(group, None).await?;
    let places = scoped(admin, reset, &committed).await?;
    if places.is_empty() {
        bail!("group {group} has no offsets; name what it shall read with --topic");
    }
    let targets = targets(admin, reset, &committed, &places).await?;
    if reset.execute {
        refuse_members(admin, group).await?;
        let offsets = targets.iter().map(|(place, offset)| {
            (place.clone(), Committed { offset: *offset, epoch: LeaderEpoch::NONE, metadata: String::new() })
        });
        for altered in admin.alter_group_offsets(group, &offsets.collect()).await?.into_values() {
            altered.context("stop the group's members, then try again")?;
        }
    }
    let moves: Vec<Move> = targets
        .iter()
        .map(|(place, to)| Move {
            group: group.clone(),
            topic: place.topic.to_string(),
            partition: place.partition.0,
            from: committed.get(place).map(|committed| committed.offset.0),
            to: to.0,
            executed: reset.execute,
        })
        .collect();
    common.output().rows(["TOPIC", "PARTITION", "FROM", "TO"], &moves, |it| {
        [it.topic.clone(), it.partition.to_string(), or_dash(it.from), it.to.to_string()]
    })?;
    if !common.json {
        say(if reset.execute { "done" } else { "nothing was changed; say --execute to do it" })?;
    }
    Ok(())
}

/// A coordinator refuses to move the offsets of members in words that help nobody.
async fn refuse_members(admin: &Admin, group: &str) -> anyhow::Result<()> {
    // A group that is not there yet begins with its offsets.
    let members = admin.describe_group(group).await.map_or(0, |description| description.members.len());
    anyhow::ensure!(
        members == 0,
        "group {group} has {members} members, who would go on from where they are: stop them first"
    );
    Ok(())
}

async fn scoped(
    admin: &Admin,
    reset: &Reset,
    committed: &BTreeMap<TopicPartition, Committed>,
) -> anyhow::Result<BTreeSet<TopicPartition>> {
    if reset.topic.is_empty() {
        return Ok(committed.keys().cloned().collect());
    }
    let names: Vec<TopicName> = reset.topic.iter().map(|scope| scope.topic.clone()).collect();
    let mut described = admin.describe_topics(&names).await?;
    let mut places = BTreeSet::new();
    for scope in &reset.topic {
        let Some(topic) = described.remove(&scope.topic) else { continue };
        let count = topic?.partitions.len() as i32;
        let numbers = if scope.partitions.is_empty() { (0..count).collect() } else { scope.partitions.clone() };
        for number in numbers {
            anyhow::ensure!(
                (0..count).contains(&number),
                "topic {} has partitions 0 to {}, not {number}",
                scope.topic,
                count - 1
            );
            places.insert(TopicPartition::new(scope.topic.clone(), Partition(number)));
        }
    }
    Ok(places)
}

async fn targets(
    admin: &Admin,
    reset: &Reset,
    committed: &BTreeMap<TopicPartition, Committed>,
    places: &BTreeSet<TopicPartition>,
) -> anyhow::Result<Offsets> {
    let begins = found(admin, places.iter(), OffsetSpec::Earliest).await?;
    let ends = found(admin, places.iter(), OffsetSpec::Latest).await?;
    let times = match reset.to {
        Some(Place::At(at)) => found(admin, places.iter(), OffsetSpec::At(at)).await?,
        Some(Place::Ago(age)) => found(admin, places.iter(), OffsetSpec::At(instant::ago(age))).await?,
        Some(Place::Beginning | Place::End | Place::Offset(_) | Place::Last(_)) | None => Offsets::new(),
    };
    let mut targets = Offsets::new();
    for (place, end) in &ends {
        let begin = begins.get(place).copied().unwrap_or(Offset::ZERO);
        let wanted = match (reset.to, reset.shift) {
            (Some(Place::Beginning), _) => begin,
            (Some(Place::End), _) => *end,
            (Some(Place::Offset(offset)), _) => offset,
            (Some(Place::Last(count)), _) => *end - count,
            (Some(Place::At(_) | Place::Ago(_)), _) => times.get(place).copied().unwrap_or(*end),
            (None, Some(shift)) => match committed.get(place) {
                Some(committed) => Offset(committed.offset.0.saturating_add(shift)),
                None => continue,
            },
            (None, None) => bail!("where to? Say --to or --shift"),
        };
        targets.insert(place.clone(), wanted.clamp(begin, *end));
    }
    Ok(targets)
}

#[derive(Serialize)]
struct Deleted {
    group: String,
    deleted: bool,
}

async fn delete(
    common: &Common,
    admin: &Admin,
    groups: &[String],
    topics: &[TopicName],
    yes: bool,
) -> anyhow::Result<()> {
    let what = if topics.is_empty() { "and all of the offsets" } else { "offsets of the named topics" };
    confirm(yes, &format!("Delete {}: {what}?", groups.join(", ")))?;
    for group in groups {
        if topics.is_empty() {
            admin.delete_group(group).await?;
        } else {
            let committed = admin.group_offsets(group, None).await?;
            let places = committed.into_keys().filter(|place| topics.contains(&place.topic)).collect();
            for deleted in admin.delete_group_offsets(group, &places).await?.into_values() {
                deleted?;
            }
        }
        common.output().one(&Deleted { group: group.clone(), deleted: true }, |it| format!("deleted: {}", it.group))?;
    }
    Ok(())
}
