//! Every file beside the batches, damaged in every way, after every stop: what is read stays what was written.

use std::path::{Path, PathBuf};

use dohle_base::{LeaderEpoch, Offset, Timestamp};

use super::{CLEAN, DIR, NOW, UNCLEAN, batch_of, disk, idempotent, lead, marker, open, read, transactional};
use crate::disk::{Disk, Kind, Memory};
use crate::log::{Append, Log, Opening};
use crate::producers::Origin;

/// A log with every kind of file, stopped cleanly.
fn stopped() -> Memory {
    let disk = disk();
    let (mut log, _) = open(&disk, &CLEAN);
    for n in 0..24 {
        let coordinator = Append {
            leader_epoch: LeaderEpoch(n / 8),
            origin: Origin::Coordinator { transaction_version: 0 },
            largest: None,
        };
        let time = NOW.0 + i64::from(n);
        lead(&mut log, n / 8, &batch_of(super::Settings::default(), &[time, time])).unwrap();
        lead(&mut log, n / 8, &idempotent(i64::from(n % 3), n / 3 * 2, 2)).unwrap();
        lead(&mut log, n / 8, &transactional(10, n * 2, 2)).unwrap();
        log.append(&marker(10, n % 2 == 0), &coordinator, NOW).unwrap();
    }
    log.close(NOW).unwrap();
    disk
}

/// All that can be asked of a log.
#[derive(Debug, PartialEq)]
struct Seen {
    batches: Vec<(i64, i64)>,
    from_the_middle: Vec<(i64, i64)>,
    aborted: Vec<(i64, i64)>,
    moments: Vec<Option<Offset>>,
    epochs: Vec<crate::epochs::EpochStart>,
    producers: Vec<(i64, i32, Offset)>,
}

fn see(log: &Log<Memory>) -> Seen {
    let mut aborted = vec![];
    for segment in log.segments() {
        let mut slice = log.read(segment.base, log.end(), 1, true).unwrap().unwrap();
        slice.range.end = u64::MAX;
        aborted.extend(
            log.aborts(segment.base, segment.end, &slice).map(|aborts| aborts.find().unwrap()).unwrap_or_default(),
        );
    }
    aborted.sort_by_key(|entry| entry.last);
    aborted.dedup();
    Seen {
        batches: read(log, 0),
        from_the_middle: read(log, 77),
        aborted: aborted.iter().map(|entry| (entry.first.0, entry.last.0)).collect(),
        moments: (0..30)
            .map(|n| log.by_time(Timestamp(NOW.0 + n)).find().unwrap().map(|moment| moment.offset))
            .chain([log.by_largest_time().find().unwrap().map(|moment| moment.offset)])
            .collect(),
        epochs: log.epochs().starts().to_vec(),
        producers: log.producers().iter().map(|p| (p.id.0, p.last_sequence(), p.last_offset())).collect(),
    }
}

/// What happens to a file.
type Harm = fn(&mut Vec<u8>);

const HARMS: [(&str, Harm); 10] = [
    ("empty", |bytes| bytes.clear()),
    ("short by one", |bytes| bytes.truncate(bytes.len().saturating_sub(1))),
    ("cut within an entry", |bytes| bytes.truncate(5)),
    ("short by an entry", |bytes| {
        bytes.truncate(bytes.len().saturating_sub(if bytes.len() % 12 == 0 { 12 } else { 8 }))
    }),
    ("zeros", |bytes| bytes.fill(0)),
    ("ones", |bytes| bytes.fill(0x7f)),
    ("backwards", |bytes| bytes.reverse()),
    ("twice", |bytes| bytes.extend_from_within(..)),
    ("oversized", |bytes| bytes.resize(bytes.len() + 4_096, 0xff)),
    ("garbage", |bytes| bytes.iter_mut().enumerate().for_each(|(place, byte)| *byte ^= (place * 37 + 11) as u8)),
];

fn harmed(disk: &Memory, files: &[PathBuf], harm: Option<Harm>) -> Memory {
    let after = disk.copy();
    for file in files {
        match harm {
            Some(harm) => after.edit(file, harm).unwrap(),
            None => after.remove(file).unwrap(),
        }
    }
    after
}

/// An empty time or abort index of a closed segment can be told from a sound one only by reading the batches: what is empty or gone above
/// the recovery point is made anew; below it an abort index that vanished counts as one that never was, as in Kafka.
fn is_told(suffix: &str, harm: &str, opening: &Opening) -> bool {
    suffix != ".txnindex" || !["empty", "missing"].contains(&harm) || *opening == UNCLEAN
}

#[test]
fn whatever_happens_to_the_files_beside_the_batches_all_is_read_as_it_was_written() {
    let disk = stopped();
    let whole = see(&open(&disk.copy(), &CLEAN).0);
    assert!(whole.aborted.len() == 12 && whole.producers.len() == 4 && whole.epochs.len() == 3);
    let names = disk.list(Path::new(DIR)).unwrap();
    let mut cases = 0;
    for suffix in [".index", ".timeindex", ".txnindex", ".snapshot", "leader-epoch-checkpoint"] {
        let named = names.iter().filter(|entry| entry.name.ends_with(suffix) && matches!(entry.kind, Kind::File(_)));
        let files: Vec<PathBuf> = named.map(|entry| Path::new(DIR).join(&entry.name)).collect();
        assert!(!files.is_empty(), "{suffix}");
        let choices: Vec<Vec<PathBuf>> = files.iter().map(|file| vec![file.clone()]).chain([files.clone()]).collect();
        let harms = HARMS.iter().map(|(name, harm)| (*name, Some(*harm))).chain([("missing", None)]);
        for (name, harm) in harms {
            for opening in [CLEAN, UNCLEAN, Opening { recovery_point: Offset(90), ..UNCLEAN }] {
                if !is_told(suffix, name, &opening) {
                    continue;
                }
                for chosen in &choices {
                    let after = harmed(&disk, chosen, harm);
                    let (mut log, _) = open(&after, &opening);
                    assert_eq!(see(&log), whole, "{chosen:?} {name} {opening:?}");
                    log.close(NOW).unwrap();
                    let (again, recovered) = open(&after, &CLEAN);
                    assert_eq!(see(&again), whole, "{chosen:?} {name} {opening:?}, once more");
                    assert_eq!((recovered.indexes, recovered.snapshots), (0, 0), "{chosen:?} {name}: it is mended");
                    cases += 1;
                }
            }
        }
    }
    assert!(cases >= 800, "{cases}");
}
