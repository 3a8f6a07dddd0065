//! The world of one run: who is in it, what will happen, and what happens when it does.
//!
//! What clients do is in [`clients`](super::clients), what goes wrong in [`faults`](super::faults).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use dohle_base::{Instant, Rng};
use dohle_coordinator::transaction::{self, Version};

use super::broker::{BATCH_BYTES_MAX, Broker, LOGS, Marker, Out, RoundId, Stop};
use super::clients;
use super::edge::Edge;
use super::fact::Fact;
use super::invariant::{self, Invariant};
use super::place::Place;
use super::producer::Producer;
use super::request::{Answer, Request};
use super::watch::Watch;
use crate::coverage::Coverage;
use crate::fact::RequestId;
use crate::invariant::{Look, Violation};
use crate::network::{ClientId, LinkId, Network, Passage};
use crate::queue::Queue;
use crate::trace::Trace;
use crate::weather::{Fault, Weather};

/// How long a broker that failed stays away.
const RESTART_DELAY: Duration = Duration::from_millis(500);
/// How often somebody reads all that is committed, about.
const READ_INTERVAL: Duration = Duration::from_secs(2);
/// How often the whole state of the machines is checked, in events.
const CHECK_INTERVAL: u64 = 32;
/// How many of 1,000 markers come once more, and after how long at most: while the next transaction begins, or much later.
const MARKERS_REPEATED: u64 = 150;
const MARKER_LATE_MAX_MS: [u64; 2] = [100, 6_000];
/// In how many of 1,000 rounds of markers a partition takes none.
const PARTITIONS_AWAY: u64 = 150;

/// Something that will happen.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// Over a connection, or from nowhere.
    ToBroker { link: Option<LinkId>, request: RequestId, asked: Box<Request> },
    ToClient { link: LinkId, request: RequestId, answer: Answer },
    Broken { link: LinkId, client: ClientId },
    BrokerStarts,
    BrokerLoaded { life: u64 },
    BrokerResumes { life: u64 },
    BrokerTicks { life: u64 },
    FlushBegins { life: u64, log: usize },
    FlushEnds { life: u64, log: usize },
    MarkersGo { life: u64, round: RoundId },
    /// It may be of an earlier life: the partitions cannot know.
    MarkerComes { marker: Marker, place: Place },
    ClientTicks { client: usize },
    SomebodyReads,
    FaultComes { fault: Fault, mean: Duration },
}

/// The world.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) rng: Rng,
    pub(super) queue: Queue<Event>,
    pub(super) weather: Weather,
    pub(super) network: Network,
    pub(super) broker: Broker,
    /// Raised whenever the broker goes down: what was meant for an earlier life does not concern a later one.
    pub(super) life: u64,
    /// While the broker stands still, what comes in waits.
    pub(super) standstill: Option<VecDeque<Event>>,
    tick_at: Instant,
    flush_waits: [bool; LOGS],
    /// The furthest that the broker's clock ever was from the true time.
    pub(super) skew_max_ms: i64,
    /// Two processes for each name, side by side.
    pub(super) clients: Vec<Producer>,
    pub(super) labels: u64,
    pub(super) links: BTreeMap<ClientId, LinkId>,
    /// Whose request came in over which connection.
    asking: BTreeMap<RequestId, LinkId>,
    /// Clients that stand still, and until when.
    pub(super) frozen: BTreeMap<usize, Instant>,
    pub(super) requests: u64,
    /// Requests that the network may bring once more.
    pub(super) history: VecDeque<Request>,
    /// What the coordinator sent last; it may come after the next one has taken over.
    last_marker: Option<(Marker, Place)>,
    invariants: Vec<Box<dyn Invariant>>,
    pub(super) violation: Option<Violation>,
    pub(super) coverage: Coverage,
    pub(super) watch: Watch,
    pub(super) trace: Trace,
}

