//! The broker that is to die: started, watched, killed, and started again with the same data at the same address.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::control::Control;
use super::{Mode, Tools};
use crate::place;
use crate::process::{self, Running};
use crate::suites::ready;

const READY_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(20);
const TOOL_LIMIT: Duration = Duration::from_secs(20);

/// Checkpoints are written often, so that a kill finds them half done; and nothing is forgotten by the clock, which jumps.
const SETTINGS: &[(&str, &str)] = &[
    ("group.initial.rebalance.delay.ms", "0"),
    ("offsets.topic.num.partitions", "4"),
    ("offsets.retention.minutes", "2147483647"),
    ("log.flush.offset.checkpoint.interval.ms", "300"),
    ("log.flush.start.offset.checkpoint.interval.ms", "500"),
    ("replica.high.watermark.checkpoint.interval.ms", "200"),
    ("auto.create.topics.enable", "false"),
];
/// Small segments, and no reason to remove or refuse anything.
const TOPIC_CONFIG: &[&str] = &[
    "segment.bytes=1048576",
    "retention.ms=-1",
    "retention.bytes=-1",
    "message.timestamp.after.max.ms=9223372036854775807",
];

/// One broker through all of its lives.
pub(super) struct Broker {
    dohle: PathBuf,
    folder: PathBuf,
    /// The folder with one folder per partition.
    pub(super) data: PathBuf,
    settings: Vec<String>,
    port: u16,
    http_port: u16,
    pub(super) control: Control,
    /// What preloads the library that makes faults; empty where there is none.
    environment: Vec<(&'static str, PathBuf)>,
    life: Option<Running>,
    lives: u32,
    /// How long the last start took.
    pub(super) ready_after: Duration,
}

impl Broker {
    /// One that is not started yet; its logs lie in `folder`.
    pub(super) fn new(tools: &Tools, folder: &Path, data: PathBuf, settings: &[&str]) -> Result<Self> {
        let control = Control::create(folder.join("control"))?;
        let mut all: Vec<String> = SETTINGS.iter().map(|(key, value)| format!("{key}={value}")).collect();
        all.extend(settings.iter().map(|setting| (*setting).to_owned()));
        if tools.mode == Mode::Relaxed {
            all.push("log.durability=relaxed".to_owned());
        }
        let environment = tools.shim.iter().flat_map(|shim| control.environment(shim)).collect();
        Ok(Self {
            dohle: tools.dohle.clone(),
            folder: folder.to_owned(),
            data,
            settings: all,
            port: place::free_port()?,
            http_port: place::free_port()?,
            control,
            environment,
            life: None,
            lives: 0,
            ready_after: Duration::ZERO,
        })
    }

    /// Its `bootstrap.servers`.
    pub(super) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Begins a life, and does not wait until it serves.
    pub(super) fn begin(&mut self) -> Result<()> {
        assert!(self.life.is_none(), "one life at a time");
        let mut command = Command::new(&self.dohle);
        command.arg("server").arg("--data-dir").arg(&self.data);
        command.arg("--listen").arg(format!("PLAINTEXT://{}", self.bootstrap()));
        command.arg("--http").arg(format!("127.0.0.1:{}", self.http_port));
        command.args(self.settings.iter().flat_map(|setting| ["--set", setting]));
        command.env("DOHLE_LOG", "info").env_remove("DOHLE_BOOTSTRAP");
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        self.lives += 1;
        self.life = Some(Running::start(&mut command, &self.log())?);
        Ok(())
    }

    /// Begins a life and waits until it serves.
    pub(super) fn start(&mut self) -> Result<()> {
        self.begin()?;
        let port = self.port;
        self.ready_after = ready::wait(port, self.life.as_mut().expect("it has begun"), READY_LIMIT)?;
        Ok(())
    }

    /// Ends it between two instructions. Fails when it has ended by itself.
    pub(super) fn kill(&mut self) -> Result<()> {
        let mut life = self.life.take().expect("only the living are killed");
        life.check_alive()?;
        life.kill()?;
        self.look_for_panics()
    }

    /// Asks it to end, and goes on.
    pub(super) fn ask_to_stop(&self) -> Result<()> {
        process::signal(self.life.as_ref().expect("only the living are asked").id(), "TERM")
    }

    /// Ends it if it has not ended yet, and says whether it had.
    pub(super) fn bury(&mut self) -> Result<bool> {
        let mut life = self.life.take().expect("only the living are buried");
        let had_ended = life.check_alive().is_err();
        if !had_ended {
            life.kill()?;
        }
        self.look_for_panics()?;
        Ok(had_ended)
    }

    /// Whether it has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        self.life.as_mut().is_none_or(|life| life.check_alive().is_err())
    }

    /// Asks it to end, and waits until it did so in order.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.life.take().expect("only the living are stopped").stop(STOP_LIMIT)?;
        self.look_for_panics()
    }

    /// Makes a topic of the load.
    pub(super) fn create_topic(&self, name: &str, partitions: i32) -> Result<()> {
        let mut create = vec!["topic", "create", name, "--if-not-exists", "--partitions"];
        let partitions = partitions.to_string();
        create.push(&partitions);
        create.extend(TOPIC_CONFIG.iter().flat_map(|config| ["--config", config]));
        self.tool(&create)
    }

    /// Removes a topic of the load.
    pub(super) fn delete_topic(&self, name: &str) -> Result<()> {
        self.tool(&["topic", "delete", name, "--yes"])
    }

    /// The last lines that this life has logged.
    pub(super) fn log_tail(&self) -> String {
        self.life.as_ref().map(Running::log_tail).unwrap_or_default()
    }

    fn tool(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.dohle);
        command.args(arguments).env("DOHLE_BOOTSTRAP", self.bootstrap());
        process::run_into(process::without_input(&mut command), &self.folder.join("tool.log"), TOOL_LIMIT)
    }

    fn log(&self) -> PathBuf {
        self.folder.join(format!("broker-{}.log", self.lives))
    }

    /// A thread that panicked did not keep its promises, whatever the rest of the process did.
    fn look_for_panics(&self) -> Result<()> {
        let log = process::errors_of(&self.log());
        let said = fs::read_to_string(&log).unwrap_or_default();
        let panic = said.lines().find(|line| line.contains("panicked at"));
        ensure!(panic.is_none(), "{}: {}", log.display(), panic.unwrap_or_default());
        Ok(())
    }
}
