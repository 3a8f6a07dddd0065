//! The broker's lives in the world: it starts, reads its logs, flushes, sends markers and answers, and goes down.

use std::time::Duration;

use dohle_base::Instant;

use super::broker::{Broker, LOGS, Marker, Out, Stop};
use super::place::Place;
use super::request::{Answer, Request};
use super::world::{Event, World};
use crate::fact::RequestId;
use crate::network::{LinkId, Passage};
use crate::weather::Fault;

/// How long a broker that failed stays away.
pub(super) const RESTART_DELAY: Duration = Duration::from_millis(500);
/// How many of 1,000 markers come once more, and after how long at most: while the next transaction begins, or much later.
const MARKERS_REPEATED: u64 = 150;
const MARKER_LATE_MAX_MS: [u64; 2] = [100, 6_000];
/// In how many of 1,000 rounds of markers a partition takes none.
const PARTITIONS_AWAY: u64 = 150;

impl World {
    pub(super) fn with_broker(&mut self, step: impl FnOnce(&mut Broker, Instant, &mut Out)) {
        let mut out = Out::default();
        step(&mut self.broker, self.now, &mut out);
        self.carry_out(out);
    }

    pub(super) fn start_broker(&mut self) {
        if !self.broker.is_down() {
            return;
        }
        if let Err(what) = self.broker.start(self.now) {
            return self.fail("Recovery", what);
        }
        let slow = self.weather.slows(Fault::SlowLoad, &mut self.rng, &mut self.coverage);
        let load = if slow { 500 + self.rng.below(3_000) } else { 5 + self.rng.below(45) };
        self.after(Duration::from_millis(load), Event::BrokerLoaded { life: self.life });
    }

    pub(super) fn load_broker(&mut self) {
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

    pub(super) fn tick_broker(&mut self) {
        self.tick_at = Instant::NEVER;
        self.with_broker(|broker, now, out| broker.tick(now, out));
    }

    pub(super) fn begin_flush(&mut self, log: usize) {
        self.flush_waits[log] = false;
        if !self.broker.begin_flush(log) {
            return;
        }
        let slow = self.weather.slows(Fault::SlowSync, &mut self.rng, &mut self.coverage);
        let micros = if slow { 500_000 + self.rng.below(2_000_000) } else { 300 + self.rng.below(5_000) };
        self.after(Duration::from_micros(micros), Event::FlushEnds { life: self.life, log });
    }

    pub(super) fn end_flush(&mut self, log: usize) {
        let checkpoint = self.rng.chance(100);
        self.with_broker(|broker, now, out| broker.end_flush(now, log, checkpoint, out));
    }

    pub(super) fn resume_broker(&mut self) {
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
    pub(super) fn away(&mut self) -> Option<Place> {
        let strikes = self.is_stormy() && self.rng.chance(PARTITIONS_AWAY);
        if strikes { self.rng.pick(&Place::ALL).copied() } else { None }
    }

    pub(super) fn is_stormy(&self) -> bool {
        !self.weather.storms().is_empty()
    }

    /// Those of the older protocol may not: nothing in it tells a late one from the right one.
    pub(super) fn may_repeat(&self, marker: &Marker) -> bool {
        self.is_stormy() && marker.version.raises_epoch()
    }

    /// Some markers come again while the next transaction is under way.
    pub(super) fn repeat_later(&mut self, marker: Marker, place: Place) {
        self.last_marker = Some((marker, place));
        if self.may_repeat(&marker) && self.rng.chance(MARKERS_REPEATED) {
            let most = *self.rng.pick(&MARKER_LATE_MAX_MS).expect("there are two");
            let wait = Duration::from_millis(self.rng.below(most));
            self.after(wait, Event::MarkerComes { marker, place });
        }
    }

    pub(super) fn arm_tick(&mut self) {
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

    pub(super) fn reach_broker(&mut self, link: Option<LinkId>, request: RequestId, asked: Request) {
        if link.is_some_and(|link| !self.network.reaches_broker(link)) || self.broker.is_down() {
            return;
        }
        if let Some(link) = link {
            self.asking.insert(request, link);
        }
        self.with_broker(|broker, now, out| broker.handle(now, request, asked, out));
    }

    pub(super) fn answer(&mut self, request: RequestId, answer: Answer) {
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
}
