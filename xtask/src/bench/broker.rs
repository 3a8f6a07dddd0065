//! The broker that is measured: started on an empty folder, and stopped, killed and started again there as a row wants it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Tools;
use super::entrant::Entrant;
use super::row::{Cores, Row};
use crate::place;
use crate::process::{self, Running};
use crate::suites::ready;

/// A broker that opens many logs takes its time.
const READY_LIMIT: Duration = Duration::from_secs(300);
const STOP_LIMIT: Duration = Duration::from_secs(300);
pub(super) const BROKER_CORE: &str = "0";
pub(super) const LOAD_CORE: &str = "1";

/// One broker with its folder. Dropping it kills it and removes what it wrote.
pub(super) struct Broker {
    start: Box<dyn Fn() -> Command>,
    folder: PathBuf,
    /// The folder with one folder per partition.
    pub(super) data: PathBuf,
    pub(super) port: u16,
    life: Option<Running>,
    lives: u32,
}

impl Broker {
    /// Everything that comes before the first start, on an empty folder.
    pub(super) fn prepare(tools: &Tools, row: &Row, entrant: Entrant) -> Result<Broker> {
        let folder = place::fresh("bench")?;
        let port = place::free_port()?;
        let settings = entrant.settings(&row.kept.settings());
        let core = (row.cores == Cores::Pinned).then_some(BROKER_CORE);
        let (start, data): (Box<dyn Fn() -> Command>, _) = if entrant.is_kafka() {
            let tree = tools.kafka.as_ref().context("Kafka was left out")?;
            let node = tree.node(&folder.join("node"), port, &settings)?;
            let data = node.data.clone();
            (Box::new(move || on_core(core, &node.command())), data)
        } else {
            let data = folder.join("data");
            let command = dohle(&tools.dohle, &data, port, &settings)?;
            (Box::new(move || on_core(core, &command)), data)
        };
        Ok(Broker { start, folder, data, port, life: None, lives: 0 })
    }

    /// Starts it, waits until it is ready, and answers when it was started.
    pub(super) fn start(&mut self) -> Result<Instant> {
        self.lives += 1;
        let log = self.folder.join(format!("broker-{}.log", self.lives));
        let started = Instant::now();
        let mut life = Running::start(&mut (self.start)(), &log)?;
        ready::wait(self.port, &mut life, READY_LIMIT)?;
        self.life = Some(life);
        Ok(started)
    }

    /// Its `bootstrap.servers`.
    pub(super) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The id of its process.
    pub(super) fn id(&self) -> u32 {
        self.life.as_ref().expect("it runs").id()
    }

    /// Fails when it has ended by itself.
    pub(super) fn check_alive(&mut self) -> Result<()> {
        self.life.as_mut().expect("it runs").check_alive()
    }

    /// Shuts it down in order.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.life.take().expect("it runs").stop(STOP_LIMIT)
    }

    /// Kills it on the spot.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.life.take().expect("it runs").kill()
    }

    /// A file of this leg.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // First the process, which may still write.
        drop(self.life.take());
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn dohle(program: &Path, data: &Path, port: u16, settings: &[(String, String)]) -> Result<Command> {
    let mut command = Command::new(program);
    command.arg("server").arg("--data-dir").arg(data);
    command.arg("--listen").arg(format!("PLAINTEXT://127.0.0.1:{port}"));
    command.arg("--http").arg(format!("127.0.0.1:{}", place::free_port()?));
    command.args(settings.iter().flat_map(|(key, value)| ["--set".to_owned(), format!("{key}={value}")]));
    Ok(command)
}

/// The same program, kept on one core by `taskset`; or free. It reads nothing.
pub(super) fn on_core(core: Option<&str>, command: &Command) -> Command {
    let mut pinned = match core {
        None => Command::new(command.get_program()),
        Some(core) => {
            let mut taskset = Command::new("taskset");
            taskset.args(["-c", core]).arg(command.get_program());
            taskset
        }
    };
    pinned.args(command.get_args());
    process::without_input(&mut pinned);
    pinned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_program_is_the_same_behind_taskset() {
        let mut command = Command::new("java");
        command.args(["-cp", "a"]);
        let words = |command: &Command| {
            let arguments = command.get_args().map(|word| word.to_string_lossy().into_owned());
            std::iter::once(command.get_program().to_string_lossy().into_owned()).chain(arguments).collect::<Vec<_>>()
        };
        assert_eq!(words(&on_core(Some("1"), &command)), ["taskset", "-c", "1", "java", "-cp", "a"]);
        assert_eq!(words(&on_core(None, &command)), ["java", "-cp", "a"]);
    }
}
