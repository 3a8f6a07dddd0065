//! `suites librdkafka`: librdkafka's own tests, from the npm package that carries its source, stage by stage.
//!
//! What a real Kafka passes in the same environment is kept beside the lists in `xtask/suites/librdkafka`; against Dohle each test must end
//! as it did there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::broker::{Broker, Subject};
use super::packages;
use super::tally::Tally;
use crate::kafka::{self, Tree};
use crate::{place, process};

/// It carries librdkafka 2.15.1.
const PACKAGE: &str = "@confluentinc/kafka-javascript@1.10.1";
const INSIDE: &str = "package/deps/librdkafka";
const DEBIAN: &[&str] = &["gcc", "g++", "make", "libssl-dev", "zlib1g-dev", "libzstd-dev", "rapidjson-dev"];
const BUILD_LIMIT: Duration = Duration::from_secs(1800);
const RUN_LIMIT: Duration = Duration::from_secs(3600);

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The broker to test.
    #[arg(long, value_enum, default_value = "dohle")]
    against: Subject,
    /// A list of tests: `stage-1` is `xtask/suites/librdkafka/stage-1.txt`.
    #[arg(long, default_value = "stage-1")]
    list: String,
    /// Only these tests, four digits each, with commas between.
    #[arg(long, value_delimiter = ',')]
    tests: Vec<String>,
    /// librdkafka's quick mode, which leaves out the longer parts of many tests.
    #[arg(long)]
    quick: bool,
    /// Keep what Kafka passes as the new bar.
    #[arg(long)]
    bless: bool,
}

pub(super) fn main(arguments: Arguments) -> Result<()> {
    let lists = place::programs().join("librdkafka");
    let listed = fs::read_to_string(lists.join(format!("{}.txt", arguments.list)))
        .with_context(|| format!("read the list {}", arguments.list))?;
    let tests = if arguments.tests.is_empty() {
        listed.split_whitespace().map(str::to_owned).collect()
    } else {
        arguments.tests.clone()
    };
    let sources = build()?;
    let folder = place::fresh(&format!("librdkafka-{}", arguments.against.name()))?;
    let mut broker = Broker::start(arguments.against, &folder, &[])?;
    let states = run(&sources, &broker.bootstrap, &tests, arguments.quick, &folder)?;

    let bar = lists.join(format!("{}-kafka-{}.txt", arguments.list, kafka::VERSION));
    if arguments.bless {
        let is_whole = arguments.against == Subject::Kafka && arguments.tests.is_empty() && !arguments.quick;
        ensure!(is_whole, "only a whole run against Kafka is a bar");
        fs::write(&bar, states.iter().map(|(name, state)| format!("{name} {state}\n")).collect::<String>())?;
    }
    let mut tally = judge(&states, &fs::read_to_string(&bar).unwrap_or_default(), &folder.join("runner.log"));
    if tally.has_failed() {
        println!("the broker's log ends with\n{}", broker.log_tail());
    }
    tally.check("the broker shuts down in order", || broker.stop());
    tally.close()
}

/// Fetches and builds the library and its test runner; answers with the source folder.
pub(crate) fn build() -> Result<PathBuf> {
    packages::debian(DEBIAN)?;
    let home = place::cache("librdkafka")?.join("source");
    let recipe = PACKAGE.to_owned();
    let sources = home.join(INSIDE);
    if place::is_made(&home, &recipe)? {
        return Ok(sources);
    }
    eprintln!("… fetching {PACKAGE}");
    packages::npm_archive(PACKAGE, &home, INSIDE)?;
    eprintln!("… building librdkafka and its tests (some minutes)");
    let step = |program: &str, words: &[&str]| {
        let mut command = Command::new(program);
        command.args(words).current_dir(&sources);
        process::run_into(process::without_input(&mut command), &home.join("build.log"), BUILD_LIMIT)
    };
    step("./configure", &["--enable-static", "--disable-gssapi"])?;
    step("make", &["-j2", "libs"])?;
    step("make", &["-C", "tests", "-j2", "build"])?;
    let built_with = fs::read_to_string(sources.join("Makefile.config"))?;
    for part in ["RAPIDJSON", "ZSTD"] {
        ensure!(built_with.contains(part), "librdkafka was built without {part}: some tests would be empty");
    }
    place::mark(&home, &recipe)?;
    Ok(sources)
}

