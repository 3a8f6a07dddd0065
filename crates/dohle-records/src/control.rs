//! Control records: what brokers write into a log for each other and for clients (`ControlRecordType`).
//!
//! Owns the key, which says what the record is, and the value of a transaction's end. The other values are messages
//! of the protocol and stay bytes here.

use bytes::{Buf, Bytes};
use dohle_base::{ProducerEpoch, ProducerId, Timestamp};

use crate::batch::Batch;
use crate::batch::decode::Malformed;
use crate::batch::encode::{Builder, Entry, Full, Producer, Settings};
use crate::batch::header::NO_SEQUENCE;
use crate::record::Record;

/// What a control record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A transaction ends and its records do not count.
    Abort,
    /// A transaction ends and its records count.
    Commit,
    /// A new leader of the metadata quorum (KIP-595).
    LeaderChange,
    /// The first record of a snapshot (KIP-630).
    SnapshotHeader,
    /// The last record of a snapshot.
    SnapshotFooter,
    /// The version of the quorum's protocol (KIP-853).
    KRaftVersion,
    /// The voters of the quorum.
    KRaftVoters,
    /// From a later release. Readers pass over it.
    Unknown(i16),
}

impl Kind {
    /// The kind of that number.
    pub fn from_code(code: i16) -> Self {
        match code {
            0 => Self::Abort,
            1 => Self::Commit,
            2 => Self::LeaderChange,
            3 => Self::SnapshotHeader,
            4 => Self::SnapshotFooter,
            5 => Self::KRaftVersion,
            6 => Self::KRaftVoters,
            unknown => Self::Unknown(unknown),
        }
    }

    /// Its number.
    pub fn code(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
            Self::LeaderChange => 2,
            Self::SnapshotHeader => 3,
            Self::SnapshotFooter => 4,
            Self::KRaftVersion => 5,
            Self::KRaftVoters => 6,
            Self::Unknown(code) => code,
        }
    }
}

/// The version of keys and of end markers that is written. Readers take any that is not negative, for what follows
/// may only grow.
const VERSION: i16 = 0;

/// A control record, its value unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRecord {
    /// What it is.
    pub kind: Kind,
    /// What it says, as the kind has it.
    pub value: Bytes,
}

impl ControlRecord {
    /// Reads a record out of a control batch.
    pub fn of(record: &Record) -> Result<Self, Malformed> {
        let mut key = record.key.as_deref().ok_or(Malformed::Control)?;
        let version = key.try_get_i16().map_err(|_| Malformed::Control)?;
        let kind = key.try_get_i16().map_err(|_| Malformed::Control)?;
        if version < 0 {
            return Err(Malformed::Control);
        }
        Ok(Self { kind: Kind::from_code(kind), value: record.value.clone().unwrap_or_default() })
    }
}

/// Writes a control record into a batch that was begun with [`Settings::control`].
pub fn append(builder: &mut Builder, timestamp: Timestamp, kind: Kind, value: &[u8]) -> Result<i32, Full> {
    let mut key = [0; 4];
    key[..2].copy_from_slice(&VERSION.to_be_bytes());
    key[2..].copy_from_slice(&kind.code().to_be_bytes());
    builder.append(&Entry { timestamp, key: Some(&key), value: Some(value), headers: &[] })
}

/// The end of a transaction in one partition (`EndTransactionMarker`, KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTransaction {
    /// Whether its records count.
    pub committed: bool,
    /// The epoch of the coordinator that says so; an older one is refused.
    pub coordinator_epoch: i32,
}

impl EndTransaction {
    /// Reads the marker, or none when the record is another kind of control record.
    pub fn of(record: &ControlRecord) -> Result<Option<Self>, Malformed> {
        let committed = match record.kind {
            Kind::Commit => true,
            Kind::Abort => false,
            Kind::LeaderChange
            | Kind::SnapshotHeader
            | Kind::SnapshotFooter
            | Kind::KRaftVersion
            | Kind::KRaftVoters
            | Kind::Unknown(_) => return Ok(None),
        };
        let mut value = &record.value[..];
        let version = value.try_get_i16().map_err(|_| Malformed::Control)?;
        let coordinator_epoch = value.try_get_i32().map_err(|_| Malformed::Control)?;
        if version < 0 {
            return Err(Malformed::Control);
        }
        Ok(Some(Self { committed, coordinator_epoch }))
    }

    /// The batch that ends the transaction of that producer, to be stamped like any other.
    pub fn to_batch(self, timestamp: Timestamp, id: ProducerId, epoch: ProducerEpoch) -> Batch {
        let producer = Some(Producer { id, epoch, base_sequence: NO_SEQUENCE });
        let mut builder =
            Builder::new(Settings { producer, transactional: true, control: true, ..Settings::default() });
        let kind = if self.committed { Kind::Commit } else { Kind::Abort };
        let mut value = [0; 6];
        value[..2].copy_from_slice(&VERSION.to_be_bytes());
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        append(&mut builder, timestamp, kind, &value).expect("a marker is small");
        builder.finish()
    }
}
