//! What a log knows beside its batches, against what its batches say: at every offset.

use std::path::Path;

use dohle_base::{Offset, Rng};
use dohle_records::{Batch, Batches, Header};

use super::{DIR, NOW, UNCLEAN, disk, idempotent, lead, marker, open, plain, transactional};
use crate::disk::{Disk, Memory};
use crate::log::append::marker_of;
use crate::log::{Append, Log};
use crate::producers::{Origin, Producer, Producers};
use crate::segment::Aborted;

/// The producers as they were behind each batch.
type Behind = Vec<(Offset, Vec<Producer>)>;

/// A log of a random history with transactions and epochs.
fn written(seed: u64) -> (Memory, Log<Memory>, Behind) {
    let disk = disk();
    let (mut log, _) = open(&disk, &UNCLEAN);
    let mut rng = Rng::new(seed);
    let (mut sequences, mut epoch) = ([0; 6], 0);
    let mut behind = vec![];
    for _ in 0..60 {
        let (id, records) = (rng.below(3) as usize, 1 + rng.below(3) as usize);
        let coordinator = Append {
            leader_epoch: dohle_base::LeaderEpoch(epoch),
            origin: Origin::Coordinator { transaction_version: 0 },
            largest: None,
        };
        let batch = match rng.below(10) {
            0..=1 => Some(plain(records)),
            2..=4 => Some(idempotent(id as i64, sequences[id], records)),
            5..=7 => Some(transactional(id as i64 + 3, sequences[id + 3], records)),
            _ => None,
        };
        match batch {
            Some(batch) => {
                let place = batch.header().producer_id.0;
                if let Ok(place) = usize::try_from(place) {
                    sequences[place] += records as i32;
                }
                lead(&mut log, epoch, &batch).unwrap();
            }
            None if rng.chance(100) => epoch += 1,
            None => {
                log.append(&marker(id as i64 + 3, rng.chance(500)), &coordinator, NOW).unwrap();
            }
        }
        if rng.chance(200)
            && let Some(flush) = log.begin_flush()
        {
            log.flushed(flush.run(), NOW).unwrap();
        }
        behind.push((log.end(), producers(&log)));
    }
    (disk, log, behind)
}

fn producers(log: &Log<Memory>) -> Vec<Producer> {
    log.producers().iter().copied().collect()
}

/// What snapshots keep: of the batches of a producer the last.
fn kept(producers: &[Producer]) -> Vec<(i64, i16, i32, Offset, i32, Option<Offset>)> {
    let kept = producers.iter();
    kept.map(|p| (p.id.0, p.epoch.0, p.last_sequence(), p.last_offset(), p.coordinator_epoch, p.transaction_start))
        .collect()
}

fn batches(log: &Log<Memory>) -> Vec<Batch> {
    let mut found: Vec<Batch> = vec![];
    let mut from = log.start();
    while let Some(slice) = log.read(from, log.end(), 400, true).unwrap() {
        found.extend(Batches::over(slice.read().unwrap()).map(|batch| batch.unwrap()));
        from = found.last().unwrap().header().next_offset();
    }
    found
}

/// The aborted transactions by a scan of every batch.
fn scanned(batches: &[Batch]) -> Vec<Aborted> {
    let mut producers = Producers::starting_at(Offset::ZERO);
    let apply = |batch: &Batch| {
        let header: &Header = batch.header();
        producers.apply(header, marker_of(batch).unwrap(), NOW)
    };
    batches.iter().filter_map(apply).filter(|ended| ended.aborted).map(Aborted::from).collect()
}

#[test]
fn producers_are_at_every_offset_what_a_rebuild_from_the_batches_gives() {
    for seed in 0..40 {
        let (disk, _, behind) = written(seed);
        for (end, expected) in &behind {
            for snapshots in [true, false] {
                let copy = disk.copy();
                if !snapshots {
                    for entry in copy.list(Path::new(DIR)).unwrap() {
                        if entry.name.ends_with(".snapshot") {
                            copy.remove(&Path::new(DIR).join(entry.name)).unwrap();
                        }
                    }
                }
                let (mut log, _) = open(&copy, &UNCLEAN);
                log.truncate_to(*end, NOW).unwrap();
                assert_eq!(log.end(), *end);
                assert_eq!(kept(&producers(&log)), kept(expected), "seed {seed} at {end}, snapshots {snapshots}");
            }
        }
    }
}

#[test]
fn the_abort_index_is_at_every_range_what_a_scan_gives() {
    for seed in 100..130 {
        let (disk, live, _) = written(seed);
        let batches = batches(&live);
        let all = scanned(&batches);
        for log in [&live, &open(&disk.copy(), &UNCLEAN).0] {
            for batch in &batches {
                let from = batch.header().base_offset;
                let slice = log.read(from, log.end(), 1, true).unwrap().unwrap();
                let found =
                    log.aborts(from, log.end(), &slice).map(|aborts| aborts.find().unwrap()).unwrap_or_default();
                let upto = batch.header().next_offset();
                let needed = all.iter().filter(|entry| entry.last >= from && entry.first < upto);
                assert!(needed.clone().all(|entry| found.contains(entry)), "seed {seed} from {from}: {found:?}");
                assert!(found.iter().all(|entry| all.contains(entry)), "seed {seed} from {from}: {found:?}");
            }
        }
    }
}
