//! `suites dump-log`: Kafka's own dump tool reads every file that a broker wrote, and has nothing to complain about.
//!
//! The tool ends with 0 whatever it finds, so its words are judged here: all that it writes to standard error, a batch that is not
//! valid, bytes after the last batch, a record that its decoder does not know, a file that it did not come to.

mod complaint;
mod damage;
mod load;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use self::complaint::Judge;
use super::broker::{Broker, Subject};
use super::tally::Tally;
use crate::kafka::Tree;
use crate::{place, process};

const LIMIT: Duration = Duration::from_secs(300);
const COMPLAINTS_SHOWN: usize = 10;
// All names go into one argument, and Linux takes 128 KiB in one.
const ARGUMENT_BYTES_MAX: usize = 100_000;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The broker that writes the files.
    #[arg(long, value_enum, default_value = "dohle")]
    against: Subject,
    /// Read these files instead; nothing may be writing to them.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

pub(super) fn main(arguments: Arguments) -> Result<()> {
    let mut tally = Tally::default();
    let folder = place::fresh(&format!("dump-log-{}", arguments.against.name()))?;
    let data = match arguments.data_dir {
        Some(data) => data,
        None => {
            let mut broker = Broker::start(arguments.against, &folder, load::SETTINGS)?;
            tally.check("a small load is written", || load::write(&broker.bootstrap, &folder));
            tally.check("a topic is compacted", || load::compact(&broker.bootstrap, &broker.data, &folder));
            tally.check("the broker shuts down in order", || broker.stop());
            broker.data.clone()
        }
    };
    check(arguments.against, &data, &folder, &mut tally)?;
    damage::check(&Tree::install()?, &data, &partition_files(&data)?, &folder, &mut tally);
    tally.close()
}

/// One run of the tool: which files it is given, and how it is told to read them.
struct Pass {
    name: &'static str,
    folders: Folders,
    suffixes: &'static [&'static str],
    flags: &'static [&'static str],
    /// A broker that is in use has such files; a pass that finds none then fails.
    is_required: bool,
    /// Why Kafka itself does not pass.
    kafka_fails: Option<&'static str>,
}

/// The partitions whose files a pass takes.
enum Folders {
    All,
    Of(&'static str),
    AllBut(&'static str),
    /// Those whose records no decoder is for.
    Plain,
}

const METADATA: &str = "__cluster_metadata";
const DECODED: &[&str] = &["__consumer_offsets", "__transaction_state", "__share_group_state", METADATA];

const PASSES: &[Pass] = &[
    Pass {
        name: "segments of topics, record by record",
        folders: Folders::Plain,
        suffixes: &["log"],
        flags: &["--deep-iteration", "--print-data-log"],
        is_required: true,
        kafka_fails: None,
    },
    Pass {
        name: "__consumer_offsets",
        folders: Folders::Of("__consumer_offsets"),
        suffixes: &["log"],
        flags: &["--deep-iteration", "--offsets-decoder"],
        is_required: true,
        kafka_fails: None,
    },
    Pass {
        name: "__transaction_state",
        folders: Folders::Of("__transaction_state"),
        suffixes: &["log"],
        flags: &["--deep-iteration", "--transaction-log-decoder"],
        is_required: false,
        kafka_fails: None,
    },
    Pass {
        name: "__share_group_state",
        folders: Folders::Of("__share_group_state"),
        suffixes: &["log"],
        flags: &["--deep-iteration", "--share-group-state-decoder"],
        is_required: false,
        kafka_fails: None,
    },
    Pass {
        name: "__cluster_metadata, log and snapshots",
        folders: Folders::Of(METADATA),
        suffixes: &["log", "checkpoint"],
        flags: &["--deep-iteration", "--cluster-metadata-decoder"],
        is_required: true,
        kafka_fails: None,
    },
    Pass {
        name: "offset and time indexes pass the sanity check",
        folders: Folders::AllBut(METADATA),
        suffixes: &["index", "timeindex"],
        flags: &["--index-sanity-check"],
        is_required: true,
        kafka_fails: None,
    },
    Pass {
        name: "the indexes of __cluster_metadata pass the sanity check",
        folders: Folders::Of(METADATA),
        suffixes: &["index", "timeindex"],
        flags: &["--index-sanity-check"],
        is_required: true,
        kafka_fails: Some("Kafka does not cut them to size when it stops"),
    },
    Pass {
        name: "offset and time indexes point to what is in the log",
        folders: Folders::All,
        suffixes: &["index", "timeindex"],
        flags: &["--verify-index-only"],
        is_required: true,
        kafka_fails: None,
    },
    Pass {
        name: "producer snapshots and aborted transactions",
        folders: Folders::All,
        suffixes: &["snapshot", "txnindex"],
        flags: &[],
        is_required: true,
        kafka_fails: None,
    },
];

impl Pass {
    fn is_decoding(&self) -> bool {
        self.flags.iter().any(|flag| flag.ends_with("-decoder"))
    }

    fn takes(&self, file: &Path) -> bool {
        let folder = file.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let is_in = match self.folders {
            Folders::All => true,
            Folders::Of(topic) => folder.starts_with(topic),
            Folders::AllBut(topic) => !folder.starts_with(topic),
            Folders::Plain => !DECODED.iter().any(|topic| folder.starts_with(topic)),
        };
        is_in && file.extension().is_some_and(|suffix| self.suffixes.iter().any(|wanted| suffix == *wanted))
    }
}

/// Reads everything under `data`, the folder with one folder per partition.
pub(super) fn check(subject: Subject, data: &Path, folder: &Path, tally: &mut Tally) -> Result<()> {
    let tree = Tree::install()?;
    let data = data.canonicalize().with_context(|| format!("find {}", data.display()))?;
    let files = partition_files(&data)?;
    for (number, pass) in PASSES.iter().enumerate() {
        let name = format!("kafka-dump-log: {}", pass.name);
        let taken: Vec<&PathBuf> = files.iter().filter(|file| pass.takes(file)).collect();
        if taken.is_empty() && !pass.is_required {
            tally.skip(&name, "the broker has no such file");
            continue;
        }
        if let (Subject::Kafka, Some(why)) = (subject, pass.kafka_fails) {
            tally.skip(&name, why);
            continue;
        }
        tally.check(&name, || {
            ensure!(!taken.is_empty(), "there is no such file in {}", data.display());
            let output = folder.join(format!("dump-log-{number}"));
            chunks(&taken).into_iter().try_for_each(|files| read(&tree, &data, files, pass, &output))
        });
    }
    tally.check("checkpoint files are whole", || check_checkpoints(&data, &files));
    Ok(())
}

/// The files of all partitions, as paths from `data`; folders on their way to deletion are left out.
fn partition_files(data: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in fs::read_dir(data).with_context(|| format!("read {}", data.display()))? {
        let folder = folder?;
        let name = PathBuf::from(folder.file_name());
        if !folder.file_type()?.is_dir() || name.to_string_lossy().ends_with("-delete") {
            continue;
        }
        for file in fs::read_dir(folder.path())? {
            files.push(name.join(file?.file_name()));
        }
    }
    files.sort();
    Ok(files)
}

fn chunks<'a>(files: &[&'a PathBuf]) -> Vec<Vec<&'a PathBuf>> {
    let mut chunks = vec![Vec::new()];
    let mut bytes = 0;
    for file in files {
        let size = file.as_os_str().len() + 1;
        if bytes + size > ARGUMENT_BYTES_MAX {
            chunks.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        chunks.last_mut().expect("there is always one").push(*file);
    }
    chunks
}

