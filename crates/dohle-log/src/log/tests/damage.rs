//! Logs whose files are not as they were left.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dohle_base::{Offset, Rng};

use super::{
    CLEAN, DIR, NOW, UNCLEAN, batch_of, disk, idempotent, lead, marker, open, options, plain, read, transactional,
};
use crate::disk::{Disk, Kind, Memory};
use crate::fuzzing;
use crate::log::{Append, Log, Opening, ReadError};
use crate::producers::Origin;

/// A log of some segments, and where the batches of the last one begin.
fn written() -> (Memory, Vec<u64>) {
    let disk = disk();
    let (mut log, _) = open(&disk, &CLEAN);
    let mut starts = Vec::new();
    for n in 0.. {
        if log.segments().count() > 3 && starts.len() > 3 {
            break;
        }
        let before = log.segments().count();
        let position = log.segments().last().unwrap().size;
        lead(&mut log, 0, &idempotent(1, n * 2, 2)).unwrap();
        let rolled = log.segments().count() > before;
        if rolled {
            starts.clear();
        }
        starts.push(if rolled { 0 } else { position });
    }
    (disk, starts)
}

fn last_segment(disk: &Memory) -> (PathBuf, u64) {
    let entries = disk.list(Path::new(DIR)).unwrap();
    let last = entries.iter().filter(|entry| entry.name.ends_with(".log")).max_by(|a, b| a.name.cmp(&b.name)).unwrap();
    let Kind::File(size) = last.kind else { panic!("a directory") };
    (Path::new(DIR).join(&last.name), size)
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_at_the_last_whole_batch() {
    let (disk, starts) = written();
    let (path, size) = last_segment(&disk);
    let whole = read(&open(&disk.copy(), &UNCLEAN).0, 0);
    for torn in starts[starts.len() - 3]..size {
        for fill in [None, Some(0xaa)] {
            let after = disk.copy();
            after
                .edit(&path, |bytes| {
                    bytes.truncate(torn as usize);
                    bytes.extend(fill.into_iter().flat_map(|byte| std::iter::repeat_n(byte, 37)));
                })
                .unwrap();
            let (mut log, recovered) = open(&after, &UNCLEAN);
            let kept = whole.len() - starts.iter().filter(|start| next(&starts, **start, size) > torn).count();
            assert_eq!(read(&log, 0), whole[..kept], "torn at {torn}");
            let on_boundary = starts.contains(&torn) && fill.is_none();
            assert_eq!(recovered.torn.is_none(), on_boundary);
            lead(&mut log, 0, &plain(1)).unwrap();
        }
    }
}

fn next(starts: &[u64], start: u64, size: u64) -> u64 {
    starts.iter().copied().find(|other| *other > start).unwrap_or(size)
}

#[test]
fn a_flipped_bit_costs_its_batch_and_those_behind_it() {
    let (disk, starts) = written();
    let (path, _) = last_segment(&disk);
    let whole = read(&open(&disk.copy(), &UNCLEAN).0, 0);
    let (from, upto) = (starts[starts.len() - 2], starts[starts.len() - 1]);
    for bit in from * 8..upto * 8 {
        let after = disk.copy();
        after.edit(&path, |bytes| bytes[(bit / 8) as usize] ^= 1 << (bit % 8)).unwrap();
        let (log, recovered) = open(&after, &UNCLEAN);
        let kept = read(&log, 0);
        if bit == from * 8 + 12 * 8 + 7 {
            // The one bit that nothing protects and nothing contradicts: of a batch with a negative epoch none is known.
            assert_eq!((recovered.torn, kept.len()), (None, whole.len()));
            continue;
        }
        assert_eq!(recovered.torn.map(|torn| torn.position), Some(from), "bit {bit}");
        assert_eq!(kept, whole[..whole.len() - 2]);
    }
}

#[test]
fn indexes_are_made_anew_when_they_cannot_be_right() {
    let disk = disk();
    let (mut log, _) = open(&disk, &CLEAN);
    for n in 0..40 {
        lead(&mut log, 0, &batch_of(super::Settings::default(), &[NOW.0 + n, NOW.0 + n])).unwrap();
    }
    log.close(NOW).unwrap();
    let whole = read(&log, 0);
    let moment = log.by_time(dohle_base::Timestamp(NOW.0 + 17)).find().unwrap();
    type Edit = fn(&mut Vec<u8>);
    let edits: [(&str, Edit); 6] = [
        ("empty", |bytes| bytes.clear()),
        ("cut within an entry", |bytes| bytes.truncate(5)),
        ("zeros", |bytes| bytes.fill(0)),
        ("backwards", |bytes| bytes.reverse()),
        ("too long", |bytes| bytes.resize(4_800, 0xff)),
        ("ones", |bytes| bytes.fill(0x7f)),
    ];
    let files: Vec<String> = disk.list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name).collect();
    for suffix in [".index", ".timeindex"] {
        for (name, edit) in edits {
            for opening in [CLEAN, UNCLEAN, Opening { recovery_point: Offset(70), ..UNCLEAN }] {
                let after = disk.copy();
                for file in files.iter().filter(|file| file.ends_with(suffix)) {
                    after.edit(&Path::new(DIR).join(file), edit).unwrap();
                }
                let (log, _) = open(&after, &opening);
                assert_eq!(read(&log, 0), whole, "{suffix} {name} {opening:?}");
                assert_eq!(read(&log, 33), whole[16..], "{suffix} {name} {opening:?}");
                if suffix == ".index" {
                    assert_eq!(
                        log.by_time(dohle_base::Timestamp(NOW.0 + 17)).find().unwrap(),
                        moment,
                        "{name} {opening:?}"
                    );
                }
            }
        }
        let after = disk.copy();
        for file in files.iter().filter(|file| file.ends_with(suffix)) {
            after.remove(&Path::new(DIR).join(file)).unwrap();
        }
        let (mut log, recovered) = open(&after, &CLEAN);
        assert_eq!(recovered.indexes, log.segments().count(), "{suffix}");
        assert_eq!(log.by_time(dohle_base::Timestamp(NOW.0 + 17)).find().unwrap(), moment);
        log.close(NOW).unwrap();
        let (_, recovered) = open(&after.copy(), &CLEAN);
        assert_eq!(recovered.indexes, 0, "{suffix}");
    }
}

