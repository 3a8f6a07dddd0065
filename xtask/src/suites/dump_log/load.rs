//! A small load that makes every kind of file that a broker has: rolled segments, indexes with entries, offsets of a group.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::super::{clients, packages};
use crate::kafka::Tree;
use crate::process;

const LIMIT: Duration = Duration::from_secs(60);
const WORDS: usize = 8;
const ROWS: usize = 40_000;

/// Small segments and dense indexes, so that a small load fills several of them; nothing expires.
pub(super) const SETTINGS: &[(&str, &str)] = &[
    ("log.segment.bytes", "1048576"),
    ("log.index.interval.bytes", "1024"),
    ("log.retention.ms", "-1"),
    ("log.cleaner.backoff.ms", "200"),
    ("log.cleaner.min.cleanable.ratio", "0.01"),
    ("log.flush.offset.checkpoint.interval.ms", "500"),
];

/// Rows over few keys, so that little is left of all closed segments.
const COMPACTED: &str = "load-compacted";
const COMPACTED_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// Writes each codec through librdkafka with an idempotent producer, and commits the offsets of a group through kcat.
pub(super) fn write(bootstrap: &str, folder: &Path) -> Result<()> {
    let rows = folder.join("load.rows");
    fs::write(&rows, made_up())?;
    let program = clients::Client::install("confluent-kafka", "made-up")?;
    for codec in clients::CODECS {
        let topic = format!("load-{codec}");
        let mut write = program.program("write", bootstrap, &topic).expect("a program has commands");
        process::run_into(write.args(["--codec", codec, "--rows"]).arg(&rows), &folder.join(&topic), LIMIT)?;
    }
    packages::debian(&["kcat"])?;
    let mut group = Command::new("kcat");
    group.args(["-G", "load", "-b", bootstrap, "-e", "-q", "-X", "auto.offset.reset=earliest", "load-zstd"]);
    process::run_into(process::without_input(&mut group), &folder.join("load.group"), LIMIT)
}

/// Writes the same rows in every codec to a topic that is compacted, and waits until it was.
pub(super) fn compact(bootstrap: &str, data: &Path, folder: &Path) -> Result<()> {
    let mut create = Tree::install()?.tool("kafka-topics");
    create.args(["--bootstrap-server", bootstrap, "--create", "--topic", COMPACTED, "--partitions", "2"]);
    create.args(["--config", "cleanup.policy=compact"]);
    process::run_into(&mut create, &folder.join("load.create"), LIMIT)?;
    let program = clients::Client::install("confluent-kafka", "made-up")?;
    let rows = folder.join("load.rows");
    for codec in clients::CODECS {
        let mut write = program.program("write", bootstrap, COMPACTED).expect("a program has commands");
        let output = folder.join(format!("{COMPACTED}-{codec}"));
        process::run_into(write.args(["--codec", codec, "--rows"]).arg(&rows), &output, LIMIT)?;
    }
    let begun = Instant::now();
    while !is_compacted(data) {
        ensure!(begun.elapsed() < COMPACTED_LIMIT, "{COMPACTED} is not compacted after {COMPACTED_LIMIT:?}");
        sleep(POLL);
    }
    Ok(())
}

/// Whether both partitions are compacted up to the segment that is written to.
fn is_compacted(data: &Path) -> bool {
    let checkpoint = fs::read_to_string(data.join("cleaner-offset-checkpoint")).unwrap_or_default();
    (0..2).all(|partition| {
        let names = fs::read_dir(data.join(format!("{COMPACTED}-{partition}"))).into_iter().flatten().flatten();
        let logs = names.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".log")?.parse::<u64>().ok());
        let line = format!("{COMPACTED} {partition} {}", logs.max().unwrap_or(u64::MAX));
        checkpoint.lines().any(|known| known == line)
    })
}

/// Lines of numbers that do not compress to nothing, some out of time order.
fn made_up() -> String {
    let mut text = String::new();
    let mut state = 1u64;
    for number in 0..ROWS {
        let mut value = String::new();
        for _ in 0..WORDS {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let _ = write!(value, "{state:016x}");
        }
        let timestamp = 1_700_000_000_000 + (number as u64) * 1000 - (state >> 50);
        let _ = writeln!(
            text,
            r#"{{"partition": {}, "timestamp": {timestamp}, "key": "{}", "value": "{value}", "headers": [["row", "{number}"]]}}"#,
            number % 2,
            number % 97
        );
    }
    text
}
