//! Which partitions a directory on the command line stands for, and whether a broker has it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use dohle_base::Offset;
use dohle_log::directory::{Checkpoint, Offsets, PartitionName};
use dohle_log::disk::{Disk, ReadOnly};

const LOCK_FILE: &str = ".lock";
const CLEAN_STOP_FILE: &str = ".kafka_cleanshutdown";

/// A directory of logs, and what of it is asked for.
pub(super) struct Root {
    /// Where the files lie that are about all partitions.
    pub(super) path: PathBuf,
    /// In the order of their names.
    pub(super) partitions: Vec<Partition>,
    /// Whether all of it is asked for, and so its checkpoints.
    pub(super) is_whole: bool,
}

/// The directory of a partition.
pub(super) struct Partition {
    pub(super) name: PartitionName,
    pub(super) path: PathBuf,
}

impl Root {
    /// What `dir` stands for: one partition where it bears the name of one and holds segments, else all that lie in it.
    pub(super) fn at(dir: &Path) -> anyhow::Result<Self> {
        let dir = dir.canonicalize().with_context(|| format!("find {}", dir.display()))?;
        if let (Some(partition), Some(parent)) = (Partition::at(&dir), dir.parent())
            && holds_segments(&dir)?
        {
            return Ok(Self { path: parent.to_owned(), partitions: vec![partition], is_whole: false });
        }
        let mut partitions = Vec::new();
        for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
            let path = entry?.path();
            partitions.extend(Some(path).filter(|path| path.is_dir()).and_then(|path| Partition::at(&path)));
        }
        partitions.sort_by(|one, other| one.name.cmp(&other.name));
        if partitions.is_empty() {
            bail!(
                "{} holds no partition; name a directory of logs, or a partition's as in data/orders-0",
                dir.display()
            );
        }
        Ok(Self { path: dir, partitions, is_whole: true })
    }

    /// Whether the last broker stopped in order, so that nothing may be missing.
    pub(super) fn is_clean(&self) -> bool {
        self.path.join(CLEAN_STOP_FILE).exists()
    }

    /// Whether a broker has it.
    pub(super) fn is_in_use(&self) -> bool {
        ReadOnly.lock(&self.lock_file()).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    pub(super) fn lock_file(&self) -> PathBuf {
        self.path.join(LOCK_FILE)
    }

    /// Says on standard error what a reader should know who looks over a broker's shoulder.
    pub(super) fn warn_if_in_use(&self) {
        if self.is_in_use() {
            eprintln!("warning: a broker has {}; what it is writing may look torn", self.path.display());
        }
    }

    /// Where a partition's log starts, as the checkpoint says; zero without one.
    pub(super) fn start_of(&self, name: &PartitionName) -> anyhow::Result<Offset> {
        let path = self.path.join(Checkpoint::LogStart.file_name());
        let starts = match fs::read(&path) {
            Ok(bytes) => Checkpoint::parse(&bytes).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::NotFound => Offsets::new(),
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        Ok(starts.get(name).copied().unwrap_or(Offset::ZERO))
    }
}

impl Partition {
    fn at(path: &Path) -> Option<Self> {
        let name = PartitionName::of_directory(path.file_name()?.to_str()?)?;
        Some(Self { name, path: path.to_owned() })
    }
}

fn holds_segments(dir: &Path) -> anyhow::Result<bool> {
    let entries = fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))?;
    Ok(entries.flatten().any(|entry| entry.path().extension().is_some_and(|suffix| suffix == "log")))
}
