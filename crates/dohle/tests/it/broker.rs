//! The binary in a process of its own: as a broker that can be stopped and killed, and as a tool that asks it.
//!
//! Knows nothing of the broker but its command line and the line that says where it serves.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

const ANY_PORT: &str = "127.0.0.1:0";

/// A broker with its data in a temporary directory. Dropping it kills it.
pub(crate) struct Broker {
    /// Declared first: it ends before its directory does.
    process: Option<Lasting>,
    /// Where clients call; it stays the same when the broker is started again.
    pub(crate) address: String,
    dir: TempDir,
    /// Log directories in the place of the one.
    dirs: Vec<&'static str>,
}

impl Broker {
    /// A broker that serves.
    pub(crate) fn start() -> Self {
        Self::over(&[])
    }

    /// The same with several log directories.
    pub(crate) fn over(dirs: &[&'static str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut broker = Self { process: None, address: ANY_PORT.to_owned(), dir, dirs: dirs.to_vec() };
        broker.start_again();
        broker
    }

    /// Serves the same data at the same address. It must have been stopped or killed before.
    pub(crate) fn start_again(&mut self) {
        assert!(self.process.is_none(), "it is running");
        let mut command = dohle();
        command.arg("server").arg("--json");
        if self.dirs.is_empty() {
            command.arg("--data-dir").arg(self.data());
        } else {
            let dirs: Vec<String> = self.dirs.iter().map(|dir| self.path(dir).display().to_string()).collect();
            command.arg("--set").arg(format!("log.dirs={}", dirs.join(",")));
        }
        command.arg("--listen").arg(format!("PLAINTEXT://{}", self.address)).args(["--http", ANY_PORT]);
        // The disk of whoever runs the tests may be as full as he likes.
        command.args(["--set", "group.initial.rebalance.delay.ms=0", "--set", "log.dirs.free.bytes.min=0"]);
        let process = Lasting::start(&mut command, &self.dir.path().join("server.log"));
        let serving: Value = serde_json::from_str(&process.first_line).unwrap();
        serving["listeners"][0].as_str().unwrap().trim_start_matches("PLAINTEXT://").clone_into(&mut self.address);
        self.process = Some(process);
    }

    /// Asks it to end, and waits until it did so in order.
    pub(crate) fn stop(&mut self) {
        assert_eq!(self.process.take().unwrap().end(), Some(0));
    }

    /// Takes the process away between two instructions.
    pub(crate) fn kill(&mut self) {
        drop(self.process.take().unwrap());
    }

    /// The folder with one folder per partition.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// One of its log directories.
    pub(crate) fn path(&self, dir: &str) -> PathBuf {
        self.dir.path().join(dir)
    }

    /// Runs a command of the tool against this broker.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, "")
    }

    /// The same, with something to read.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = dohle();
        command.args(arguments).env("DOHLE_BOOTSTRAP", &self.address).current_dir(self.dir.path());
        run(&mut command, input)
    }

    /// Starts a command that does not end by itself.
    pub(crate) fn follow(&self, arguments: &[&str]) -> Lasting {
        let mut command = dohle();
        command.args(arguments).env("DOHLE_BOOTSTRAP", &self.address);
        Lasting::start(&mut command, &self.dir.path().join("follow.log"))
    }
}

/// A process that lasts until it is asked to end. Dropping it kills it.
pub(crate) struct Lasting {
    child: Child,
    /// Kept open: whoever writes to nobody ends early.
    _output: BufReader<ChildStdout>,
    pub(crate) first_line: String,
}

impl Lasting {
    /// Starts it with its standard error in `log`, and waits for its first line.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let errors = File::create(log).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut first_line = String::new();
        output.read_line(&mut first_line).unwrap();
        let process = Self { child, _output: output, first_line };
        assert!(!process.first_line.is_empty(), "it said nothing: {}", fs::read_to_string(log).unwrap());
        process
    }

    /// Asks it to end, and waits for its exit code.
    pub(crate) fn end(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        // Whoever ended already cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary, in an environment that says nothing of it.
pub(crate) fn dohle() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dohle"));
    command.env_remove("DOHLE_LOG").env_remove("DOHLE_BOOTSTRAP");
    command
}

/// Runs to the end.
pub(crate) fn run(command: &mut Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that refuses does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}
