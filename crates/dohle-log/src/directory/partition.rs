//! The directories of partitions: `<topic>-<number>`, with the topic's id in `partition.metadata` (KIP-516).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use dohle_base::{Partition, Rng, TopicId, TopicName, Uuid};

use super::Directory;
use crate::disk::{Disk, File, Kind, Listing, read_whole, remove_if_there, replace};
use crate::failure::Failure;
use crate::removal::Removal;

const TOPIC_ID_FILE: &str = "partition.metadata";
const DELETE_SUFFIX: &str = "-delete";
const FUTURE_SUFFIX: &str = "-future";
/// Names the directory of logs to which a partition has been moved. Not one of Kafka's.
const SUCCESSOR_FILE: &str = "successor";
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
    /// A partition that was deleted, not yet gone: this path is to be removed with [`Directory::removal`].
    Deleted(PathBuf),
    /// A partition that was on its way here from another directory of logs.
    Future(PartitionName, PathBuf),
    /// Nothing of ours.
    Other(PathBuf),
}

impl PartitionName {
    /// Whether a file system takes the name of the directory in which it is put together, which is not shortened: it is read again.
    pub fn can_be_moved(&self) -> bool {
        const UNIQUE_BYTES: usize = 33;
        self.to_string().len() + UNIQUE_BYTES + FUTURE_SUFFIX.len() <= FILE_NAME_BYTES_MAX
    }

    /// Reads the name of a directory; none when it is no partition's.
    pub fn of_directory(name: &str) -> Option<Self> {
        let (topic, partition) = name.rsplit_once('-')?;
        Some(Self { topic: TopicName::parse(topic).ok()?, partition: number(partition)? })
    }
}

/// The number of a partition as it is written: in one way only.
pub(super) fn number(text: &str) -> Option<Partition> {
    let is_plain = text == "0" || !text.starts_with(['0', '+', '-']);
    text.parse().ok().filter(|_| is_plain).map(Partition)
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
        if let Some(partition) = of_future(name) {
            return Found::Future(partition, self.root.join(name));
        }
        PartitionName::of_directory(name).map_or_else(|| Found::Other(self.root.join(name)), Found::Partition)
    }

    /// What lies in a partition's directory; none when it is not here.
    pub fn look_into(&self, name: &PartitionName) -> Result<Option<Listing>, Failure> {
        let path = self.path_of(name);
        Listing::of(&self.disk, &path).map_err(Failure::of("list", &path))
    }

    /// Where a partition's log is.
    pub fn path_of(&self, name: &PartitionName) -> PathBuf {
        self.root.join(name.to_string())
    }

    /// Makes the directory of a partition, or takes it as it is, and says where it is. Durable when it comes back.
    pub fn create_partition(&self, name: &PartitionName, topic_id: TopicId) -> Result<PathBuf, Failure> {
        self.create(self.path_of(name), topic_id)
    }

    /// Makes a partition's directory as [`Directory::create_partition`] does, but durable only by the log's first flush, which
    /// [`Log::doubt_directory`](crate::log::Log::doubt_directory) asks for: of many, nobody waits for each.
    pub fn begin_partition(&self, name: &PartitionName, topic_id: TopicId) -> Result<PathBuf, Failure> {
        let path = self.path_of(name);
        self.disk.create_dir(&path).map_err(Failure::of("create", &path))?;
        let file = path.join(TOPIC_ID_FILE);
        let written = self.disk.create(&file).and_then(|it| it.write_at(0, topic_id_content(topic_id).as_bytes(), &[]));
        written.map_err(Failure::of("write", &file))?;
        Ok(path)
    }

    /// Makes a directory in which a partition is put together that is to be moved here ([`Directory::promote`]), and says where it
    /// is. Durable when it comes back.
    pub fn create_future(&self, name: &PartitionName, topic_id: TopicId, rng: &mut Rng) -> Result<PathBuf, Failure> {
        let future = format!("{name}.{}{FUTURE_SUFFIX}", unique(rng));
        self.create(self.root.join(future), topic_id)
    }

    fn create(&self, path: PathBuf, topic_id: TopicId) -> Result<PathBuf, Failure> {
        self.disk.create_dir(&path).map_err(Failure::of("create", &path))?;
        let file = path.join(TOPIC_ID_FILE);
        replace(&self.disk, &file, topic_id_content(topic_id).as_bytes()).map_err(Failure::of("replace", &file))?;
        self.sync()?;
        Ok(path)
    }

    /// Makes the names of directories durable.
    pub fn sync(&self) -> Result<(), Failure> {
        self.disk.sync_dir(&self.root).map_err(Failure::of("sync", &self.root))
    }

    /// Gives the directory in which a partition was put together the partition's own name, and says where it is. Durable after
    /// [`Directory::sync`].
    pub fn promote(&self, future: &Path, name: &PartitionName) -> Result<PathBuf, Failure> {
        let to = self.path_of(name);
        self.disk.rename(future, &to).map_err(Failure::of("rename", future))?;
        Ok(to)
    }

    /// Notes in a partition's directory that the partition of that name in the directory of logs `successor` comes after it, once there
    /// is one. Durable when it comes back.
    pub fn note_successor(&self, name: &PartitionName, successor: Uuid) -> Result<(), Failure> {
        let path = self.path_of(name).join(SUCCESSOR_FILE);
        let content = format!("version: 0\ndirectory.id: {successor}\n");
        replace(&self.disk, &path, content.as_bytes()).map_err(Failure::of("replace", &path))
    }

    /// Forgets it.
    pub fn forget_successor(&self, name: &PartitionName) -> Result<(), Failure> {
        let path = self.path_of(name).join(SUCCESSOR_FILE);
        remove_if_there(&self.disk, &path).map_err(Failure::of("remove", &path))
    }

    /// The directory of logs in which a partition goes on that was here, if it is there; `found` lies in its directory.
    pub fn successor_in(&self, name: &PartitionName, found: &Listing) -> Result<Option<Uuid>, Failure> {
        let dir = self.path_of(name);
        let path = dir.join(SUCCESSOR_FILE);
        let read = found.read(&self.disk, &dir, SUCCESSOR_FILE).map_err(Failure::of("read", &path))?;
        let parse = |bytes: Vec<u8>| {
            let successor =
                std::str::from_utf8(&bytes).ok()?.lines().nth(1)?.strip_prefix("directory.id:")?.trim().parse();
            successor.ok()
        };
        // It is replaced whole: what cannot be read is the disk's mistake, and nobody knows what it said.
        let damaged =
            || Failure { action: "understand", path: path.clone(), source: io::ErrorKind::InvalidData.into() };
        read.map(|bytes| parse(bytes).ok_or_else(damaged)).transpose()
    }

    /// The topic that a partition belongs to in whose directory `found` lies; none where nobody has noted it, or where the file is damaged.
    pub fn topic_id_in(&self, name: &PartitionName, found: &Listing) -> Result<Option<TopicId>, Failure> {
        let dir = self.path_of(name);
        understand_topic_id(&dir, found.read(&self.disk, &dir, TOPIC_ID_FILE))
    }

    /// The same of one that is on its way.
    pub fn topic_id_at(&self, partition: &Path) -> Result<Option<TopicId>, Failure> {
        understand_topic_id(partition, read_whole(&self.disk, &partition.join(TOPIC_ID_FILE)))
    }

    /// Gives a partition's directory a name under which nobody looks for it, for good, and says which. What is in it goes later.
    pub fn delete_partition(&self, name: &PartitionName, rng: &mut Rng) -> Result<PathBuf, Failure> {
        self.delete_future(&self.path_of(name), name, rng)
    }

    /// The same with the directory in which a partition was being put together.
    pub fn delete_future(&self, from: &Path, name: &PartitionName, rng: &mut Rng) -> Result<PathBuf, Failure> {
        let to = self.root.join(deleted_name(name, rng));
        self.disk.rename(from, &to).map_err(Failure::of("rename", from))?;
        self.sync()?;
        Ok(to)
    }

    /// What a deleted partition has left, to be removed; nothing where that was done already.
    pub fn removal(&self, path: &Path) -> Result<Removal<D>, Failure> {
        assert!(path.starts_with(&self.root) && path != self.root, "only what is in the directory is removed");
        Removal::of_directory(self.disk.clone(), path).map_err(Failure::of("list", path))
    }
}

