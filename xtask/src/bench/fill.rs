//! The page cache, filled before each leg, as it is on a server that has run for a day.
//!
//! Memory that is free goes back to the host of a virtual machine, and a page that has to be fetched from there again costs more than all that a
//! broker does with it. Where nothing is free, the pages that are let go are the ones that are taken next.

use std::fs::File;
use std::io::Read;

use anyhow::{Context, Result};

use super::machine;
use crate::place;

/// What is left free: the system keeps about so much anyhow.
const LEFT_FREE_BYTES: u64 = 512 << 20;
const READ_AT_ONCE: usize = 1 << 20;
/// After so many bytes it is looked what is still free.
const LOOK_EVERY_BYTES: u64 = 64 << 20;

/// Reads a file without blocks, as large as the memory, until nothing is free. What is not needed elsewhere costs nobody anything: the pages are
/// clean, and are the first to be given up.
pub(super) fn fill_page_cache() -> Result<()> {
    let path = place::cache("run")?.join("holes");
    let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = opened.with_context(|| format!("open {}", path.display()))?;
    file.set_len(machine::memory_bytes()?).with_context(|| format!("make {} large", path.display()))?;
    let (mut buffer, mut read) = (vec![0; READ_AT_ONCE], 0);
    while machine::free_bytes()? > LEFT_FREE_BYTES {
        for _ in 0..LOOK_EVERY_BYTES / READ_AT_ONCE as u64 {
            read = file.read(&mut buffer).with_context(|| format!("read {}", path.display()))?;
        }
        if read == 0 {
            break;
        }
    }
    Ok(())
}
