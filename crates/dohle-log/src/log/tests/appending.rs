//! What is appended, refused, rolled over, and what the disk does meanwhile.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use dohle_base::{ErrorCode, LeaderEpoch, Offset, Rng, Timestamp};
use dohle_records::batch::encode::{Builder, Entry};
use dohle_records::batch::stamp::{Stamp, Time};
use dohle_records::{Batch, TimestampType};

use super::{CLEAN, DIR, NOW, Settings, UNCLEAN, batch_of, disk, idempotent, lead, open, options, plain, read};
use crate::directory::Directory;
use crate::disk::{Disk, Fault, Memory};
use crate::log::{Append, AppendError, Flush, Log, Opening};
use crate::options::{Cleanup, Durability, Options};
use crate::producers::Origin;
use crate::removal::Removal;

const CLIENT: Append = Append { leader_epoch: LeaderEpoch(0), origin: Origin::Client(None), largest: None };

fn open_with(disk: &Memory, options: Options) -> Log<Memory> {
    Log::open(disk.clone(), Path::new(DIR), options, &CLEAN, NOW).unwrap().0
}

fn bases(log: &Log<Memory>) -> Vec<i64> {
    log.segments().map(|segment| segment.base.0).collect()
}

#[test]
fn a_repeated_batch_is_answered_as_it_was_and_not_written() {
    for timestamp_type in [TimestampType::Create, TimestampType::LogAppend] {
        let mut log = open_with(&disk(), Options { timestamp_type, ..options() });
        let first = log.append(&idempotent(1, 0, 3), &CLIENT, NOW).unwrap();
        log.append(&idempotent(1, 3, 3), &CLIENT, Timestamp(NOW.0 + 1)).unwrap();
        let size = log.size();
        let again = log.append(&idempotent(1, 0, 3), &CLIENT, Timestamp(NOW.0 + 2)).unwrap();
        assert!(again.duplicate);
        assert_eq!(
            (again.base_offset, again.last_offset, again.append_time),
            (Offset(0), Offset(2), first.append_time)
        );
        assert_eq!((log.size(), log.end()), (size, Offset(6)));
    }
}

#[test]
fn the_time_of_the_append_replaces_the_producers_where_the_topic_wants_it() {
    let mut log = open_with(&disk(), Options { timestamp_type: TimestampType::LogAppend, ..options() });
    let appended = log.append(&batch_of(Settings::default(), &[5, 9]), &CLIENT, NOW).unwrap();
    assert_eq!(appended.append_time, NOW);
    let bytes = log.read(Offset(0), log.end(), 1, true).unwrap().unwrap().read().unwrap();
    let batch = Batch::first(&bytes).unwrap().unwrap();
    assert!(batch.is_intact());
    assert_eq!(batch.header().attributes.timestamp_type(), TimestampType::LogAppend);
    assert_eq!(batch.header().max_timestamp, NOW);
    let found = log.by_time(Timestamp(NOW.0 - 1)).find().unwrap().unwrap();
    assert_eq!((found.time, found.offset), (NOW, Offset(0)));
}

#[test]
fn times_too_far_from_now_are_refused() {
    let bounds = Options { timestamp_before_max_ms: 1_000, timestamp_after_max_ms: 2_000, ..options() };
    let mut log = open_with(&disk(), bounds);
    let cases = [
        (-1, true),
        (0, false),
        (NOW.0 - 1_001, false),
        (NOW.0 - 1_000, true),
        (NOW.0 + 2_000, true),
        (NOW.0 + 2_001, false),
    ];
    for (time, accepted) in cases {
        let appended = log.append(&batch_of(Settings::default(), &[time]), &CLIENT, NOW);
        assert_eq!(
            appended.map_err(|error| error.code()).err(),
            (!accepted).then_some(ErrorCode::InvalidTimestamp),
            "{time}"
        );
    }
    let coordinator = Append { origin: Origin::Coordinator { transaction_version: 0 }, ..CLIENT };
    log.append(&batch_of(Settings::default(), &[0]), &coordinator, NOW).unwrap();
}

#[test]
fn a_corrected_largest_time_is_written() {
    let mut log = open_with(&disk(), options());
    let appended = Append { largest: Some(Timestamp(NOW.0 + 7)), ..CLIENT };
    log.append(&batch_of(Settings::default(), &[NOW.0]), &appended, NOW).unwrap();
    let bytes = log.read(Offset(0), log.end(), 1, true).unwrap().unwrap().read().unwrap();
    let batch = Batch::first(&bytes).unwrap().unwrap();
    assert!(batch.is_intact());
    assert_eq!(batch.header().max_timestamp, Timestamp(NOW.0 + 7));
}

