//! The files that hold an offset for each partition of a directory (`OffsetCheckpointFile`).

use std::collections::BTreeMap;

use dohle_base::{Offset, TopicName};

use super::{Directory, PartitionName, partition};
use crate::checkpoint::{self, Corrupt};
use crate::disk::{Disk, read_whole};
use crate::failure::Failure;

/// An offset for each partition.
pub type Offsets = BTreeMap<PartitionName, Offset>;

/// Which offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Checkpoint {
    /// Up to where a log is durable: recovery reads from there.
    RecoveryPoint,
    /// The high watermark.
    HighWatermark,
    /// The first offset that may be read.
    LogStart,
    /// Up to where a log is compacted.
    Cleaner,
    /// Up to where a log was scrubbed in the present round. Not one of Kafka's.
    Scrub,
}

impl Checkpoint {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::RecoveryPoint, Self::HighWatermark, Self::LogStart, Self::Cleaner];

    /// Reads a file of offsets.
    pub fn parse(bytes: &[u8]) -> Result<Offsets, Corrupt> {
        // The partitions of a topic follow each other, and share its name.
        let mut topic = None;
        Ok(checkpoint::read(bytes, |line| parse(line, &mut topic))?.into_iter().collect())
    }

    /// The file with these offsets, all of them.
    pub fn to_bytes(offsets: &Offsets) -> Vec<u8> {
        checkpoint::write(offsets.iter().map(|(name, offset)| format!("{} {} {offset}", name.topic, name.partition)))
    }

    /// The name of the file in the directory.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::RecoveryPoint => "recovery-point-offset-checkpoint",
            Self::HighWatermark => "replication-offset-checkpoint",
            Self::LogStart => "log-start-offset-checkpoint",
            Self::Cleaner => "cleaner-offset-checkpoint",
            Self::Scrub => "scrub-offset-checkpoint",
        }
    }
}

impl<D: Disk> Directory<D> {
    /// The offsets as they were last written; none when there is no file, or a damaged one.
    pub fn read_offsets(&self, checkpoint: Checkpoint) -> Result<Offsets, Failure> {
        let path = self.root.join(checkpoint.file_name());
        let read = match read_whole(&self.disk, &path) {
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Some(Vec::new()),
            read => read.map_err(Failure::of("read", &path))?,
        };
        let Some(bytes) = read else { return Ok(Offsets::new()) };
        match Checkpoint::parse(&bytes) {
            Ok(offsets) => Ok(offsets),
            Err(corrupt) => {
                tracing::warn!(path = %path.display(), %corrupt, "a checkpoint is ignored");
                Ok(Offsets::new())
            }
        }
    }

    /// Writes the offsets, all of them: a crash leaves the old file or the new.
    pub fn write_offsets(&self, checkpoint: Checkpoint, offsets: &Offsets) -> Result<(), Failure> {
        self.replace(checkpoint.file_name(), &Checkpoint::to_bytes(offsets))
    }
}

fn parse(line: &str, known: &mut Option<TopicName>) -> Option<(PartitionName, Offset)> {
    let mut words = line.split(' ');
    let (topic, partition, offset) = (words.next()?, words.next()?, words.next()?);
    let same = known.take().filter(|known| known.as_str() == topic);
    let topic = same.or_else(|| TopicName::parse(topic).ok())?;
    *known = Some(topic.clone());
    let name = PartitionName { topic, partition: partition::number(partition)? };
    let offset = offset.parse().ok().filter(|offset| *offset >= 0)?;
    words.next().is_none().then_some((name, Offset(offset)))
}
