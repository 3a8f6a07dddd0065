//! `dohle consume`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Stdout, Write, stdout};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use dohle_base::{Offset, Partition, TopicName};
use dohle_client::core::TopicPartition;
use dohle_client::{Admin, Consumed, Consumer, ConsumerConfig, OffsetSpec};

use super::{Common, topic_name};
use crate::text::place::{self, Place};
use crate::text::template::{self, Form};

const EXAMPLES: &str = "\
Examples:
  dohle consume orders                                 wait for new records
  dohle consume orders --until-end                     all records that are there
  dohle consume orders --from -10m --until-end         those of the last ten minutes
  dohle consume orders --from -5 --until-end           the last five of each partition
  dohle consume orders --group billing                 as a member of a group, from where it was
  dohle consume orders --format '{partition}:{offset} {key} {value}'
  dohle consume orders --format json --count 1 | jq .value

Without --from: the group's offset, else the beginning with --until-end or --count, else the end.
JSON (--format json or --json): {\"topic\", \"partition\", \"offset\", \"timestamp\", \"key\", \"value\", \"headers\":
[{\"name\", \"value\"}]}, an object a line; bytes that are no text stand in \"key_base64\" and \"value_base64\".";

/// Whether something came, or Ctrl-C, is looked at so often.
const POLL_WAIT: Duration = Duration::from_millis(500);

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The topic, or several
    #[arg(required = true, value_parser = topic_name)]
    topics: Vec<TopicName>,
    /// Where to begin
    #[arg(long, short = 'o', value_name = "PLACE", allow_hyphen_values = true, long_help = from_help())]
    from: Option<Place>,
    /// Only this partition, or several
    #[arg(long, short, value_delimiter = ',', conflicts_with = "group")]
    partition: Vec<i32>,
    /// Read as a member of a group, which shares the partitions and keeps the offsets
    #[arg(long, short)]
    group: Option<String>,
    /// How records are written
    #[arg(long, short = 'F', default_value = "{value}", value_name = "FORM", long_help = format_help())]
    format: Form,
    /// Wait for new records at the end; so it is unless --until-end or --count says otherwise
    #[arg(long, short, conflicts_with = "until_end")]
    follow: bool,
    /// Stop behind the last record that is there now
    #[arg(long, short = 'e')]
    until_end: bool,
    /// Stop after so many records
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
}

fn from_help() -> String {
    format!("Where to begin: {}", place::GRAMMAR)
}

fn format_help() -> String {
    format!("How records are written: {}", template::GRAMMAR)
}

pub(super) async fn run(common: &Common, arguments: Arguments) -> anyhow::Result<()> {
    let admin = common.admin().await?;
    let partitions = partitions(&admin, &arguments).await?;
    let ends = if arguments.until_end { Some(ends(&admin, &partitions).await?) } else { None };
    let config = ConsumerConfig::from_properties(common.properties(&wanted(&arguments)?))?;
    let mut reading = Reading {
        consumer: Consumer::new(config),
        form: if common.json { Form::Json } else { arguments.format.clone() },
        out: BufWriter::with_capacity(1 << 16, stdout()),
        ends,
        left: arguments.count.unwrap_or(u64::MAX),
        grouped: arguments.group.is_some(),
    };
    if arguments.group.is_some() {
        reading.consumer.subscribe(arguments.topics.iter().cloned())?;
    } else {
        reading.begin_at(&admin, &partitions, arguments.place()).await?;
    }
    let read = tokio::select! {
        read = reading.read() => read,
        interrupted = crate::interrupt::wait() => interrupted.map_err(Into::into),
    };
    reading.out.flush()?;
    let closed = reading.consumer.close().await;
    read?;
    closed.context("the last records may be read again by the group")
}

impl Arguments {
    fn place(&self) -> Place {
        let all = self.until_end || self.count.is_some();
        self.from.unwrap_or(if all && !self.follow { Place::Beginning } else { Place::End })
    }
}

/// What the arguments ask of the client.
fn wanted(arguments: &Arguments) -> anyhow::Result<Vec<(&'static str, String)>> {
    // A tool that prints may take more at once than a service that works on each.
    let mut wanted = vec![("max.poll.records", "5000".to_owned()), ("allow.auto.create.topics", "false".to_owned())];
    let Some(group) = &arguments.group else { return Ok(wanted) };
    wanted.push(("group.id", group.clone()));
    let reset = match arguments.place() {
        Place::Beginning => "earliest".to_owned(),
        Place::End => "latest".to_owned(),
        Place::Ago(age) => format!("by_duration:PT{}S", age.as_secs_f64()),
        Place::Offset(_) | Place::Last(_) | Place::At(_) => bail!(
            "a group goes on from its own offsets, and --from only says where to begin without one: beginning, end or \
             an age; move it with `dohle group reset {group} --to …`"
        ),
    };
    wanted.push(("auto.offset.reset", reset));
    Ok(wanted)
}

/// The partitions that are asked for, which must be there.
async fn partitions(admin: &Admin, arguments: &Arguments) -> anyhow::Result<BTreeSet<TopicPartition>> {
    let mut partitions = BTreeSet::new();
    for (name, described) in admin.describe_topics(&arguments.topics).await? {
        let count = described?.partitions.len() as i32;
        let numbers = if arguments.partition.is_empty() { (0..count).collect() } else { arguments.partition.clone() };
        for number in numbers {
            if !(0..count).contains(&number) {
                bail!("topic {name} has partitions 0 to {}, not {number}", count - 1);
            }
            partitions.insert(TopicPartition::new(name.clone(), Partition(number)));
        }
    }
    Ok(partitions)
}

type Offsets = BTreeMap<TopicPartition, Offset>;

async fn offsets(admin: &Admin, places: &BTreeSet<TopicPartition>, spec: OffsetSpec) -> anyhow::Result<Offsets> {
    let wanted = places.iter().map(|place| (place.clone(), spec)).collect();
    let mut offsets = Offsets::new();
    for (place, found) in admin.list_offsets(&wanted).await? {
        offsets.extend(found?.offset.map(|offset| (place, offset)));
    }
    Ok(offsets)
}

async fn ends(admin: &Admin, places: &BTreeSet<TopicPartition>) -> anyhow::Result<Offsets> {
    offsets(admin, places, OffsetSpec::Latest).await
}

struct Reading {
    consumer: Consumer,
    form: Form,
    out: BufWriter<Stdout>,
    /// Where to stop.
    ends: Option<Offsets>,
    left: u64,
    grouped: bool,
}

impl Reading {
    async fn begin_at(&mut self, admin: &Admin, places: &BTreeSet<TopicPartition>, place: Place) -> anyhow::Result<()> {
        let begins = match place {
            Place::Beginning => offsets(admin, places, OffsetSpec::Earliest).await?,
            Place::End => ends(admin, places).await?,
            Place::Offset(offset) => places.iter().map(|place| (place.clone(), offset)).collect(),
            Place::Last(count) => self.last(admin, places, count).await?,
            Place::At(at) => from_time(admin, places, at).await?,
            Place::Ago(age) => from_time(admin, places, crate::text::instant::ago(age)).await?,
        };
        self.consumer.assign(places.iter().cloned());
        for (place, offset) in begins {
            self.consumer.seek(&place, offset);
        }
        Ok(())
    }

    async fn last(&self, admin: &Admin, places: &BTreeSet<TopicPartition>, count: i64) -> anyhow::Result<Offsets> {
        let begins = offsets(admin, places, OffsetSpec::Earliest).await?;
        let ends = ends(admin, places).await?;
        let begin = |place: &TopicPartition| begins.get(place).copied().unwrap_or(Offset::ZERO);
        Ok(ends.into_iter().map(|(place, end)| (place.clone(), begin(&place).max(end - count))).collect())
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        while self.left > 0 && !self.is_at_end() {
            let records = self.consumer.poll(POLL_WAIT).await?;
            for record in &records {
                if self.left == 0 || self.is_behind_end(record) {
                    self.hand_back(record);
                    continue;
                }
                self.form.write(&mut self.out, record)?;
                self.left -= 1;
            }
            if records.len() < POLL_FULL {
                self.out.flush()?;
            }
        }
        Ok(())
    }

    fn is_behind_end(&self, record: &Consumed) -> bool {
        let end = self.ends.as_ref().and_then(|ends| ends.get(&place(record)));
        end.is_some_and(|end| record.offset >= *end)
    }

    /// What is not shown is not read: whoever comes next in the group begins with it, and we do not ask for it again.
    fn hand_back(&mut self, record: &Consumed) {
        let place = place(record);
        if self.consumer.position(&place).is_some_and(|position| position > record.offset) {
            self.consumer.seek(&place, record.offset);
            self.consumer.pause(&place, true);
        }
    }

    /// Whether everything that was there at the start is read, as far as it is ours to read.
    fn is_at_end(&self) -> bool {
        let Some(ends) = &self.ends else { return false };
        let ours = self.consumer.assignment();
        if ours.is_empty() {
            return !self.grouped;
        }
        ours.iter().all(|place| {
            let end = ends.get(place).copied().unwrap_or(Offset::ZERO);
            end == Offset::ZERO || self.consumer.position(place).is_some_and(|position| position >= end)
        })
    }
}

/// A poll that gave so many has more: its records need not be shown at once.
const POLL_FULL: usize = 1_000;

fn place(record: &Consumed) -> TopicPartition {
    TopicPartition::new(record.topic.clone(), record.partition)
}

/// The first record that is not older than a time; the end where there is none.
async fn from_time(
    admin: &Admin,
    places: &BTreeSet<TopicPartition>,
    at: dohle_base::Timestamp,
) -> anyhow::Result<Offsets> {
    let mut begins = ends(admin, places).await?;
    begins.extend(offsets(admin, places, OffsetSpec::At(at)).await?);
    Ok(begins)
}
