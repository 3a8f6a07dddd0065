//! The run as a whole: starts the loops, reads the machine's clocks where the measured window begins and ends, and passes on
//! what the loops tell.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

use super::Clock;
use super::engine::{Ended, Engine, Told};
use super::minutes::Minutes;
use super::open;
use super::relay::Relay;
use crate::failure::Failure;
use crate::histogram::Times;
use crate::machine::{self, Clocks, Spent};
use crate::plan::Plan;
use crate::report::{Resident, Results};
use crate::tally::{Second, Tally, Window};

/// How often the memory of the broker is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What is told while it runs.
#[derive(Debug)]
pub enum News<'a> {
    /// Another second has passed.
    Second {
        /// Which, from 1.
        number: u64,
        /// Whether it belongs to the measured window.
        measured: bool,
        /// What all loops counted in it.
        counted: &'a Second,
    },
    /// The first error.
    Error(&'a str),
}

/// Runs a plan to its end.
pub fn run(plan: &Plan, tell: &mut dyn FnMut(News)) -> Result<Results, Failure> {
    raise_file_limit();
    let nanoseconds = |time: Duration| time.as_nanos() as u64;
    let begin = nanoseconds(plan.warm_up);
    let window = Window { begin, end: begin + nanoseconds(plan.length) };
    let (sender, told) = channel();
    let before = resident(plan.pid, machine::resident_bytes)?;
    let engines = open::loops(plan, window, &sender)?;
    let idle = open::idle(plan)?;
    let relay = Relay::start().map_err(|source| Failure::Machine { what: "start a thread", source })?;
    drop(sender);
    let clock = Clock::start();
    let mut watch = Watch::new(clock, window, plan.pid);
    let mut loops = Loops {
        missing: engines.len(),
        window,
        seconds: BTreeMap::new(),
        minutes: Minutes::default(),
        relay,
        relayed: Times::default(),
        tally: Tally::default(),
        at: 0,
    };
    let ended = thread::scope(|scope| {
        for engine in engines {
            scope.spawn(move || Engine::run(engine, clock));
        }
        loops.listen(&told, &mut watch, tell)
    });
    ended?;
    let seconds = loops.at.saturating_sub(window.begin) as f64 / 1e9;
    let mut results = Results::of(plan.command, seconds, loops.tally, &watch.spent());
    results.report.minutes = loops.minutes.over();
    results.report.relay_late_us = loops.relayed.percentiles();
    if plan.pid.is_some() && !idle.is_empty() {
        let grown = watch.resident.end.saturating_sub(before) as f64;
        results.report.resident_bytes_per_connection = Some((grown / idle.len() as f64).round());
    }
    Ok(results)
}

/// What the loops have told so far.
struct Loops {
    missing: usize,
    window: Window,
    /// Seconds that not all loops have told yet.
    seconds: BTreeMap<u64, (usize, Second)>,
    minutes: Minutes,
    relay: Relay,
    /// What the relay has told of the measured window.
    relayed: Times,
    tally: Tally,
    at: u64,
}

impl Loops {
    fn listen(&mut self, told: &Receiver<Told>, watch: &mut Watch, tell: &mut dyn FnMut(News)) -> Result<(), Failure> {
        let mut failed = None;
        while self.missing > 0 {
            let wait = watch.look()?;
            match told.recv_timeout(wait) {
                Ok(Told::Second(number, second)) => self.take_second(number, &second, watch.last_seen, tell),
                Ok(Told::Error(error)) => tell(News::Error(&error)),
                Ok(Told::Ended(ended)) => {
                    self.missing -= 1;
                    match ended {
                        Ok(ended) => self.take_end(*ended),
                        Err(failure) => failed = failed.or(Some(failure)),
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        watch.end()?;
        failed.map_or(Ok(()), Err)
    }

    fn take_second(&mut self, number: u64, second: &Second, seen: Seen, tell: &mut dyn FnMut(News)) {
        let (count, all) = self.seconds.entry(number).or_default();
        *count += 1;
        all.add(second);
        if *count < self.missing {
            return;
        }
        const SECOND: u64 = 1_000_000_000;
        let measured = number * SECOND > self.window.begin && number * SECOND <= self.window.end;
        let relayed = self.relay.take();
        if measured {
            self.minutes.take(all, &relayed, seen);
            self.relayed.add(&relayed);
        }
        tell(News::Second { number, measured, counted: all });
        self.seconds.retain(|other, _| *other > number);
    }

    fn take_end(&mut self, ended: Ended) {
        self.tally.add(&ended.tally);
        self.at = self.at.max(ended.at);
    }
}

/// What was seen of the machine, a second ago at most.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// The memory of the process that was named.
    pub(super) resident: Option<u64>,
    /// Processor time that the host has given to others until now.
    pub(super) stolen: f64,
}

/// Reads the clocks and the memory when their time has come.
pub(crate) struct Watch {
    clock: Clock,
    window: Window,
    pid: Option<u32>,
    begun: Option<Clocks>,
    ended: Option<Clocks>,
    resident: Resident,
    last_seen: Seen,
}

impl Watch {
    pub(crate) fn new(clock: Clock, window: Window, pid: Option<u32>) -> Self {
        Self { clock, window, pid, begun: None, ended: None, resident: Resident::default(), last_seen: Seen::default() }
    }

    /// Reads what is due now; how long until something is.
    pub(crate) fn look(&mut self) -> Result<Duration, Failure> {
        let now = self.clock.now();
        if self.begun.is_none() && now >= self.window.begin {
            self.resident.begin = resident(self.pid, machine::resident_bytes)?;
            self.begun = Some(self.clocks()?);
        }
        if self.ended.is_none() && now >= self.window.end {
            self.end()?;
        }
        let now_resident = resident(self.pid, machine::resident_bytes_roughly)?;
        self.resident.max = self.resident.max.max(now_resident);
        let stolen = read_clock(machine::stolen_seconds())?;
        self.last_seen = Seen { resident: self.pid.map(|_| now_resident), stolen };
        let next = match (&self.begun, &self.ended) {
            (None, _) => self.window.begin,
            (_, None) => self.window.end,
            (_, Some(_)) => u64::MAX,
        };
        Ok(Duration::from_nanos(next.saturating_sub(self.clock.now())).min(LOOK))
    }

    /// The window ends now, unless it has ended already.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        if self.ended.is_none() {
            self.ended = Some(self.clocks()?);
            self.resident.end = resident(self.pid, machine::resident_bytes)?;
            self.resident.max = self.resident.max.max(self.resident.end).max(self.resident.begin);
        }
        Ok(())
    }

    /// What was used within the window.
    pub(crate) fn spent(&self) -> Spent {
        let ended = self.ended.unwrap_or_default();
        let spent = ended.since(&self.begun.unwrap_or(ended));
        Spent { resident: self.pid.map(|_| self.resident), ..spent }
    }

    fn clocks(&self) -> Result<Clocks, Failure> {
        read_clock(Clocks::read(self.pid))
    }
}

fn read_clock<T>(read: std::io::Result<T>) -> Result<T, Failure> {
    read.map_err(|source| Failure::Machine { what: "read processor times", source })
}

/// The memory of the process that was named, or none of nobody.
fn resident(pid: Option<u32>, read: impl Fn(u32) -> std::io::Result<u64>) -> Result<u64, Failure> {
    let read = pid.map_or(Ok(0), read);
    read.map_err(|source| Failure::Machine { what: "read the broker's memory", source })
}

/// As many files as the machine allows: each connection is one.
pub(crate) fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Whoever opens more than what is allowed is told by the socket.
    let _ = setrlimit(Resource::Nofile, limit);
}