impl World {
    /// The world of a seed, a moment before anything happens.
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let weather = Weather::draw(&mut rng);
        let version = if rng.chance(200) { Version::Zero } else { Version::Two };
        let settings = settings(version, &mut rng);
        let group_settings = dohle_coordinator::Settings::resolve(BATCH_BYTES_MAX, |_| None).expect("defaults");
        let segment_bytes = 1_024 << rng.below(6);
        let clients = clients::population(version, &mut rng);
        let mut broker = Broker::new(settings, group_settings, segment_bytes);
        broker.inherit(clients::aged(&clients, &mut rng)).expect("a sound disk takes what was there before");
        let mut world = Self {
            now: Instant::ZERO,
            queue: Queue::new(rng.next_u64()),
            weather,
            network: Network::default(),
            broker,
            life: 0,
            standstill: None,
            tick_at: Instant::NEVER,
            flush_waits: [false; LOGS],
            skew_max_ms: 0,
            clients,
            labels: 0,
            links: BTreeMap::new(),
            asking: BTreeMap::new(),
            frozen: BTreeMap::new(),
            requests: 0,
            history: VecDeque::new(),
            last_marker: None,
            invariants: invariant::all(),
            violation: None,
            coverage: Coverage::default(),
            watch: Watch::default(),
            trace: Trace::default(),
            rng,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.after(Duration::ZERO, Event::BrokerStarts);
        self.after(READ_INTERVAL, Event::SomebodyReads);
        for client in 0..self.clients.len() {
            let wait = Duration::from_millis(self.rng.below(1_000));
            self.after(wait, Event::ClientTicks { client });
        }
        for (fault, mean) in self.weather.storms().to_vec() {
            let wait = self.around(mean);
            self.after(wait, Event::FaultComes { fault, mean });
        }
    }

    /// All faults stop, and time is what it should be: no transaction has been open since tomorrow.
    pub(super) fn calm_down(&mut self) {
        self.weather = Weather::default();
        self.network.heal();
        self.frozen.clear();
        self.broker.skew_ms = self.skew_max_ms;
        if self.standstill.is_some() {
            self.after(Duration::ZERO, Event::BrokerResumes { life: self.life });
        }
    }

    /// Lets everything happen that is due until then, or until a law is broken.
    pub(super) fn run_until(&mut self, until: Instant) {
        while self.violation.is_none() {
            let Some((at, event)) = self.queue.pop() else { break };
            if at > until {
                self.queue.push(at, event);
                break;
            }
            self.now = at;
            self.happen(event);
            if self.trace.events().is_multiple_of(CHECK_INTERVAL) {
                self.broker.check();
            }
        }
        self.now = until;
    }

    pub(super) fn after(&mut self, wait: Duration, event: Event) {
        self.queue.push(self.now + wait, event);
    }

    /// A wait of about `mean`.
    pub(super) fn around(&mut self, mean: Duration) -> Duration {
        Duration::from_micros(self.rng.below(2 * mean.as_micros() as u64 + 1))
    }

    fn happen(&mut self, event: Event) {
        if let Event::ClientTicks { client } = event {
            // Nothing that comes fifty times a second is worth a line.
            return self.tick_client(client);
        }
        self.trace.note(self.now, sketch(&event));
        let Some(event) = self.unless_still(event) else { return };
        match event {
            Event::ToBroker { link, request, asked } => self.reach_broker(link, request, *asked),
            Event::ToClient { link, request, answer } => self.reach_client(link, request, answer),
            Event::Broken { link, client } => self.lose_link(link, client),
            Event::BrokerStarts => self.start_broker(),
            Event::BrokerLoaded { life } if life == self.life => self.load_broker(),
            Event::BrokerResumes { life } if life == self.life => self.resume_broker(),
            Event::BrokerTicks { life } if life == self.life => self.tick_broker(),
            Event::FlushBegins { life, log } if life == self.life => self.begin_flush(log),
            Event::FlushEnds { life, log } if life == self.life => self.end_flush(log),
            Event::MarkersGo { life, round } if life == self.life => {
                let away = self.away();
                self.with_broker(|broker, now, out| broker.write_markers(now, round, away, out));
            }
            Event::MarkerComes { marker, place } => {
                self.with_broker(|broker, now, out| broker.repeat_marker(now, marker, place, out));
            }
            Event::BrokerLoaded { .. }
            | Event::BrokerResumes { .. }
            | Event::BrokerTicks { .. }
            | Event::FlushBegins { .. }
            | Event::FlushEnds { .. }
            | Event::MarkersGo { .. } => {}
            Event::ClientTicks { client } => self.tick_client(client),
            Event::SomebodyReads => {
                self.after(READ_INTERVAL, Event::SomebodyReads);
                self.read_committed();
            }
            Event::FaultComes { fault, mean } => self.meet(fault, mean),
        }
    }

    /// Keeps back what a broker that stands still cannot do now.
    fn unless_still(&mut self, event: Event) -> Option<Event> {
        let concerns_broker = match event {
            Event::ToBroker { .. }
            | Event::BrokerLoaded { .. }
            | Event::BrokerTicks { .. }
            | Event::FlushBegins { .. }
            | Event::FlushEnds { .. }
            | Event::MarkersGo { .. }
            | Event::MarkerComes { .. } => true,
            Event::ToClient { .. }
            | Event::Broken { .. }
            | Event::BrokerStarts
            | Event::BrokerResumes { .. }
            | Event::ClientTicks { .. }
            | Event::SomebodyReads
            | Event::FaultComes { .. } => false,
        };
        match &mut self.standstill {
            Some(waiting) if concerns_broker => {
                waiting.push_back(event);
                None
            }
            Some(_) | None => Some(event),
        }
    }