#[test]
fn orphans_go_and_what_was_under_way_is_finished_or_undone() {
    let (disk, _) = written();
    let whole = read(&open(&disk.copy(), &UNCLEAN).0, 0);
    let copy = |disk: &Memory, from: &str, to: &str| {
        let bytes = crate::disk::read_whole(disk, &Path::new(DIR).join(from)).unwrap().unwrap();
        crate::disk::write_synced(disk, &Path::new(DIR).join(to), &bytes).unwrap();
    };
    let first = "00000000000000000000.log";
    let cases: &[(&str, &[(&str, bool)])] = &[
        ("an index without a log", &[("00000000000000000003.index", false)]),
        ("deleted", &[("00000000000000000000.log.deleted", false), ("00000000000000000000.index.deleted", false)]),
        ("cleaned", &[("00000000000000000000.log.cleaned", false)]),
        ("swapped", &[("00000000000000000000.log.swap", false)]),
        (
            "a swap that is part of what is not done",
            &[("00000000000000000000.log.swap", false), ("00000000000000000000.log.cleaned", false)],
        ),
    ];
    for (name, files) in cases {
        let after = disk.copy();
        for (file, _) in *files {
            copy(&after, first, file);
        }
        let (log, recovered) = open(&after, &UNCLEAN);
        assert_eq!(read(&log, 0), whole, "{name}");
        let left: BTreeSet<String> = after.list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name).collect();
        assert!(files.iter().all(|(file, _)| !left.contains(*file)), "{name}: {left:?}");
        assert_eq!(recovered.leftovers > 0, *name != "an index without a log", "{name}");
    }
}

