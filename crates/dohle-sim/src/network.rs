//! Connections between clients and the broker. Within one, bytes keep their order and have no holes: what is lost is lost
//! to its end, and only a new connection helps.

use std::collections::BTreeMap;
use std::time::Duration;

use dohle_base::{Instant, Rng};

use crate::coverage::Coverage;
use crate::weather::{Fault, Weather};

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkId(pub(crate) u64);

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClientId(pub(crate) usize);

#[derive(Clone, Debug)]
struct Link {
    client: ClientId,
    /// When the last message in this direction arrives: none overtakes another.
    up_at: Instant,
    down_at: Instant,
    stalled_up: bool,
    stalled_down: bool,
    /// The client has given it up, but what it sent is still on its way.
    lingers: bool,
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Network {
    links: BTreeMap<LinkId, Link>,
    next: u64,
    /// Who cannot reach the broker, and until when.
    cuts: BTreeMap<ClientId, Instant>,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It arrives then.
    Arrives(Instant),
    /// It never arrives.
    Vanishes,
    /// It breaks the connection.
    Breaks,
}

impl Network {
    /// A new connection, if the client can reach the broker.
    pub(crate) fn connect(&mut self, client: ClientId, now: Instant) -> Option<LinkId> {
        if self.cuts.get(&client).is_some_and(|until| *until > now) {
            return None;
        }
        let id = LinkId(self.next);
        self.next += 1;
        let (stalled_up, stalled_down, lingers) = (false, false, false);
        self.links.insert(id, Link { client, up_at: now, down_at: now, stalled_up, stalled_down, lingers });
        Some(id)
    }

    /// Keeps a client away for a while; its connections stall.
    pub(crate) fn cut(&mut self, client: ClientId, until: Instant) {
        self.cuts.insert(client, until);
        for link in self.links.values_mut().filter(|link| link.client == client) {
            link.stalled_up = true;
            link.stalled_down = true;
        }
    }

    /// What becomes of a message to the broker.
    pub(crate) fn send_up(
        &mut self,
        id: LinkId,
        now: Instant,
        weather: &Weather,
        rng: &mut Rng,
        coverage: &mut Coverage,
    ) -> Passage {
        let Some(link) = self.links.get_mut(&id) else { return Passage::Vanishes };
        if weather.strikes(Fault::Reset, rng) {
            coverage.fault(Fault::Reset);
            return Passage::Breaks;
        }
        if weather.strikes(Fault::StallUp, rng) {
            coverage.fault(Fault::StallUp);
            link.stalled_up = true;
        }
        if link.stalled_up {
            return Passage::Vanishes;
        }
        link.up_at = (now + latency(weather, rng, coverage)).max(Instant(link.up_at.0 + 1));
        Passage::Arrives(link.up_at)
    }

    /// What becomes of a message to the client.
    pub(crate) fn send_down(
        &mut self,
        id: LinkId,
        now: Instant,
        weather: &Weather,
        rng: &mut Rng,
        coverage: &mut Coverage,
    ) -> Passage {
        let Some(link) = self.links.get_mut(&id).filter(|link| !link.lingers) else { return Passage::Vanishes };
        if weather.strikes(Fault::StallDown, rng) {
            coverage.fault(Fault::StallDown);
            link.stalled_down = true;
        }
        if link.stalled_down {
            return Passage::Vanishes;
        }
        link.down_at = (now + latency(weather, rng, coverage)).max(Instant(link.down_at.0 + 1));
        Passage::Arrives(link.down_at)
    }

    /// The client gives the connection up, or it broke. What was sent may still arrive.
    pub(crate) fn close(&mut self, id: LinkId, weather: &Weather, rng: &mut Rng, coverage: &mut Coverage) {
        if weather.strikes(Fault::LateDelivery, rng)
            && let Some(link) = self.links.get_mut(&id)
        {
            coverage.fault(Fault::LateDelivery);
            link.lingers = true;
        } else {
            self.links.remove(&id);
        }
    }

    /// The broker is gone, and with it every connection; who was connected.
    pub(crate) fn close_all(&mut self) -> Vec<(LinkId, ClientId)> {
        let open = self.links.iter().filter(|(_, link)| !link.lingers);
        let clients = open.map(|(id, link)| (*id, link.client)).collect();
        self.links.clear();
        clients
    }

    /// Whether what was sent on the connection still reaches the broker.
    pub(crate) fn reaches_broker(&self, id: LinkId) -> bool {
        self.links.contains_key(&id)
    }

    /// Whose connection it is, if it is still open at the client's end.
    pub(crate) fn client(&self, id: LinkId) -> Option<ClientId> {
        self.links.get(&id).filter(|link| !link.lingers).map(|link| link.client)
    }

    /// All are free to talk again.
    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
        for link in self.links.values_mut() {
            link.stalled_up = false;
            link.stalled_down = false;
        }
    }
}

fn latency(weather: &Weather, rng: &mut Rng, coverage: &mut Coverage) -> Duration {
    let usual = 100 + rng.below(2_000);
    if weather.strikes(Fault::Delay, rng) {
        coverage.fault(Fault::Delay);
        return Duration::from_micros(usual + rng.below(2_000_000));
    }
    Duration::from_micros(usual)
}
