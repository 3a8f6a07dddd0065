//! Compaction of a simulated broker's log, all in one moment.

use dohle_base::{Offset, Timestamp};
use dohle_log::compact::{CompactError, KeyMap};
use dohle_log::disk::Memory;
use dohle_log::log::{Log, Swap};

/// Compacts what is dirty, with this much memory for keys; says up to where, none when there was nothing to do.
pub(crate) fn compact(
    log: &mut Log<Memory>,
    keys_bytes: u64,
    high_watermark: Offset,
    cleaned: Offset,
    recovery_point: Offset,
    now: Timestamp,
) -> Result<Option<Offset>, CompactError> {
    let survey = log.survey(high_watermark);
    let dirt = survey.dirt(Some(cleaned), recovery_point, now)?;
    if dirt.dirty_bytes == 0 {
        return Ok(None);
    }
    let mut keys = KeyMap::new(keys_bytes, 90);
    let mut pass = survey.job(&dirt).map(&mut keys, &mut |_| true)?;
    while let Some(rewritten) = pass.next(&keys, now, &mut |_| true)? {
        match log.swap(rewritten)? {
            Swap::Done(swapped) => swapped.confirm()?.remove()?,
            Swap::Refused(_) => unreachable!("nobody else is at the log"),
        }
    }
    Ok(Some(pass.reaches()))
}
