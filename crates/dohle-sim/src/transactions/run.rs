//! A run: a storm, a calm, a last power cut, and what came of it.

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use dohle_base::Instant;

use super::calm;
use super::edge::Edge;
use super::world::World;
use crate::run::{self, BROKEN};

/// The shortest storm, and how much longer one may be.
const STORM: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(30));

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What is told of every world.
    pub run: run::Outcome,
    /// How many transactions were begun.
    pub transactions: u64,
    /// Which narrow places were passed, and how often.
    pub edges: BTreeMap<Edge, u64>,
}

/// Runs a seed.
pub fn run(seed: u64) -> Outcome {
    let mut world = World::new(seed);
    if panic::catch_unwind(AssertUnwindSafe(|| play(&mut world))).is_err() {
        world.court.fail(BROKEN.0, BROKEN.1.to_owned());
    }
    let World { now, trace, court, coverage, labels, watch, .. } = world;
    let run = run::Outcome::of(seed, "the_transactions", now, &trace, court.violation(), coverage);
    Outcome { run, transactions: labels, edges: watch.passed().clone() }
}

fn play(world: &mut World) {
    let storm = STORM.0 + Duration::from_millis(world.rng.below(STORM.1.as_millis() as u64));
    world.run_until(Instant::ZERO + storm);
    world.calm_down();
    let ended: Vec<u64> = world.ended_by_name();
    world.run_until(world.now + calm::WORK);
    world.rest();
    world.run_until(world.now + calm::REST);
    if world.court.violation().is_none()
        && let Err(what) = calm::at_rest(world, &ended)
    {
        world.court.fail("AtRest", what);
    }
    if world.court.violation().is_none() {
        world.last_judgement();
    }
}
