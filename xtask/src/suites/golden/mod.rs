//! `suites golden`: every client does its work through a recorder, and what was said becomes the golden bytes of `dohle-protocol`.
//!
//! A file of them only grows: it is removed to be captured anew.
//! Clients work one after the other, so that each connection has one author. The rows are made up: nothing of the real data is kept.

mod collection;
mod frames;
mod recorder;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use self::collection::Collection;
use self::recorder::Recorder;
use super::broker::{Broker, Subject};
use super::clients::{CLIENTS, CODECS, Client, DataSet, Tools};
use super::tally::Tally;
use crate::kafka::{self, Tree};
use crate::process::{self, Running};
use crate::{place, schema};

const ROWS: usize = 24;
/// Long enough for several heartbeats of a member.
const MEMBERSHIP: Duration = Duration::from_millis(1500);
const MEMBER_LIMIT: Duration = Duration::from_secs(30);
const TRANSACT_LIMIT: Duration = Duration::from_secs(60);
const ADMIN_LIMIT: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(20);

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The broker that the clients talk to.
    #[arg(long, value_enum, default_value = "kafka")]
    against: Subject,
    /// Only these clients; may be repeated.
    #[arg(long)]
    only: Vec<String>,
    /// Where the files go.
    #[arg(long)]
    out: Option<PathBuf>,
}

pub(super) fn main(arguments: Arguments) -> Result<()> {
    let unknown: Vec<_> = arguments.only.iter().filter(|only| CLIENTS.iter().all(|(name, _)| name != only)).collect();
    ensure!(unknown.is_empty(), "no client {unknown:?}");
    let out = arguments.out.clone().unwrap_or_else(|| place::root().join("crates/dohle-protocol/tests/golden"));
    // Not below the workspace: some answers name the folder of the broker's data.
    let folder = std::env::temp_dir().join("dohle-golden");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let recorder = Recorder::listen()?;
    let address = recorder.address()?;
    let advertised = format!("PLAINTEXT://{address}");
    let settings = [("advertised.listeners", advertised.as_str()), ("log.retention.ms", "-1")];
    let mut broker = Broker::start(arguments.against, &folder, &settings)?;
    recorder.lead_to(&broker.bootstrap)?;
    let mut stage = Stage { bootstrap: address, rows: made_up(&folder)?, folder: folder.clone(), exact: None };
    let origin = match arguments.against {
        Subject::Dohle => "Dohle".to_owned(),
        Subject::Kafka => format!("Apache Kafka {}", kafka::VERSION),
    };
    let mut tally = Tally::default();
    for (name, data_set) in
        CLIENTS.iter().filter(|(name, _)| arguments.only.is_empty() || arguments.only.iter().any(|o| o == name))
    {
        tally.check(name, || {
            let client = Client::install(name, data_set)?;
            stage.play(&client)?;
            let file = out.join(format!("{name}.hex"));
            write(&file, &format!("# {name} and {origin}, by `cargo xtask suites golden`."), &recorder)
        });
    }
    if tally.has_failed() {
        println!("the broker's log ends with\n{}", broker.log_tail());
    }
    tally.check("the broker shuts down in order", || broker.stop());
    fs::remove_dir_all(&folder)?;
    tally.close()
}

/// What every client works with.
struct Stage {
    /// The recorder's address.
    bootstrap: String,
    rows: DataSet,
    folder: PathBuf,
    /// A topic whose rows lie in the partitions that they name; none before a client has written one.
    exact: Option<String>,
}

impl Stage {
    /// The client writes and reads with each codec, joins a group twice, works in transactions, and administers.
    fn play(&mut self, client: &Client) -> Result<()> {
        for codec in CODECS {
            let topic = format!("{}-{codec}", client.name);
            let log = self.folder.join(format!("{topic}.log"));
            client.create(&self.bootstrap, &topic, &log)?;
            client.write(&self.bootstrap, &topic, codec, &self.rows, &log)?;
            client.read(&self.bootstrap, &topic, ROWS, &log)?;
        }
        let (topic, group) = (format!("{}-none", client.name), client.name);
        if client.has_member() {
            self.member(client, &topic, group, "\"committed\"")?;
            // It begins where the first ended: with an offset and its epoch.
            self.member(client, &topic, group, "\"assigned\"")?;
            self.exact = Some(format!("{}-zstd", client.name));
        }
        if let Some(mut transact) = client.program("transact", &self.bootstrap, &topic) {
            let output = self.folder.join("transact.log");
            process::run_into(transact.args(["--group", group]), &output, TRANSACT_LIMIT)?;
        }
        if client.name == "kcat" {
            return self.kcat_group(&topic, group);
        }
        if client.name == "kafka-console" {
            self.tools()?;
        }
        let Some(mut admin) = client.admin(&self.bootstrap, &topic, group) else { return Ok(()) };
        process::run_into(process::without_input(&mut admin), &self.folder.join("admin.log"), ADMIN_LIMIT)
    }

