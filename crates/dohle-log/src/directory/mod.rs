//! A directory of logs, as Kafka lays it out: who it belongs to, its partitions, and the files that are about all of them.
//!
//! Owns names and files beside the logs. Checkpoints are hints that may be late; a damaged one is logged and counts as empty, which costs
//! time and no record. Knows no log: whoever opens one gets its path and its checkpoints here.

mod checkpoints;
mod identity;
pub(crate) mod partition;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use thiserror::Error;

use crate::disk::{Disk, read_whole, remove_if_there, replace};
use crate::failure::Failure;

pub use checkpoints::{Checkpoint, Offsets};
pub use identity::{Identity, InvalidIdentity};
pub use partition::{Found, PartitionName};

const LOCK_FILE: &str = ".lock";
const IDENTITY_FILE: &str = "meta.properties";
const CLEAN_STOP_FILE: &str = ".kafka_cleanshutdown";

/// A directory of logs, kept from every other process.
#[derive(Debug)]
pub struct Directory<D: Disk> {
    disk: D,
    root: PathBuf,
    identity: Option<Identity>,
    lock: D::Lock,
}

/// What a clean stop leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanStop {
    /// The epoch of the broker that stopped; none when it never had one. With it the broker's next registration proves that nothing is
    /// lost (KIP-966).
    pub broker_epoch: Option<i64>,
}

/// A directory that cannot be used.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// Another process has it.
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// Nobody can say whose it is.
    #[error("{}: {why}", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: InvalidIdentity,
    },
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] Failure),
}

impl<D: Disk> Directory<D> {
    /// Takes a directory, which is made when it is not there.
    pub fn open(disk: D, root: &Path) -> Result<Self, DirectoryError> {
        make(&disk, root)?;
        let lock = disk.lock(&root.join(LOCK_FILE)).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => DirectoryError::Locked(root.to_owned()),
            _ => Failure::of("lock", root)(error).into(),
        })?;
        let path = root.join(IDENTITY_FILE);
        let read = read_whole(&disk, &path).map_err(Failure::of("read", &path))?;
        let identity = read.map(|bytes| Identity::parse(&bytes)).transpose();
        let identity = identity.map_err(|why| DirectoryError::Identity { path, why })?;
        Ok(Self { disk, root: root.to_owned(), identity, lock })
    }

    /// The disk that it is on.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whose it is; none as long as nobody has taken it for a cluster.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Makes files of its logs durable together: [`Disk::sync_together`].
    pub(crate) fn sync_together(&self, files: &[D::File]) -> Option<io::Result<()>> {
        self.disk.sync_together(&self.lock, files)
    }

    /// Takes it for a broker of a cluster, once.
    pub fn claim(&mut self, identity: Identity) -> Result<(), Failure> {
        assert!(self.identity.is_none(), "a directory belongs to one broker for ever");
        self.replace(IDENTITY_FILE, &identity.to_bytes())?;
        self.identity = Some(identity);
        Ok(())
    }

    /// Whether the last broker stopped cleanly. The mark is gone when this comes back: from now on a stop is unclean until
    /// [`Directory::mark_clean_stop`].
    pub fn take_clean_stop(&self) -> Result<Option<CleanStop>, Failure> {
        let path = self.root.join(CLEAN_STOP_FILE);
        let read = read_whole(&self.disk, &path).map_err(Failure::of("read", &path))?;
        let Some(bytes) = read else { return Ok(None) };
        remove_if_there(&self.disk, &path).map_err(Failure::of("remove", &path))?;
        self.disk.sync_dir(&self.root).map_err(Failure::of("sync", &self.root))?;
        let content: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let broker_epoch = content["brokerEpoch"].as_i64().filter(|epoch| *epoch >= 0);
        Ok(Some(CleanStop { broker_epoch }))
    }

    /// Says that everything is durable and nothing will be written any more: the last thing that a broker does.
    pub fn mark_clean_stop(&self, broker_epoch: i64) -> Result<(), Failure> {
        let content = format!(r#"{{"version":0,"brokerEpoch":{broker_epoch}}}"#);
        self.replace(CLEAN_STOP_FILE, content.as_bytes())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.root.join(name);
        replace(&self.disk, &path, bytes).map_err(Failure::of("replace", &path))
    }
}

/// Makes a directory and those above it, and makes their names durable.
fn make<D: Disk>(disk: &D, dir: &Path) -> Result<(), Failure> {
    let missing: Vec<&Path> = dir
        .ancestors()
        .take_while(|ancestor| !ancestor.as_os_str().is_empty() && disk.list(ancestor).is_err())
        .collect();
    for path in missing.into_iter().rev() {
        disk.create_dir(path).map_err(Failure::of("create", path))?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            disk.sync_dir(parent).map_err(Failure::of("sync", parent))?;
        }
    }
    Ok(())
}
