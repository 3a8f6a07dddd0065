//! One fresh broker, Dohle or Kafka, started the same way for every suite.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::ready;
use crate::kafka::Tree;
use crate::place;
use crate::process::Running;

const READY_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// The profile that every suite starts from; only keys that Kafka has.
const PROFILE: &[(&str, &str)] = &[
    ("num.partitions", "4"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.min.session.timeout.ms", "100"),
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
];

/// Which broker is looked at.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Subject {
    /// The release build of this workspace.
    Dohle,
    /// The real Apache Kafka of the release that Dohle matches.
    Kafka,
}

impl Subject {
    pub(super) fn name(self) -> &'static str {
        match self {
            Subject::Dohle => "dohle",
            Subject::Kafka => "kafka",
        }
    }
}

/// A prepared broker: what to run, and where it will listen and write.
pub(super) struct Plan {
    command: Command,
    port: u16,
    data: PathBuf,
    log: PathBuf,
}

impl Plan {
    /// Everything that comes before the start: Kafka is installed and formatted, Dohle is built.
    /// `settings` go over the profile.
    pub(super) fn prepare(subject: Subject, folder: &Path, settings: &[(&str, &str)]) -> Result<Plan> {
        let port = place::free_port()?;
        let settings: Vec<(String, String)> =
            PROFILE.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let log = folder.join("broker.log");
        match subject {
            Subject::Kafka => {
                let node = Tree::install()?.node(&folder.join("node"), port, &settings)?;
                Ok(Plan { command: node.command(), port, data: node.data, log })
            }
            Subject::Dohle => {
                let data = folder.join("data");
                Ok(Plan { command: dohle(&data, port, &settings)?, port, data, log })
            }
        }
    }

    /// Starts it and waits until it is ready.
    pub(super) fn start(mut self) -> Result<Broker> {
        let started = Instant::now();
        let mut running = Running::start(&mut self.command, &self.log)?;
        ready::wait(self.port, &mut running, READY_LIMIT)?;
        let ready_after = started.elapsed();
        Ok(Broker { running, bootstrap: format!("127.0.0.1:{}", self.port), data: self.data, ready_after })
    }
}

/// A running broker. Dropping it kills it.
pub(super) struct Broker {
    running: Running,
    /// Its `bootstrap.servers`.
    pub(super) bootstrap: String,
    /// The folder with one folder per partition.
    pub(super) data: PathBuf,
    /// From the start of the process to the first Metadata that names a controller.
    pub(super) ready_after: Duration,
}

impl Broker {
    /// Prepares and starts in one.
    pub(super) fn start(subject: Subject, folder: &Path, settings: &[(&str, &str)]) -> Result<Broker> {
        eprintln!("… starting {}", subject.name());
        Plan::prepare(subject, folder, settings)?.start()
    }

    /// Shuts it down in order, so that its files are complete.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.running.stop(STOP_LIMIT)
    }

    /// Resident memory now, in bytes.
    pub(super) fn resident_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.running.id());
        let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().with_context(|| format!("VmRSS {line}"))?;
        Ok(kibibytes * 1024)
    }

    /// The last lines of its log, for a reader of a failure.
    pub(super) fn log_tail(&self) -> String {
        self.running.log_tail()
    }
}

/// Builds the release binary; cargo decides whether there is something to do.
pub(super) fn build() -> Result<PathBuf> {
    eprintln!("… building dohle");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built =
        Command::new(cargo).args(["build", "--release", "--package", "dohle"]).current_dir(place::root()).status();
    ensure!(built.context("run cargo")?.success(), "dohle does not build");
    Ok(place::target().join("release/dohle"))
}

fn dohle(data: &Path, port: u16, settings: &[(String, String)]) -> Result<Command> {
    let mut command = Command::new(build()?);
    command.arg("server").arg("--data-dir").arg(data);
    command.arg("--listen").arg(format!("PLAINTEXT://127.0.0.1:{port}"));
    command.arg("--http").arg(format!("127.0.0.1:{}", place::free_port()?));
    // However full the disk is.
    command.args(["--set", "log.dirs.free.bytes.min=0"]);
    for (key, value) in settings {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    Ok(command)
}