#[test]
fn a_replaced_leader_writes_nothing() {
    let (mut log, _) = open(&disk(), &CLEAN);
    lead(&mut log, 4, &plain(1)).unwrap();
    assert!(matches!(lead(&mut log, 3, &plain(1)), Err(AppendError::StaleEpoch { .. })));
    log.begin_epoch(LeaderEpoch(6));
    assert!(matches!(lead(&mut log, 5, &plain(1)), Err(AppendError::StaleEpoch { .. })));
    lead(&mut log, 6, &plain(1)).unwrap();
    assert_eq!(log.epochs().starts().len(), 2);
}

fn replica_of(base: i64, epoch: i32, batch: &Batch) -> Batch {
    let stamped = batch.stamp(&Stamp { base_offset: Offset(base), leader_epoch: LeaderEpoch(epoch), time: Time::Kept });
    Batch::first(&stamped.to_bytes()).unwrap().unwrap()
}

#[test]
fn a_follower_takes_its_leaders_offsets_with_their_gaps() {
    let (mut log, _) = open(&disk(), &CLEAN);
    for (base, epoch) in [(0, 1), (2, 1), (10, 1), (12, 4)] {
        let appended = log.append_as_follower(&replica_of(base, epoch, &plain(2)), NOW).unwrap();
        assert_eq!((appended.base_offset, appended.last_offset), (Offset(base), Offset(base + 1)));
    }
    assert_eq!(read(&log, 0), [(0, 1), (2, 3), (10, 11), (12, 13)]);
    assert_eq!(read(&log, 5), [(10, 11), (12, 13)], "a gap is read from behind it");
    let refused = [
        (replica_of(13, 4, &plain(1)), ErrorCode::UnknownServerError),
        (replica_of(14, 3, &plain(1)), ErrorCode::NotLeaderOrFollower),
    ];
    for (batch, code) in refused {
        assert_eq!(log.append_as_follower(&batch, NOW).unwrap_err().code(), code);
    }
    let mut bytes = replica_of(14, 4, &plain(1)).bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let damaged = Batch::first(&bytes.into()).unwrap().unwrap();
    assert_eq!(log.append_as_follower(&damaged, NOW).unwrap_err().code(), ErrorCode::CorruptMessage);
    log.check();
}

#[test]
fn a_follower_with_an_empty_log_begins_where_no_index_could_reach() {
    let (mut log, _) = open(&disk(), &CLEAN);
    let far = 1 << 40;
    log.append_as_follower(&replica_of(far, 0, &plain(2)), NOW).unwrap();
    assert_eq!(bases(&log), [far]);
    assert_eq!(read(&log, 0), [(far, far + 1)]);
    let further = far + (1 << 31) + 5;
    log.append_as_follower(&replica_of(further, 0, &plain(2)), NOW).unwrap();
    assert_eq!(bases(&log), [far, further]);
    assert_eq!(read(&log, 0), [(far, far + 1), (further, further + 1)]);
    log.check();
}

#[test]
fn segments_roll_by_size_by_age_of_the_records_and_by_their_indexes() {
    let one = plain(1).bytes().len() as u64;
    let size = Options { segment_bytes: one * 3, ..options() };
    let age = Options { segment_bytes: 1 << 20, segment_ms: 1_000, ..options() };
    let index = Options { segment_bytes: 1 << 20, index_interval_bytes: 0, index_bytes_max: 36, ..options() };
    let cases = [
        ("size", size, vec![0, 0, 0, 0, 0, 0, 0], vec![0, 3, 6]),
        ("age", age.clone(), vec![0, 1_000, 1_001, 1_500, 3_000], vec![0, 2, 4]),
        ("age backwards", age, vec![5_000, 0, 6_001], vec![0, 2]),
        ("index", index, vec![0; 7], vec![0, 5]),
    ];
    for (name, options, times, expected) in cases {
        let mut log = open_with(&disk(), options);
        for time in times {
            log.append(&batch_of(Settings::default(), &[NOW.0 + time]), &CLIENT, NOW).unwrap();
        }
        assert_eq!(bases(&log), expected, "{name}");
    }
}

#[test]
fn records_without_a_time_age_by_the_clock() {
    let mut log = open_with(&disk(), Options { segment_ms: 1_000, ..options() });
    let timeless = batch_of(Settings::default(), &[-1]);
    for later in [0, 1_000, 1_001, 1_002] {
        log.append(&timeless, &CLIENT, Timestamp(NOW.0 + later)).unwrap();
    }
    assert_eq!(bases(&log), [0, 2]);
    assert_eq!(log.by_time(Timestamp(0)).find().unwrap(), None);
    assert_eq!(log.by_largest_time().find().unwrap(), None);
}

