//! The log directories of this broker, and which partition's log lies where.
//!
//! Owns the volumes and the choice among them; what lies in a partition's directory is the log's.
//! Laws: a directory belongs to one broker of one cluster; a topic made anew under an old name never meets the old one's log.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use dohle_base::config::InvalidValue;
use dohle_base::{BrokerId, ErrorCode, Partition as Index, Rng, Timestamp, TopicId, TopicName, Uuid};
use dohle_log::Failure;
use dohle_log::directory::{Directory, DirectoryError, Identity, PartitionName};
use dohle_log::disk::Files;
use dohle_log::log::LoadError;
use dohle_log::options::Options;
use dohle_metadata::Image;
use dohle_metadata::delta::PartitionDelta;
use dohle_metadata::image::{Resource, ResourceKind, Topic};

use crate::config::properties::Properties;
use crate::config::settings::Settings;
use crate::lock::hold;
use crate::partition::{Log, Partition};
use crate::volume::Volume;

/// The log directories.
pub(crate) struct Storage {
    node: BrokerId,
    statics: Properties,
    cluster_id: String,
    /// Of partitions.
    volumes: Vec<Arc<Volume>>,
    /// Of the metadata log; may be one of the others.
    metadata: Arc<Volume>,
    rng: Mutex<Rng>,
    openers: usize,
}

/// Why the data cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("{} belongs to {found}, and this is {wanted}: give this broker a directory of its own", dir.display())]
    Foreign { dir: PathBuf, found: String, wanted: String },
    #[error(transparent)]
    Open(#[from] LoadError),
    #[error(transparent)]
    Disk(#[from] Failure),
}

impl Storage {
    /// Takes the directories that are configured; new ones are made and claimed.
    pub(crate) fn open(settings: &Settings, mut rng: Rng, openers: usize) -> Result<Self, StorageError> {
        let mut roots = settings.storage.dirs.clone();
        if !roots.contains(&settings.storage.metadata_dir) {
            roots.push(settings.storage.metadata_dir.clone());
        }
        let directories = roots.iter().map(|root| Directory::open(Files, root));
        let directories = directories.collect::<Result<Vec<_>, _>>()?;
        let known = directories.iter().find_map(|directory| Some(directory.identity()?.cluster_id.clone()));
        let wanted = settings.node.cluster_id.map(|id| id.to_string());
        let cluster_id = wanted.or(known).unwrap_or_else(|| Uuid::random(&mut rng).to_string());
        let mut volumes = vec![];
        for directory in directories {
            volumes.push(claim(directory, &cluster_id, settings.node.id, &mut rng)?);
        }
        let metadata = volumes.iter().find(|volume| volume.root() == settings.storage.metadata_dir);
        let metadata = Arc::clone(metadata.unwrap_or(&volumes[0]));
        volumes.truncate(settings.storage.dirs.len());
        let (node, statics, rng) = (settings.node.id, settings.written.clone(), Mutex::new(rng));
        Ok(Self { node, statics, cluster_id, volumes, metadata, rng, openers })
    }

    /// The cluster to which the directories belong.
    pub(crate) fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The directories of partitions.
    pub(crate) fn volumes(&self) -> &[Arc<Volume>] {
        &self.volumes
    }

    /// The directory of the metadata log.
    pub(crate) fn metadata(&self) -> &Arc<Volume> {
        &self.metadata
    }

    /// Every directory once.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Volume>> {
        let apart = self.volumes.iter().all(|volume| !Arc::ptr_eq(volume, &self.metadata));
        self.volumes.iter().chain(apart.then_some(&self.metadata))
    }

    /// The epoch that the broker had which stopped here, if it stopped in order and every directory says so.
    pub(crate) fn clean_epoch(&self) -> Option<i64> {
        let epochs: Option<Vec<i64>> = self.all().map(|volume| volume.clean_stop()?.broker_epoch).collect();
        epochs?.into_iter().min()
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
        let open = &open;
        let some = |changes: &[&PartitionDelta]| changes.iter().filter_map(|change| open(change)).collect::<Vec<_>>();
        if changes.len() <= share {
            return some(changes);
        }
        std::thread::scope(|scope| {
            let threads: Vec<_> = changes.chunks(share).map(|changes| scope.spawn(move || some(changes))).collect();
            let opened = threads.into_iter().map(|thread| thread.join().expect("what cannot be opened is told of"));
            opened.flatten().collect()
        })
    }

    /// Opens the log of a partition, or begins one; all that is in it is durable then.
    pub(crate) fn open_log(
        &self,
        topic: &Topic,
        index: Index,
        directory: Uuid,
        options: Options,
        now: Timestamp,
    ) -> Result<(Log, Arc<Volume>), StorageError> {
        let name = PartitionName { topic: topic.name.clone(), partition: index };
        let volume = self.place(&name, topic.id, directory)?;
        let log = open_in(volume, &name, topic.id, options, now)?;
        Ok((log, Arc::clone(volume)))
    }

    /// Opens the metadata log.
    pub(crate) fn open_metadata(
        &self,
        topic: TopicName,
        options: Options,
        now: Timestamp,
    ) -> Result<Log, StorageError> {
        let name = PartitionName { topic, partition: Index(0) };
        open_in(&self.metadata, &name, Uuid::METADATA_TOPIC, options, now)
    }

    /// Gives the directory of a deleted partition a name under which nobody looks for it; says where it is, to be removed later.
    pub(crate) fn delete(&self, topic: &Topic, index: Index) -> Vec<(Arc<Volume>, PathBuf)> {
        let name = PartitionName { topic: topic.name.clone(), partition: index };
        let mut deleted = vec![];
        for volume in &self.volumes {
            match volume.has(&name, topic.id).and_then(|there| there.then(|| self.doom(volume, &name)).transpose()) {
                Ok(path) => deleted.extend(path.map(|path| (Arc::clone(volume), path))),
                Err(failure) => volume.fail(&failure),
            }
        }
        deleted
    }

    /// Makes a partition durable and serves it no more. A disk that fails meanwhile is out of service.
    pub(crate) fn close(&self, partition: &Arc<Partition>, now: Timestamp) {
        let Some(mut log) = partition.stop(ErrorCode::NotLeaderOrFollower) else { return };
        match log.close(now) {
            Ok(()) => {
                let name = PartitionName { topic: partition.topic.clone(), partition: partition.index };
                partition.volume.note_closed(name, log.start(), log.end());
            }
            Err(failure) => partition.volume.fail(&failure),
        }
    }

    /// Where the partition lies, or is to lie: where it is already, else where the controller wants it, else where there are fewest.
    fn place(&self, name: &PartitionName, topic: TopicId, directory: Uuid) -> Result<&Arc<Volume>, StorageError> {
        let mut home = None;
        for volume in &self.volumes {
            if volume.has(name, topic)? {
                home = Some(volume);
            } else if volume.directory.path_of(name).is_dir() {
                tracing::warn!(partition = %name, "the log of a topic that is gone gives way to one of the same name");
                self.doom(volume, name)?;
            }
        }
        let wanted = || self.volumes.iter().find(|volume| volume.id == directory);
        let emptiest = || {
            let online = self.volumes.iter().filter(|volume| !volume.is_offline());
            online.min_by_key(|volume| volume.partitions().map_or(usize::MAX, |partitions| partitions.len()))
        };
        Ok(home.or_else(wanted).or_else(emptiest).unwrap_or(&self.volumes[0]))
    }

    fn doom(&self, volume: &Volume, name: &PartitionName) -> Result<PathBuf, Failure> {
        volume.forget(name)?;
        volume.directory.delete_partition(name, &mut hold(&self.rng))
    }
}

