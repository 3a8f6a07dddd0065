//! The seeds: runs of the simulated world, and what must be true of all of them together.

mod storage;
mod transactions;

use std::env;
use std::ops::Range;

use dohle_base::ErrorCode;
use dohle_sim::coverage::{Coverage, Fault};
use dohle_sim::invariant;
use dohle_sim::run::run;

/// How many seeds are run unless `DOHLE_SEEDS` says otherwise.
const SEEDS: u64 = 200;
/// The least share of answers that are no refusal, in 1,000: where nearly all calls fail, "no error" says nothing.
const SUCCESS_PERMILLE_MIN: u64 = 600;
/// What callers of a coordinator must have been told by so many seeds together.
const CODES: [ErrorCode; 11] = [
    ErrorCode::None,
    ErrorCode::CoordinatorLoadInProgress,
    ErrorCode::NotCoordinator,
    ErrorCode::IllegalGeneration,
    ErrorCode::UnknownMemberId,
    ErrorCode::RebalanceInProgress,
    ErrorCode::MemberIdRequired,
    ErrorCode::FencedInstanceId,
    ErrorCode::NonEmptyGroup,
    ErrorCode::GroupIdNotFound,
    ErrorCode::GroupSubscribedToTopic,
];

/// Which seeds are run.
fn seeds() -> Range<u64> {
    match number("DOHLE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("DOHLE_SEEDS").unwrap_or(SEEDS),
    }
}

/// Whether so many seeds must have tried everything.
fn is_whole(seeds: &Range<u64>) -> bool {
    seeds.end - seeds.start >= SEEDS
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn the_seeds_keep_every_law_and_come_to_rest() {
    let seeds = seeds();
    let whole = is_whole(&seeds);
    let mut coverage = Coverage::default();
    let (mut events, mut simulated) = (0, 0.0);
    for seed in seeds {
        let outcome = run(seed);
        if let Some(failure) = outcome.failure {
            panic!("\n{failure}");
        }
        coverage.add(&outcome.coverage);
        events += outcome.events;
        simulated += outcome.simulated.as_secs_f64();
    }
    println!("{events} events in {simulated:.0} simulated seconds: {coverage:#?}");
    if whole {
        covers_enough(&coverage, &CODES, invariant::all().iter().map(|law| law.name()));
    }
}

/// A fault that never came, a refusal that nobody got and a law that never judged prove nothing.
fn covers_enough(coverage: &Coverage, codes: &[ErrorCode], laws: impl Iterator<Item = &'static str>) {
    for fault in Fault::ALL {
        assert!(coverage.faults.contains_key(&fault), "{fault:?} never came");
    }
    for code in codes {
        assert!(coverage.codes.contains_key(code), "nobody was ever told {code}");
    }
    for law in laws {
        assert!(coverage.looks.contains_key(law), "{law} never judged");
    }
    let success = coverage.success_permille();
    assert!(success >= SUCCESS_PERMILLE_MIN, "only {success} of 1,000 answers were no refusal");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..5 {
        let (one, other) = (run(seed), run(seed));
        assert_eq!((one.trace, one.events), (other.trace, other.events), "seed {seed}");
        assert_eq!(one.coverage, other.coverage, "seed {seed}");
    }
    assert_ne!(run(1).trace, run(2).trace);
}