    // The broker.

    fn with_broker(&mut self, step: impl FnOnce(&mut Broker, Instant, &mut Out)) {
        let mut out = Out::default();
        step(&mut self.broker, self.now, &mut out);
        self.carry_out(out);
    }

    fn start_broker(&mut self) {
        if !self.broker.is_down() {
            return;
        }
        if let Err(what) = self.broker.start(self.now) {
            return self.fail("Recovery", what);
        }
        let slow = self.weather.strikes(Fault::SlowLoad, &mut self.rng);
        if slow {
            self.coverage.fault(Fault::SlowLoad);
        }
        let load = if slow { 500 + self.rng.below(3_000) } else { 5 + self.rng.below(45) };
        self.after(Duration::from_millis(load), Event::BrokerLoaded { life: self.life });
    }

    fn load_broker(&mut self) {
        let mut out = Out::default();
        match self.broker.load(self.now, &mut out) {
            Ok(()) => self.carry_out(out),
            Err(what) => self.fail("Recovery", what),
        }
        if let Some((marker, place)) = self.last_marker.take().filter(|(marker, _)| self.may_repeat(marker)) {
            let wait = Duration::from_millis(self.rng.below(200));
            self.after(wait, Event::MarkerComes { marker, place });
        }
    }

    fn tick_broker(&mut self) {
        self.tick_at = Instant::NEVER;
        self.with_broker(|broker, now, out| broker.tick(now, out));
    }

    fn begin_flush(&mut self, log: usize) {
        self.flush_waits[log] = false;
        if !self.broker.begin_flush(log) {
            return;
        }
        let slow = self.weather.strikes(Fault::SlowSync, &mut self.rng);
        if slow {
            self.coverage.fault(Fault::SlowSync);
        }
        let micros = if slow { 500_000 + self.rng.below(2_000_000) } else { 300 + self.rng.below(5_000) };
        self.after(Duration::from_micros(micros), Event::FlushEnds { life: self.life, log });
    }

    fn end_flush(&mut self, log: usize) {
        let checkpoint = self.rng.chance(100);
        self.with_broker(|broker, now, out| broker.end_flush(now, log, checkpoint, out));
    }

    fn resume_broker(&mut self) {
        for event in self.standstill.take().unwrap_or_default() {
            self.happen(event);
        }
    }

    /// Does what the broker did to the world around it.
    pub(super) fn carry_out(&mut self, out: Out) {
        out.facts.iter().for_each(|fact| self.judge(fact));
        out.edges.iter().for_each(|edge| self.watch.pass(*edge));
        for (request, answer) in out.answers {
            self.answer(request, answer);
        }
        for (round, pause) in out.rounds {
            let wait = pause + Duration::from_micros(self.rng.below(20_000));
            self.after(wait, Event::MarkersGo { life: self.life, round });
        }
        for (marker, place) in out.sent {
            self.repeat_later(marker, place);
        }
        if out.failed {
            let stop = if self.broker.must_reboot() || self.rng.chance(500) { Stop::PowerCut } else { Stop::Kill };
            return self.stop_broker(stop, RESTART_DELAY);
        }
        for log in out.flushes {
            if !std::mem::replace(&mut self.flush_waits[log], true) {
                let linger = Duration::from_micros(self.rng.below(3_000));
                self.after(linger, Event::FlushBegins { life: self.life, log });
            }
        }
        self.arm_tick();
    }

    /// A partition that takes no markers now, as one does whose leader moves.
    fn away(&mut self) -> Option<Place> {
        let strikes = self.is_stormy() && self.rng.chance(PARTITIONS_AWAY);
        if strikes { self.rng.pick(&Place::ALL).copied() } else { None }
    }

    fn is_stormy(&self) -> bool {
        !self.weather.storms().is_empty()
    }

    /// Those of the older protocol may not: nothing in it tells a late one from the right one.
    fn may_repeat(&self, marker: &Marker) -> bool {
        self.is_stormy() && marker.version.raises_epoch()
    }

    /// Some markers come again while the next transaction is under way.
    fn repeat_later(&mut self, marker: Marker, place: Place) {
        self.last_marker = Some((marker, place));
        if self.may_repeat(&marker) && self.rng.chance(MARKERS_REPEATED) {
            let most = *self.rng.pick(&MARKER_LATE_MAX_MS).expect("there are two");
            let wait = Duration::from_millis(self.rng.below(most));
            self.after(wait, Event::MarkerComes { marker, place });
        }
    }