    /// A member that lives until it has printed `event`, and some heartbeats longer.
    fn member(&self, client: &Client, topic: &str, group: &str, event: &str) -> Result<()> {
        let output = self.folder.join(format!("{topic}.member"));
        let mut program = client.program("member", &self.bootstrap, topic).context("the client has no member")?;
        let mut member = Running::start(process::without_input(program.args(["--group", group])), &output)?;
        let deadline = Instant::now() + MEMBER_LIMIT;
        while !fs::read_to_string(&output)?.contains(event) {
            member.check_alive()?;
            ensure!(Instant::now() < deadline, "no {event} within {MEMBER_LIMIT:?}\n{}", member.log_tail());
            sleep(POLL);
        }
        sleep(MEMBERSHIP);
        member.stop(MEMBER_LIMIT)
    }

    fn kcat_group(&self, topic: &str, group: &str) -> Result<()> {
        let mut kcat = Command::new("kcat");
        kcat.args(["-G", group, "-b", &self.bootstrap, "-e", "-q", "-X", "auto.offset.reset=earliest", topic]);
        process::run_into(process::without_input(&mut kcat), &self.folder.join("kcat.group"), MEMBER_LIMIT)
    }

    fn tools(&self) -> Result<()> {
        let tree = Tree::install()?;
        let tools = Tools { tree: &tree, bootstrap: &self.bootstrap, folder: &self.folder };
        tools.topics()?;
        tools.configs()?;
        self.exact.as_ref().map_or(Ok(()), |topic| tools.groups(topic, &self.rows))
    }
}

/// Keys, headers and letters of more than one byte, spread over the partitions.
fn made_up(folder: &Path) -> Result<DataSet> {
    let mut text = String::new();
    for number in 0..ROWS {
        let _ = writeln!(
            text,
            r#"{{"partition": {}, "timestamp": {}, "key": "device-{}", "value": "{number} °C", "headers": [["source", "roof"], ["row", "{number}"]]}}"#,
            number % super::clients::PARTITIONS,
            1_700_000_000_000 + number * 1000,
            number % 5,
        );
    }
    let file = folder.join("rows");
    fs::write(&file, text)?;
    DataSet::of(file)
}

fn write(file: &Path, head: &str, recorder: &Recorder) -> Result<()> {
    let mut collection = Collection::default();
    for talk in recorder.take()? {
        frames::of(&talk)?.into_iter().for_each(|frame| collection.add(frame));
    }
    ensure!(!collection.is_empty(), "nothing was said");
    collection.check_tells_none_of(&of_this_machine())?;
    let present = match fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        read => read.with_context(|| format!("read {}", file.display())),
    }?;
    let text = format!("{head}\n{}", collection.lines(&api_names()?, &present)?);
    fs::write(file, text).with_context(|| format!("write {}", file.display()))
}

/// What nobody need know: where the workspace lies, the home folder, the machine's name.
fn of_this_machine() -> Vec<String> {
    let name = fs::read_to_string("/etc/hostname").unwrap_or_default().trim().to_owned();
    let home = std::env::var("HOME").unwrap_or_default();
    vec![place::root().display().to_string(), home, name]
}

fn api_names() -> Result<BTreeMap<i16, String>> {
    let schemas = schema::read(&place::root().join(schema::FOLDER))?;
    let requests = schemas.iter().flat_map(|schema| schema.messages.iter().map(move |message| (schema, message)));
    let requests = requests.filter(|(_, message)| message.kind == schema::Kind::Request);
    Ok(requests.filter_map(|(schema, message)| Some((message.key?, schema.name.clone()))).collect())
}
