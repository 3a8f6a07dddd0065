//! Where the workshop stands: the workspace, its target folder, the cache of foreign things, the shared data.
//!
//! Nothing that is downloaded or written by a run lies outside `target/suites`.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The workspace's root folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").to_path_buf()
}

/// The target folder, where cargo was told to put it.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// What a suite has installed; it is kept between runs.
pub fn cache(name: &str) -> Result<PathBuf> {
    let folder = target().join("suites").join(name);
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(folder)
}

/// A folder for one run, empty.
pub fn fresh(name: &str) -> Result<PathBuf> {
    let folder = target().join("suites/run").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(folder)
}

/// The folder of real data, or none when this clone stands alone.
pub fn data() -> Option<PathBuf> {
    let shared = env::var_os("DOHLE_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let data = shared.join("data");
    data.is_dir().then_some(data)
}

/// The suites' own programs and lists, as committed.
pub fn programs() -> PathBuf {
    root().join("xtask/suites")
}

/// A port of 127.0.0.1 that nobody used a moment ago.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    Ok(listener.local_addr()?.port())
}

/// True when `folder` already holds what `recipe` makes; otherwise empties it, so that it can be made.
/// [`mark`] closes the work, so that an interrupted one is begun again.
pub fn is_made(folder: &Path, recipe: &str) -> Result<bool> {
    if fs::read_to_string(stamp(folder)).is_ok_and(|stamped| stamped == recipe) {
        return Ok(true);
    }
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(false)
}

/// Says that `folder` now holds what `recipe` makes.
pub fn mark(folder: &Path, recipe: &str) -> Result<()> {
    fs::write(stamp(folder), recipe).with_context(|| format!("write {}", stamp(folder).display()))
}

fn stamp(folder: &Path) -> PathBuf {
    folder.join("made-by")
}