    fn arm_tick(&mut self) {
        let Some(deadline) = self.broker.deadline() else { return };
        if deadline < self.tick_at {
            self.tick_at = deadline;
            self.queue.push(deadline.max(self.now), Event::BrokerTicks { life: self.life });
        }
    }

    pub(super) fn stop_broker(&mut self, stop: Stop, away: Duration) {
        if self.broker.is_down() {
            return;
        }
        self.broker.stop(self.now, stop, &mut self.rng);
        self.life += 1;
        self.standstill = None;
        self.flush_waits = [false; LOGS];
        self.tick_at = Instant::NEVER;
        self.asking.clear();
        for (link, client) in self.network.close_all() {
            let wait = Duration::from_micros(100 + self.rng.below(50_000));
            self.after(wait, Event::Broken { link, client });
        }
        self.after(away, Event::BrokerStarts);
    }

    fn reach_broker(&mut self, link: Option<LinkId>, request: RequestId, asked: Request) {
        if link.is_some_and(|link| !self.network.reaches_broker(link)) || self.broker.is_down() {
            return;
        }
        if let Some(link) = link {
            self.asking.insert(request, link);
        }
        self.with_broker(|broker, now, out| broker.handle(now, request, asked, out));
    }

    fn answer(&mut self, request: RequestId, answer: Answer) {
        self.coverage.code(answer.code());
        if let Some(fact) = self.watch.answered(request, answer) {
            self.judge(&fact);
        }
        let Some(link) = self.asking.remove(&request) else { return };
        match self.network.send_down(link, self.now, &self.weather, &mut self.rng, &mut self.coverage) {
            Passage::Arrives(at) => self.queue.push(at, Event::ToClient { link, request, answer }),
            Passage::Vanishes | Passage::Breaks => {}
        }
    }

    // The observer.

    fn read_committed(&mut self) {
        for place in Place::DATA {
            let Some(leading) = self.broker.leading_mut() else { return };
            match leading.see(place) {
                Ok(seen) => self.judge(&seen),
                Err(what) => self.fail("Read", what),
            }
        }
        let names: Vec<_> = self.clients.iter().step_by(2).map(|client| client.kind.name.clone()).collect();
        for name in names {
            let Some(leading) = self.broker.leading() else { return };
            match leading.stands(&name) {
                Ok(value) => self.judge(&Fact::Stands { name, value }),
                Err(_) => self.watch.pass(Edge::OffsetHeld),
            }
        }
    }

    pub(super) fn judge(&mut self, fact: &Fact) {
        self.watch.note(fact);
        for invariant in &mut self.invariants {
            match invariant.judge(fact) {
                Ok(Look::Judged) => *self.coverage.looks.entry(invariant.name()).or_default() += 1,
                Ok(Look::Passed) => {}
                Err(what) => {
                    self.violation.get_or_insert(Violation { invariant: invariant.name(), what });
                }
            }
        }
    }

    pub(super) fn fail(&mut self, invariant: &'static str, what: String) {
        self.violation.get_or_insert(Violation { invariant, what });
    }

    /// The power goes once more, and the broker reads what is left: nothing that was acknowledged may be missing.
    pub(super) fn last_judgement(&mut self) {
        self.stop_broker(Stop::PowerCut, RESTART_DELAY);
        self.run_until(self.now + Duration::from_secs(5));
        if self.violation.is_none() && self.broker.leading().is_none() {
            self.fail("Recovery", "the broker does not lead five seconds after its last start".to_owned());
        }
        self.judge(&Fact::Rested);
        self.read_committed();
    }
}

/// How the coordinator of a seed is set up: now and then it forgets soon.
fn settings(version: Version, rng: &mut Rng) -> transaction::Settings {
    let expiration = ["600000", "604800000"][rng.below(2) as usize];
    let written = |key| match key {
        "transaction.abort.timed.out.transaction.cleanup.interval.ms" => Some("1000"),
        "transaction.remove.expired.transaction.cleanup.interval.ms" => Some("2000"),
        "transactional.id.expiration.ms" => Some(expiration),
        _ => None,
    };
    transaction::Settings::resolve(BATCH_BYTES_MAX, version, written).expect("the values are in range")
}

/// The event in few words.
fn sketch(event: &Event) -> String {
    match event {
        Event::ToBroker { request, asked, .. } => {
            let Request { name, label, producer, what, .. } = &**asked;
            format!("{}: {name} {}/{} of {}: {what:?}", request.0, producer.id, producer.epoch, label.0)
        }
        Event::ToClient { request, answer, .. } => format!("{} answered: {answer:?}", request.0),
        other => format!("{other:?}"),
    }
}