fn claim(
    mut directory: Directory<Files>,
    cluster_id: &str,
    node_id: BrokerId,
    rng: &mut Rng,
) -> Result<Arc<Volume>, StorageError> {
    let identity = match directory.identity() {
        Some(identity) => identity.clone(),
        None => {
            let directory_id = Uuid::random(rng);
            let identity = Identity { cluster_id: cluster_id.to_owned(), node_id, directory_id };
            directory.claim(identity.clone())?;
            identity
        }
    };
    if identity.cluster_id != cluster_id || identity.node_id != node_id {
        let describe = |cluster: &str, node: BrokerId| format!("node {node} of cluster {cluster}");
        let found = describe(&identity.cluster_id, identity.node_id);
        let dir = directory.root().to_owned();
        return Err(StorageError::Foreign { dir, found, wanted: describe(cluster_id, node_id) });
    }
    Ok(Volume::open(directory, &identity)?)
}

fn open_in(
    volume: &Volume,
    name: &PartitionName,
    topic: TopicId,
    options: Options,
    now: Timestamp,
) -> Result<Log, StorageError> {
    let noted = volume.directory.path_of(name).is_dir() && volume.directory.topic_id_of(name)? == Some(topic);
    let path = if noted { volume.directory.path_of(name) } else { volume.directory.create_partition(name, topic)? };
    let opening = volume.opening(name);
    let (mut log, recovered) = Log::open(Files, &path, options, &opening, now)?;
    if !opening.clean && recovered.torn.is_some() {
        tracing::info!(partition = %name, ?recovered, "log recovered");
    }
    if let Some(flush) = log.begin_flush() {
        log.flushed(flush.run(), now)?;
    }
    Ok(log)
}
