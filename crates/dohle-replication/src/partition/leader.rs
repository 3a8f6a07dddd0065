//! The leader of a partition of which it holds the only replica: what is written becomes safe, and what is safe may be seen.
//!
//! Owns the high watermark and the callers that wait for it; knows neither disk nor wire.
//! Laws: high watermark ≤ log end; synced ≤ log end; the high watermark never falls within a reign.

use dohle_base::{Instant, LeaderEpoch, Offset, Token};

use crate::waiting::Waiting;

/// When a written record is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When the disk has confirmed it: survives the loss of power.
    Synced,
    /// When the operating system has it: survives the end of the process (Kafka's own behaviour).
    Relaxed,
}

/// What happened to the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The log now ends here.
    Written {
        /// The offset that comes next.
        end: Offset,
    },
    /// The disk has confirmed everything below.
    Synced {
        /// The first offset that is not confirmed.
        upto: Offset,
    },
    /// A caller waits until everything below `offset` is safe.
    Awaited {
        /// Who waits.
        token: Token,
        /// The end of what the caller wrote, or the place that a reader wants to see filled.
        offset: Offset,
        /// When the caller gives up.
        deadline: Instant,
    },
    /// A caller no longer waits.
    Withdrawn {
        /// Who went.
        token: Token,
    },
    /// The rule of what is safe was altered.
    Altered {
        /// The new rule.
        durability: Durability,
    },
    /// Time passed.
    Ticked,
    /// Another leads, or the disk is lost: nobody here will be served.
    Resigned,
}

/// What the shell must do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Let the disk confirm what is written, then report [`Event::Synced`].
    Sync,
    /// The awaited offset is safe.
    Release {
        /// Who is served.
        token: Token,
    },
    /// The deadline came first.
    Expire {
        /// Who gave up.
        token: Token,
    },
    /// This leader will not serve the caller: it resigned, or too many wait.
    Refuse {
        /// Who must try elsewhere or later.
        token: Token,
    },
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Leader {
    epoch: LeaderEpoch,
    durability: Durability,
    end: Offset,
    synced: Offset,
    /// Offsets below this are safe and may be seen. Never decreases within a reign.
    high_watermark: Offset,
    waiting: Waiting,
}

impl Leader {
    /// Begins a reign over a log that ends at `end`. Everything in it was recovered from disk and confirmed: it is safe.
    pub fn new(epoch: LeaderEpoch, durability: Durability, end: Offset) -> Self {
        Self { epoch, durability, end, synced: end, high_watermark: end, waiting: Waiting::default() }
    }

    /// The reign.
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// Offsets below this are safe and may be seen.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// When the shell must hand over a tick at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.deadline()
    }

    /// Takes one event in and puts out what must be done about it.
    pub fn step(&mut self, now: Instant, event: Event, out: &mut Vec<Effect>) {
        match event {
            Event::Written { end } => self.written(end, out),
            Event::Synced { upto } => self.confirmed(upto, out),
            Event::Awaited { token, offset, deadline } => self.awaited(token, offset, deadline, out),
            Event::Withdrawn { token } => drop(self.waiting.withdraw(token)),
            Event::Altered { durability } => self.altered(durability, out),
            Event::Ticked => self.waiting.expire(now, |token| out.push(Effect::Expire { token })),
            Event::Resigned => out.extend(self.waiting.dismiss().map(|token| Effect::Refuse { token })),
        }
    }

    fn written(&mut self, end: Offset, out: &mut Vec<Effect>) {
        assert!(end >= self.end, "a leader's log only grows");
        self.end = end;
        if self.durability == Durability::Synced && self.synced < self.end {
            out.push(Effect::Sync);
        }
        self.advance(out);
    }

    fn confirmed(&mut self, upto: Offset, out: &mut Vec<Effect>) {
        assert!(upto <= self.end, "the disk confirmed what was never written");
        self.synced = self.synced.max(upto);
        self.advance(out);
    }

    fn awaited(&mut self, token: Token, offset: Offset, deadline: Instant, out: &mut Vec<Effect>) {
        if offset <= self.high_watermark {
            out.push(Effect::Release { token });
        } else if !self.waiting.admit(token, offset, deadline) {
            out.push(Effect::Refuse { token });
        }
    }

    fn altered(&mut self, durability: Durability, out: &mut Vec<Effect>) {
        self.durability = durability;
        self.advance(out);
    }

    fn advance(&mut self, out: &mut Vec<Effect>) {
        let safe = match self.durability {
            Durability::Synced => self.synced,
            Durability::Relaxed => self.end,
        };
        if safe > self.high_watermark {
            self.high_watermark = safe;
            self.waiting.reach(safe, |token| out.push(Effect::Release { token }));
        }
    }

    /// The laws.
    pub fn check(&self) {
        assert!(self.high_watermark <= self.end);
        assert!(self.synced <= self.end);
        self.waiting.check();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps a leader of an empty log through `events` and returns what it put out.
    fn run(durability: Durability, events: &[Event]) -> (Leader, Vec<Effect>) {
        let mut leader = Leader::new(LeaderEpoch(3), durability, Offset::ZERO);
        let mut out = vec![];
        for event in events {
            leader.step(Instant(1_000), *event, &mut out);
            leader.check();
        }
        (leader, out)
    }

    fn awaited(token: u64, offset: i64) -> Event {
        Event::Awaited { token: Token(token), offset: Offset(offset), deadline: Instant(5_000) }
    }

    #[test]
    fn what_the_disk_has_not_confirmed_is_neither_acknowledged_nor_seen() {
        let written = [Event::Written { end: Offset(5) }, awaited(1, 5)];
        let (mut leader, out) = run(Durability::Synced, &written);
        assert_eq!(out, [Effect::Sync]);
        assert_eq!(leader.high_watermark(), Offset::ZERO);
        let mut out = vec![];
        leader.step(Instant(2_000), Event::Synced { upto: Offset(5) }, &mut out);
        assert_eq!(out, [Effect::Release { token: Token(1) }]);
        assert_eq!(leader.high_watermark(), Offset(5));
    }

    #[test]
    fn a_relaxed_leader_acknowledges_what_is_written() {
        let (leader, out) =
            run(Durability::Relaxed, &[awaited(1, 5), Event::Written { end: Offset(5) }, awaited(2, 5)]);
        assert_eq!(out, [Effect::Release { token: Token(1) }, Effect::Release { token: Token(2) }]);
        assert_eq!(leader.high_watermark(), Offset(5));
    }

    #[test]
    fn a_caller_gives_up_at_its_deadline_and_a_resignation_refuses_the_rest() {
        let (mut leader, _) = run(Durability::Synced, &[awaited(1, 5)]);
        let mut out = vec![];
        leader.step(Instant(4_999), Event::Ticked, &mut out);
        assert_eq!(out, []);
        leader.step(Instant(5_000), Event::Ticked, &mut out);
        leader.step(Instant(5_000), awaited(2, 9), &mut out);
        leader.step(Instant(5_000), Event::Resigned, &mut out);
        assert_eq!(out, [Effect::Expire { token: Token(1) }, Effect::Refuse { token: Token(2) }]);
    }

    #[test]
    fn a_stricter_rule_does_not_take_back_what_was_seen() {
        let altered = Event::Altered { durability: Durability::Synced };
        let (leader, _) = run(Durability::Relaxed, &[Event::Written { end: Offset(5) }, altered]);
        assert_eq!(leader.high_watermark(), Offset(5));
    }
}