fn run(
    sources: &Path,
    bootstrap: &str,
    tests: &[String],
    is_quick: bool,
    folder: &Path,
) -> Result<BTreeMap<String, String>> {
    let (configuration, report) = (folder.join("test.conf"), folder.join("report.json"));
    let lines = format!("bootstrap.servers={bootstrap}\ntest.timeout.multiplier=2\nbroker.address.family=v4\n");
    fs::write(&configuration, lines)?;
    let mut runner = Command::new(sources.join("tests/test-runner"));
    runner.current_dir(sources.join("tests"));
    // One at a time; no mock brokers, no emulated sockets, no known failures.
    runner.args(["-p1", "-L", "-E", "-K"]).args(is_quick.then_some("-Q"));
    runner
        .env("LD_LIBRARY_PATH", "../src:../src-cpp")
        .env("RDKAFKA_TEST_CONF", &configuration)
        .env("BROKERS", bootstrap);
    runner.env("TEST_KAFKA_VERSION", kafka::VERSION).env("TEST_SCENARIO", "default").env("TEST_REPORT", &report);
    runner.env("TESTS", tests.join(",")).env("KAFKA_PATH", Tree::install()?.home());
    // It gives every test more time when it sees this; both brokers get the same.
    runner.env_remove("CI");
    eprintln!("… running {} tests", tests.len());
    // Its exit status says little: 0 when nothing ran, an abort after a full report. The report alone counts.
    let ended = process::run_into(process::without_input(&mut runner), &folder.join("runner.log"), RUN_LIMIT);
    let text = fs::read_to_string(&report);
    match (text, ended) {
        (Ok(text), _) => states(&text, tests),
        (Err(_), Err(error)) => Err(error.context("the runner wrote no report")),
        (Err(error), Ok(())) => Err(error).context("the runner wrote no report"),
    }
}

#[derive(Deserialize)]
struct Report {
    tests: BTreeMap<String, Test>,
}

#[derive(Deserialize)]
struct Test {
    state: String,
}

/// Name and state of each test whose number was asked for; the report names all others too.
fn states(report: &str, tests: &[String]) -> Result<BTreeMap<String, String>> {
    let report: Report = serde_json::from_str(report).context("report.json")?;
    let chosen = |(name, _): &(String, Test)| tests.iter().any(|number| name.starts_with(&format!("{number}_")));
    Ok(report.tests.into_iter().filter(chosen).map(|(name, test)| (name, test.state)).collect())
}

/// A test passes when it passed; where the bar says so it may also be skipped, but never where the bar passed.
fn judge(states: &BTreeMap<String, String>, bar: &str, log: &Path) -> Tally {
    let bar: BTreeMap<&str, &str> = bar.lines().filter_map(|line| line.split_once(' ')).collect();
    let mut tally = Tally::default();
    for (name, state) in states {
        let at_kafka = bar.get(name.as_str()).copied().unwrap_or("not in the bar");
        match state.as_str() {
            "PASSED" => tally.pass(name),
            "SKIPPED" if at_kafka != "PASSED" => tally.skip(name, "as against Kafka"),
            other => tally.fail(name, &format!("{other}, against Kafka {at_kafka}; see {}", log.display())),
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_outside_the_list_are_left_out_of_a_report() {
        let report = r#"{"tests": {
            "<MAIN>": {"state": "PASSED", "extra": ""},
            "0001_a": {"state": "PASSED", "extra": ""},
            "0002_b": {"state": "SKIPPED", "extra": ""},
            "0003_c": {"state": "FAILED", "extra": ""},
            "0003_c_mock": {"state": "SKIPPED", "extra": ""}
        }}"#;
        let states = states(report, &["0001".to_owned(), "0003".to_owned()]).unwrap();
        assert_eq!(states.keys().collect::<Vec<_>>(), ["0001_a", "0003_c", "0003_c_mock"]);
    }

    #[test]
    fn a_test_that_kafka_passes_may_not_be_skipped() {
        let states = |state: &str| BTreeMap::from([("0001_a".to_owned(), state.to_owned())]);
        let fails = |state: &str, bar: &str| judge(&states(state), bar, Path::new("log")).has_failed();
        assert!(!fails("PASSED", "0001_a PASSED\n"));
        assert!(!fails("SKIPPED", "0001_a SKIPPED\n"));
        assert!(fails("SKIPPED", "0001_a PASSED\n"));
        assert!(fails("FAILED", "0001_a FAILED\n"));
        assert!(fails("RUNNING", "0001_a PASSED\n"));
    }
}
