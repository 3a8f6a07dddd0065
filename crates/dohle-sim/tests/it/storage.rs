//! One partition on a failing disk: what acknowledgements are worth.

use dohle_replication::partition::Durability;
use dohle_sim::storage::{Fault, Tally, run, run_all};

/// Power cuts per rule of durability.
const CUTS: u64 = 200;

fn cut(durability: Durability) -> Tally {
    let mut tally = Tally::default();
    for seed in 0..CUTS {
        for fault in [Fault::PowerCut, Fault::TornOperation] {
            tally.add(&run(seed, fault, durability).unwrap_or_else(|broken| panic!("{broken}")));
        }
    }
    assert!(tally.restarts >= CUTS, "{tally:?}");
    assert!(tally.acknowledged > 10_000, "{tally:?}");
    println!("{durability:?}: {tally:?}");
    tally
}

#[test]
fn no_power_cut_loses_what_was_acknowledged_by_the_disk() {
    let tally = cut(Durability::Synced);
    assert_eq!((tally.lost, tally.reported), (0, 0));
}

/// What is lost lies behind the last sync, which the run itself checks; the rest is a whole log.
#[test]
fn a_power_cut_takes_of_a_relaxed_topic_what_was_not_synced_and_the_broker_says_so() {
    let tally = cut(Durability::Relaxed);
    assert!(tally.lost > 0 && tally.reported > 0, "{tally:?}");
}

#[test]
fn every_fault_of_a_disk_comes_and_no_law_is_broken() {
    for durability in [Durability::Synced, Durability::Relaxed] {
        let tallies = run_all(1_000..1_040, durability).unwrap_or_else(|broken| panic!("{broken}"));
        println!("{durability:?}: {tallies:#?}");
        for fault in Fault::ALL {
            let tally = tallies[&fault];
            assert!(tally.faults >= 40 && tally.acknowledged > 0, "{fault:?}: {tally:?}");
            let stops = matches!(fault, Fault::ShortWrite | Fault::NoSpace | Fault::SlowSync | Fault::BitRot);
            assert_eq!(tally.restarts > 0, !stops, "{fault:?}: {tally:?}");
        }
        assert!(tallies[&Fault::NoSpace].refused > 0);
        assert!(tallies[&Fault::BitRot].rotten > 0);
    }
}
