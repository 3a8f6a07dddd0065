//! A loop: waits for sockets and for times that are due, on one thread.
//!
//! Decides nothing about bytes. It sleeps until the next moment at which something is due, to the nanosecond, since a timer
//! that is a millisecond late would be measured as the broker's.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};

use super::consumer::{self, Consumer};
use super::producer::{self, Batch, Producer};
use super::{Clock, wall};
use crate::failure::Failure;
use crate::schedule::Turns;
use crate::tally::{Second, Tally, Window};

const SECOND: u64 = 1_000_000_000;
/// Events of one wait.
const EVENTS_MAX: usize = 256;
/// A loop looks up so often at the least.
const WAIT_MAX: u64 = SECOND / 10;
/// Answers that are still to come at the end are waited for so long.
const DRAIN_MAX: u64 = 10 * SECOND;
/// The timer among the events.
const TIMER: u64 = u64::MAX;
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// What loops know of each other.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Somebody has failed: all end.
    pub(crate) stop: AtomicBool,
    /// Loops that may still produce.
    pub(crate) producing: AtomicUsize,
    /// Records that loops which do not produce any more had acknowledged.
    pub(crate) acknowledged: AtomicU64,
}

/// What a loop tells while it runs.
pub(crate) enum Told {
    /// What was counted within one second.
    Second(u64, Box<Second>),
    /// The first error.
    Error(String),
    /// It has ended.
    Ended(Result<Box<Ended>, Failure>),
}

/// What a loop leaves.
pub(crate) struct Ended {
    pub(crate) tally: Tally,
    /// When nothing more was to be measured.
    pub(crate) at: u64,
}

/// A loop before it runs.
pub(crate) struct Engine {
    pub(crate) producers: Vec<Producer>,
    pub(crate) batch: Option<Batch>,
    /// Whose turn it is, at a rate; without one each sends as fast as it can.
    pub(crate) turns: Option<Turns>,
    pub(crate) consumers: Vec<Consumer>,
    /// How many times each record that is produced is to arrive here, before the run ends.
    pub(crate) copies: u64,
    /// The run ends when all consumers are done.
    pub(crate) until_end: bool,
    pub(crate) spin: bool,
    pub(crate) window: Window,
    pub(crate) shared: Arc<Shared>,
    pub(crate) tell: Sender<Told>,
}

impl Engine {
    /// Runs to the end, and tells what came of it.
    pub(crate) fn run(self, clock: Clock) {
        let (shared, tell) = (self.shared.clone(), self.tell.clone());
        let ended = Loop::new(self, clock).and_then(Loop::run);
        if ended.is_err() {
            shared.stop.store(true, Ordering::Relaxed);
        }
        // Nobody listens any more only when the run has failed elsewhere.
        let _ = tell.send(Told::Ended(ended));
    }
}

struct Loop {
    engine: Engine,
    clock: Clock,
    epoll: OwnedFd,
    /// Ends a wait to the nanosecond: the time that an epoll is given itself is counted in whole milliseconds.
    timer: OwnedFd,
    events: Vec<Event>,
    tally: Tally,
    /// Records acknowledged and read since the run began.
    acknowledged: u64,
    read: u64,
    /// The next whole second.
    second: u64,
    /// A producer gave up its turn and would go on.
    hungry: bool,
    /// Since when nothing more is sent.
    ended: Option<u64>,
}

