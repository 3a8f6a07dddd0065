//! The world of one run: who is in it, what will happen, and what happens when it does.
//!
//! What clients do is in [`clients`](super::clients), what the broker does in [`lives`](super::lives), what goes wrong in
//! [`faults`](super::faults).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use dohle_base::{Instant, Rng};
use dohle_coordinator::transaction::{self, Version};

use super::broker::{BATCH_BYTES_MAX, Broker, LOGS, Marker, RoundId};
use super::clients;
use super::fact::Fact;
use super::invariant;
use super::place::Place;
use super::producer::Producer;
use super::request::{Answer, Request};
use super::watch::Watch;
use crate::coverage::Coverage;
use crate::fact::RequestId;
use crate::invariant::Court;
use crate::network::{ClientId, LinkId, Network};
use crate::queue::Queue;
use crate::trace::Trace;
use crate::weather::{Fault, Weather};

/// How often somebody reads all that is committed, about.
const READ_INTERVAL: Duration = Duration::from_secs(2);
/// How often the whole state of the machines is checked, in events.
const CHECK_INTERVAL: u64 = 32;

/// Something that will happen. A request without a connection comes from nowhere; a marker may be of an earlier life.
#[derive(Clone, Debug)]
pub(super) enum Event {
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
    pub(super) tick_at: Instant,
    pub(super) flush_waits: [bool; LOGS],
    /// The furthest that the broker's clock ever was from the true time.
    pub(super) skew_max_ms: i64,
    /// Two processes for each name, side by side.
    pub(super) clients: Vec<Producer>,
    pub(super) labels: u64,
    pub(super) links: BTreeMap<ClientId, LinkId>,
    /// Whose request came in over which connection.
    pub(super) asking: BTreeMap<RequestId, LinkId>,
    /// Clients that stand still, and until when.
    pub(super) frozen: BTreeMap<usize, Instant>,
    pub(super) requests: u64,
    /// Requests that the network may bring once more.
    pub(super) history: VecDeque<Request>,
    /// What the coordinator sent last; it may come after the next one has taken over.
    pub(super) last_marker: Option<(Marker, Place)>,
    pub(super) court: Court<Fact>,
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
            court: Court::new(invariant::all()),
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

    /// All faults stop, nobody dawdles, and time is what it should be: no transaction has been open since tomorrow.
    pub(super) fn calm_down(&mut self) {
        self.weather = Weather::default();
        self.network.heal();
        self.frozen.clear();
        self.broker.skew_ms = self.skew_max_ms;
        self.clients.iter_mut().for_each(|client| client.is_brisk = true);
        if self.standstill.is_some() {
            self.after(Duration::ZERO, Event::BrokerResumes { life: self.life });
        }
    }

    /// Lets everything happen that is due until then, or until a law is broken.
    pub(super) fn run_until(&mut self, until: Instant) {
        while self.court.violation().is_none() {
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

    pub(super) fn happen(&mut self, event: Event) {
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
