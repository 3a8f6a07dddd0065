//! The log directories of this broker, and which partition's log lies where.
//!
//! Owns the volumes and the choice among them; what lies in a partition's directory is the log's.
//! Laws: a directory belongs to one broker of one cluster; a topic made anew under an old name never meets the old one's log.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dohle_base::config::InvalidValue;
use dohle_base::{BrokerId, ErrorCode, Partition as Index, Rng, Timestamp, TopicId, TopicName, Uuid};
use dohle_log::Failure;
use dohle_log::directory::{Directory, DirectoryError, Identity, PartitionName};
use dohle_log::disk::Files;
use dohle_log::log::{Flush, LoadError};
use dohle_log::options::Options;
use dohle_metadata::image::{Resource, ResourceKind, Topic};
use dohle_metadata::{Image, directory as placed};

use crate::config::properties::Properties;
use crate::config::settings::Settings;
use crate::lock::{hold, hold_over_disk, write_over_disk};
use crate::partition::{Log, Partition};
use crate::recovery::Recovery;
use crate::space;
use crate::volume::{Lying, Volume};

/// Logs that are made durable together when they are opened: each holds an open file until then.
const OPENED_TOGETHER: usize = 250;
/// In how many lots a thread opens its share.
const LOTS_PER_THREAD: usize = 8;
/// From so many on, one call for all is cheaper than one for each.
const TOGETHER_MIN: usize = 4;
/// How often it is told how far the opening of logs has come.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The log directories.
pub(crate) struct Storage {
    node: BrokerId,
    statics: Properties,
    cluster_id: String,
    /// Of partitions.
    volumes: Vec<Arc<Volume>>,
    /// Of the metadata log; may be one of the others.
    metadata: Arc<Volume>,
    /// Directories that cannot be read: what lies there is not served, and nothing takes its place.
    dead: Vec<PathBuf>,
    rng: Mutex<Rng>,
    openers: usize,
    pub(crate) space_limits: space::Limits,
    /// What the logs were like when they were opened.
    pub(crate) recovery: Recovery,
}

/// A log that is to be opened.
pub(crate) struct Wanted<'a> {
    pub(crate) topic: &'a Topic,
    pub(crate) index: Index,
    /// Where the controller wants it.
    pub(crate) directory: Uuid,
    /// Whether it was created just now: then it may be empty.
    pub(crate) is_new: bool,
    pub(crate) options: Arc<Options>,
}

/// A directory of a partition.
type Home<'a> = (&'a Arc<Volume>, Lying);

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
    #[error("{} has no room to make it durable", .0.display())]
    Full(PathBuf),
    #[error("its log lies in a directory that is offline")]
    Away,
    #[error("it lies in several directories, and they do not say which one counts: {0:?}")]
    Twice(Vec<PathBuf>),
    #[error("none of the directories can be used")]
    Nowhere,
}

