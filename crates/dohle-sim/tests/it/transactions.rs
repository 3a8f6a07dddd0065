//! The world of transactions: its runs, and what must be true of all of them together.

use std::collections::BTreeMap;

use dohle_base::ErrorCode;
use dohle_sim::coverage::Coverage;
use dohle_sim::transactions::edge::Edge;
use dohle_sim::transactions::{invariant, run::run};

use super::{covers_enough, is_whole, seeds};

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
    let seeds = seeds();
    let whole = is_whole(&seeds);
    let (mut coverage, mut edges) = (Coverage::default(), BTreeMap::<Edge, u64>::new());
    let (mut events, mut transactions, mut simulated) = (0, 0, 0.0);
    for seed in seeds {
        let outcome = run(seed);
        if let Some(failure) = outcome.run.failure {
            panic!("\n{failure}");
        }
        coverage.add(&outcome.run.coverage);
        outcome.edges.iter().for_each(|(edge, count)| *edges.entry(*edge).or_default() += count);
        events += outcome.run.events;
        transactions += outcome.transactions;
        simulated += outcome.run.simulated.as_secs_f64();
    }
    println!("{events} events, {transactions} transactions in {simulated:.0} simulated seconds");
    println!("{edges:#?} {coverage:#?}");
    if whole {
        covers_enough(&coverage, &CODES, invariant::all().iter().map(|law| law.name()));
        Edge::ALL.iter().for_each(|edge| assert!(edges.contains_key(edge), "{edge:?} was never passed"));
    }
}

#[test]
fn the_same_seed_gives_the_same_transactions() {
    for seed in 0..5 {
        let (one, other) = (run(seed), run(seed));
        assert_eq!((one.run.trace, one.run.events), (other.run.trace, other.run.events), "seed {seed}");
        assert_eq!((one.run.coverage, one.edges), (other.run.coverage, other.edges), "seed {seed}");
    }
    assert_ne!(run(1).run.trace, run(2).run.trace);
}
