//! `suites clients`: foreign clients write and read the real data against one fresh broker.
//!
//! Each client with each of its codecs; each client reads what another wrote; a group of three loses a member; Kafka's administrative
//! tools see what is true; at last Kafka's dump tool reads every file that came of it.

mod client;
mod group;
mod rows;
mod tools;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};

pub(super) use self::client::{CLIENTS, CODECS, Client, PARTITIONS};
pub(super) use self::rows::DataSet;
pub(super) use self::tools::Tools;
use super::broker::{Broker, Subject};
use super::dump_log;
use super::tally::Tally;
use crate::kafka::Tree;
use crate::place;

// The data is years old: without this the broker would delete it as expired.
const SETTINGS: &[(&str, &str)] = &[("log.retention.ms", "-1")];
// The clock of a record may be read a little before ours.
const CLOCK_SLACK: Duration = Duration::from_millis(50);

// Its rows are spread over all partitions, so that each member of a group has work.
const GROUP_DATA_SET: &str = "payments";
const TOOLS: &str = "kafka-tools";
const DUMP_LOG: &str = "kafka-dump-log";

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The broker to test.
    #[arg(long, value_enum, default_value = "dohle")]
    against: Subject,
    /// Only these clients (and `kafka-tools`, `kafka-dump-log`); may be repeated.
    #[arg(long)]
    only: Vec<String>,
}

impl Arguments {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

pub(super) fn main(arguments: Arguments) -> Result<()> {
    let known =
        |name: &String| CLIENTS.iter().any(|(client, _)| client == name) || [TOOLS, DUMP_LOG].contains(&name.as_str());
    let unknown: Vec<_> = arguments.only.iter().filter(|name| !known(name)).collect();
    ensure!(unknown.is_empty(), "no client {unknown:?}");
    let mut tally = Tally::default();
    match place::data() {
        Some(data) => run(&arguments, &data, &mut tally)?,
        None => skip_all(&arguments, &mut tally),
    }
    tally.close()
}

fn skip_all(arguments: &Arguments, tally: &mut Tally) {
    let names = CLIENTS.iter().map(|(name, _)| *name).chain([TOOLS, DUMP_LOG]);
    for name in names.filter(|name| arguments.wants(name)) {
        tally.skip(name, "there is no folder of real data (DOHLE_SHARED or ../shared)");
    }
}

fn run(arguments: &Arguments, data: &Path, tally: &mut Tally) -> Result<()> {
    let folder = place::fresh(&format!("clients-{}", arguments.against.name()))?;
    let clients = install(arguments, tally);
    let mut broker = Broker::start(arguments.against, &folder, SETTINGS)?;
    let mut bench = Bench { bootstrap: broker.bootstrap.clone(), folder: folder.clone(), data_sets: BTreeMap::new() };
    for name in clients.iter().map(|client| client.data_set).chain([GROUP_DATA_SET]) {
        if !bench.data_sets.contains_key(name) {
            bench.data_sets.insert(name, DataSet::load(name, data, &folder)?);
        }
    }
    for client in &clients {
        bench.each_codec(client, tally);
    }
    bench.each_other(&clients, tally);
    for client in clients.iter().filter(|client| client.has_member()) {
        let name = format!("{}: a group of three loses a member", client.name);
        tally.check(&name, || {
            group::loses_a_member(client, &bench.bootstrap, &bench.data_sets[GROUP_DATA_SET], &folder)
        });
    }
    if arguments.wants(TOOLS) {
        bench.tools(&clients, tally)?;
    }
    if tally.has_failed() {
        println!("the broker's log ends with\n{}", broker.log_tail());
    }
    tally.check("the broker shuts down in order", || broker.stop());
    if arguments.wants(DUMP_LOG) {
        dump_log::check(arguments.against, &broker.data, &folder, tally)?;
    }
    Ok(())
}

/// Installs the wanted clients; one that cannot be installed is told and left out.
fn install(arguments: &Arguments, tally: &mut Tally) -> Vec<Client> {
    let mut clients = Vec::new();
    for (name, data_set) in CLIENTS.iter().filter(|(name, _)| arguments.wants(name)) {
        match Client::install(name, data_set) {
            Ok(client) => clients.push(client),
            Err(error) if *name == "kcat" => tally.skip(name, &format!("{error:#}")),
            Err(error) => tally.fail(&format!("{name}: is installed"), &format!("{error:#}")),
        }
    }
    clients
}

/// The broker and the data that all clients share.
struct Bench {
    bootstrap: String,
    folder: PathBuf,
    data_sets: BTreeMap<&'static str, DataSet>,
}

impl Bench {
    fn data_set(&self, client: &Client) -> &DataSet {
        &self.data_sets[client.data_set]
    }

