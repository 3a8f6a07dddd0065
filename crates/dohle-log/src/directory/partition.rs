//! The directories of partitions: `<topic>-<number>`, with the topic's id in `partition.metadata` (KIP-516).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use dohle_base::{Partition, Rng, TopicId, TopicName};

use super::Directory;
use crate::disk::{Disk, Kind, read_whole, replace};
use crate::failure::Failure;

const TOPIC_ID_FILE: &str = "partition.metadata";
const DELETE_SUFFIX: &str = "-delete";
const FILE_NAME_BYTES_MAX: usize = 255;

/// A partition by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionName {
    /// Its topic.
    pub topic: TopicName,
    /// Its number.
    pub partition: Partition,
}

/// A directory in a directory of logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A partition.
    Partition(PartitionName),
    /// A partition that was deleted, not yet gone: this path is to be removed with [`Directory::remove_deleted`].
    Deleted(PathBuf),
    /// Nothing of ours, or of a partition that is being moved.
    Other(PathBuf),
}

impl PartitionName {
    /// Reads the name of a directory; none when it is no partition's.
    pub fn of_directory(name: &str) -> Option<Self> {
        let (topic, number) = name.rsplit_once('-')?;
        Self::parse(topic, number)
    }

    pub(super) fn parse(topic: &str, partition: &str) -> Option<Self> {
        let number = partition.parse().ok().filter(|number: &i32| *number >= 0 && number.to_string() == partition)?;
        Some(Self { topic: TopicName::parse(topic).ok()?, partition: Partition(number) })
    }
}

impl fmt::Display for PartitionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl<D: Disk> Directory<D> {
    /// What directories there are, by name.
    pub fn partitions(&self) -> Result<Vec<Found>, Failure> {
        let mut entries = self.disk.list(&self.root).map_err(Failure::of("list", &self.root))?;
        entries.retain(|entry| entry.kind == Kind::Directory);
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries.iter().map(|entry| self.describe(&entry.name)).collect())
    }

    fn describe(&self, name: &str) -> Found {
        if name.ends_with(DELETE_SUFFIX) && name.contains('.') {
            return Found::Deleted(self.root.join(name));
        }
        PartitionName::of_directory(name).map_or_else(|| Found::Other(self.root.join(name)), Found::Partition)
    }

    /// Where a partition's log is.
    pub fn path_of(&self, name: &PartitionName) -> PathBuf {
        self.root.join(name.to_string())
    }

    /// Makes the directory of a partition, or takes it as it is, and says where it is. Durable when it comes back.
    pub fn create_partition(&self, name: &PartitionName, topic_id: TopicId) -> Result<PathBuf, Failure> {
        let path = self.path_of(name);
        self.disk.create_dir(&path).map_err(Failure::of("create", &path))?;
        let file = path.join(TOPIC_ID_FILE);
        let content = format!("version: 0\ntopic_id: {topic_id}");
        replace(&self.disk, &file, content.as_bytes()).map_err(Failure::of("replace", &file))?;
        self.disk.sync_dir(&self.root).map_err(Failure::of("sync", &self.root))?;
        Ok(path)
    }

    /// The topic that a partition belongs to; none where nobody has noted it, or where the file is damaged.
    pub fn topic_id_of(&self, name: &PartitionName) -> Result<Option<TopicId>, Failure> {
        let path = self.path_of(name).join(TOPIC_ID_FILE);
        let read = match read_whole(&self.disk, &path) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
            read => read.map_err(Failure::of("read", &path))?,
        };
        let Some(bytes) = read else { return Ok(None) };
        let topic_id = parse_topic_id(&bytes);
        if topic_id.is_none() {
            tracing::warn!(path = %path.display(), "the file does not name a topic");
        }
        Ok(topic_id)
    }

    /// Gives a partition's directory a name under which nobody looks for it, for good, and says which. What is in it goes later.
    pub fn delete_partition(&self, name: &PartitionName, rng: &mut Rng) -> Result<PathBuf, Failure> {
        let from = self.path_of(name);
        let to = self.root.join(deleted_name(name, rng));
        self.disk.rename(&from, &to).map_err(Failure::of("rename", &from))?;
        self.disk.sync_dir(&self.root).map_err(Failure::of("sync", &self.root))?;
        Ok(to)
    }

    /// Removes the directory of a deleted partition with all that is in it. May take its time; one that is gone already is no failure.
    pub fn remove_deleted(&self, path: &Path) -> Result<(), Failure> {
        assert!(path.starts_with(&self.root) && path != self.root, "only what is in the directory is removed");
        match remove_all(&self.disk, path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(Failure::of("remove", path)),
        }
    }
}

fn parse_topic_id(bytes: &[u8]) -> Option<TopicId> {
    let mut lines = std::str::from_utf8(bytes).ok()?.lines();
    let version = lines.next()?.strip_prefix("version:")?.trim();
    let topic_id: TopicId = lines.next()?.strip_prefix("topic_id:")?.trim().parse().ok()?;
    (version == "0" && !topic_id.is_zero()).then_some(topic_id)
}

/// The partition's name with a number that no other has, shortened to what a file system takes (`UnifiedLog.logDeleteDirName`).
fn deleted_name(name: &PartitionName, rng: &mut Rng) -> String {
    let unique = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
    let rest = format!("-{}.{unique:032x}{DELETE_SUFFIX}", name.partition);
    let mut topic = name.topic.to_string();
    topic.truncate(FILE_NAME_BYTES_MAX - rest.len());
    topic + &rest
}

/// Directories are not deep here: one level of partitions, and files in them.
fn remove_all<D: Disk>(disk: &D, path: &Path) -> io::Result<()> {
    for entry in disk.list(path)? {
        let inner = path.join(&entry.name);
        match entry.kind {
            Kind::File(_) => disk.remove(&inner)?,
            Kind::Directory => remove_all(disk, &inner)?,
        }
    }
    disk.remove_dir(path)
}
