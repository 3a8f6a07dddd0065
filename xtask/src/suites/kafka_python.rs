//! `suites kafka-python`: the integration tests of kafka-python, from its source package.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::broker::{Broker, Subject};
use super::packages;
use super::tally::Tally;
use crate::kafka;
use crate::{place, process};

const VERSION: &str = "3.0.12";
/// The newest release that this kafka-python knows; it takes a broker of a later one for this.
const KNOWN_KAFKA: &str = "4.3.0";
const REQUIREMENTS: &[&str] =
    &["kafka-python[lz4,snappy,zstd,crc32c]==3.0.12", "pytest", "pytest-mock", "pytest-timeout"];
const INSTALL_LIMIT: Duration = Duration::from_secs(300);
const RUN_LIMIT: Duration = Duration::from_secs(1800);

/// The package lacks the file that its fixtures import; with a broker from outside only these names are used.
const SERVICE: &str = "\
class ExternalService:
    def __init__(self, host, port):
        self.host, self.port = host, port

    def open(self, *args, **kwargs):
        return True

    close = dump_logs = wait_for = open


class SpawnedService:
    pass
";

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The broker to test.
    #[arg(long, value_enum, default_value = "dohle")]
    against: Subject,
    /// Only tests whose name matches, as pytest's -k.
    #[arg(long)]
    only: Option<String>,
    /// Keep what Kafka passes as the new bar.
    #[arg(long)]
    bless: bool,
}

pub(super) fn main(arguments: Arguments) -> Result<()> {
    let (interpreter, sources) = install()?;
    let folder = place::fresh(&format!("kafka-python-{}", arguments.against.name()))?;
    let mut broker = Broker::start(arguments.against, &folder, &[])?;
    let states = run(&interpreter, &sources, &broker.bootstrap, arguments.only.as_deref(), &folder)?;

    let bar = place::programs().join(format!("kafka-python/kafka-{}.txt", kafka::VERSION));
    if arguments.bless {
        ensure!(
            arguments.against == Subject::Kafka && arguments.only.is_none(),
            "only a whole run against Kafka is a bar"
        );
        fs::create_dir_all(bar.parent().expect("the bar has a folder"))?;
        fs::write(&bar, states.iter().map(|(name, state)| format!("{name} {state}\n")).collect::<String>())?;
    }
    let mut tally = judge(&states, &fs::read_to_string(&bar).unwrap_or_default());
    if tally.has_failed() {
        println!("pytest's words are in {}", folder.join("pytest.log").display());
        println!("the broker's log ends with\n{}", broker.log_tail());
    }
    tally.check("the broker shuts down in order", || broker.stop());
    tally.close()
}

/// Answers with the interpreter and the folder of the tests.
fn install() -> Result<(PathBuf, PathBuf)> {
    let interpreter = packages::python("kafka-python", REQUIREMENTS)?;
    let home = place::cache("kafka-python")?.join("source");
    let recipe = format!("{VERSION}\n{SERVICE}");
    let sources = home.join(format!("kafka_python-{VERSION}"));
    if !place::is_made(&home, &recipe)? {
        let mut pip = Command::new(&interpreter);
        pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "-d"]).arg(&home);
        pip.arg(format!("kafka-python=={VERSION}"));
        process::run_into(process::without_input(&mut pip), &home.join("pip.log"), INSTALL_LIMIT)?;
        let mut unpack = Command::new("tar");
        unpack.arg("xzf").arg(format!("kafka_python-{VERSION}.tar.gz")).current_dir(&home);
        process::run_into(&mut unpack, &home.join("tar.log"), INSTALL_LIMIT)?;
        fs::write(sources.join("test/__init__.py"), "")?;
        fs::write(sources.join("test/service.py"), SERVICE)?;
        place::mark(&home, &recipe)?;
    }
    Ok((interpreter, sources))
}

fn run(
    interpreter: &Path,
    sources: &Path,
    bootstrap: &str,
    only: Option<&str>,
    folder: &Path,
) -> Result<BTreeMap<String, String>> {
    let report = folder.join("states.txt");
    let mut pytest = Command::new(interpreter);
    pytest.args(["-m", "pytest", "-q", "-rA", "--tb=short", "--timeout=120", "test/integration"]);
    // They start a broker of their own.
    pytest.arg("--ignore=test/integration/test_ssl_integration.py");
    if let Some(name) = only {
        pytest.args(["-k", name]);
    }
    pytest.current_dir(sources).env("KAFKA_ROOT", folder).env("KAFKA_VERSION", KNOWN_KAFKA);
    pytest.env("KAFKA_URI", format!("kafka://{bootstrap}"));
    eprintln!("… running kafka-python's tests");
    let output = folder.join("pytest.log");
    // It fails when one test does; what each did stands in its report.
    let ended = process::run_into(process::without_input(&mut pytest), &output, RUN_LIMIT);
    let text = fs::read_to_string(&output).with_context(|| format!("read {}", output.display()))?;
    fs::write(&report, &text)?;
    let states = states(&text);
    if states.is_empty() {
        ended.context("no test ran")?;
    }
    Ok(states)
}

/// The lines of pytest's short summary.
fn states(printed: &str) -> BTreeMap<String, String> {
    let state = |line: &str| {
        let (state, rest) = line.split_once(' ')?;
        let name = rest.split(" - ").next()?;
        matches!(state, "PASSED" | "FAILED" | "ERROR" | "SKIPPED" | "XFAIL" | "XPASS")
            .then(|| (name.to_owned(), state.to_owned()))
    };
    printed.lines().filter_map(state).collect()
}

fn judge(states: &BTreeMap<String, String>, bar: &str) -> Tally {
    let bar: BTreeMap<&str, &str> = bar.lines().filter_map(|line| line.rsplit_once(' ')).collect();
    let mut tally = Tally::default();
    for (name, state) in states {
        let at_kafka = bar.get(name.as_str()).copied().unwrap_or("not in the bar");
        match state.as_str() {
            "PASSED" | "XPASS" => tally.pass(name),
            "SKIPPED" | "XFAIL" if at_kafka != "PASSED" => tally.skip(name, "as against Kafka"),
            other if at_kafka == other => tally.skip(name, &format!("{other}, and so against Kafka")),
            other => tally.fail(name, &format!("{other}, against Kafka {at_kafka}")),
        }
    }
    tally
}