/// Makes durable that there is a partition's directory, and what it says of its topic.
pub(crate) fn confirm<D: Disk>(disk: &D, partition: &Path) -> Result<(), Failure> {
    let file = partition.join(TOPIC_ID_FILE);
    disk.open(&file).and_then(|file| file.sync()).map_err(Failure::of("sync", &file))?;
    for dir in [Some(partition), partition.parent()].into_iter().flatten() {
        disk.sync_dir(dir).map_err(Failure::of("sync", dir))?;
    }
    Ok(())
}

fn topic_id_content(topic_id: TopicId) -> String {
    format!("version: 0\ntopic_id: {topic_id}")
}

/// What the file of the topic says in a partition's directory.
fn understand_topic_id(partition: &Path, read: io::Result<Option<Vec<u8>>>) -> Result<Option<TopicId>, Failure> {
    let path = partition.join(TOPIC_ID_FILE);
    let read = match read {
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

fn parse_topic_id(bytes: &[u8]) -> Option<TopicId> {
    let mut lines = std::str::from_utf8(bytes).ok()?.lines();
    let version = lines.next()?.strip_prefix("version:")?.trim();
    let topic_id: TopicId = lines.next()?.strip_prefix("topic_id:")?.trim().parse().ok()?;
    (version == "0" && !topic_id.is_zero()).then_some(topic_id)
}

/// The partition's name with a number that no other has, shortened to what a file system takes (`UnifiedLog.logDeleteDirName`).
fn deleted_name(name: &PartitionName, rng: &mut Rng) -> String {
    let rest = format!("-{}.{}{DELETE_SUFFIX}", name.partition, unique(rng));
    let mut topic = name.topic.to_string();
    topic.truncate(FILE_NAME_BYTES_MAX - rest.len());
    topic + &rest
}

fn unique(rng: &mut Rng) -> String {
    format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64())
}

/// The partition that is being put together in a directory of this name (`LocalLog.logFutureDirName`).
fn of_future(name: &str) -> Option<PartitionName> {
    let (partition, unique) = name.strip_suffix(FUTURE_SUFFIX)?.rsplit_once('.')?;
    PartitionName::of_directory(partition).filter(|_| !unique.is_empty())
}
