//! The world of transactions: its runs, and what must be true of all of them together.

use std::collections::BTreeMap;

use dohle_base::ErrorCode;
use dohle_sim::coverage::{Coverage, Fault};
use dohle_sim::transactions::edge::Edge;
use dohle_sim::transactions::{invariant, run::run};

use super::number;

/// How many seeds are run unless `DOHLE_SEEDS` says otherwise.
const SEEDS: u64 = 200;
/// The least share of answers that are no refusal, in 1,000.
const SUCCESS_PERMILLE_MIN: u64 = 600;
/// What producers must have been told by so many seeds together.
const CODES: [ErrorCode; 8] = [
    ErrorCode::None,
    ErrorCode::CoordinatorLoadInProgress,
    ErrorCode::ConcurrentTransactions,
    ErrorCode::ProducerFenced,
    ErrorCode::InvalidProducerEpoch,
    ErrorCode::InvalidProducerIdMapping,
    ErrorCode::InvalidTxnState,
    ErrorCode::TransactionAbortable,
];

#[test]
fn the_transactions_keep_every_law_and_come_to_rest() {
    let seeds = match number("DOHLE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("DOHLE_SEEDS").unwrap_or(SEEDS),
    };
    let whole = seeds.end - seeds.start >= SEEDS;
    let (mut coverage, mut edges) = (Coverage::default(), BTreeMap::<Edge, u64>::new());
    let (mut events, mut transactions, mut simulated) = (0, 0, 0.0);
    for seed in seeds {
        let outcome = run(seed);
        if let Some(failure) = outcome.failure {
            panic!("\n{failure}");
        }
        coverage.add(&outcome.coverage);
        outcome.edges.iter().for_each(|(edge, count)| *edges.entry(*edge).or_default() += count);
        events += outcome.events;
        transactions += outcome.transactions;
        simulated += outcome.simulated.as_secs_f64();
    }
    println!("{events} events, {transactions} transactions in {simulated:.0} simulated seconds");
    println!("{edges:#?} {coverage:#?}");
    if whole {
        covers_enough(&coverage, &edges);
    }
}

/// A fault that never came, an edge where nobody has been, a refusal that nobody got and a law that never judged prove nothing.
fn covers_enough(coverage: &Coverage, edges: &BTreeMap<Edge, u64>) {
    for fault in Fault::ALL {
        assert!(coverage.faults.contains_key(&fault), "{fault:?} never came");
    }
    for edge in Edge::ALL {
        assert!(edges.contains_key(&edge), "{edge:?} was never passed");
    }
    for code in CODES {
        assert!(coverage.codes.contains_key(&code), "nobody was ever told {code}");
    }
    for invariant in invariant::all() {
        assert!(coverage.looks.contains_key(invariant.name()), "{} never judged", invariant.name());
    }
    let success = coverage.success_permille();
    assert!(success >= SUCCESS_PERMILLE_MIN, "only {success} of 1,000 answers were no refusal");
}

#[test]
fn the_same_seed_gives_the_same_transactions() {
    for seed in 0..5 {
        let (one, other) = (run(seed), run(seed));
        assert_eq!((one.trace, one.events, &one.edges), (other.trace, other.events, &other.edges), "seed {seed}");
        assert_eq!(one.coverage, other.coverage, "seed {seed}");
    }
    assert_ne!(run(1).trace, run(2).trace);
}
