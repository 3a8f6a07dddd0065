//! Faults that only the C library can make: a sync that fails, a wall clock that jumps. The small library beside this file is preloaded
//! into the broker and obeys a file of four numbers and a path, which this module writes and reads.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{place, process};

const SOURCE: &str = "xtask/src/crash/shim.c";
const COMPILE_LIMIT: Duration = Duration::from_secs(60);

const CLOCK_AT: u64 = 0;
const FAILURES_TO_COME_AT: u64 = 8;
const FAILURES_AT: u64 = 16;
const PATH_BYTES_AT: u64 = 24;
const PATH_AT: u64 = 32;
const BYTES: u64 = PATH_AT + 4_000;

/// How many syncs fail.
#[derive(Clone, Copy)]
pub(super) enum Syncs {
    Well,
    /// One, and the next would succeed: whoever tries again believes what is not so.
    FailOnce,
    Fail,
}

/// The compiled library.
pub(super) struct Shim {
    object: PathBuf,
}

/// Compiles the library; none where that cannot be, or a program cannot be given it.
pub(super) fn build(folder: &Path) -> Result<Option<Shim>> {
    if !cfg!(target_os = "linux") || Command::new("cc").arg("--version").output().is_err() {
        return Ok(None);
    }
    let object = folder.join("shim.so");
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]).arg(&object);
    compile.arg(place::root().join(SOURCE)).arg("-ldl");
    process::run_into(&mut compile, &folder.join("shim.log"), COMPILE_LIMIT)?;
    Ok(Some(Shim { object }))
}

/// What one broker's library obeys.
pub(super) struct Control {
    path: PathBuf,
    file: File,
}

impl Control {
    pub(super) fn create(path: PathBuf) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path);
        let file = file.with_context(|| format!("create {}", path.display()))?;
        file.set_len(BYTES)?;
        Ok(Self { path, file })
    }

    /// What a process must find in its environment to obey this.
    pub(super) fn environment(&self, shim: &Shim) -> [(&'static str, PathBuf); 2] {
        [("LD_PRELOAD", shim.object.clone()), ("DOHLE_CRASH_CONTROL", self.path.clone())]
    }

    /// Moves the wall clock away from the true time.
    pub(super) fn set_clock(&self, offset_seconds: i64) -> Result<()> {
        self.write(CLOCK_AT, offset_seconds)
    }

    /// Says what becomes of the next syncs.
    pub(super) fn set_syncs(&self, syncs: Syncs) -> Result<()> {
        self.write(FAILURES_AT, 0)?;
        self.write(PATH_BYTES_AT, 0)?;
        let to_come = match syncs {
            Syncs::Well => 0,
            Syncs::FailOnce => 1,
            Syncs::Fail => -1,
        };
        self.write(FAILURES_TO_COME_AT, to_come)
    }

    /// The file whose sync has failed first; none when none has, or its name is not told yet.
    pub(super) fn failed(&self) -> Result<Option<PathBuf>> {
        if self.read(FAILURES_AT)? == 0 {
            return Ok(None);
        }
        // -1 while the name is being written.
        let Ok(bytes) = usize::try_from(self.read(PATH_BYTES_AT)?) else { return Ok(None) };
        let mut path = vec![0; bytes];
        self.file.read_exact_at(&mut path, PATH_AT)?;
        Ok(Some(PathBuf::from(String::from_utf8_lossy(&path).into_owned())))
    }

    fn write(&self, at: u64, number: i64) -> Result<()> {
        self.file.write_all_at(&number.to_ne_bytes(), at).context("order the preloaded library")
    }

    fn read(&self, at: u64) -> Result<i64> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, at).context("ask the preloaded library")?;
        Ok(i64::from_ne_bytes(bytes))
    }
}
