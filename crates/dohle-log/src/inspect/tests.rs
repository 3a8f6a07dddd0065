use std::path::{Path, PathBuf};

use dohle_base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use dohle_records::batch::encode::{Builder, Entry, Producer, Settings};
use dohle_records::control::EndTransaction;
use dohle_records::{Batch, Codec, Compression};

use super::{Action, Report, contents, mend, plan, verify};
use crate::disk::{Disk, Memory};
use crate::log::{Append, Log, Opening};
use crate::options::Options;
use crate::producers::Origin;

const DIR: &str = "/t-0";
const NOW: Timestamp = Timestamp(1_700_000_000_000);
const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// A log of several segments with every codec, producers, transactions of both fates and epochs, closed in order.
fn sound() -> Memory {
    let disk = Memory::new();
    disk.create_dir(Path::new(DIR)).unwrap();
    let opening = Opening { clean: true, recovery_point: Offset::ZERO, start: Offset::ZERO };
    let options = Options { segment_bytes: 1_200, index_interval_bytes: 150, ..Options::default() };
    let (mut log, _) = Log::open(disk.clone(), Path::new(DIR), options, &opening, NOW).unwrap();
    for n in 0..40 {
        let origin = Origin::Coordinator { transaction_version: 0 };
        let append = Append { leader_epoch: LeaderEpoch(n / 9), origin, largest: None };
        log.append(&batch(n), &append, NOW).unwrap();
    }
    log.close(NOW).unwrap();
    disk
}

/// Four batches of a transaction, then its end.
fn batch(n: i32) -> Batch {
    if n % 5 == 4 {
        let end = EndTransaction { committed: n % 2 == 0, coordinator_epoch: 1 };
        return end.to_batch(NOW, ProducerId(7), ProducerEpoch(0));
    }
    let producer = Producer { id: ProducerId(7), epoch: ProducerEpoch(0), base_sequence: n / 5 * 8 + n % 5 * 2 };
    let compression = Compression::of(CODECS[n as usize % 5]);
    let settings = Settings { producer: Some(producer), transactional: true, compression, ..Settings::default() };
    let mut builder = Builder::new(settings);
    for place in 0..2 {
        let value = format!("value {n} {place} {}", "again and ".repeat(6));
        let timestamp = Timestamp(NOW.0 + i64::from(n * 10 + place));
        builder.append(&Entry { timestamp, value: Some(value.as_bytes()), ..Entry::default() }).unwrap();
    }
    builder.finish()
}

fn judge(disk: &Memory) -> Report {
    verify(disk, Path::new(DIR), true).unwrap()
}

fn findings(disk: &Memory) -> Vec<String> {
    judge(disk).findings.iter().map(ToString::to_string).collect()
}

/// The last file with that suffix, or the first.
fn file(disk: &Memory, suffix: &str, last: bool) -> PathBuf {
    let mut names: Vec<String> = disk.list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name).collect();
    names.retain(|name| name.ends_with(suffix));
    names.sort();
    Path::new(DIR).join(if last { names.pop().unwrap() } else { names.remove(0) })
}

#[test]
fn a_sound_log_has_no_findings() {
    let report = judge(&sound());
    assert_eq!(report.findings, []);
    assert!(report.segments.len() > 3, "{}", report.segments.len());
    assert_eq!((report.start, report.end, report.batches, report.records), (Offset(0), Offset(72), 40, 72));
    assert_eq!(report.tear, None);
}

#[test]
fn a_log_that_was_killed_lacks_nothing_that_it_could_have() {
    let disk = sound();
    for suffix in [".index", ".timeindex"] {
        disk.remove(&file(&disk, suffix, true)).unwrap();
    }
    assert_eq!(verify(&disk, Path::new(DIR), false).unwrap().findings, []);
    assert_eq!(findings(&disk).len(), 2, "after a clean stop they are there");
}

type Harm = fn(&mut Vec<u8>);

