//! The log directories of this broker, and which partition's log lies where.
//!
//! Owns the volumes; what lies in a partition's directory is the log's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dohle_base::config::InvalidValue;
use dohle_base::{BrokerId, ErrorCode, Offset, Partition as Index, Timestamp, TopicName, Uuid};
use dohle_log::disk::Files;
use dohle_log::log::{LoadError, Opening};
use dohle_log::options::Options;
use dohle_metadata::Image;
use dohle_metadata::delta::PartitionDelta;
use dohle_metadata::image::{Resource, ResourceKind, Topic};

use crate::config::properties::Properties;
use crate::partition::{Log, Partition};
use crate::volume::Volume;

/// The log directories.
pub(crate) struct Storage {
    node: BrokerId,
    statics: Properties,
    volumes: Vec<Arc<Volume>>,
    openers: usize,
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    #[error("no log directory is in service")]
    Offline,
    #[error("cannot create {}: {source}", path.display())]
    Create { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Open(#[from] LoadError),
    #[error(transparent)]
    Flush(#[from] dohle_log::Failure),
}

impl Storage {
    pub(crate) fn new(node: BrokerId, statics: Properties, volumes: Vec<Arc<Volume>>, openers: usize) -> Self {
        Self { node, statics, volumes, openers }
    }

    /// All directories.
    pub(crate) fn volumes(&self) -> &[Arc<Volume>] {
        &self.volumes
    }

    /// What a topic asks of its logs.
    pub(crate) fn options(&self, image: &Image, topic: &str) -> Result<Options, InvalidValue> {
        let own = Resource::new(ResourceKind::Topic, topic);
        let (mine, all) = (Resource::new(ResourceKind::Broker, &self.node.to_string()), Resource::all_brokers());
        let of_topic = |key: &str| image.configs.get(&own, key).map(str::to_owned);
        let of_broker = |key: &str| {
            let dynamic = image.configs.get(&mine, key).or_else(|| image.configs.get(&all, key));
            dynamic.map(str::to_owned).or_else(|| self.statics.get(key).cloned())
        };
        Options::resolve(&of_topic, &of_broker)
    }

    /// Opens many logs, on several threads.
    pub(crate) fn open_all(
        &self,
        changes: &[&PartitionDelta],
        open: impl Fn(&PartitionDelta) -> Option<Arc<Partition>> + Sync,
    ) -> Vec<Arc<Partition>> {
        let share = changes.len().div_ceil(self.openers).max(1);
        std::thread::scope(|scope| {
            let open = &open;
            let some = |changes: &'_ [&PartitionDelta]| changes.iter().filter_map(|change| open(change)).collect::<Vec<_>>();
            let threads: Vec<_> = changes.chunks(share).map(|changes| scope.spawn(move || some(changes))).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("a log that cannot be opened is told of")).collect()
        })
    }

    /// Opens the log of a partition, or begins one; all that is in it is durable then.
    pub(crate) fn open(
        &self,
        topic: &Topic,
        index: Index,
        directory: Uuid,
        options: Options,
        now: Timestamp,
    ) -> Result<(Log, Arc<Volume>), StorageError> {
        let chosen = self.volumes.iter().find(|volume| volume.id == directory);
        let volume = chosen.or_else(|| self.volumes.first()).ok_or(StorageError::Offline)?;
        let path = volume.dir.join(format!("{}-{index}", topic.name));
        let log = open_log(&path, topic.id, options, now)?;
        Ok((log, Arc::clone(volume)))
    }

    pub(crate) fn delete(&self, topic: &Topic, index: Index, now: Timestamp) {
        for volume in &self.volumes {
            let _ = std::fs::remove_dir_all(volume.dir.join(format!("{}-{index}", topic.name)));
        }
    }

    pub(crate) fn close(&self, partition: &Arc<Partition>, now: Timestamp) {
        if let Some(mut log) = partition.stop(ErrorCode::NotLeaderOrFollower)
            && let Err(failure) = log.close(now)
        {
            partition.volume.fail(&failure);
        }
    }
}

pub(crate) fn open_log(path: &Path, id: Uuid, options: Options, now: Timestamp) -> Result<Log, StorageError> {
    std::fs::create_dir_all(path).map_err(|source| StorageError::Create { path: path.to_owned(), source })?;
    std::fs::write(path.join("partition.metadata"), format!("version: 0\ntopic_id: {id}\n"))
        .map_err(|source| StorageError::Create { path: path.to_owned(), source })?;
    let opening = Opening { clean: false, recovery_point: Offset::ZERO, start: Offset::ZERO };
    let (mut log, _recovered) = Log::open(Files, path, options, &opening, now)?;
    if let Some(flush) = log.begin_flush() {
        log.flushed(flush.run(), now)?;
    }
    Ok(log)
}
