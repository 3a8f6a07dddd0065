//! A run: a storm, a calm, a last power cut, and what came of it.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use dohle_base::Instant;

use crate::calm;
use crate::coverage::Coverage;
use crate::invariant::Violation;
use crate::trace::Trace;
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
    test: &'static str,
    what: String,
    lines: Vec<String>,
    faults: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        writeln!(f, "faults: {}", self.faults)?;
        writeln!(f, "seed {}: {}", self.seed, self.what)?;
        write!(f, "again: DOHLE_SEED={} cargo test -p dohle-sim {}", self.seed, self.test)
    }
}

/// Runs a seed.
pub fn run(seed: u64) -> Outcome {
    let mut world = World::new(seed);
    if panic::catch_unwind(AssertUnwindSafe(|| play(&mut world))).is_err() {
        world.court.fail(BROKEN.0, BROKEN.1.to_owned());
    }
    let World { now, trace, court, coverage, .. } = world;
    Outcome::of(seed, "the_seeds", now, &trace, court.violation(), coverage)
}

/// What is said of a run that ended in a panic.
pub(crate) const BROKEN: (&str, &str) = ("Law", "a machine broke one of its own laws; the panic above says which");

impl Outcome {
    /// What came of a run that `test` runs again.
    pub(crate) fn of(
        seed: u64,
        test: &'static str,
        end: Instant,
        trace: &Trace,
        violation: Option<&Violation>,
        coverage: Coverage,
    ) -> Self {
        let failure = violation.map(|violation| Failure {
            seed,
            test,
            what: violation.to_string(),
            lines: trace.lines().map(str::to_owned).collect(),
            faults: format!("{:?}", coverage.faults),
        });
        let simulated = end.saturating_since(Instant::ZERO);
        Self { seed, trace: trace.hash(), events: trace.events(), simulated, coverage, failure }
    }
}

fn play(world: &mut World) {
    let storm = STORM.0 + Duration::from_millis(world.rng.below(STORM.1.as_millis() as u64));
    world.run_until(Instant::ZERO + storm);
    world.calm_down();
    world.run_until(world.now + calm::REST);
    if world.court.violation().is_none()
        && let Err(what) = calm::at_rest(world)
    {
        world.court.fail("AtRest", what);
    }
    if world.court.violation().is_none() {
        world.last_judgement();
    }
}
