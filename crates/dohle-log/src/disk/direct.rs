//! Writing past the page cache, where the file system can do that.

use std::fs;
use std::io;

use rustix::fs::{AtFlags, OFlags, StatxFlags, fcntl_getfl, fcntl_setfl, statx};

use super::DIRECT_BLOCK;

/// Lets what is written to an open file go past the cache, and says whether it does now.
pub(super) fn begin(file: &fs::File) -> io::Result<bool> {
    if !takes_blocks(file) {
        return Ok(false);
    }
    fcntl_setfl(file, fcntl_getfl(file)? | OFlags::DIRECT)?;
    Ok(true)
}

/// Lets it go through the cache again.
pub(super) fn end(file: &fs::File) -> io::Result<()> {
    Ok(fcntl_setfl(file, fcntl_getfl(file)? - OFlags::DIRECT)?)
}

/// Whether blocks of [`DIRECT_BLOCK`] are large enough, as far as anybody tells.
fn takes_blocks(file: &fs::File) -> bool {
    match statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN) {
        Ok(about) if about.stx_mask & StatxFlags::DIOALIGN.bits() != 0 => {
            are_enough(about.stx_dio_offset_align.max(about.stx_dio_mem_align))
        }
        Ok(_) | Err(_) => true,
    }
}

/// The alignment that is asked for; 0 where there is nothing but the cache.
fn are_enough(alignment: u32) -> bool {
    (1..=DIRECT_BLOCK).contains(&(alignment as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_blocks_than_ours_are_not_tried() {
        assert_eq!([0, 1, 512, 4096, 8192].map(are_enough), [false, true, true, true, false]);
    }

    #[test]
    fn an_open_file_goes_past_the_cache_and_back() {
        let file = tempfile::tempfile().unwrap();
        let is_direct = || fcntl_getfl(&file).unwrap().contains(OFlags::DIRECT);
        // A file system that has nothing but its cache says so.
        assert_eq!(begin(&file).unwrap_or(false), is_direct());
        end(&file).unwrap();
        assert!(!is_direct());
    }
}