impl Storage {
    /// Takes the directories that are configured; new ones are made and claimed.
    pub(crate) fn open(settings: &Settings, mut rng: Rng) -> Result<Self, StorageError> {
        let written = &settings.storage;
        let mut roots = written.dirs.clone();
        if !roots.contains(&written.metadata_dir) {
            roots.push(written.metadata_dir.clone());
        }
        let (mut directories, mut dead) = (vec![], vec![]);
        for root in roots {
            space::make_room(&root, &written.space);
            match Directory::open(Files, &root) {
                Ok(directory) => directories.push(directory),
                // Without the metadata nobody knows what the others hold.
                Err(DirectoryError::Storage(failure)) if root != written.metadata_dir => {
                    tell_dead(&root, &failure);
                    dead.push(root);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let known = directories.iter().find_map(|directory| Some(directory.identity()?.cluster_id.clone()));
        let wanted = settings.node.cluster_id.map(|id| id.to_string());
        let cluster_id = wanted.or(known).unwrap_or_else(|| Uuid::random(&mut rng).to_string());
        let mut volumes = vec![];
        for directory in directories {
            let root = directory.root().to_owned();
            match claim(directory, &cluster_id, settings.node.id, &mut rng) {
                Ok(volume) => volumes.push(volume),
                Err(StorageError::Directory(DirectoryError::Storage(failure))) if root != written.metadata_dir => {
                    tell_dead(&root, &failure);
                    dead.push(root);
                }
                Err(error) => return Err(error),
            }
        }
        let metadata = volumes.iter().find(|volume| volume.root() == written.metadata_dir);
        let metadata = Arc::clone(metadata.ok_or(StorageError::Nowhere)?);
        volumes.retain(|volume| written.dirs.iter().any(|dir| dir == volume.root()));
        if volumes.is_empty() {
            return Err(StorageError::Nowhere);
        }
        let openers = written.openers_per_dir * volumes.len();
        let storage = Self {
            node: settings.node.id,
            statics: settings.written.clone(),
            cluster_id,
            volumes,
            metadata,
            dead,
            rng: Mutex::new(rng),
            openers,
            space_limits: written.space,
            recovery: Recovery::default(),
        };
        storage.all().for_each(|volume| volume.look_at_space(&storage.space_limits));
        Ok(storage)
    }

    /// Directories that cannot be read since the start.
    pub(crate) fn dead(&self) -> &[PathBuf] {
        &self.dead
    }

    /// The directories that have failed since the start, by their ids.
    pub(crate) fn failed(&self) -> Vec<Uuid> {
        self.volumes.iter().filter(|volume| volume.is_offline()).map(|volume| volume.id).collect()
    }

    /// Whether every directory can be used.
    pub(crate) fn is_whole(&self) -> bool {
        self.dead.is_empty() && self.volumes.iter().all(|volume| !volume.is_offline())
    }

    /// The directory of this path, as it is written in full.
    pub(crate) fn directory_at(&self, path: &Path) -> Result<&Arc<Volume>, ErrorCode> {
        let is_it = |dir: &Path| std::path::absolute(dir).is_ok_and(|dir| dir == path);
        match self.volumes.iter().find(|volume| volume.path() == path) {
            Some(volume) if !volume.is_offline() => Ok(volume),
            Some(_) => Err(ErrorCode::KafkaStorageError),
            None if self.dead.iter().any(|dead| is_it(dead)) => Err(ErrorCode::KafkaStorageError),
            None => Err(ErrorCode::LogDirNotFound),
        }
    }

    /// What is there of a partition that was on its way when the broker before has stopped; each is told of once.
    pub(crate) fn take_left_over(&self, name: &PartitionName) -> Vec<(Arc<Volume>, PathBuf)> {
        let of = |volume: &Arc<Volume>| {
            volume
                .take_left_over(|left| left == name)
                .into_iter()
                .map(|path| (Arc::clone(volume), path))
                .collect::<Vec<_>>()
        };
        self.volumes.iter().flat_map(of).collect()
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
        let epochs: Option<Vec<i64>> = self.all().map(|volume| volume.clean_stop?.broker_epoch).collect();
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

    /// Opens many logs, some at a time on each of several threads, and tells how far that has come.
    pub(crate) fn open_all<T: Sync>(
        &self,
        all: &[T],
        open: impl Fn(&[T]) -> Vec<Arc<Partition>> + Sync,
    ) -> Vec<Arc<Partition>> {
        // Small enough that no thread is left with much when the others are done.
        let lot = (all.len() / (LOTS_PER_THREAD * self.openers)).clamp(1, OPENED_TOGETHER);
        let lots: Vec<&[T]> = all.chunks(lot).collect();
        let next = AtomicUsize::new(0);
        let some = || {
            let mut opened = vec![];
            while let Some(lot) = lots.get(next.fetch_add(1, Ordering::Relaxed)) {
                opened.extend(open(lot));
            }
            opened
        };
        self.recovery.begin(all.len());
        if lots.len() <= 1 {
            return some();
        }
        std::thread::scope(|scope| {
            let (busy, ended) = mpsc::channel::<()>();
            let open_some = |_| {
                let (some, busy) = (&some, busy.clone());
                scope.spawn(move || {
                    let opened = some();
                    drop(busy);
                    opened
                })
            };
            let threads: Vec<_> = (0..self.openers.min(lots.len())).map(open_some).collect();
            drop(busy);
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(TELL_EVERY) {
                self.recovery.tell();
            }
            let opened = threads.into_iter().map(|thread| thread.join().expect("what cannot be opened is told of"));
            opened.flatten().collect()
        })
    }

    /// Opens the logs of some partitions, or begins them; all that is in them is durable then, and they hold no open file until they are used.
    pub(crate) fn open_logs<'a>(&self, wanted: impl Iterator<Item = &'a Wanted<'a>>, now: Timestamp) -> Vec<Opened> {
        let open = |wanted| {
            let opened = self.open_log(wanted, now);
            self.recovery.end_one();
            opened
        };
        let mut opened: Vec<Opened> = wanted.map(open).collect();
        for volume in &self.volumes {
            let here =
                opened.iter_mut().filter(|opened| opened.as_ref().is_ok_and(|(_, place)| Arc::ptr_eq(place, volume)));
            confirm(volume, here.collect(), now);
        }
        for (log, volume) in opened.iter().flatten() {
            volume.settle_left(log);
            log.rest();
        }
        opened
    }

    fn open_log(&self, wanted: &Wanted<'_>, now: Timestamp) -> Opened {
        let name = PartitionName { topic: wanted.topic.name.clone(), partition: wanted.index };
        let (volume, lying) = self.place(&name, wanted)?;
        let log = self.open_in(volume, &name, wanted.topic.id, lying, Arc::clone(&wanted.options), now)?;
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
        let lying = self.metadata.look_for(&name)?;
        let mut log = self.open_in(&self.metadata, &name, Uuid::METADATA_TOPIC, lying, Arc::new(options), now)?;
        if let Some(flush) = log.begin_flush() {
            log.flushed(flush.run(), now)?;
        }
        self.metadata.settle_left(&log);
        Ok(log)
    }

    /// Gives the directory of a deleted partition a name under which nobody looks for it; says where it is, to be removed later.
    pub(crate) fn delete(&self, topic: &Topic, index: Index) -> Vec<(Arc<Volume>, PathBuf)> {
        let name = PartitionName { topic: topic.name.clone(), partition: index };
        let mut deleted = vec![];
        for volume in &self.volumes {
            if volume.is_offline() {
                continue;
            }
            let lies_here = volume.look_for(&name).map(|lying| lying.is_some_and(|lying| lying.is_of(topic.id)));
            match lies_here.and_then(|here| here.then(|| self.doom(volume, &name)).transpose()) {
                Ok(path) => deleted.extend(path.map(|path| (Arc::clone(volume), path))),
                Err(failure) => volume.fail(&failure),
            }
        }
        deleted
    }

    /// Makes a partition durable and serves it no more. A disk that fails meanwhile is out of service.
    pub(crate) fn close(&self, partition: &Arc<Partition>, now: Timestamp) {
        if partition.volume().is_offline() {
            drop(partition.stop(ErrorCode::KafkaStorageError));
            return;
        }
        let mut volume = partition.volume();
        // What was journaled of it is needed until it is closed.
        let mut alone = write_over_disk(&volume.syncing);
        while !partition.is_on(&volume) {
            drop(alone);
            volume = partition.volume();
            alone = write_over_disk(&volume.syncing);
        }
        let Some(mut log) = partition.stop(ErrorCode::NotLeaderOrFollower) else { return };
        match log.close(now) {
            Ok(()) => {
                let name = PartitionName { topic: partition.topic.clone(), partition: partition.index };
                partition.volume().note_closed(name, log.start(), log.end());
            }
            Err(failure) => partition.volume().fail(&failure),
        }
    }

    /// Where the partition lies, or is to lie: where it is already, else where the controller wants it, else where there are fewest. One
    /// that is not new and may lie in a directory that is offline is not begun anew: its records would be gone the moment that
    /// somebody writes.
    fn place(&self, name: &PartitionName, wanted: &Wanted<'_>) -> Result<(&Arc<Volume>, Option<Lying>), StorageError> {
        let mut homes = vec![];
        let online = || self.volumes.iter().filter(|volume| !volume.is_offline());
        for volume in online() {
            let Some(lying) = volume.look_for(name)? else { continue };
            if lying.is_of(wanted.topic.id) {
                homes.push((volume, lying));
            } else {
                tracing::warn!(partition = %name, "the log of a topic that is gone gives way to one of the same name");
                self.doom(volume, name)?;
            }
        }
        if let Some((volume, lying)) = self.settle_home(name, homes)? {
            return Ok((volume, Some(lying)));
        }
        let all_online = self.dead.is_empty() && online().count() == self.volumes.len();
        let lies_here = online().any(|volume| volume.id == wanted.directory);
        if !wanted.is_new && !all_online && !lies_here || wanted.directory == placed::LOST {
            return Err(StorageError::Away);
        }
        if !wanted.is_new {
            tracing::error!(partition = %name, "its log is in none of the directories: it begins anew");
        }
        let chosen = online().find(|volume| volume.id == wanted.directory);
        let emptiest = || online().min_by_key(|volume| volume.logs.load(Ordering::Relaxed));
        let home = chosen.or_else(emptiest).ok_or(StorageError::Nowhere)?;
        home.count_log(1);
        Ok((home, None))
    }

    /// Where a partition lies, given where its directories are and to which other one each says that it was moved. A stop in the last step of a
    /// move leaves two; the one that was moved to is whole then, and may have been written to.
    fn settle_home<'a>(&self, name: &PartitionName, homes: Vec<Home<'a>>) -> Result<Option<Home<'a>>, StorageError> {
        let ids: Vec<Uuid> = homes.iter().map(|(volume, _)| volume.id).collect();
        let roots = || homes.iter().map(|(volume, _)| volume.root().to_owned()).collect();
        let goes_on = |lying: &Lying| lying.successor.is_some_and(|successor| ids.contains(&successor));
        let here = homes.iter().filter(|(_, lying)| !goes_on(lying)).count();
        if here != 1 {
            return if homes.is_empty() { Ok(None) } else { Err(StorageError::Twice(roots())) };
        }
        let (mut here, left): (Vec<Home<'_>>, Vec<Home<'_>>) =
            homes.into_iter().partition(|(_, lying)| !goes_on(lying));
        let home = here.remove(0);
        if let (volume, Lying { successor: Some(successor), .. }) = &home {
            if self.volumes.iter().all(|volume| volume.id != *successor || volume.is_offline()) {
                // It may have been moved there, and written to.
                return Err(StorageError::Away);
            }
            // The move did not come so far.
            volume.directory.forget_successor(name)?;
        }
        for (volume, _) in left {
            tracing::warn!(partition = %name, from = %volume.root().display(), to = %home.0.root().display(), "a move is completed");
            self.doom(volume, name)?;
        }
        Ok(Some(home))
    }

    /// Opens a log, or begins one. What is in it may not be durable yet.
    fn open_in(
        &self,
        volume: &Volume,
        name: &PartitionName,
        topic: TopicId,
        lying: Option<Lying>,
        options: Arc<Options>,
        now: Timestamp,
    ) -> Result<Log, StorageError> {
        let directory = &volume.directory;
        let noted = lying.as_ref().is_some_and(|lying| lying.topic_id == Some(topic));
        let path = if noted { directory.path_of(name) } else { directory.begin_partition(name, topic)? };
        let listing = lying.map(|lying| lying.listing).unwrap_or_default();
        let (mut opening, left) = (volume.opening(name), hold_over_disk(&volume.left).of(&name.to_string()));
        let start = opening.start;
        // A stop is not clean for a log that could not be opened by the broker before, and so has not got what is left.
        opening.clean &= left.is_none();
        if let Some(begin) = left.as_ref().map(|left| left.begin(topic)).transpose()?.flatten() {
            // What is left may begin before the start, and be all that leads to it.
            opening.start = start.min(begin);
        }
        let progress = &self.recovery.progress;
        let (mut log, recovered) = Log::open_listed(Files, &path, listing, options, &opening, now, progress)?;
        self.recovery.note(name, &recovered);
        if let Some(left) = left {
            let batches = left.restore(topic, &mut log, now)?;
            self.recovery.note_restored(name, batches);
            if log.end() < start {
                log.truncate_fully(start, now)?;
            } else if log.start() < start {
                log.advance_start(start).expect("a start within the log");
            }
        }
        if noted && !opening.clean {
            self.recovery.miss(name, log.end(), volume.shown(name));
        }
        if !noted {
            log.doubt_directory();
        }
        Ok(log)
    }

    fn doom(&self, volume: &Volume, name: &PartitionName) -> Result<PathBuf, Failure> {
        volume.forget(name)?;
        let doomed = volume.directory.delete_partition(name, &mut hold(&self.rng))?;
        volume.count_log(-1);
        Ok(doomed)
    }
}

/// A log that was opened, or why it was not, with its place.
pub(crate) type Opened = Result<(Log, Arc<Volume>), StorageError>;

/// Makes durable what is in some logs of one directory, with one call where there are several: a stop may have come before the disk had it.
fn confirm(volume: &Volume, opened: Vec<&mut Opened>, now: Timestamp) {
    let begin = |opened: &mut Opened| opened.as_mut().ok()?.0.begin_flush();
    let begun = opened.into_iter().filter_map(|opened| Some((begin(opened)?, opened)));
    let (flushes, opened): (Vec<Flush<Files>>, Vec<&mut Opened>) = begun.unzip();
    let flushed = match flushes.len() {
        ..TOGETHER_MIN => flushes.into_iter().map(Flush::run).collect(),
        _ => Flush::run_together(flushes, &volume.directory),
    };
    for (opened, flushed) in opened.into_iter().zip(flushed) {
        let Ok((log, _)) = opened else { continue };
        match log.flushed(flushed, now) {
            Ok(durable) if durable == log.end() => {}
            Ok(_) => *opened = Err(StorageError::Full(volume.root().to_owned())),
            Err(failure) => *opened = Err(failure.into()),
        }
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

fn tell_dead(root: &Path, failure: &Failure) {
    let cause = &failure.source;
    tracing::error!(dir = %root.display(), %cause, "a directory is offline, the others are served: {failure}");
}
