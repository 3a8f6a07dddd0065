//! `suites log`: `dohle log` and Kafka's own dump tool read the same files, one written by Kafka and one by Dohle, and say the same of every
//! batch and every record; and `dohle log verify` finds nothing wrong with either.

mod line;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use self::line::{of_dohle, of_kafka};
use super::broker::{Broker, Subject};
use super::packages;
use super::tally::Tally;
use crate::kafka::Tree;
use crate::{place, process};

const WRITE_LIMIT: Duration = Duration::from_secs(180);
const DUMP_LIMIT: Duration = Duration::from_secs(300);
const DIFFERENCES_SHOWN: usize = 5;
/// A cleaner that does not wait, and segments that a small load rolls.
const SETTINGS: &[(&str, &str)] =
    &[("log.retention.ms", "-1"), ("log.cleaner.backoff.ms", "200"), ("offsets.topic.num.partitions", "3")];
/// Topics whose records are text.
const TEXT_PREFIX: &str = "log-";

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Only files of this broker.
    #[arg(long, value_enum)]
    against: Option<Subject>,
}

pub(super) fn main(arguments: Arguments) -> Result<()> {
    let mut tally = Tally::default();
    for subject in [Subject::Kafka, Subject::Dohle] {
        if arguments.against.is_none_or(|only| only == subject) {
            check(subject, &mut tally)?;
        }
    }
    tally.close()
}

fn check(subject: Subject, tally: &mut Tally) -> Result<()> {
    let of = subject.name();
    let folder = place::fresh(&format!("log-{of}"))?;
    let dohle = super::broker::build()?;
    let mut broker = Broker::start(subject, &folder, SETTINGS)?;
    tally.check(&format!("{of}: everything that a log can hold is written"), || {
        let python = packages::python("log", &["confluent-kafka==2.16.1"])?;
        let mut write = Command::new(python);
        write.arg(place::programs().join("log/write.py")).arg(&broker.bootstrap);
        process::run_into(process::without_input(&mut write), &folder.join("write.log"), WRITE_LIMIT)
    });
    broker.stop()?;
    let data = broker.data.clone();
    tally.check(&format!("{of}: dohle log verify finds nothing"), || {
        let mut verify = Command::new(&dohle);
        verify.args(["log", "verify"]).arg(&data);
        process::run_into(process::without_input(&mut verify), &folder.join("verify.log"), DUMP_LIMIT)
    });
    for (what, flag, is_text) in
        [("records", "--print-data-log", true), ("batches of internal topics", "--deep-iteration", false)]
    {
        tally.check(&format!("{of}: kafka-dump-log and dohle log dump agree on {what}"), || {
            let files = segments(&data, is_text)?;
            let told_by_kafka = dump_with_kafka(&data, &files, flag, &folder)?;
            let told_by_dohle = dump_with_dohle(&dohle, &data, &files, is_text, &folder)?;
            compare(&told_by_kafka, &told_by_dohle)
        });
    }
    Ok(())
}

/// What a tool told of each file: a line for each batch and each record.
type Told = BTreeMap<String, Vec<String>>;

/// The segments of the topics that hold text, or of all others, as paths from `data`.
fn segments(data: &Path, is_text: bool) -> Result<Vec<PathBuf>> {
    let mut segments = Vec::new();
    for folder in fs::read_dir(data)? {
        let folder = folder?;
        let name = folder.file_name().to_string_lossy().into_owned();
        if !folder.file_type()?.is_dir() || name.starts_with(TEXT_PREFIX) != is_text {
            continue;
        }
        for file in fs::read_dir(folder.path())? {
            let file = file?;
            let is_segment = file.path().extension().is_some_and(|suffix| suffix == "log");
            if is_segment && file.metadata()?.len() > 0 {
                segments.push(Path::new(&name).join(file.file_name()));
            }
        }
    }
    segments.sort();
    ensure!(!segments.is_empty(), "no segment in {}", data.display());
    Ok(segments)
}

fn dump_with_kafka(data: &Path, files: &[PathBuf], flag: &str, folder: &Path) -> Result<Told> {
    let names: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
    let mut dump = Tree::install()?.tool("kafka-dump-log");
    dump.current_dir(data).args(["--deep-iteration", "--files", &names.join(",")]);
    if flag != "--deep-iteration" {
        dump.arg(flag);
    }
    let output = folder.join("kafka-dump-log");
    process::run_into(&mut dump, &output, DUMP_LIMIT)?;
    let (mut told, mut file) = (Told::new(), String::new());
    for line in BufReader::new(File::open(&output)?).lines() {
        let line = line?;
        match line.strip_prefix("Dumping ") {
            Some(name) => name.clone_into(&mut file),
            None => told.entry(file.clone()).or_default().extend(of_kafka(&line)),
        }
    }
    told.remove("");
    Ok(told)
}

fn dump_with_dohle(dohle: &Path, data: &Path, files: &[PathBuf], is_text: bool, folder: &Path) -> Result<Told> {
    let mut folders: Vec<PathBuf> = files.iter().filter_map(|file| Some(data.join(file.parent()?))).collect();
    folders.dedup();
    let mut dump = Command::new(dohle);
    dump.args(["log", "dump", "--records", "--json"]).args(folders);
    let output = folder.join("dohle-log-dump");
    process::run_into(process::without_input(&mut dump), &output, DUMP_LIMIT)?;
    let (mut told, mut file) = (Told::new(), String::new());
    for line in BufReader::new(File::open(&output)?).lines() {
        let row: serde_json::Value = serde_json::from_str(&line?)?;
        if row["type"] == "batch" {
            let (partition, segment) = (row["partition"].as_str(), row["segment"].as_str());
            file = format!("{}/{}", partition.context("a partition")?, segment.context("a segment")?);
        }
        told.entry(file.clone()).or_default().push(of_dohle(&row, is_text)?);
    }
    Ok(told)
}

fn compare(kafka: &Told, dohle: &Told) -> Result<()> {
    let mut differences = Vec::new();
    let mut lines = 0;
    for (file, told) in kafka {
        let other = dohle.get(file).map_or(&[][..], Vec::as_slice);
        lines += told.len();
        if told.len() != other.len() {
            differences.push(format!("{file}: {} lines of kafka's, {} of dohle's", told.len(), other.len()));
        }
        let unlike = told.iter().zip(other).filter(|(one, other)| one != other);
        differences.extend(unlike.map(|(one, other)| format!("{file}:\n      kafka {one}\n      dohle {other}")));
    }
    ensure!(kafka.keys().eq(dohle.keys()), "not the same files: {:?}, {:?}", kafka.keys(), dohle.keys());
    ensure!(lines > 0, "nothing was compared");
    if differences.is_empty() {
        println!("        {lines} batches and records in {} files", kafka.len());
        return Ok(());
    }
    differences.truncate(DIFFERENCES_SHOWN);
    bail!("they differ\n    {}", differences.join("\n    "))
}
