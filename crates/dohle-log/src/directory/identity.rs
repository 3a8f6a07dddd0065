//! Whose a directory is: `meta.properties` in version 1, a file of Java properties (`MetaProperties`).

use dohle_base::{BrokerId, Uuid};
use thiserror::Error;

const VERSION: &str = "1";

/// Whose a directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster_id: String,
    /// The broker in it.
    pub node_id: BrokerId,
    /// The directory among the broker's (KIP-858).
    pub directory_id: Uuid,
}

/// A file that does not say whose the directory is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidIdentity {
    /// Bytes that are no text.
    #[error("not text")]
    NotText,
    /// A version that is not written here: a newer release, or Kafka with ZooKeeper.
    #[error("unknown version `{0}`")]
    Version(String),
    /// A key that has to be there.
    #[error("no valid `{0}`")]
    Key(&'static str),
}

impl Identity {
    /// Reads the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidIdentity> {
        let text = std::str::from_utf8(bytes).map_err(|_| InvalidIdentity::NotText)?;
        let find =
            |key: &str| text.lines().filter_map(property).find(|(found, _)| *found == key).map(|(_, value)| value);
        let version = find("version").unwrap_or_default();
        if version != VERSION {
            return Err(InvalidIdentity::Version(version));
        }
        let node_id = find("node.id").and_then(|id| id.parse().ok()).filter(|id| *id >= 0);
        let directory_id = find("directory.id").and_then(|id| id.parse().ok());
        Ok(Self {
            cluster_id: find("cluster.id").filter(|id| !id.is_empty()).ok_or(InvalidIdentity::Key("cluster.id"))?,
            node_id: BrokerId(node_id.ok_or(InvalidIdentity::Key("node.id"))?),
            directory_id: directory_id.ok_or(InvalidIdentity::Key("directory.id"))?,
        })
    }

    /// The file as it is to be written.
    pub fn to_bytes(&self) -> Vec<u8> {
        let cluster_id: String = self.cluster_id.chars().flat_map(escape).collect();
        let Self { node_id, directory_id, .. } = self;
        format!("version={VERSION}\ncluster.id={cluster_id}\nnode.id={node_id}\ndirectory.id={directory_id}\n")
            .into_bytes()
    }
}

/// A line of a file of Java properties: key and value, unescaped.
fn property(line: &str) -> Option<(&str, String)> {
    let line = line.trim();
    if line.starts_with(['#', '!']) {
        return None;
    }
    let (key, value) = line.split_once(['=', ':'])?;
    let mut escaped = false;
    let plain = value.trim().chars().filter(|c| {
        escaped = *c == '\\' && !escaped;
        !escaped
    });
    Some((key.trim(), plain.collect()))
}

fn escape(c: char) -> impl Iterator<Item = char> {
    let special = matches!(c, '\\' | '=' | ':' | '#' | '!');
    special.then_some('\\').into_iter().chain([c])
}