fn read(tree: &Tree, data: &Path, files: Vec<&PathBuf>, pass: &Pass, output: &Path) -> Result<()> {
    let names: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
    let mut dump = tree.tool("kafka-dump-log");
    dump.current_dir(data).args(["--files", &names.join(",")]).args(pass.flags);
    process::run_into(&mut dump, output, LIMIT)?;

    let mut judge = Judge::new(names.iter().map(|name| name.to_string()), pass.is_decoding());
    for line in BufReader::new(File::open(output)?).split(b'\n') {
        judge.printed(&String::from_utf8_lossy(&line?));
    }
    for line in BufReader::new(File::open(process::errors_of(output))?).lines() {
        judge.complained(&line?);
    }
    let complaints = judge.verdict();
    if complaints.is_empty() {
        return Ok(());
    }
    let shown: Vec<_> = complaints.iter().take(COMPLAINTS_SHOWN).map(String::as_str).collect();
    bail!("{} complaints\n    {}", complaints.len(), shown.join("\n    "))
}

/// The text files that the tool does not read: a version, a count, and so many lines.
fn check_checkpoints(data: &Path, files: &[PathBuf]) -> Result<()> {
    let is_epochs = |file: &&PathBuf| file.ends_with("leader-epoch-checkpoint");
    let epochs: Vec<PathBuf> = files.iter().filter(is_epochs).map(|file| data.join(file)).collect();
    ensure!(!epochs.is_empty(), "no partition has a leader-epoch-checkpoint");
    let names = ["recovery-point-offset-checkpoint", "replication-offset-checkpoint", "log-start-offset-checkpoint"];
    let offsets = names.map(|name| data.join(name)).into_iter().filter(|file| file.exists());
    for (file, fields) in epochs.into_iter().map(|file| (file, 2)).chain(offsets.map(|file| (file, 3))) {
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        check_checkpoint(&text, fields).with_context(|| format!("{}", file.display()))?;
    }
    Ok(())
}

fn check_checkpoint(text: &str, fields: usize) -> Result<()> {
    let mut lines = text.lines();
    ensure!(lines.next() == Some("0"), "the version is not 0");
    let count: usize = lines.next().context("no count")?.parse().context("the count is no number")?;
    let entries: Vec<Vec<&str>> = lines.map(|line| line.split(' ').collect()).collect();
    ensure!(entries.len() == count, "{count} entries told, {} there", entries.len());
    ensure!(entries.iter().all(|entry| entry.len() == fields), "an entry has not {fields} fields");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_that_lost_a_line_is_refused() {
        check_checkpoint("0\n1\n0 0\n", 2).unwrap();
        check_checkpoint("0\n0\n", 3).unwrap();
        assert!(check_checkpoint("0\n2\n0 0\n", 2).is_err());
        assert!(check_checkpoint("1\n0\n", 2).is_err());
        assert!(check_checkpoint("0\n1\n0\n", 2).is_err());
    }

    #[test]
    fn each_file_goes_to_the_pass_that_can_decode_it() {
        let takers = |file: &str| -> Vec<&str> {
            PASSES.iter().filter(|pass| pass.takes(Path::new(file))).map(|pass| pass.name).collect()
        };
        assert_eq!(takers("a-0/00000000000000000000.log"), ["segments of topics, record by record"]);
        assert_eq!(takers("__consumer_offsets-7/00000000000000000000.log"), ["__consumer_offsets"]);
        assert_eq!(takers("a-0/00000000000000000000.index").len(), 2);
        assert!(takers("a-0/partition.metadata").is_empty());
    }
}
