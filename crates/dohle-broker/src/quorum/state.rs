//! `quorum-state`: who leads the metadata quorum in which epoch, in Kafka's JSON (`FileQuorumStateStore`, `QuorumStateData`).
//!
//! Law: an epoch is on the disk before anything is done in it.

use std::path::{Path, PathBuf};

use dohle_base::{BrokerId, LeaderEpoch, Uuid};
use dohle_log::Failure;
use dohle_log::disk::{self, Files};
use serde_json::{Value, json};

const FILE_NAME: &str = "quorum-state";
/// The version since voters are known by their directories (KIP-853).
const DATA_VERSION: i64 = 1;

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QuorumState {
    pub(crate) leader: BrokerId,
    pub(crate) epoch: LeaderEpoch,
}

/// A file that cannot be relied on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QuorumStateError {
    #[error(transparent)]
    Storage(#[from] Failure),
    #[error("{} is not a quorum state", .0.display())]
    Corrupt(PathBuf),
}

/// Reads the file in `dir`; none before the first election.
pub(crate) fn read(files: &Files, dir: &Path) -> Result<Option<QuorumState>, QuorumStateError> {
    let path = dir.join(FILE_NAME);
    let bytes =
        disk::read_whole(files, &path).map_err(|source| Failure { action: "read", path: path.clone(), source })?;
    bytes.map(|bytes| parse(&bytes).ok_or(QuorumStateError::Corrupt(path))).transpose()
}

/// Replaces the file in `dir`, durably.
pub(crate) fn write(files: &Files, dir: &Path, state: QuorumState) -> Result<(), QuorumStateError> {
    let path = dir.join(FILE_NAME);
    let text = show(state).to_string();
    disk::replace(files, &path, text.as_bytes()).map_err(|source| Failure { action: "replace", path, source })?;
    Ok(())
}

fn show(state: QuorumState) -> Value {
    json!({
        "leaderId": state.leader.0,
        "leaderEpoch": state.epoch.0,
        "votedId": BrokerId::NONE.0,
        "votedDirectoryId": Uuid::ZERO.to_string(),
        "data_version": DATA_VERSION,
    })
}

fn parse(bytes: &[u8]) -> Option<QuorumState> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let number = |name: &str| i32::try_from(value.get(name)?.as_i64()?).ok();
    let epoch = LeaderEpoch(number("leaderEpoch")?);
    (epoch >= LeaderEpoch(0)).then_some(QuorumState { leader: BrokerId(number("leaderId")?), epoch })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_written_and_kafkas_older_form_too() {
        let state = QuorumState { leader: BrokerId(1), epoch: LeaderEpoch(7) };
        assert_eq!(parse(show(state).to_string().as_bytes()), Some(state));
        let older = br#"{"clusterId":"","leaderId":1,"leaderEpoch":7,"votedId":-1,"appliedOffset":0,"currentVoters":[],"data_version":0}"#;
        assert_eq!(parse(older), Some(state));
        for bytes in [&b""[..], b"{}", b"{\"leaderId\":1,\"leaderEpoch\":-1}", b"[]"] {
            assert_eq!(parse(bytes), None);
        }
    }
}