#[test]
fn a_swap_takes_the_place_of_what_it_covers() {
    let (disk, _) = written();
    let (log, _) = open(&disk.copy(), &UNCLEAN);
    let segments: Vec<_> = log.segments().collect();
    let whole = read(&log, 0);
    // The first two segments in one file, as a compaction that removed nothing would leave them.
    let after = disk.copy();
    let bytes: Vec<u8> = segments[..2]
        .iter()
        .flat_map(|segment| {
            let path = Path::new(DIR).join(format!("{:020}.log", segment.base.0));
            crate::disk::read_whole(&after, &path).unwrap().unwrap()
        })
        .collect();
    crate::disk::write_synced(&after, &Path::new(DIR).join("00000000000000000000.log.swap"), &bytes).unwrap();
    let (log, _) = open(&after, &UNCLEAN);
    assert_eq!(read(&log, 0), whole);
    assert_eq!(log.segments().count(), segments.len() - 1);
}

#[test]
fn a_segment_behind_a_gap_is_put_aside() {
    let (disk, _) = written();
    let (log, _) = open(&disk.copy(), &UNCLEAN);
    let segments: Vec<_> = log.segments().collect();
    let after = disk.copy();
    // The first segment ends one whole batch too early: its last pages never reached the disk.
    let batch = segments[0].size / (segments[0].end.since(segments[0].base) / 2);
    after
        .edit(&Path::new(DIR).join("00000000000000000000.log"), |bytes| {
            bytes.truncate((segments[0].size - batch) as usize)
        })
        .unwrap();
    let (log, recovered) = open(&after, &UNCLEAN);
    assert_eq!(log.end(), segments[0].end - 2);
    assert_eq!(recovered.quarantined, segments.len() - 1);
    let aside =
        after.list(Path::new(DIR)).unwrap().into_iter().filter(|entry| entry.name.ends_with(".log.quarantine")).count();
    assert_eq!(aside, segments.len() - 1);
}

#[test]
fn a_log_that_ends_before_its_start_begins_there() {
    let (disk, _) = written();
    let (mut log, recovered) = open(&disk, &Opening { start: Offset(1_000), ..UNCLEAN });
    assert_eq!((log.start(), log.end()), (Offset(1_000), Offset(1_000)));
    assert!(recovered.quarantined > 1);
    assert!(log.producers().is_empty());
    lead(&mut log, 1, &plain(1)).unwrap();
}

