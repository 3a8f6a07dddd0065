//! The cross-check: programs that users measure with, at one rate against both brokers. Our own load generator must not point elsewhere.
//!
//! What the broker takes is read from outside, over the whole run of the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::broker::{Broker, LOAD_CORE, on_core};
use super::leg::{GRACE, Pace, TOPIC};
use super::row::Program;
use super::{Tools, gauge};
use crate::suites::librdkafka;
use crate::{place, process, workspace};

const RECORD_BYTES: u64 = 1000;
/// Half of what the slowest of the programs reaches on one core.
const RECORDS_PER_SECOND: u64 = 30_000;
const SOURCE: &str = "librdkafka/examples/rdkafka_performance.c";

/// A program that can be run again and again with another number of records.
enum Tool<'a> {
    Rdkafka(PathBuf),
    Java(&'a Tools, Program),
}

/// Warms up, runs the program once more, and tells what the broker took meanwhile.
pub(super) fn measure(tools: &Tools, pace: &Pace, broker: &mut Broker, program: Program) -> Result<Value> {
    let tool = match program {
        Program::Librdkafka => Tool::Rdkafka(build()?),
        Program::JavaProducer | Program::JavaConsumer => Tool::Java(tools, program),
    };
    broker.start()?;
    let count = |duration: std::time::Duration| RECORDS_PER_SECOND * duration.as_secs();
    let (warm, records) = (count(pace.warm), count(pace.window));
    if let Program::JavaConsumer = program {
        let producer = Tool::Java(tools, Program::JavaProducer);
        run(&producer.command(broker, warm.max(records), "fill")?, broker, pace)?;
    }
    run(&tool.command(broker, warm, "warm")?, broker, pace)?;

    let (begun, before) = (Instant::now(), gauge::cpu_seconds(broker.id())?);
    let printed = run(&tool.command(broker, records, "measured")?, broker, pace)?;
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), gauge::cpu_seconds(broker.id())? - before);
    if let Program::JavaConsumer = program {
        let read = records_read(&printed).context("the consumer does not say how many records it has read")?;
        ensure!(read >= records, "the consumer has read {read} records of {records}");
    }
    Ok(json!({"run": {
        "seconds": seconds,
        "records": records,
        "bytes": records * RECORD_BYTES,
        "broker_cpu_seconds": cpu,
    }}))
}

/// What `kafka-consumer-perf-test` counts: where it finds fewer than it was asked for, it waits for more a while and ends well.
fn records_read(printed: &str) -> Option<u64> {
    const COLUMN: &str = "data.consumed.in.nMsg";
    let mut table = printed.lines().skip_while(|line| !line.contains(COLUMN)).map(|line| line.split(", "));
    let place = table.next()?.position(|name| name == COLUMN)?;
    table.next()?.nth(place)?.parse().ok()
}

fn run(command: &Command, broker: &Broker, pace: &Pace) -> Result<String> {
    let limit = pace.warm + pace.window + GRACE;
    process::run(&mut on_core(Some(LOAD_CORE), command), &broker.file("program"), limit)
}

impl Tool<'_> {
    /// `turn` names what must differ from one run to the next.
    fn command(&self, broker: &Broker, records: u64, turn: &str) -> Result<Command> {
        let (records, size) = (records.to_string(), RECORD_BYTES.to_string());
        let rate = RECORDS_PER_SECOND.to_string();
        match self {
            Tool::Rdkafka(binary) => {
                let mut command = Command::new(binary);
                command.args(["-P", "-t", TOPIC, "-b", &broker.bootstrap(), "-a", "-1"]);
                command.args(["-s", &size, "-c", &records, "-r", &rate, "-X", "broker.address.family=v4"]);
                Ok(command)
            }
            Tool::Java(tools, program) => {
                let tree = tools.kafka.as_ref().context("needs Kafka's jars")?;
                let name = match program {
                    Program::JavaConsumer => "kafka-consumer-perf-test",
                    Program::JavaProducer | Program::Librdkafka => "kafka-producer-perf-test",
                };
                let mut command = tree.tool(name);
                command.args(["--bootstrap-server", &broker.bootstrap(), "--topic", TOPIC, "--num-records", &records]);
                match program {
                    Program::JavaConsumer => command.args(["--group", turn]),
                    Program::JavaProducer | Program::Librdkafka => {
                        command.args(["--record-size", &size, "--throughput", &rate])
                    }
                };
                Ok(command)
            }
        }
    }
}

/// `rdkafka_performance` of the crate `rdkafka-sys`, with the newer library that the suites build.
fn build() -> Result<PathBuf> {
    let library = librdkafka::build()?;
    let binary = place::cache("librdkafka")?.join("rdkafka_performance");
    if binary.exists() {
        return Ok(binary);
    }
    let examples = library.join("examples");
    fs::create_dir_all(&examples)?;
    let source = crate_folder("rdkafka-sys")?.join(SOURCE);
    fs::copy(&source, examples.join("rdkafka_performance.c")).with_context(|| format!("copy {}", source.display()))?;
    let mut compile = Command::new("gcc");
    compile.current_dir(&library).args(["-O2", "examples/rdkafka_performance.c", "-Isrc", "src/librdkafka.a", "-o"]);
    compile.arg(&binary).args(["-lm", "-lssl", "-lcrypto", "-lz", "-lzstd", "-ldl", "-lpthread", "-lrt"]);
    process::run_into(process::without_input(&mut compile), &examples.join("build.log"), GRACE)?;
    Ok(binary)
}

/// Where cargo keeps the source of a crate that the workspace uses.
fn crate_folder(name: &str) -> Result<PathBuf> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = workspace::command(&cargo, &["metadata", "--format-version", "1"]).output().context("run cargo")?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let package = packages.iter().find(|package| package["name"] == name);
    let manifest =
        package.and_then(|package| package["manifest_path"].as_str()).with_context(|| format!("no {name}"))?;
    Ok(Path::new(manifest).parent().context("a manifest lies in a folder")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_consumer_has_read_is_found_by_its_column() {
        let printed = "WARNING: something, else\nstart.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec\n\
                       2026-01-01 00:00:00:000, 2026-01-01 00:00:01:000, 429.1534, 429.1, 450000, 450000.0\n";
        assert_eq!(records_read(printed), Some(450_000));
        assert_eq!(records_read("start.time, end.time\n"), None);
    }
}