    /// The client writes its data set with each codec into a topic of its own and reads it back.
    fn each_codec(&self, client: &Client, tally: &mut Tally) {
        for codec in CODECS {
            tally.check(&round_trip(client, codec), || {
                let topic = topic(client, codec);
                let log = self.folder.join(format!("{topic}.write"));
                client.create(&self.bootstrap, &topic, &log)?;
                let began = now();
                client.write(&self.bootstrap, &topic, codec, self.data_set(client), &log)?;
                self.reads(client, client, codec, began)
            });
        }
    }

    /// Each client reads each other one's topic with one codec.
    fn each_other(&self, clients: &[Client], tally: &mut Tally) {
        for (w, writer) in clients.iter().enumerate() {
            for distance in 1..clients.len() {
                let reader = &clients[(w + distance) % clients.len()];
                // For each writer all codecs, and for each reader too.
                let codec = CODECS[(w + 2 * distance) % CODECS.len()];
                let name = format!("{} reads what {} wrote with {codec}", reader.name, writer.name);
                if tally.has_passed(&round_trip(writer, codec)) {
                    tally.check(&name, || self.reads(reader, writer, codec, 0));
                } else {
                    tally.skip(&name, "it could not be written");
                }
            }
        }
    }

    fn reads(&self, reader: &Client, writer: &Client, codec: &str, began: i64) -> Result<()> {
        let (topic, data_set) = (topic(writer, codec), self.data_set(writer));
        let output = self.folder.join(format!("{topic}.read-by-{}", reader.name));
        let records = reader.read(&self.bootstrap, &topic, data_set.rows.len(), &output)?;
        let slack = CLOCK_SLACK.as_millis() as i64;
        rows::compare(&data_set.rows, &records, writer.carries(), &(began - slack..=now() + slack))
    }

    fn tools(&self, clients: &[Client], tally: &mut Tally) -> Result<()> {
        let tree = Tree::install()?;
        let tools = Tools { tree: &tree, bootstrap: &self.bootstrap, folder: &self.folder };
        tally.check("kafka-topics: creates, lists, describes, grows and deletes", || tools.topics());
        tally.check("kafka-configs: sets, shows and removes", || tools.configs());
        let offsets = "kafka-get-offsets: ends, starts, largest timestamps and times";
        let groups = "kafka-consumer-groups: lists, describes, resets and deletes";
        // A topic whose timestamps are the data's own.
        let written = clients.iter().find(|c| c.carries().timestamp && tally.has_passed(&round_trip(c, "zstd")));
        let Some(writer) = written else {
            tally.skip(offsets, "no client wrote a topic with the data's timestamps");
            tally.skip(groups, "no client wrote a topic");
            return Ok(());
        };
        let (topic, data_set) = (topic(writer, "zstd"), self.data_set(writer));
        tally.check(offsets, || tools.offsets(&topic, data_set));
        tally.check(groups, || tools.groups(&topic, data_set));
        Ok(())
    }
}

fn round_trip(client: &Client, codec: &str) -> String {
    format!("{}: writes and reads {} with {codec}", client.name, client.data_set)
}

/// The codec is the last word of the name: the dump tool's check looks for it.
fn topic(client: &Client, codec: &str) -> String {
    format!("{}-{codec}", client.name)
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