#[test]
fn epochs_and_producers_are_read_from_the_batches_when_their_files_are_gone_or_damaged() {
    let disk = disk();
    let (mut log, _) = open(&disk, &CLEAN);
    for n in 0..30 {
        lead(&mut log, n / 10, &idempotent(i64::from(n % 3), n / 3 * 2, 2)).unwrap();
    }
    log.close(NOW).unwrap();
    let files: Vec<String> = disk.list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name).collect();
    for garbage in [None, Some(b"garbage".as_slice()), Some(b"")] {
        for opening in [CLEAN, UNCLEAN, Opening { recovery_point: Offset(50), ..UNCLEAN }] {
            let after = disk.copy();
            for file in files.iter().filter(|file| file.ends_with(".snapshot") || file.ends_with("checkpoint")) {
                let path = Path::new(DIR).join(file);
                match garbage {
                    Some(garbage) => after.edit(&path, |bytes| *bytes = garbage.to_vec()).unwrap(),
                    None => after.remove(&path).unwrap(),
                }
            }
            let (again, recovered) = open(&after, &opening);
            assert!(recovered.epochs || opening.recovery_point == Offset(0) && !opening.clean);
            assert_eq!(again.epochs().starts(), log.epochs().starts(), "{garbage:?} {opening:?}");
            assert_eq!(
                again.producers().iter().copied().collect::<Vec<_>>(),
                log.producers().iter().copied().collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn the_abort_index_is_made_anew_by_a_scan() {
    let disk = disk();
    let (mut log, _) = open(&disk, &CLEAN);
    let coordinator = Append {
        leader_epoch: dohle_base::LeaderEpoch(0),
        origin: Origin::Coordinator { transaction_version: 0 },
        largest: None,
    };
    for n in 0..30 {
        lead(&mut log, 0, &transactional(1, n * 2, 2)).unwrap();
        lead(&mut log, 0, &plain(1)).unwrap();
        log.append(&marker(1, n % 3 == 0), &coordinator, NOW).unwrap();
    }
    let aborted = |log: &Log<Memory>| {
        let slice = log.read(Offset(0), log.end(), 1, true).unwrap().unwrap();
        let mut whole = slice;
        whole.range.end = u64::MAX;
        let mut found = Vec::new();
        for segment in log.segments() {
            whole.segment = segment.base;
            let aborts = log.aborts(segment.base, log.end(), &whole);
            found.extend(aborts.map(|aborts| aborts.find().unwrap()).unwrap_or_default());
        }
        found.dedup();
        found
    };
    let expected = aborted(&log);
    assert!(expected.len() >= 20);
    assert_eq!(aborted(&open(&disk.copy(), &UNCLEAN).0), expected, "after a kill");
    log.close(NOW).unwrap();
    assert_eq!(aborted(&open(&disk.copy(), &CLEAN).0), expected, "after a clean stop");
    assert_eq!(aborted(&open(&disk.copy(), &UNCLEAN).0), expected, "read again although it is there");
}

#[test]
fn a_last_segment_that_was_cut_to_nothing_keeps_no_index_of_what_was_in_it() {
    let coordinator = Append {
        leader_epoch: dohle_base::LeaderEpoch(0),
        origin: Origin::Coordinator { transaction_version: 0 },
        largest: None,
    };
    let path = Path::new(DIR).join("00000000000000000000.log");
    type Cut = fn(&Memory, &Path);
    let cuts: [(&str, Cut); 3] = [
        ("truncated", |disk, _| assert_eq!(open(disk, &CLEAN).0.truncate_to(Offset(0), NOW).unwrap(), Offset(0))),
        ("torn", |disk, path| disk.edit(path, |bytes| bytes[16] = 7).unwrap()),
        ("stopped when it had just been cut", |disk, path| disk.edit(path, |bytes| bytes.clear()).unwrap()),
    ];
    for (name, cut) in cuts {
        let disk = disk();
        let (mut log, _) = open(&disk, &CLEAN);
        lead(&mut log, 0, &transactional(1, 0, 2)).unwrap();
        log.append(&marker(1, false), &coordinator, NOW).unwrap();
        log.close(NOW).unwrap();
        cut(&disk, &path);
        open(&disk, &UNCLEAN).0.close(NOW).unwrap();
        let disk = disk.crash(&mut Rng::new(1));
        let (mut log, _) = open(&disk, &CLEAN);
        lead(&mut log, 0, &transactional(1, 0, 2)).unwrap();
        log.append(&marker(1, true), &coordinator, NOW).unwrap();
        let slice = log.read(Offset(0), log.end(), 10_000, true).unwrap().unwrap();
        assert!(log.aborts(Offset(0), log.end(), &slice).is_none(), "{name}");
    }
}

#[test]
fn damage_below_the_recovery_point_is_not_served() {
    let (disk, _) = written();
    let (mut log, _) = open(&disk, &UNCLEAN);
    log.close(NOW).unwrap();
    let whole = read(&log, 0);
    let after = disk.copy();
    let first = log.segments().next().unwrap();
    after.edit(&Path::new(DIR).join("00000000000000000000.log"), |bytes| bytes[8..12].fill(0xff)).unwrap();
    let (log, _) = open(&after, &CLEAN);
    assert!(matches!(log.read(Offset(0), log.end(), 1, true), Err(ReadError::Damaged { .. })));
    let behind = first.end;
    assert_eq!(read(&log, behind.0), whole[(behind.0 / 2) as usize..], "other segments are");
}

#[test]
fn any_damage_is_survived() {
    let mut rng = Rng::new(1);
    let mut input = [0; 64];
    for _ in 0..4_000 {
        rng.fill(&mut input);
        let size = rng.below(input.len() as u64) as usize;
        fuzzing::segment(&input[..size]);
    }
    for _ in 0..100_000 {
        rng.fill(&mut input);
        let size = rng.below(input.len() as u64) as usize;
        fuzzing::checkpoint(&input[..size]);
    }
    let _ = options();
}
