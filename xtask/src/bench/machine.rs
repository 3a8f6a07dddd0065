//! What a reader must know of the machine and of the versions to believe a figure; nothing that tells whose machine it is.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{kafka, place};

/// Under which circumstances a row was measured.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Circumstances {
    /// Year, month, day.
    pub date: String,
    pub pairs: usize,
    /// Short warm-ups and windows: a look, not a measurement.
    pub is_quick: bool,
    /// Each leg began on a quiet machine.
    pub is_gated: bool,
    pub machine: String,
    pub versions: String,
    /// What repeats it.
    pub command: String,
}

/// The machine in one line: cores, model, memory, system, file system of the data.
pub(super) fn describe(data: &Path) -> Result<String> {
    let read = |path: &str| fs::read_to_string(path).with_context(|| format!("read {path}"));
    let processors = read("/proc/cpuinfo")?;
    let (cores, model) = processor(&processors);
    let gibibytes = memory_kib(&read("/proc/meminfo")?, "MemTotal").context("no MemTotal")? as f64 / f64::from(1 << 20);
    let kernel = read("/proc/sys/kernel/osrelease")?;
    // What stands behind the number is whose kernel it is.
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    let data = fs::canonicalize(data).with_context(|| format!("find {}", data.display()))?;
    let mounts = read("/proc/self/mounts")?;
    let file_system = file_system(&mounts, &data).unwrap_or("unknown");
    Ok(format!("{cores} cores {model}, {gibibytes:.0} GiB, Linux {kernel}, {file_system}"))
}

/// How much memory there is.
pub(super) fn memory_bytes() -> Result<u64> {
    memory("MemTotal")
}

/// How much of it is used for nothing.
pub(super) fn free_bytes() -> Result<u64> {
    memory("MemFree")
}

fn memory(name: &str) -> Result<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
    Ok(memory_kib(&meminfo, name).with_context(|| format!("no {name}"))? << 10)
}

/// Dohle's commit, Kafka's release, and what they are built or run with.
pub(super) fn versions(has_kafka: bool) -> String {
    let changed =
        if first_line("git", &["status", "--porcelain", "--untracked-files=no"]).is_some() { ", changed" } else { "" };
    let commit =
        first_line("git", &["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "without a commit".to_owned());
    let rust = first_line("rustc", &["--version"]).unwrap_or_else(|| "unknown rustc".to_owned());
    let dohle = format!("Dohle {commit}{changed} ({rust})");
    if !has_kafka {
        return dohle;
    }
    let java = first_line("java", &["--version"]).unwrap_or_else(|| "unknown Java".to_owned());
    format!("{dohle}, Apache Kafka {} ({java})", kafka::VERSION)
}

/// Today, in UTC.
pub(super) fn today() -> Result<String> {
    first_line("date", &["-u", "+%F"]).context("what day is it?")
}

fn first_line(program: &str, words: &[&str]) -> Option<String> {
    let output = Command::new(program).args(words).current_dir(place::root()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

fn processor(cpuinfo: &str) -> (usize, &str) {
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let model = cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
    (cores, model.map_or("unknown", |(_, name)| name.trim()))
}

fn memory_kib(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// The type of the innermost mount that holds a folder.
fn file_system<'a>(mounts: &'a str, folder: &Path) -> Option<&'a str> {
    let mount = |line: &'a str| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    };
    let holding = mounts.lines().filter_map(mount).filter(|(point, _)| folder.starts_with(point));
    holding.max_by_key(|(point, _)| point.len()).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_counted_and_named() {
        let cpuinfo = "processor\t: 0\nmodel name\t: AMD EPYC\nprocessor\t: 1\nmodel name\t: AMD EPYC\n";
        assert_eq!(processor(cpuinfo), (2, "AMD EPYC"));
        let meminfo = "MemTotal:       24000000 kB\nMemFree: 1 kB\n";
        assert_eq!((memory_kib(meminfo, "MemTotal"), memory_kib(meminfo, "MemFree")), (Some(24_000_000), Some(1)));
        assert_eq!(memory_kib(meminfo, "Mem"), None);
    }

    #[test]
    fn the_innermost_mount_tells_the_file_system() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /data tmpfs rw 0 0\nproc /proc proc rw 0 0\n";
        assert_eq!(file_system(mounts, Path::new("/data/bench")), Some("tmpfs"));
        assert_eq!(file_system(mounts, Path::new("/database")), Some("ext4"));
    }
}
