//! Makes what lies on the disk cold: written out, and gone from the page cache.
//!
//! By `posix_fadvise(DONTNEED)` on each file, which needs no rights and touches nobody else's pages.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{Advice, fadvise};

/// Every file below `folder` is synced and leaves the page cache, but for pages that a process has mapped.
pub(super) fn forget(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            forget(&path)?;
        } else if path.is_file() {
            let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
            file.sync_all().with_context(|| format!("sync {}", path.display()))?;
            fadvise(&file, 0, None, Advice::DontNeed).with_context(|| format!("forget {}", path.display()))?;
        }
    }
    Ok(())
}
