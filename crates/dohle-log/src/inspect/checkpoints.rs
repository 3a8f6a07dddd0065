//! The files that are about all partitions of a directory, compared with the logs.

use std::collections::BTreeMap;
use std::path::Path;

use dohle_base::Offset;

use super::finding::{Finding, Flaw};
use crate::directory::{Checkpoint, PartitionName};
use crate::disk::{Disk, read_whole, replace};
use crate::failure::Failure;

/// Judges the checkpoints in `root`; `ends` has the end of every log there. A partition that is not there is not asked for.
pub fn verify_checkpoints<D: Disk>(
    disk: &D,
    root: &Path,
    ends: &BTreeMap<PartitionName, Offset>,
) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    for checkpoint in Checkpoint::ALL {
        let path = root.join(checkpoint.file_name());
        let Some(bytes) = read_whole(disk, &path).map_err(Failure::of("read", &path))? else { continue };
        let flaws = match Checkpoint::parse(&bytes) {
            Err(corrupt) => vec![Flaw::Checkpoint(corrupt)],
            Ok(offsets) => offsets.iter().filter_map(|(name, offset)| flaw_of(name, *offset, ends)).collect(),
        };
        let file = checkpoint.file_name();
        findings.extend(flaws.into_iter().map(|flaw| Finding { file: file.to_owned(), position: None, flaw }));
    }
    Ok(findings)
}

/// Takes back what the checkpoints in `root` promise of a log that was cut and ends at `end` now. One that cannot be read promises nothing.
pub fn lower_checkpoints<D: Disk>(disk: &D, root: &Path, name: &PartitionName, end: Offset) -> Result<(), Failure> {
    for checkpoint in Checkpoint::ALL {
        let path = root.join(checkpoint.file_name());
        let Some(bytes) = read_whole(disk, &path).map_err(Failure::of("read", &path))? else { continue };
        let Ok(mut offsets) = Checkpoint::parse(&bytes) else { continue };
        let Some(promised) = offsets.get_mut(name).filter(|promised| **promised > end) else { continue };
        *promised = end;
        replace(disk, &path, &Checkpoint::to_bytes(&offsets)).map_err(Failure::of("replace", &path))?;
    }
    Ok(())
}

fn flaw_of(name: &PartitionName, offset: Offset, ends: &BTreeMap<PartitionName, Offset>) -> Option<Flaw> {
    let end = *ends.get(name)?;
    (offset > end).then(|| Flaw::CheckpointAhead { partition: name.to_string(), offset, end })
}