/// A kind of file, whether the last of its kind or the first is harmed, how, and what is said.
const DAMAGES: &[(&str, bool, Harm, &str)] = &[
    (".log", true, |bytes| bytes.truncate(bytes.len() - 3), "the file ends within a batch of"),
    (".log", true, |bytes| bytes.extend([7; 30]), "batch of format 7"),
    (".log", false, |bytes| *bytes.last_mut().unwrap() ^= 1, "checksum mismatch"),
    (".log", false, |bytes| bytes[7] = 9, "offset 9 out of order"),
    (".index", false, |bytes| bytes.truncate(bytes.len() - 3), "cut off or out of order"),
    (".index", false, |bytes| bytes[7] ^= 1, "entry 0: no batch at position"),
    (".timeindex", false, |bytes| bytes.truncate(bytes.len() - 5), "cut off or out of order"),
    (".timeindex", false, |bytes| bytes[7] ^= 1, "is not the latest time up to offset"),
    (".timeindex", false, |bytes| bytes.truncate(bytes.len() - 12), "ends before the latest time of its segment"),
    (".txnindex", false, |bytes| bytes.clear(), "that was aborted at offset"),
    (".txnindex", false, |bytes| bytes[9] ^= 1, "that was aborted at offset"),
    (".txnindex", false, |bytes| bytes.truncate(9), "cut off or out of order"),
    (".snapshot", true, |bytes| bytes[20] ^= 1, "checksum mismatch"),
    (".snapshot", true, |bytes| forge_snapshot(bytes), "producer 7: the log tells otherwise"),
    ("leader-epoch-checkpoint", true, |bytes| bytes.clear(), "unknown version"),
    ("leader-epoch-checkpoint", true, forge_epochs, "is of leader epoch 1, not 0"),
];

/// Another last sequence, under a checksum that is right.
fn forge_snapshot(bytes: &mut [u8]) {
    bytes[23] ^= 1;
    let crc = crc_fast::crc32_iscsi(&bytes[6..]);
    bytes[2..6].copy_from_slice(&crc.to_be_bytes());
}

fn forge_epochs(bytes: &mut Vec<u8>) {
    *bytes = b"0\n1\n0 0\n".to_vec();
}

#[test]
fn every_damage_is_found_named_and_mended() {
    for (suffix, last, harm, told) in DAMAGES {
        let disk = sound();
        let path = file(&disk, suffix, *last);
        disk.edit(&path, *harm).unwrap();
        let report = judge(&disk);
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let finding = report.findings.iter().find(|finding| finding.file == name);
        let finding = finding.unwrap_or_else(|| panic!("{suffix} {told}: {:?}", report.findings)).to_string();
        assert!(finding.contains(told), "{finding}, not {told}");

        let actions = plan(&report);
        assert!(!actions.is_empty(), "{finding}");
        mend(&disk, Path::new(DIR), &actions, Offset::ZERO, NOW).unwrap();
        assert_eq!(findings(&disk), Vec::<String>::new(), "after {finding}");
        let expected = report.tear.map_or(Offset(72), |tear| tear.end);
        assert_eq!(judge(&disk).end, expected, "after {finding}");
    }
}

#[test]
fn a_torn_tail_has_nothing_behind_it_and_damage_in_the_middle_has() {
    let disk = sound();
    disk.edit(&file(&disk, ".log", true), |bytes| bytes.truncate(bytes.len() - 3)).unwrap();
    let tear = judge(&disk).tear.unwrap();
    assert_eq!((tear.records_behind, tear.batches_behind), (0, 0));

    let disk = sound();
    disk.edit(&file(&disk, ".log", false), |bytes| bytes[70] ^= 1).unwrap();
    let report = judge(&disk);
    let tear = report.tear.unwrap();
    assert_eq!((tear.position, tear.end, tear.records_behind), (0, Offset(0), 70));
    let actions = plan(&report);
    assert_eq!(actions.len(), report.segments.len());
    assert!(actions.iter().all(Action::loses_records));
}

#[test]
fn what_is_cut_is_kept_aside() {
    let disk = sound();
    let path = file(&disk, ".log", false);
    disk.edit(&path, |bytes| bytes[70] ^= 1).unwrap();
    let before = contents(&disk, Path::new(DIR)).unwrap().segments;
    let actions = plan(&judge(&disk));
    mend(&disk, Path::new(DIR), &actions, Offset::ZERO, NOW).unwrap();
    for (place, segment) in before.iter().enumerate() {
        let suffix = if place == 0 { ".0.quarantine" } else { ".quarantine" };
        let kept = Path::new(DIR).join(format!("{}{suffix}", segment.name()));
        let size = disk.open(&kept).and_then(|file| crate::disk::File::size(&file)).unwrap();
        assert_eq!(size, segment.size);
    }
}

#[test]
fn a_log_is_not_cut_below_its_start() {
    let disk = sound();
    disk.edit(&file(&disk, ".log", false), |bytes| bytes[70] ^= 1).unwrap();
    let actions = plan(&judge(&disk));
    assert!(mend(&disk, Path::new(DIR), &actions, Offset(20), NOW).is_err());
    assert_eq!(plan(&judge(&disk)), actions, "nothing was done");
}
