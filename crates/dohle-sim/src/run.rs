//! A run: a storm, a calm, a last power cut, and what came of it.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use dohle_base::Instant;

use crate::calm;
use crate::coverage::Coverage;
use crate::invariant::Violation;
use crate::world::World;

/// The shortest storm, and how much longer one may be.
const STORM: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(90));

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which run.
    pub seed: u64,
    /// Equal for equal runs.
    pub trace: u64,
    /// How many events there were.
    pub events: u64,
    /// How much time passed in the world.
    pub simulated: Duration,
    /// What was tried.
    pub coverage: Coverage,
    /// What went wrong, if anything.
    pub failure: Option<Failure>,
}

/// What went wrong, and the way there.
#[derive(Clone, Debug)]
pub struct Failure {
    seed: u64,
    what: String,
    lines: Vec<String>,
    faults: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        writeln!(f, "faults: {}", self.faults)?;
        writeln!(f, "seed {}: {}", self.seed, self.what)?;
        write!(f, "again: DOHLE_SEED={} cargo test -p dohle-sim the_seeds", self.seed)
    }
}

/// Runs a seed.
pub fn run(seed: u64) -> Outcome {
    let mut world = World::new(seed);
    let broken = panic::catch_unwind(AssertUnwindSafe(|| play(&mut world)));
    if broken.is_err() {
        world.fail("Law", "a machine broke one of its own laws; the panic above says which".to_owned());
    }
    let failure = world.violation.clone().map(|violation| failure(seed, &world, &violation));
    Outcome {
        seed,
        trace: world.trace.hash(),
        events: world.trace.events(),
        simulated: world.now.saturating_since(Instant::ZERO),
        coverage: world.coverage,
        failure,
    }
}

fn play(world: &mut World) {
    let storm = STORM.0 + Duration::from_millis(world.rng.below(STORM.1.as_millis() as u64));
    world.run_until(Instant::ZERO + storm);
    world.calm_down();
    world.run_until(world.now + calm::REST);
    if world.violation.is_none()
        && let Err(what) = calm::at_rest(world)
    {
        world.fail("AtRest", what);
    }
    if world.violation.is_none() {
        world.last_judgement();
    }
}

fn failure(seed: u64, world: &World, violation: &Violation) -> Failure {
    Failure {
        seed,
        what: violation.to_string(),
        lines: world.trace.lines().map(str::to_owned).collect(),
        faults: format!("{:?}", world.coverage.faults),
    }
}
