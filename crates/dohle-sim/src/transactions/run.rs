//! A run: a storm, a calm, a last power cut, and what came of it.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use dohle_base::Instant;

use super::calm;
use super::edge::Edge;
use super::world::World;
use crate::coverage::Coverage;
use crate::invariant::Violation;

/// The shortest storm, and how much longer one may be.
const STORM: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(30));

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which run.
    pub seed: u64,
    /// Equal for equal runs.
    pub trace: u64,
    /// How many events there were.
    pub events: u64,
    /// How many transactions were begun.
    pub transactions: u64,
    /// How much time passed in the world.
    pub simulated: Duration,
    /// What was tried.
    pub coverage: Coverage,
    /// Which narrow places were passed, and how often.
    pub edges: BTreeMap<Edge, u64>,
    /// What went wrong, if anything.
    pub failure: Option<Failure>,
}

/// What went wrong, and the way there.
#[derive(Clone, Debug)]
pub struct Failure {
    seed: u64,
    violation: Violation,
    lines: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        writeln!(f, "seed {}: {}", self.seed, self.violation)?;
        write!(f, "again: DOHLE_SEED={} cargo test -p dohle-sim the_transactions", self.seed)
    }
}

/// Runs a seed.
pub fn run(seed: u64) -> Outcome {
    let mut world = World::new(seed);
    let broken = panic::catch_unwind(AssertUnwindSafe(|| play(&mut world)));
    if broken.is_err() {
        world.fail("Law", "a machine broke one of its own laws; the panic above says which".to_owned());
    }
    let lines = || world.trace.lines().map(str::to_owned).collect();
    let failure = world.violation.clone().map(|violation| Failure { seed, violation, lines: lines() });
    Outcome {
        seed,
        trace: world.trace.hash(),
        events: world.trace.events(),
        transactions: world.labels,
        simulated: world.now.saturating_since(Instant::ZERO),
        edges: world.watch.passed().clone(),
        coverage: world.coverage,
        failure,
    }
}

fn play(world: &mut World) {
    let storm = STORM.0 + Duration::from_millis(world.rng.below(STORM.1.as_millis() as u64));
    world.run_until(Instant::ZERO + storm);
    world.calm_down();
    let ended: Vec<u64> = world.ended_by_name();
    world.run_until(world.now + calm::WORK);
    world.rest();
    world.run_until(world.now + calm::REST);
    if world.violation.is_none()
        && let Err(what) = calm::at_rest(world, &ended)
    {
        world.fail("AtRest", what);
    }
    if world.violation.is_none() {
        world.last_judgement();
    }
}
