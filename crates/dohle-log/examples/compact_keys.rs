//! Compacts a log of many distinct keys and says how long that takes and how much memory.
//!
//! ```text
//! cargo run --release -p dohle-log --example compact_keys -- [keys] [MiB for the keys] [directory]
//! ```

use std::path::{Path, PathBuf};
use std::time::Instant;

use dohle_base::{LeaderEpoch, Offset, Rng, Timestamp};
use dohle_log::compact::{KeyMap, Pass};
use dohle_log::disk::Files;
use dohle_log::log::{Append, Log, Opening, Swap};
use dohle_log::options::{Cleanup, Options};
use dohle_log::producers::Origin;
use dohle_records::batch::encode::{Builder, Entry, Settings};

type Failed = Box<dyn std::error::Error>;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const RECORDS_PER_BATCH: u64 = 1_000;
const VALUE: [u8; 64] = [b'v'; 64];

fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let keys: u64 = arguments.next().map_or(Ok(10_000_000), |text| text.parse())?;
    let memory_mib: u64 = arguments.next().map_or(Ok(128), |text| text.parse())?;
    let scratch = tempfile::tempdir()?;
    let dir = arguments.next().map_or_else(|| scratch.path().to_owned(), PathBuf::from);

    let mut log = write(&dir, keys)?;
    println!("{keys} keys, {} bytes in {} segments, {} MiB of memory", log.size(), log.segments().len(), memory_mib);
    println!("resident before: {} MiB", resident("VmRSS")?);
    let (begun, mut cleaned, mut passes) = (Instant::now(), None, 0);
    while let Some(reached) = compact(&mut log, cleaned, memory_mib << 20)? {
        cleaned = Some(reached);
        passes += 1;
    }
    println!("{passes} passes in {:.1} s, {} bytes left", begun.elapsed().as_secs_f64(), log.size());
    println!("resident at most: {} MiB", resident("VmHWM")?);
    Ok(())
}

/// A log with every key once, and every tenth once more at random.
fn write(dir: &Path, keys: u64) -> Result<Log<Files>, Failed> {
    let options =
        Options { segment_bytes: 256 << 20, cleanup: Cleanup { delete: false, compact: true }, ..Options::default() };
    let opening = Opening { clean: false, recovery_point: Offset::ZERO, start: Offset::ZERO };
    let (mut log, _) = Log::open(Files, dir, options, &opening, NOW)?;
    let append = Append { leader_epoch: LeaderEpoch(0), origin: Origin::Client(None), largest: None };
    let mut rng = Rng::new(1);
    let all = keys + keys / 10;
    for first in (0..all).step_by(RECORDS_PER_BATCH as usize) {
        let mut builder = Builder::new(Settings::default());
        for number in first..(first + RECORDS_PER_BATCH).min(all) {
            let number = if number < keys { number } else { rng.below(keys) };
            let key = format!("key-{number:016}");
            builder.append(&Entry { timestamp: NOW, key: Some(key.as_bytes()), value: Some(&VALUE), headers: &[] })?;
        }
        log.append(&builder.finish(), &append, NOW)?;
    }
    // What is written to is not compacted.
    let end = log.end();
    while log.segments().last().is_some_and(|last| last.base < end) {
        let mut builder = Builder::new(Settings::default());
        builder.append(&Entry {
            timestamp: NOW,
            key: Some(b"filler"),
            value: Some(&vec![0; 16 << 20]),
            headers: &[],
        })?;
        log.append(&builder.finish(), &append, NOW)?;
    }
    if let Some(flush) = log.begin_flush() {
        log.flushed(flush.run(), NOW)?;
    }
    Ok(log)
}

/// One pass; none when there is nothing left to compact.
fn compact(log: &mut Log<Files>, cleaned: Option<Offset>, memory: u64) -> Result<Option<Offset>, Failed> {
    let begun = Instant::now();
    let synced = log.synced();
    let survey = log.survey(synced);
    let dirt = survey.dirt(cleaned, synced, NOW)?;
    if dirt.dirty_bytes == 0 {
        return Ok(None);
    }
    let mut keys = KeyMap::new(memory, 90);
    let mut pass: Pass<Files> = survey.job(&dirt).map(&mut keys, &mut |_| true)?;
    let mapped = begun.elapsed();
    while let Some(rewritten) = pass.next(&keys, NOW, &mut |_| true)? {
        match log.swap(rewritten)? {
            Swap::Done(swapped) => swapped.confirm()?.remove()?,
            Swap::Refused(_) => return Err("nobody else touches the log".into()),
        }
    }
    let figures = pass.figures();
    println!(
        "pass to {}: {} keys in {} MiB, {:.1} s to find them, {:.1} s in all; {} of {} records kept",
        pass.reaches(),
        figures.keys,
        keys.bytes() >> 20,
        mapped.as_secs_f64(),
        begun.elapsed().as_secs_f64(),
        figures.records_kept,
        figures.records_read,
    );
    Ok(Some(pass.reaches()))
}

fn resident(what: &str) -> Result<u64, Failed> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(what)).ok_or("no such line")?;
    let kib: u64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
    Ok(kib >> 10)
}
