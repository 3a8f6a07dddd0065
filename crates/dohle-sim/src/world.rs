//! The world of one run: who is in it, what will happen, and what happens when it does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use dohle_base::{ErrorCode, Instant, Rng};
use dohle_coordinator::{Command, GroupId, Reply, Settings};

use crate::broker::{BATCH_BYTES_MAX, Broker, Out, RESTART_DELAY, Stop};
use crate::consumer::{Act, Ask, Consumer, Kind};
use crate::coverage::Coverage;
use crate::fact::{Answer, Fact, RequestId};
use crate::invariant::{self, Court};
use crate::network::{ClientId, LinkId, Network, Passage};
use crate::operator;
use crate::queue::Queue;
use crate::trace::Trace;
use crate::weather::{Fault, Weather};

/// How often a consumer gets a moment in which it may act.
const CONSUMER_TICK: Duration = Duration::from_millis(100);
/// How often the whole state of the machines is checked, in events.
const CHECK_INTERVAL: u64 = 16;

/// Something that will happen.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    ToBroker { link: LinkId, request: RequestId, command: Box<Command> },
    ToClient { link: LinkId, request: RequestId, answer: Box<Answer> },
    Broken { link: LinkId, client: ClientId },
    BrokerStarts,
    BrokerLoaded { life: u64 },
    BrokerResumes { life: u64 },
    BrokerTicks { life: u64 },
    FlushBegins { life: u64 },
    FlushEnds { life: u64 },
    ConsumerTicks { consumer: usize },
    ConsumerStarts { consumer: usize },
    FaultComes { fault: Fault, mean: Duration },
}

/// The world.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) rng: Rng,
    queue: Queue<Event>,
    weather: Weather,
    network: Network,
    pub(crate) broker: Broker,
    /// Raised whenever the broker goes down: what was meant for an earlier life does not concern a later one.
    life: u64,
    /// While the broker stands still, what comes in waits.
    standstill: Option<VecDeque<Event>>,
    tick_at: Instant,
    flush_waits: bool,
    pub(crate) consumers: Vec<Consumer>,
    links: BTreeMap<ClientId, LinkId>,
    /// Whose request came in over which connection.
    asking: BTreeMap<RequestId, (LinkId, ClientId)>,
    /// Consumers that stand still, and until when.
    frozen: BTreeMap<usize, Instant>,
    requests: u64,
    pub(crate) court: Court<Fact>,
    pub(crate) coverage: Coverage,
    pub(crate) trace: Trace,
}

impl World {
    /// The world of a seed, a moment before anything happens.
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let weather = Weather::draw(&mut rng);
        let settings = settings(&mut rng);
        let segment_bytes = 1_024 << rng.below(8);
        let consumers = population(&mut rng).into_iter().map(Consumer::new).collect();
        let mut world = Self {
            now: Instant::ZERO,
            queue: Queue::new(rng.next_u64()),
            weather,
            network: Network::default(),
            broker: Broker::new(Arc::new(settings), segment_bytes),
            life: 0,
            standstill: None,
            tick_at: Instant::NEVER,
            flush_waits: false,
            consumers,
            links: BTreeMap::new(),
            asking: BTreeMap::new(),
            frozen: BTreeMap::new(),
            requests: 0,
            court: Court::new(invariant::all()),
            coverage: Coverage::default(),
            trace: Trace::default(),
            rng,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.after(Duration::ZERO, Event::BrokerStarts);
        for consumer in 0..self.consumers.len() {
            let wait = Duration::from_millis(self.rng.below(3_000));
            self.after(wait, Event::ConsumerStarts { consumer });
            self.after(wait, Event::ConsumerTicks { consumer });
        }
        for (fault, mean) in self.weather.storms().to_vec() {
            let wait = self.around(mean);
            self.after(wait, Event::FaultComes { fault, mean });
        }
    }

    /// All faults stop, and whoever is away comes back.
    pub(crate) fn calm_down(&mut self) {
        self.weather = Weather::default();
        self.network.heal();
        self.frozen.clear();
        self.broker.skew_ms = self.broker.skew_ms.max(0);
        for consumer in 0..self.consumers.len() {
            if self.consumers[consumer].is_off() {
                self.after(Duration::ZERO, Event::ConsumerStarts { consumer });
            }
        }
        if self.standstill.is_some() {
            self.after(Duration::ZERO, Event::BrokerResumes { life: self.life });
        }
    }

