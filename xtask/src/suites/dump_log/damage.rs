//! Does the tool still complain? Good files are copied, one is damaged, and reading the copy must fail.
//!
//! Without this a release of the tool that words its complaints otherwise would make every check pass.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{Folders, PASSES, Pass, read};
use crate::kafka::Tree;
use crate::suites::tally::Tally;

// Left out: its indexes may have a tail of zeros in which damage is none.
const METADATA_PARTITION: &str = "__cluster_metadata-0";

struct Damage {
    what: &'static str,
    suffix: &'static str,
    /// By the flag that its pass has; the pass that must notice.
    flag: &'static str,
    harm: fn(&mut Vec<u8>),
}

const DAMAGES: &[Damage] = &[
    Damage {
        what: "a flipped bit in a batch",
        suffix: "log",
        flag: "--print-data-log",
        harm: |bytes| flip_in_the_middle(bytes),
    },
    Damage { what: "a torn last batch", suffix: "log", flag: "--print-data-log", harm: tear },
    Damage { what: "a lost first batch", suffix: "log", flag: "--print-data-log", harm: lose_first_batch },
    Damage { what: "a torn index entry", suffix: "index", flag: "--index-sanity-check", harm: tear },
    Damage {
        what: "an index entry with another offset",
        suffix: "index",
        flag: "--verify-index-only",
        harm: |bytes| flip_in_the_middle(bytes),
    },
    Damage {
        what: "a time index entry with another time",
        suffix: "timeindex",
        flag: "--verify-index-only",
        harm: |bytes| flip_in_the_middle(bytes),
    },
    Damage {
        what: "a flipped bit in a producer snapshot",
        suffix: "snapshot",
        flag: "",
        harm: |bytes| flip_in_the_middle(bytes),
    },
];

/// Checks each damage on the files of the partition that has most of them.
pub(super) fn check(tree: &Tree, data: &Path, files: &[PathBuf], folder: &Path, tally: &mut Tally) {
    for (number, damage) in DAMAGES.iter().enumerate() {
        tally.check(&format!("kafka-dump-log: notices {}", damage.what), || {
            let pass = PASSES.iter().find(|pass| damage.is_for(pass)).context("no pass has this flag")?;
            let is_hit = |file: &&PathBuf| {
                pass.takes(file)
                    && !file.starts_with(METADATA_PARTITION)
                    && file.extension().is_some_and(|suffix| suffix == damage.suffix)
            };
            let size = |file: &&PathBuf| fs::metadata(data.join(file)).map_or(0, |metadata| metadata.len());
            let file = files.iter().filter(is_hit).max_by_key(size).context("there is no file to damage")?;
            let copy = folder.join(format!("damaged-{number}"));
            copy_partition(data, file, &copy)?;
            damage.apply(&copy.join(file))?;
            let output = folder.join(format!("damaged-{number}.out"));
            ensure!(
                read(tree, &copy, vec![file], pass, &output).is_err(),
                "{} was read without a complaint",
                file.display()
            );
            Ok(())
        });
    }
}

impl Damage {
    fn is_for(&self, pass: &Pass) -> bool {
        let is_told = if self.flag.is_empty() { pass.flags.is_empty() } else { pass.flags.contains(&self.flag) };
        is_told && !matches!(pass.folders, Folders::Of(_))
    }

    fn apply(&self, path: &Path) -> Result<()> {
        let mut bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        ensure!(!bytes.is_empty(), "{} is empty", path.display());
        (self.harm)(&mut bytes);
        fs::write(path, bytes).with_context(|| format!("write {}", path.display()))
    }
}

/// Copies the folder that `file` lies in.
fn copy_partition(data: &Path, file: &Path, copy: &Path) -> Result<()> {
    let partition = file.parent().context("a file lies in a partition's folder")?;
    fs::create_dir_all(copy.join(partition))?;
    for entry in fs::read_dir(data.join(partition))? {
        let entry = entry?;
        fs::copy(entry.path(), copy.join(partition).join(entry.file_name()))?;
    }
    Ok(())
}

fn flip_in_the_middle(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
}

fn tear(bytes: &mut Vec<u8>) {
    bytes.truncate(bytes.len() - 3);
}

/// The length of a batch without its first twelve bytes stands in bytes 8 to 12.
fn lose_first_batch(bytes: &mut Vec<u8>) {
    let length = u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize;
    bytes.drain(..(length + 12).min(bytes.len()));
}