impl Loop {
    fn new(engine: Engine, clock: Clock) -> Result<Self, Failure> {
        let machine = |what| move |errno: rustix::io::Errno| Failure::Machine { what, source: errno.into() };
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(machine("make an epoll"))?;
        let edges = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        let links = engine.producers.iter().map(std::os::fd::AsFd::as_fd);
        let links = links.chain(engine.consumers.iter().map(std::os::fd::AsFd::as_fd));
        for (token, link) in (0..).zip(links) {
            epoll::add(&epoll, link, EventData::new_u64(token), edges).map_err(machine("watch a connection"))?;
        }
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags).map_err(machine("make a timer"))?;
        let expiry = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), expiry).map_err(machine("watch a timer"))?;
        Ok(Self {
            engine,
            clock,
            epoll,
            timer,
            events: Vec::with_capacity(EVENTS_MAX),
            tally: Tally::default(),
            acknowledged: 0,
            read: 0,
            second: 1,
            hungry: false,
            ended: None,
        })
    }

    fn run(mut self) -> Result<Box<Ended>, Failure> {
        self.hungry = self.engine.turns.is_none() && !self.engine.producers.is_empty();
        loop {
            let now = self.clock.now();
            self.tick(now);
            match self.ended {
                None if self.is_over(now) => self.end(now),
                None => self.release(now)?,
                Some(since) => {
                    if self.is_drained(now, since) {
                        break;
                    }
                }
            }
            self.wake_consumers(now)?;
            self.wait(now)?;
            self.serve()?;
        }
        let at = self.ended.unwrap_or_default().min(self.engine.window.end);
        Ok(Box::new(Ended { tally: self.tally, at }))
    }

    fn is_over(&self, now: u64) -> bool {
        let done = || self.engine.until_end && self.engine.consumers.iter().all(Consumer::is_done);
        now >= self.engine.window.end || self.engine.shared.stop.load(Ordering::Relaxed) || done()
    }

    /// Nothing more is sent. What was due and could not be sent has waited until now at the least.
    fn end(&mut self, now: u64) {
        self.ended = Some(now);
        let Some(turns) = &self.engine.turns else { return };
        for (place, producer) in self.engine.producers.iter().enumerate() {
            self.tally.unsent += producer.owed();
            for round in producer.begun()..producer.begun() + producer.owed() {
                let due = turns.due(place, round);
                if self.engine.window.contains(due) {
                    self.tally.acknowledged.record(now.saturating_sub(due));
                }
            }
        }
    }

    /// Whether everything that is on its way has arrived, or is given up.
    fn is_drained(&mut self, now: u64, since: u64) -> bool {
        let shared = self.engine.shared.clone();
        if shared.stop.load(Ordering::Relaxed) || now >= since + DRAIN_MAX {
            return true;
        }
        if !self.engine.producers.iter().all(Producer::is_idle) {
            return false;
        }
        if self.engine.batch.take().is_some() {
            shared.acknowledged.fetch_add(self.acknowledged, Ordering::Relaxed);
            shared.producing.fetch_sub(1, Ordering::Release);
        }
        let all_read = || self.read >= shared.acknowledged.load(Ordering::Relaxed) * self.engine.copies;
        self.engine.consumers.is_empty() || (shared.producing.load(Ordering::Acquire) == 0 && all_read())
    }

    /// Sends what is due.
    fn release(&mut self, now: u64) -> Result<(), Failure> {
        while let Some(place) = self.take_turn(now) {
            self.engine.producers[place].owe();
            self.hungry |= self.pump(place, now)?;
        }
        if std::mem::take(&mut self.hungry) {
            for place in 0..self.engine.producers.len() {
                self.hungry |= self.pump(place, now)?;
            }
        }
        Ok(())
    }

    fn take_turn(&mut self, now: u64) -> Option<usize> {
        let end = self.engine.window.end;
        let turns = self.engine.turns.as_mut().filter(|turns| turns.next_due() <= now && turns.next_due() < end)?;
        Some(turns.take())
    }

    fn pump(&mut self, place: usize, now: u64) -> Result<bool, Failure> {
        let pumped = self.with_producer(place, |producer, batch, turns, count| match turns {
            Some(turns) => producer.pump(now, batch, |round| turns.due(place, round), count),
            None => producer.pump_freely(now, batch, count),
        });
        Ok(pumped?.unwrap_or(false))
    }

    /// Lets a producer do something, unless this loop does not produce any more.
    fn with_producer<T>(
        &mut self,
        place: usize,
        step: impl FnOnce(&mut Producer, &Batch, Option<&Turns>, &mut producer::Count) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        let Engine { producers, batch: Some(batch), turns, tell, window, consumers, .. } = &mut self.engine else {
            return Ok(None);
        };
        let mut complain = |error| drop(tell.send(Told::Error(error)));
        let mut count = producer::Count {
            tally: &mut self.tally,
            window: *window,
            tells_times: consumers.is_empty(),
            acknowledged: &mut self.acknowledged,
            complain: &mut complain,
        };
        step(&mut producers[place], batch, turns.as_ref(), &mut count).map(Some)
    }

    fn wake_consumers(&mut self, now: u64) -> Result<(), Failure> {
        if self.engine.copies == 0 && self.ended.is_some() {
            return Ok(());
        }
        self.engine.consumers.iter_mut().try_for_each(|consumer| consumer.ask(now))
    }

    fn wait(&mut self, now: u64) -> Result<(), Failure> {
        let mut until = (now + WAIT_MAX).min(self.second * SECOND);
        match &self.engine.turns {
            _ if self.hungry || self.engine.spin => until = now,
            Some(turns) if self.ended.is_none() => until = until.min(turns.next_due()).min(self.engine.window.end),
            Some(_) => {}
            None if self.ended.is_none() => until = until.min(self.engine.window.end),
            None => {}
        }
        let rest = self.engine.consumers.iter().filter_map(Consumer::wakes_at).min();
        let wait = rest.map_or(until, |rest| until.min(rest)).saturating_sub(self.clock.now());
        if wait > 0 {
            self.set_timer(wait)?;
        }
        let limit = if wait > 0 { None } else { Some(&AT_ONCE) };
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), limit) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(Failure::Machine { what: "wait for connections", source: errno.into() }),
        }
    }

    /// The expiry is never read: setting the timer again takes it back.
    fn set_timer(&self, wait: u64) -> Result<(), Failure> {
        let it_value = Timespec { tv_sec: (wait / SECOND) as i64, tv_nsec: (wait % SECOND) as _ };
        let once = Itimerspec { it_interval: AT_ONCE, it_value };
        let set = rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once);
        set.map(drop).map_err(|errno| Failure::Machine { what: "set a timer", source: errno.into() })
    }

    fn serve(&mut self) -> Result<(), Failure> {
        for place in 0..self.events.len() {
            let token = self.events[place].data.u64();
            if token == TIMER {
                continue;
            }
            let token = token as usize;
            match token.checked_sub(self.engine.producers.len()) {
                None => self.serve_producer(token)?,
                Some(consumer) => self.serve_consumer(consumer)?,
            }
        }
        Ok(())
    }

    fn serve_producer(&mut self, place: usize) -> Result<(), Failure> {
        let clock = self.clock;
        self.with_producer(place, |producer, batch, _, count| producer.on_ready(|| clock.now(), batch, count))?;
        if self.ended.is_none() {
            self.hungry |= self.pump(place, clock.now())?;
        }
        Ok(())
    }

    fn serve_consumer(&mut self, place: usize) -> Result<(), Failure> {
        let (clock, tell) = (self.clock, &self.engine.tell);
        let mut complain = |error| drop(tell.send(Told::Error(error)));
        let mut count = consumer::Count {
            tally: &mut self.tally,
            window: self.engine.window,
            tells_times: true,
            read: &mut self.read,
            complain: &mut complain,
        };
        self.engine.consumers[place].on_ready(|| clock.now(), &mut count)
    }

    /// At each whole second: tells what was counted, and dates the records anew.
    fn tick(&mut self, now: u64) {
        if now < self.second * SECOND {
            return;
        }
        // Nobody listens any more only when the run has failed elsewhere.
        let _ = self.engine.tell.send(Told::Second(self.second, Box::new(self.tally.second.take())));
        self.second = now / SECOND + 1;
        if let Some(batch) = &mut self.engine.batch {
            batch.template.redate(wall());
        }
    }
}
