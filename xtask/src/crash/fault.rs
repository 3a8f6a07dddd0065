//! What a broker has to suffer.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::control::Syncs;
use super::dice::Dice;
use super::event::Place;
use super::world::World;

/// A fault by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Fault {
    /// Killed under load.
    Kill,
    /// Killed several times, each time hardly serving again.
    Burst,
    /// Killed several times before it serves.
    Start,
    /// Asked to stop, and killed while it does.
    Stop,
    /// A sync fails, once or from then on.
    Fsync,
    /// The disk is full, and then it is not.
    Full,
    /// The wall clock jumps by an hour or by ten years, forward or back.
    Clock,
}

/// All of them, the plain ones more often.
pub(super) const MIX: &[Fault] = &[
    Fault::Kill,
    Fault::Kill,
    Fault::Kill,
    Fault::Kill,
    Fault::Burst,
    Fault::Burst,
    Fault::Start,
    Fault::Start,
    Fault::Stop,
    Fault::Stop,
    Fault::Fsync,
    Fault::Clock,
    Fault::Full,
];

/// A kill comes this late at most.
const LOAD_MAX: Duration = Duration::from_millis(700);
/// A broker that serves again is left alone for this long at most before the next kill of a burst.
const RESPITE_MAX: Duration = Duration::from_millis(60);
/// An orderly stop of a small broker takes less.
const STOP_MAX: Duration = Duration::from_millis(120);
/// Under load a sync is never this far away.
const SYNC_LIMIT: Duration = Duration::from_secs(10);
/// So long a broker may take to end when it cannot write any more.
const END_LIMIT: Duration = Duration::from_secs(4);
const REPEATS_MAX: u64 = 3;

const HOUR: i64 = 3_600;
const TEN_YEARS: i64 = 10 * 365 * 24 * HOUR;
const JUMPS: &[i64] = &[HOUR, -HOUR, TEN_YEARS, -TEN_YEARS];

/// Lets a world under load suffer a fault; the broker serves afterwards. Says what happened.
pub(super) fn suffer(world: &mut World, fault: Fault, dice: &mut Dice) -> Result<String> {
    let delay = dice.moment(LOAD_MAX);
    world.pass(delay)?;
    let told = match fault {
        Fault::Kill => {
            world.broker.kill()?;
            format!("killed after {delay:.0?} of load")
        }
        Fault::Burst => burst(world, dice)?,
        Fault::Start => start(world, dice)?,
        Fault::Stop => stop(world, dice)?,
        Fault::Fsync => fsync(world, dice)?,
        Fault::Clock => clock(world, dice)?,
        Fault::Full => unreachable!("it needs a disk of its own"),
    };
    world.broker.start()?;
    world.broker.control.set_clock(0)?;
    Ok(format!("{told}, served again after {:.0?}", world.broker.ready_after))
}

fn burst(world: &mut World, dice: &mut Dice) -> Result<String> {
    let repeats = 1 + dice.below(REPEATS_MAX);
    for _ in 0..repeats {
        world.broker.kill()?;
        world.broker.start()?;
        world.pass(dice.moment(RESPITE_MAX))?;
    }
    world.broker.kill()?;
    Ok(format!("killed {} times in a row", repeats + 1))
}

fn start(world: &mut World, dice: &mut Dice) -> Result<String> {
    let usual = world.broker.ready_after;
    world.broker.kill()?;
    let repeats = 1 + dice.below(REPEATS_MAX);
    for _ in 0..repeats {
        world.broker.begin()?;
        world.pass(dice.moment(usual))?;
        world.broker.kill()?;
    }
    Ok(format!("killed, and killed {repeats} times while it started"))
}

fn stop(world: &mut World, dice: &mut Dice) -> Result<String> {
    world.broker.ask_to_stop()?;
    let delay = dice.moment(STOP_MAX);
    world.pass(delay)?;
    let had_ended = world.broker.bury()?;
    let end = if had_ended { "had stopped" } else { "was killed" };
    Ok(format!("asked to stop, and {end} after {delay:.0?}"))
}

/// Whatever the broker makes of it, nothing may be acknowledged behind a sync that has failed, and what was acknowledged before is kept.
fn fsync(world: &mut World, dice: &mut Dice) -> Result<String> {
    let (syncs, how) = *dice.choose(&[(Syncs::FailOnce, "once"), (Syncs::Fail, "for good")]);
    world.broker.control.set_syncs(syncs)?;
    let failed = world.pass_until(SYNC_LIMIT, |broker| Ok(broker.control.failed()?.is_some()))?;
    ensure!(failed, "nothing was synced within {SYNC_LIMIT:?}");
    let file = world.broker.control.failed()?.unwrap_or_default();
    let place = Place::of(&file);
    if let Some(place) = place {
        world.bar(place)?;
    }
    let ended = world.pass_until(END_LIMIT, |broker| Ok(broker.has_ended()))?;
    world.broker.bury()?;
    world.broker.control.set_syncs(Syncs::Well)?;
    let file = file.strip_prefix(&world.broker.data).unwrap_or(&file).display();
    Ok(format!("the sync of {file} failed {how}, the broker {}", if ended { "ended" } else { "went on" }))
}

fn clock(world: &mut World, dice: &mut Dice) -> Result<String> {
    let jumps = [*dice.choose(JUMPS), *dice.choose(JUMPS)];
    for jump in jumps {
        world.broker.control.set_clock(jump)?;
        world.await_flow()?;
    }
    world.check()?;
    world.broker.kill()?;
    Ok(format!("the clock was off by {} h, then {} h, and it was killed", jumps[0] / HOUR, jumps[1] / HOUR))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Burst => "burst",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Fsync => "fsync",
            Self::Full => "full",
            Self::Clock => "clock",
        })
    }
}
