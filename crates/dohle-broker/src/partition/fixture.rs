//! Partitions for tests, in a directory that is gone with them.

use std::sync::Arc;

use dohle_base::{
    BrokerId, Instant, LeaderEpoch, Now, Offset, Partition as Index, Rng, Timestamp, TopicId, TopicName, Uuid,
};
use dohle_log::directory::{Directory, Identity as DirectoryIdentity};
use dohle_log::disk::Files;
use dohle_log::log::Opening;
use dohle_log::options::{Durability, Options};
use dohle_records::batch::encode::{Builder, Entry, Settings};
use tempfile::TempDir;

use super::guards::{Author, Leave};
use super::{Identity, Log, Partition};
use crate::volume::Volume;
use crate::waiters::Waiters;

/// Partitions of one topic that acknowledge what is written.
pub(crate) struct Fixture {
    pub(crate) partitions: Vec<Arc<Partition>>,
    _dir: TempDir,
}

impl Fixture {
    pub(crate) fn new(count: i32) -> Self {
        Self::with(count, Durability::Relaxed)
    }

    pub(crate) fn with(count: i32, durability: Durability) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let volume = volume(&dir);
        let partitions = (0..count).map(|index| lead(&dir, &volume, index, durability)).collect();
        Self { partitions, _dir: dir }
    }

    /// Appends one record.
    pub(crate) fn append(&self, index: usize) {
        let mut builder = Builder::new(Settings::default());
        builder.append(&Entry { value: Some(b"v"), ..Entry::default() }).unwrap();
        let now = Now { instant: Instant(1), wall: Timestamp(1) };
        self.partitions[index].append(&builder.finish(), Author::Client(Leave::None), None, now).unwrap();
    }
}

/// A directory taken for a broker.
pub(crate) fn volume(dir: &TempDir) -> Arc<Volume> {
    let mut directory = Directory::open(Files, dir.path()).unwrap();
    let directory_id = Uuid::random(&mut Rng::new(1));
    let identity = DirectoryIdentity { cluster_id: "c".into(), node_id: BrokerId(1), directory_id };
    directory.claim(identity.clone()).unwrap();
    Volume::open(directory, &identity).unwrap()
}

fn lead(dir: &TempDir, volume: &Arc<Volume>, index: i32, durability: Durability) -> Arc<Partition> {
    let identity =
        Identity { topic: TopicName::parse("t").unwrap(), topic_id: TopicId::default(), index: Index(index) };
    let options = Options { durability, ..Options::default() };
    let opening = Opening { clean: true, recovery_point: Offset::ZERO, start: Offset::ZERO };
    let path = dir.path().join(format!("t-{index}"));
    std::fs::create_dir(&path).unwrap();
    let (log, _) = Log::open(Files, &path, options, &opening, Timestamp(1)).unwrap();
    Partition::lead(identity, log, LeaderEpoch(0), Arc::clone(volume), Waiters::new())
}