#[test]
fn one_append_is_one_operation_on_the_disk() {
    let disk = disk();
    let mut log = open_with(&disk, Options { segment_bytes: 1 << 20, ..options() });
    let before = disk.operations();
    for _ in 0..100 {
        lead(&mut log, 0, &plain(2)).unwrap();
    }
    assert_eq!(disk.operations() - before, 100);
}

#[test]
fn after_a_failed_write_nothing_is_appended() {
    let disk = disk();
    let (mut log, _) = open(&disk, &CLEAN);
    lead(&mut log, 0, &plain(1)).unwrap();
    disk.fail(disk.operations() + 1, Fault::Error(io::ErrorKind::Other));
    assert_eq!(lead(&mut log, 0, &plain(1)).unwrap_err().code(), ErrorCode::KafkaStorageError);
    assert!(log.is_offline());
    assert!(matches!(lead(&mut log, 0, &plain(1)), Err(AppendError::Offline)));
    assert!(log.begin_flush().is_none());
    assert_eq!(read(&log, 0), [(0, 0)], "it can still be read");
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_space() {
    let disk = disk();
    let (mut log, _) = open(&disk, &CLEAN);
    lead(&mut log, 0, &plain(1)).unwrap();
    disk.limit(Some(log.size() + 10));
    for _ in 0..3 {
        assert_eq!(lead(&mut log, 0, &plain(1)).unwrap_err().code(), ErrorCode::KafkaStorageError);
    }
    assert!(!log.is_offline());
    disk.limit(None);
    lead(&mut log, 0, &plain(2)).unwrap();
    assert_eq!(read(&log, 0), [(0, 0), (1, 2)]);
    assert_eq!(read(&open(&disk.kill(), &UNCLEAN).0, 0), [(0, 0), (1, 2)]);
}

#[test]
fn a_roll_that_fails_leaves_the_log_as_it_was() {
    let disk = disk();
    let one = plain(1).bytes().len() as u64;
    let mut log = open_with(&disk, Options { segment_bytes: one, ..options() });
    lead(&mut log, 0, &plain(1)).unwrap();
    for failing in 1..=3 {
        disk.fail(disk.operations() + failing, Fault::Error(io::ErrorKind::Other));
        lead(&mut log, 0, &plain(1)).unwrap_err();
        assert!(!log.is_offline());
        assert_eq!(read(&log, 0), [(0, 0)]);
    }
    lead(&mut log, 0, &plain(1)).unwrap();
    assert_eq!((read(&log, 0), bases(&log)), (vec![(0, 0), (1, 1)], vec![0, 1]));
}

#[test]
fn a_failed_sync_takes_the_log_offline_and_what_it_lost_is_not_claimed() {
    let disk = disk();
    let (mut log, _) = open(&disk, &CLEAN);
    let flush = log.begin_flush().unwrap();
    log.flushed(flush.run(), NOW).unwrap();
    lead(&mut log, 0, &plain(1)).unwrap();
    let flush = log.begin_flush().unwrap();
    disk.fail(disk.operations() + 1, Fault::Error(io::ErrorKind::Other));
    log.flushed(flush.run(), NOW).unwrap_err();
    assert!(log.is_offline() && log.begin_flush().is_none());
    assert_eq!(log.synced(), Offset(0));
}

#[test]
fn logs_that_are_flushed_together_are_durable_together_and_offline_together() {
    let disk = disk();
    let directory = Directory::open(disk.clone(), Path::new("/log")).unwrap();
    let other = Path::new("/log/u-0");
    disk.create_dir(other).unwrap();
    disk.sync_dir(Path::new("/log")).unwrap();
    let (mut one, _) = open(&disk, &CLEAN);
    let (mut two, _) = Log::open(disk.clone(), other, options(), &CLEAN, NOW).unwrap();
    let flush = |one: &mut Log<Memory>, two: &mut Log<Memory>| {
        lead(one, 0, &plain(2)).unwrap();
        lead(two, 0, &plain(3)).unwrap();
        let flushes = vec![one.begin_flush().unwrap(), two.begin_flush().unwrap()];
        let mut flushed = Flush::run_together(flushes, &directory).into_iter();
        [one, two].map(|log| log.flushed(flushed.next().unwrap(), NOW).is_ok())
    };
    assert_eq!(flush(&mut one, &mut two), [true, true]);
    let before = disk.operations();
    assert_eq!(flush(&mut one, &mut two), [true, true]);
    assert_eq!(disk.operations() - before, 3, "two writes and one sync");
    for seed in 0..8 {
        let disk = disk.copy().crash(&mut Rng::new(seed));
        assert_eq!(open(&disk, &UNCLEAN).0.end(), Offset(4));
        assert_eq!(Log::open(disk, other, options(), &UNCLEAN, NOW).unwrap().0.end(), Offset(6));
    }
    disk.fail_sync();
    assert_eq!(flush(&mut one, &mut two), [false, false]);
    assert!(one.is_offline() && two.is_offline());
    assert_eq!((one.synced(), two.synced()), (Offset(4), Offset(6)));
}

#[test]
fn the_indexes_of_closed_segments_are_flushed_with_their_batches() {
    let closing = || {
        let disk = disk();
        let directory = Directory::open(disk.clone(), Path::new("/log")).unwrap();
        let (mut log, _) = open(&disk, &CLEAN);
        for flushes in 0..2 {
            for _ in 0..40 {
                lead(&mut log, 0, &plain(1)).unwrap();
            }
            if flushes == 0 {
                let flush = log.begin_flush().unwrap();
                log.flushed(flush.run(), NOW).unwrap();
            }
        }
        (disk, directory, log)
    };
    let flush = |log: &mut Log<Memory>, directory: &Directory<Memory>| {
        let flush = log.begin_flush().unwrap();
        log.flushed(Flush::run_together(vec![flush], directory).remove(0), NOW).is_ok()
    };
    let reopened = |disk: Memory, synced| {
        let (log, recovered) = open(&disk, &Opening { recovery_point: synced, ..UNCLEAN });
        assert!(log.end() >= synced, "{synced:?}");
        assert_eq!(read(&log, 0).len() as i64, log.end().0);
        recovered
    };
    let (disk, directory, mut log) = closing();
    let before = disk.operations();
    assert!(flush(&mut log, &directory));
    let (steps, synced) = (disk.operations() - before, log.synced());
    assert!(synced == Offset(80) && log.segments().count() > 5);
    let indexes = |disk: &Memory| {
        let entries = disk.list(Path::new(DIR)).unwrap().into_iter().filter(|entry| entry.name.ends_with("index"));
        entries.map(|entry| format!("{entry:?}")).collect::<BTreeSet<_>>()
    };
    for seed in 0..8 {
        let crashed = disk.copy().crash(&mut Rng::new(seed));
        assert_eq!(indexes(&crashed), indexes(&disk));
        assert_eq!(reopened(crashed, synced).segments, 1, "what lies before is taken as it is");
    }
    for failing in 1..=steps {
        let (disk, directory, mut log) = closing();
        disk.fail(disk.operations() + failing, Fault::Crash);
        assert!(!flush(&mut log, &directory), "{failing}");
        for seed in 0..8 {
            reopened(disk.copy().crash(&mut Rng::new(seed)), Offset(40));
        }
    }
}

#[test]
fn a_flush_covers_what_was_there_when_it_began() {
    let (mut log, _) = open(&disk(), &CLEAN);
    lead(&mut log, 0, &plain(1)).unwrap();
    let flush = log.begin_flush().unwrap();
    assert!(log.begin_flush().is_none(), "one at a time");
    lead(&mut log, 0, &plain(1)).unwrap();
    assert_eq!(log.flushed(flush.run(), NOW).unwrap(), Offset(1));
    let flush = log.begin_flush().unwrap();
    log.truncate_to(Offset(1), NOW).unwrap();
    lead(&mut log, 1, &plain(3)).unwrap();
    assert_eq!(log.flushed(flush.run(), NOW).unwrap(), Offset(1), "what was truncated meanwhile does not count");
    let flush = log.begin_flush().unwrap();
    assert_eq!(log.flushed(flush.run(), NOW).unwrap(), Offset(4));
    assert!(log.begin_flush().is_none(), "nothing is left to do");
}

#[test]
fn what_nobody_waits_for_is_written_to_the_disk_in_pieces() {
    let relaxed = Options { durability: Durability::Relaxed, ..Options::default() };
    let mut log = open_with(&disk(), relaxed);
    let large = vec![b'x'; 1 << 20];
    let mut builder = Builder::new(Settings::default());
    builder.append(&Entry { value: Some(&large), ..Entry::default() }).unwrap();
    let batch = builder.finish();
    for _ in 0..2 {
        let before = (0..).take_while(|_| !log.has_gathered() && lead(&mut log, 0, &batch).is_ok()).count();
        assert_eq!(before, 2);
        let flush = log.begin_flush().unwrap();
        assert!(!log.has_gathered());
        log.flushed(flush.run(), NOW).unwrap();
    }
}

#[test]
fn the_topic_says_when_a_flush_is_due() {
    let relaxed = Options { durability: Durability::Relaxed, flush_messages: 3, flush_ms: 1_000, ..options() };
    let mut log = open_with(&disk(), relaxed);
    let later = |ms| Timestamp(NOW.0 + ms);
    log.append(&plain(2), &CLIENT, NOW).unwrap();
    assert!(log.wants_flush(later(0)), "the log itself is new, and so is its epoch");
    let flush = log.begin_flush().unwrap();
    log.flushed(flush.run(), NOW).unwrap();
    assert!(!log.wants_flush(later(5_000)), "nothing is waiting");
    log.append(&plain(2), &CLIENT, NOW).unwrap();
    assert!(!log.wants_flush(later(999)));
    assert!(log.wants_flush(later(1_000)));
    log.append(&plain(1), &CLIENT, NOW).unwrap();
    assert!(log.wants_flush(later(0)));
    log.set_options(options());
    assert!(log.wants_flush(later(0)));
}

fn remove(removal: Option<Removal<Memory>>) {
    removal.unwrap().remove().unwrap();
}

#[test]
fn retention_drops_what_is_flushed_and_moves_the_start() {
    let disk = disk();
    let mut log = open_with(&disk, Options { retention_ms: Some(1_000), retention_bytes: None, ..options() });
    for n in 0..40 {
        log.append(&batch_of(Settings::default(), &[NOW.0 + n * 100]), &CLIENT, NOW).unwrap();
    }
    let before = log.segments().count();
    let now = Timestamp(NOW.0 + 3_000);
    assert!(log.retain(now, log.end()).unwrap().is_none(), "not before it is durable");
    let flush = log.begin_flush().unwrap();
    log.flushed(flush.run(), NOW).unwrap();
    assert!(log.retain(now, Offset(3)).unwrap().is_none(), "not above the high watermark");
    let removal = log.retain(now, log.end()).unwrap();
    let files = disk.list(Path::new(DIR)).unwrap();
    assert!(files.iter().any(|file| file.name.ends_with(".deleted")), "renamed at once, removed later");
    remove(removal);
    assert!(disk.list(Path::new(DIR)).unwrap().iter().all(|file| !file.name.ends_with(".deleted")));
    assert!(log.wants_flush(now), "the next one waits for it");
    assert!(log.segments().count() < before);
    assert_eq!(log.start(), log.segments().next().unwrap().base);
    assert!(read(&log, log.start().0).len() >= 20);
    log.check();
    let flush = log.begin_flush().unwrap();
    log.flushed(flush.run(), NOW).unwrap();
    let end = log.end();
    remove(log.retain(Timestamp(NOW.0 + 100_000), end).unwrap());
    assert_eq!((log.start(), log.end(), log.size(), log.segments().count()), (end, end, 0, 1), "all of it is old");
    log.check();
}

#[test]
fn a_compacted_topic_keeps_all_but_what_lies_below_the_start() {
    let keep = Options { retention_ms: Some(0), cleanup: Cleanup { delete: false, compact: true }, ..options() };
    let mut log = open_with(&disk(), keep);
    for _ in 0..40 {
        log.append(&plain(1), &CLIENT, NOW).unwrap();
    }
    let flush = log.begin_flush().unwrap();
    log.flushed(flush.run(), NOW).unwrap();
    let late = Timestamp(i64::MAX);
    assert!(log.retain(late, log.end()).unwrap().is_none());
    let second = log.segments().nth(1).unwrap().base;
    log.advance_start(second + 1).unwrap();
    remove(log.retain(late, log.end()).unwrap());
    assert_eq!((log.start(), log.segments().next().unwrap().base), (second + 1, second));
    assert!(log.read(second, log.end(), 1, true).is_err(), "below the start");
    assert!(log.advance_start(log.end() + 1).is_err());
    assert_eq!(log.advance_start(Offset(0)).unwrap(), second + 1, "the start only rises");
}

#[test]
fn silent_producers_expire_as_the_broker_says() {
    let mut log = open_with(&disk(), Options { producer_expiration: std::time::Duration::from_secs(1), ..options() });
    lead(&mut log, 0, &idempotent(1, 0, 1)).unwrap();
    assert_eq!(log.expire_producers(Timestamp(NOW.0 + 999)), 0);
    assert_eq!(log.expire_producers(Timestamp(NOW.0 + 1_000)), 1);
}