    /// Lets everything happen that is due until then, or until a law is broken.
    pub(crate) fn run_until(&mut self, until: Instant) {
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

    fn after(&mut self, wait: Duration, event: Event) {
        self.queue.push(self.now + wait, event);
    }

    /// A wait of about `mean`.
    fn around(&mut self, mean: Duration) -> Duration {
        Duration::from_micros(self.rng.below(2 * mean.as_micros() as u64 + 1))
    }

    fn happen(&mut self, event: Event) {
        self.trace.note(self.now, sketch(&event));
        let Some(event) = self.unless_still(event) else { return };
        match event {
            Event::ToBroker { link, request, command } => self.reach_broker(link, request, *command),
            Event::ToClient { link, request, answer } => self.reach_client(link, request, answer),
            Event::Broken { link, client } => self.lose_link(link, client),
            Event::BrokerStarts => self.start_broker(),
            Event::BrokerLoaded { life } if life == self.life => self.load_broker(),
            Event::BrokerResumes { life } if life == self.life => self.resume_broker(),
            Event::BrokerTicks { life } if life == self.life => self.tick_broker(),
            Event::FlushBegins { life } if life == self.life => self.begin_flush(),
            Event::FlushEnds { life } if life == self.life => self.end_flush(),
            Event::BrokerLoaded { .. }
            | Event::BrokerResumes { .. }
            | Event::BrokerTicks { .. }
            | Event::FlushBegins { .. }
            | Event::FlushEnds { .. } => {}
            Event::ConsumerTicks { consumer } => self.tick_consumer(consumer),
            Event::ConsumerStarts { consumer } => self.start_consumer(consumer),
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
            | Event::FlushEnds { .. } => true,
            Event::ToClient { .. }
            | Event::Broken { .. }
            | Event::BrokerStarts
            | Event::BrokerResumes { .. }
            | Event::ConsumerTicks { .. }
            | Event::ConsumerStarts { .. }
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

    fn start_broker(&mut self) {
        if !self.broker.is_down() {
            return;
        }
        if let Err(what) = self.broker.start(self.now) {
            return self.fail("Recovery", what);
        }
        let slow = self.weather.slows(Fault::SlowLoad, &mut self.rng, &mut self.coverage);
        let load = if slow { 500 + self.rng.below(5_000) } else { 5 + self.rng.below(45) };
        self.after(Duration::from_millis(load), Event::BrokerLoaded { life: self.life });
    }

    fn load_broker(&mut self) {
        let mut out = Out::default();
        match self.broker.load(self.now, &mut out) {
            Ok(()) => self.carry_out(out),
            Err(what) => self.fail("Recovery", what),
        }
    }

    fn tick_broker(&mut self) {
        self.tick_at = Instant::NEVER;
        let mut out = Out::default();
        self.broker.tick(self.now, &mut out);
        self.carry_out(out);
    }

    fn begin_flush(&mut self) {
        self.flush_waits = false;
        if !self.broker.begin_flush() {
            return;
        }
        let slow = self.weather.slows(Fault::SlowSync, &mut self.rng, &mut self.coverage);
        let micros = if slow { 500_000 + self.rng.below(3_000_000) } else { 300 + self.rng.below(5_000) };
        self.after(Duration::from_micros(micros), Event::FlushEnds { life: self.life });
    }

    fn end_flush(&mut self) {
        let mut out = Out::default();
        let checkpoint = self.rng.chance(100);
        self.broker.end_flush(self.now, checkpoint, &mut out);
        self.carry_out(out);
    }

    fn resume_broker(&mut self) {
        for event in self.standstill.take().unwrap_or_default() {
            self.happen(event);
        }
    }

    /// Does what the broker did to the world around it.
    fn carry_out(&mut self, out: Out) {
        for fact in &out.facts {
            self.judge(fact);
        }
        for (request, answer) in out.answers {
            self.answer(request, answer);
        }
        if out.failed {
            let stop = if self.broker.must_reboot() || self.rng.chance(500) { Stop::PowerCut } else { Stop::Kill };
            return self.stop_broker(stop, RESTART_DELAY);
        }
        if out.wants_flush && !self.flush_waits {
            self.flush_waits = true;
            let linger = Duration::from_micros(self.rng.below(3_000));
            self.after(linger, Event::FlushBegins { life: self.life });
        }
        self.arm_tick();
    }

    fn arm_tick(&mut self) {
        let Some(deadline) = self.broker.deadline() else { return };
        if deadline < self.tick_at {
            self.tick_at = deadline;
            self.queue.push(deadline.max(self.now), Event::BrokerTicks { life: self.life });
        }
    }

    fn stop_broker(&mut self, stop: Stop, away: Duration) {
        if self.broker.is_down() {
            return;
        }
        let mut out = Out::default();
        self.broker.stop(self.now, stop, &mut self.rng, &mut out);
        for fact in &out.facts {
            self.judge(fact);
        }
        for (request, answer) in out.answers {
            self.answer(request, answer);
        }
        self.life += 1;
        self.standstill = None;
        self.flush_waits = false;
        self.tick_at = Instant::NEVER;
        self.asking.clear();
        for (link, client) in self.network.close_all() {
            let wait = Duration::from_micros(100 + self.rng.below(50_000));
            self.after(wait, Event::Broken { link, client });
        }
        self.after(away, Event::BrokerStarts);
    }

    fn reach_broker(&mut self, link: LinkId, request: RequestId, command: Command) {
        if !self.network.reaches_broker(link) || self.broker.is_down() {
            return;
        }
        let client = self.network.client(link).unwrap_or(ClientId(usize::MAX));
        self.asking.insert(request, (link, client));
        let mut out = Out::default();
        self.broker.handle(self.now, request, command, &mut out);
        self.carry_out(out);
    }

    fn answer(&mut self, request: RequestId, answer: Answer) {
        self.coverage.code(code_of(&answer));
        let Some((link, _)) = self.asking.remove(&request) else { return };
        match self.network.send_down(link, self.now, &self.weather, &mut self.rng, &mut self.coverage) {
            Passage::Arrives(at) => self.queue.push(at, Event::ToClient { link, request, answer: Box::new(answer) }),
            Passage::Vanishes | Passage::Breaks => {}
        }
    }

    // The clients.

    /// Whoever meddles is a client like any other, behind the last of the consumers.
    fn meddler(&self) -> ClientId {
        ClientId(self.consumers.len())
    }

    fn start_consumer(&mut self, consumer: usize) {
        if self.consumers[consumer].is_off() {
            self.consumers[consumer].start();
        }
    }

    fn tick_consumer(&mut self, consumer: usize) {
        self.after(CONSUMER_TICK, Event::ConsumerTicks { consumer });
        if self.frozen.get(&consumer).is_some_and(|until| *until > self.now) {
            return;
        }
        let acts = self.consumers[consumer].tick(self.now, &mut self.rng);
        self.act(consumer, acts);
    }

    fn act(&mut self, consumer: usize, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Send(ask, command) => self.send_as(consumer, ask, *command),
                Act::Disconnect => {
                    if let Some(link) = self.links.remove(&ClientId(consumer)) {
                        self.network.close(link, &self.weather, &mut self.rng, &mut self.coverage);
                    }
                }
            }
        }
    }

    fn send_as(&mut self, consumer: usize, ask: Ask, command: Command) {
        match self.send(ClientId(consumer), command) {
            Some(request) => self.consumers[consumer].sent(request, ask, self.now),
            None => self.consumers[consumer].disconnected(self.now),
        }
    }

    /// Sends a request; none when the client has no connection and gets none.
    fn send(&mut self, client: ClientId, command: Command) -> Option<RequestId> {
        let link = match self.links.get(&client) {
            Some(link) => *link,
            None if self.broker.is_down() => return None,
            None => {
                let link = self.network.connect(client, self.now)?;
                self.links.insert(client, link);
                link
            }
        };
        let request = RequestId(self.requests);
        self.requests += 1;
        self.judge(&Fact::Asked { request, command: command.clone() });
        match self.network.send_up(link, self.now, &self.weather, &mut self.rng, &mut self.coverage) {
            Passage::Arrives(at) => {
                self.queue.push(at, Event::ToBroker { link, request, command: Box::new(command) });
            }
            Passage::Vanishes => {}
            Passage::Breaks => {
                self.network.close(link, &self.weather, &mut self.rng, &mut self.coverage);
                let wait = Duration::from_micros(self.rng.below(50_000));
                self.after(wait, Event::Broken { link, client });
            }
        }
        Some(request)
    }

    fn reach_client(&mut self, link: LinkId, request: RequestId, answer: Box<Answer>) {
        let Some(ClientId(consumer)) = self.network.client(link) else { return };
        if let Some(until) = self.frozen.get(&consumer).copied().filter(|until| *until > self.now) {
            // It reads what came in when it goes on.
            return self.queue.push(until, Event::ToClient { link, request, answer });
        }
        if consumer < self.consumers.len() && self.links.get(&ClientId(consumer)) == Some(&link) {
            let acts = self.consumers[consumer].receive(request, &answer, self.now, &mut self.rng);
            self.act(consumer, acts);
        }
    }

    fn lose_link(&mut self, link: LinkId, client: ClientId) {
        if self.links.get(&client) != Some(&link) {
            return;
        }
        self.links.remove(&client);
        if let Some(consumer) = self.consumers.get_mut(client.0) {
            consumer.disconnected(self.now);
        }
    }

    // Faults.

    fn meet(&mut self, fault: Fault, mean: Duration) {
        if !self.weather.has(fault) {
            return;
        }
        let wait = self.around(mean);
        self.after(wait, Event::FaultComes { fault, mean });
        if self.strike(fault) {
            self.coverage.fault(fault);
        }
    }

    /// Lets a fault come; false when there is nothing that it could hit.
    fn strike(&mut self, fault: Fault) -> bool {
        let away = Duration::from_millis(100 + self.rng.below(5_000));
        let up = !self.broker.is_down();
        match fault {
            Fault::Kill if up => self.stop_broker(Stop::Kill, away),
            Fault::PowerCut if up => self.stop_broker(Stop::PowerCut, away),
            Fault::CleanRestart if up => self.stop_broker(Stop::Clean, away),
            Fault::Pause if up && self.standstill.is_none() => {
                self.standstill = Some(VecDeque::new());
                let wait = Duration::from_millis(500 + self.rng.below(15_000));
                self.after(wait, Event::BrokerResumes { life: self.life });
            }
            Fault::PowerCutInOperation | Fault::WriteError | Fault::SyncError | Fault::ShortWrite => {
                return self.broker.spoil(fault, &mut self.rng);
            }
            Fault::ClockForward => self.broker.skew_ms += self.rng.below(3_600_000) as i64,
            Fault::ClockBack => self.broker.skew_ms -= self.rng.below(3_600_000) as i64,
            Fault::Cut => {
                let client = ClientId(self.rng.below(self.consumers.len() as u64) as usize);
                let until = self.now + Duration::from_millis(500 + self.rng.below(15_000));
                self.network.cut(client, until);
            }
            Fault::ConsumerCrash | Fault::ConsumerLeave | Fault::ConsumerPause => return self.strike_consumer(fault),
            Fault::Meddling => return self.meddle(),
            Fault::Compaction => return self.compact(),
            Fault::Kill
            | Fault::PowerCut
            | Fault::CleanRestart
            | Fault::Pause
            | Fault::Delay
            | Fault::Reset
            | Fault::LateDelivery
            | Fault::StallUp
            | Fault::StallDown
            | Fault::SlowSync
            | Fault::SlowLoad => return false,
        }
        true
    }

    fn compact(&mut self) -> bool {
        let mut out = Out::default();
        let compacted = self.standstill.is_none() && self.broker.compact(self.now, &mut out);
        self.carry_out(out);
        compacted
    }

    fn strike_consumer(&mut self, fault: Fault) -> bool {
        let consumer = self.rng.below(self.consumers.len() as u64) as usize;
        if self.consumers[consumer].is_off() {
            return false;
        }
        if fault == Fault::ConsumerPause {
            let until = self.now + Duration::from_millis(1_000 + self.rng.below(40_000));
            self.frozen.insert(consumer, until);
            return true;
        }
        if fault == Fault::ConsumerLeave {
            let act = self.consumers[consumer].leave();
            self.act(consumer, act.into_iter().collect());
        }
        self.consumers[consumer].die();
        self.frozen.remove(&consumer);
        let away = Duration::from_millis(100 + self.rng.below(20_000));
        self.after(away, Event::ConsumerStarts { consumer });
        true
    }

    fn meddle(&mut self) -> bool {
        let groups: Vec<GroupId> = self.consumers.iter().map(|consumer| consumer.kind.group.clone()).collect();
        let command = operator::whim(&groups, &mut self.rng);
        self.send(self.meddler(), command).is_some()
    }

    // The observer.

    fn judge(&mut self, fact: &Fact) {
        self.court.judge(fact, &mut self.coverage);
    }

    fn fail(&mut self, invariant: &'static str, what: String) {
        self.court.fail(invariant, what);
    }

    /// The power goes once more, and the broker reads what is left: nothing that was acknowledged may be missing.
    pub(crate) fn last_judgement(&mut self) {
        self.stop_broker(Stop::PowerCut, RESTART_DELAY);
        self.run_until(self.now + Duration::from_secs(10));
        if self.court.violation().is_none() && !self.broker.is_leading() {
            self.fail("Recovery", "the broker does not lead ten seconds after its last start".to_owned());
        }
    }
}

/// How the coordinator of a seed is set up: now and then at its limits.
fn settings(rng: &mut Rng) -> Settings {
    let delay = ["0", "500", "3000"][rng.below(3) as usize];
    let check = ["1000", "600000"][rng.below(2) as usize];
    let written = |key| match key {
        "group.initial.rebalance.delay.ms" => Some(delay),
        "group.min.session.timeout.ms" => Some("1000"),
        "offsets.retention.check.interval.ms" => Some(check),
        _ => None,
    };
    Settings::resolve(BATCH_BYTES_MAX, written).expect("the values are in range")
}

/// Who lives in the world of a seed: two groups, with dynamic and static members of all versions, and one who reads alone.
fn population(rng: &mut Rng) -> Vec<Kind> {
    let mut kinds = vec![];
    for group in ["one", "two"] {
        for place in 0..1 + rng.below(4) {
            let name = format!("{group}-{place}");
            kinds.push(Kind {
                instance: rng.chance(400).then(|| name.as_str().into()),
                name: name.into(),
                group: group.into(),
                alone: false,
                old: rng.chance(300),
                skips: rng.chance(500),
                session_timeout: Duration::from_millis(3_000 + rng.below(10_000)),
                rebalance_timeout: Duration::from_millis(3_000 + rng.below(10_000)),
            });
        }
    }
    kinds.push(Kind {
        name: "alone".into(),
        group: "alone".into(),
        instance: None,
        alone: true,
        old: true,
        skips: false,
        session_timeout: Duration::ZERO,
        rebalance_timeout: Duration::ZERO,
    });
    kinds
}

/// The code that the answer as a whole bears.
fn code_of(answer: &Answer) -> ErrorCode {
    match answer {
        Answer::Refused(code) => *code,
        Answer::Reply(reply) => match reply {
            Reply::Join(Err(refusal)) => refusal.code,
            Reply::Sync(Err(code))
            | Reply::Heartbeat(Err(code))
            | Reply::Leave(Err(code))
            | Reply::CommitOffsets(Err(code))
            | Reply::CommitOffsetsInTransaction(Err(code))
            | Reply::EndTransaction(Err(code))
            | Reply::DeleteOffsets(Err(code)) => *code,
            Reply::Leave(Ok(left)) => left.iter().map(|one| one.code).max().unwrap_or(ErrorCode::None),
            Reply::DeleteGroups(deleted) => deleted.iter().map(|one| one.code).min().unwrap_or(ErrorCode::None),
            Reply::DeleteOffsets(Ok(codes)) => codes.iter().copied().max().unwrap_or(ErrorCode::None),
            Reply::Join(Ok(_))
            | Reply::Sync(Ok(_))
            | Reply::Heartbeat(Ok(()))
            | Reply::CommitOffsets(Ok(_))
            | Reply::CommitOffsetsInTransaction(Ok(_))
            | Reply::EndTransaction(Ok(()))
            | Reply::FetchOffsets(_)
            | Reply::DescribeGroups(_)
            | Reply::ListGroups(_)
            | Reply::TopicsDeleted => ErrorCode::None,
        },
    }
}

/// The event in few words.
fn sketch(event: &Event) -> String {
    match event {
        Event::ToBroker { link, request, command } => {
            let mut words = format!("{command:?}");
            words.truncate(words.floor_char_boundary(160));
            format!("{} over {}: {words}", request.0, link.0)
        }
        Event::ToClient { link, request, answer } => {
            let mut words = format!("{answer:?}");
            words.truncate(words.floor_char_boundary(160));
            format!("{} over {} answered: {words}", request.0, link.0)
        }
        Event::ConsumerTicks { consumer } => format!("consumer {consumer} ticks"),
        Event::Broken { .. }
        | Event::BrokerStarts
        | Event::BrokerLoaded { .. }
        | Event::BrokerResumes { .. }
        | Event::BrokerTicks { .. }
        | Event::FlushBegins { .. }
        | Event::FlushEnds { .. }
        | Event::ConsumerStarts { .. }
        | Event::FaultComes { .. } => format!("{event:?}"),
    }
}
